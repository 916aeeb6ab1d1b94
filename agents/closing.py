"""What the rebalancers of the last half hour have in common: one decision before the close, worked to the close.

All but the market-on-close buyers trade on the day's move alone, whoever made it (Baltussen, Da, Lammers and Martens
2021).
"""

from __future__ import annotations

from collections.abc import Iterable

from sim.trader import Action, Alarm, At, Ring, Trader, Work, number
from sim.units import MINUTE
from sim.view import View


class CloseTrader(Trader):
    """Decides once a day, some minutes before the close or right after the open, and works its order to the close."""

    class Params(Trader.Params):
        """When they trade."""

        before_close_minutes: float = number(25.0, 1, 390, "min", "start before the close", source="guess")
        stop_before_minutes: float = number(1.0, 0, 389, "min", "end before the close", source="guess")

    def __init__(self, model: object, **about: object) -> None:
        super().__init__(model, **about)  # type: ignore[arg-type]
        self.minutes_before = self.p.before_close_minutes + self.draw.uniform()

    def wanted(self, view: View) -> float:
        """Contracts to trade today."""
        return 0.0

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Start working what is wanted."""
        trade = round(self.wanted(view) / self.crowd_size) if ring.kind == "time" else 0
        end = view.closes - round(self.p.stop_before_minutes * MINUTE)
        return [Work(trade, until_ns=end)] if trade else []

    def alarms(self, view: View) -> Iterable[Alarm]:
        """Once, before the close."""
        start = max(view.closes - round(self.minutes_before * MINUTE), view.opens + 1)
        return [At(start)] if view.now < start else []
