"""Latent liquidity: patient limit orders far around the price, come and gone slowly (Toth et al. 2011; Donier 2015).

Their stock far from the price is rate x life; near it trading eats it away, so a V-shaped book and a concave impact
emerge. Before an opening auction the stock stands around what value is known to be. Orders are smaller while the VIX is
above its prior close, as all liquidity is scarcer then (Nagel 2012).
"""

from __future__ import annotations

from agents.liquidity import LiquidityProvider
from sim.trader import LatentOrders, number
from sim.units import TICK_POINTS, contracts_of
from sim.view import View


class LatentTrader(LiquidityProvider):
    """Sends its share of the latent limit orders."""

    class Params(LiquidityProvider.Params):
        """Density, reach and life of the orders."""

        density_share: float = number(
            0.0087,
            0,
            10,
            "1/s/tick",
            "contracts per second and tick of all over the depth's",
            source="study; form: Toth et al. 2011",
        )
        life_seconds: float = number(1000.0, 1, 1e6, "s", "mean life", source="study; form: Donier et al. 2015")
        reach_points: float = number(
            100.0, 1, 2000, "points", "how far behind the opposite best orders come", source="study"
        )
        size: float = number(
            3.0, 1, 1000, "contracts", "mean order", source="guess; the mean trade of the E-mini is of 3 to 4.5"
        )
        hollow_points: float = number(
            4.0,
            0.1,
            1000,
            "points",
            "scale of the hollow of a book about to open",
            source="guess; form: Toth et al. 2011",
        )
        fear_power: float = number(
            0.1, 0, 4, "1", "exponent of the size of orders against the VIX above its prior close", source="guess"
        )

    def offer(self, view: View) -> LatentOrders:
        """The stream of orders."""
        p = self.p
        contracts = p.density_share * contracts_of(view.depth_musd, view.prior_close) * 2 * p.reach_points / TICK_POINTS
        return LatentOrders(
            orders_per_second=contracts / p.size / self.crowd_size,
            reach_points=p.reach_points,
            size=p.size * self.calm,
            life_seconds=p.life_seconds,
            around=view.value,
            hollow_points=p.hollow_points,
        )
