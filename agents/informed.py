"""Informed traders: each trades at once on what it alone has learnt, in proportion to it (Kyle 1985).

What there is to learn comes in bursts: the intensity of signals is the exponential of a mean-reverting process (Clark
1973, the mixture of distributions; Taylor 1986 for the process). Signals have the fat tails of Student's t. What is
learnt is worth the same in every market, so they trade more where the book is deep.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from sim.trader import Action, Alarm, At, Ioc, Ring, Trader, number
from sim.units import MINUTE, REFERENCE_DEPTH_MUSD
from sim.view import View


class InformedTrader(Trader):
    """Takes what is there, up to a distance, whenever it learns something."""

    class Params(Trader.Params):
        """Signals, their size and their bursts."""

        signals_per_minute: float = number(2.0, 0, 1000, "1/min", "of all, where intensity is usual", source="study")
        contracts: float = number(
            140.0,
            0,
            1e5,
            "contracts",
            "traded on a signal of one, the scale of Student's t, in a book of $5M; in others in proportion",
            source="study",
        )
        freedom: int = number(3, 1, 100, "1", "degrees of freedom of signals", source="Gopikrishnan et al. 1999, tails")
        reach_points: float = number(5.0, 0.25, 100, "points", "furthest from the mid it takes", source="guess")
        burst: float = number(1.2, 0, 3, "1", "standard deviation of the log intensity", source="study")
        burst_minutes: float = number(60.0, 0.1, 390, "min", "memory of the intensity", source="study")

    def begin(self) -> None:
        """Begin with the usual intensity."""
        self.log_intensity, self.seen_at = 0.0, 0

    def learn(self, view: View) -> None:
        """Let the intensity move on to now."""
        keep = min(math.exp((self.seen_at - view.now) / MINUTE / self.p.burst_minutes), 1.0)
        shock = self.p.burst * math.sqrt(1 - keep * keep) * self.draw.normal()
        self.log_intensity, self.seen_at = keep * self.log_intensity + shock, view.now

    def signal(self) -> float:
        """A draw of Student's t: a normal over the root of a mean of squared normals."""
        squares = sum(self.draw.normal() ** 2 for _ in range(self.p.freedom))
        return self.draw.normal() / math.sqrt(squares / self.p.freedom)

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Trade on the signal, whole contracts."""
        self.learn(view)
        scale = self.p.contracts * view.depth_musd / REFERENCE_DEPTH_MUSD
        size = int(scale * self.signal()) if ring.kind == "time" else 0
        return [Ioc(size, view.mid + math.copysign(self.p.reach_points, size))] if size else []

    def alarms(self, view: View) -> Iterable[Alarm]:
        """The next signal."""
        rate = self.p.signals_per_minute / self.crowd_size * math.exp(self.log_intensity - 0.5 * self.p.burst**2)
        return [At(view.later(min(60 * self.draw.exponential() / max(rate, 1e-9), 1e6)))]
