"""What the rebalancers of the last half hour have in common: an order that grows with the move, worked to the close.

All but the market-on-close buyers trade on the day's move alone, whoever made it (Baltussen, Da, Lammers and Martens
2021).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from pydantic import model_validator

from sim.trader import Above, Action, Alarm, At, Below, Ring, Trader, Work, number
from sim.units import MINUTE
from sim.view import View


class CloseTrader(Trader):
    """Begins some minutes before the close, works its order to the close, and raises it where the move goes on.

    It never takes back what it has ordered: the move may come again before the close, and both ways cost the spread.
    """

    class Params(Trader.Params):
        """When they trade."""

        before_close_minutes: float = number(25.0, 1, 390, "min", "start before the close", source="guess")
        stop_before_minutes: float = number(1.0, 0, 389, "min", "end before the close", source="guess")
        review_points: float = number(5.0, 0.25, 1000, "points", "move after which it is reviewed", source="guess")

        @model_validator(mode="after")
        def _ends_after_its_start(self) -> Self:
            if self.stop_before_minutes >= self.before_close_minutes:
                raise ValueError("stop_before_minutes must be less than before_close_minutes")
            return self

    def begin(self) -> None:
        """Draw when to start."""
        self.minutes_before = self.draw.uniform(self.p.before_close_minutes, self.p.before_close_minutes + 1)
        self.position_at_open = 0

    def wanted(self, view: View) -> float:
        """Contracts to trade today."""
        return 0.0

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Order what is wanted, or more where it has grown."""
        if ring.kind == "open":
            self.position_at_open = view.position
            return []
        ordered = view.position - self.position_at_open + view.working
        more = round(self.wanted(view) / self.crowd_size) - ordered
        return [Work(view.working + more, until_ns=self.end(view))] if more and more * ordered >= 0 else []

    def end(self, view: View) -> int:
        """The time by which all is to be done."""
        return view.closes - round(self.p.stop_before_minutes * MINUTE)

    def alarms(self, view: View) -> Iterable[Alarm]:
        """Once before the close, then at every move until the end."""
        start = max(view.closes - round(self.minutes_before * MINUTE), view.opens + 1)
        if view.now < start:
            return [At(start)]
        step = self.p.review_points
        return [Below(view.mid - step), Above(view.mid + step)] if view.now < self.end(view) else []
