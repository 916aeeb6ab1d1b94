"""Large orders of one size, worked one after another: the probe of market impact in paired worlds (Toth et al. 2011).

No part of any market: an experiment adds it to a scenario and compares with the same seed without it. In the shipped
scenarios the metaorders of the noise are programs of the kernel (`agents/noise.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

from sim.trader import Action, Alarm, At, Ring, Trader, Work, number
from sim.units import MINUTE
from sim.view import View


class MetaorderTrader(Trader):
    """Starts an order of the same size at even intervals, to buy or to sell by the toss of a coin.

    The coins are the same whatever the size; a negative size turns all of them round.
    """

    class Params(Trader.Params):
        """Size, pace and times of the orders."""

        contracts: int = number(1000, -1_000_000, 1_000_000, "contracts", "size of an order", source="the experiment's")
        participation: float = number(
            0.05, 0.001, 1, "share", "of the market's volume, while it is worked", source="guess: a usual pace"
        )
        every_minutes: float = number(30.0, 0.1, 390, "min", "from one order to the next", source="the experiment's")
        start_minutes: float = number(30.0, 0.1, 390, "min", "first order, after the open", source="guess")

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Start the next order."""
        if ring.kind != "time":
            return []
        sign = 1 if self.draw.uniform() < 0.5 else -1
        return [Work(sign * self.p.contracts, pov=self.p.participation)]

    def alarms(self, view: View) -> Iterable[Alarm]:
        """The next time of the grid from which an interval still fits in before the close."""
        first, every = view.opens + round(self.p.start_minutes * MINUTE), round(self.p.every_minutes * MINUTE)
        due = first + every * max((view.now - first) // every + 1, 0)
        return [At(due)] if due + every <= view.closes else []
