"""Market makers: quote a ladder on both sides, skew it with inventory, withdraw as volatility rises.

The ladder is a standing program of the kernel. Its depth is elastic and falls as a power of volatility, as market-wide
depth did against the VIX in 2025. Inventory tilts how much it shows on either side; Avellaneda and Stoikov 2008 move
the prices instead, for which a book one tick wide has no room. What a maker decides is its risk: the value at risk it
may hold is fixed, so it bears less inventory where the VIX is above its prior close (Adrian and Shin 2010).
"""

from __future__ import annotations

from agents.liquidity import LiquidityProvider
from sim.trader import Quote, number, numbers
from sim.units import REFERENCE_DEPTH_MUSD, contracts_of
from sim.view import View


class MarketMaker(LiquidityProvider):
    """Shows what is missing at a price to the depth that it thinks right for all."""

    class Params(LiquidityProvider.Params):
        """Depth relative to the scenario's, inventory, speed and withdrawal."""

        depth_share: float = number(
            1.29,
            0,
            20,
            "1",
            "contracts displayed at the best price, by all, over those of the scenario's depth, at $5M",
            source="study",
        )
        depth_power: float = number(
            0.13, -1, 1, "1", "how that share grows with depth: deep queues are short of it for longer", source="study"
        )
        most_share: float = number(1.0, 0, 1, "1", "of what all display, the most of one maker", source="study")
        inventory_share: float = number(
            115.0, 0.01, 1000, "1", "inventory of all at which they skew fully, over what all display", source="study"
        )
        memory_seconds: float = number(23_400.0, 0.1, 23_400, "s", "memory of inventory", source="study")
        shape: float = number(0.02, 0, 10, "1/tick", "growth of the ladder away from the best price", source="study")
        shape_ticks: float = number(6.0, 0, 15, "ticks", "up to here", source="study")
        levels: int = number(10, 1, 15, "ticks", "length of the ladder", source="study")
        looks: float = number(0.5, 0, 1000, "1/s", "looks of a maker at one side of its ladder", source="study")
        refill: float = number(0.05, 0, 1, "share", "of what is missing that comes back at a look", source="study")
        fills: float = number(12.0, 0, 1000, "1/s", "looks at an open spread of a maker", source="study")
        skew: float = number(
            1.0, 0, 10, "1", "strength of the inventory skew", source="assumed; form: Avellaneda and Stoikov 2008"
        )
        tilt: float = number(
            0.5, 0, 1, "1", "how far inventory decides which side of an open spread is filled", source="study"
        )
        withdrawal: float = number(0.4, 0, 4, "1", "exponent of depth against volatility", source="study")
        reference_vol_points: float = number(
            4.0,
            0.01,
            100,
            "points/sqrt(min)",
            "volatility at which depth is full, in a book of $5M; in others inverse to depth",
            source="study",
        )
        bounds: tuple[float, float] = numbers(
            (0.2, 1.0), 0, 100, "1", "least and largest factor of the withdrawal", source="study"
        )

    def offer(self, view: View) -> Quote:
        """The ladder."""
        p = self.p
        relative = view.depth_musd / REFERENCE_DEPTH_MUSD
        displayed = p.depth_share * relative**p.depth_power * contracts_of(view.depth_musd, view.value)
        return Quote(
            contracts=p.most_share * displayed,
            displayed=displayed,
            max_inventory=p.inventory_share * displayed / self.crowd_size * self.calm,
            shape=p.shape,
            shape_ticks=p.shape_ticks,
            levels=p.levels,
            looks=p.looks,
            refill=p.refill,
            fills=p.fills,
            skew=p.skew,
            tilt=p.tilt,
            memory_seconds=p.memory_seconds,
            withdrawal=p.withdrawal,
            reference_vol=p.reference_vol_points / relative,
            bounds=p.bounds,
        )
