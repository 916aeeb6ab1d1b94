"""A hedger of constant gamma, for the test that holds the running market to theory."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sim.trader import Action, Alarm, At, Ring, Trader, Work, number
from sim.view import View

LOOKS = 5
"""In the time over which a hedge is worked: what is missing trades at a nearly steady rate, one over that time."""


class GammaHedger(Trader):
    """Holds so many contracts more for every point that the price has gained since the open: short gamma if positive.

    Attributes
    ----------
    watch
        The price it hedges, of a view: the mid, unless a test sets another.
    """

    class Params(Trader.Params):
        """How much, how fast."""

        contracts_per_point: float = number(0.0, -10_000, 10_000, "contracts/point", "short gamma is +", source="test")
        work_seconds: float = number(60.0, 1, 7200, "s", "time over which a hedge is worked", source="test")

    watch: Callable[[View], float]

    def begin(self) -> None:
        self.watch = lambda view: view.mid
        self.start_points, self.start_contracts = 0.0, 0

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Work what is missing; what was held at the open stays."""
        if ring.kind == "open":
            self.start_points, self.start_contracts = self.watch(view), view.position
        gained = self.watch(view) - self.start_points
        target = self.start_contracts + round(self.p.contracts_per_point * gained)
        return [Work(target - view.position, until_ns=view.later(self.p.work_seconds))]

    def alarms(self, view: View) -> Iterable[Alarm]:
        """Look again soon."""
        return [At(view.later(self.p.work_seconds / LOOKS))]
