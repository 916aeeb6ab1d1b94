"""Informed traders: each trades at once on what it alone has learnt, in proportion to it (Kyle 1985).

What there is to learn comes in bursts, and more of it after a fall: the intensity of signals is the exponential of a
mean-reverting process (Clark 1973, the mixture of distributions; Taylor 1986 for the process; Nelson 1991 for the
asymmetry). Signals have the fat tails of Student's t.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from sim.trader import Action, Alarm, At, Ioc, Ring, Trader, number
from sim.units import MINUTE
from sim.view import View


class InformedTrader(Trader):
    """Takes what is there, up to a distance, whenever it learns something."""

    class Params(Trader.Params):
        """Signals, their size and their bursts."""

        signals_per_minute: float = number(4.0, 0, 1000, "1/min", "of all, where intensity is usual", source="study")
        contracts: float = number(
            60.0, 0, 1e5, "contracts", "traded on a signal of one, the scale of Student's t", source="study"
        )
        freedom: int = number(3, 1, 100, "1", "degrees of freedom of signals", source="Gopikrishnan et al. 1999, tails")
        reach_points: float = number(3.0, 0.25, 100, "points", "furthest from the mid it takes", source="guess")
        burst: float = number(0.6, 0, 3, "1", "standard deviation of the log intensity", source="study")
        burst_minutes: float = number(30.0, 0.1, 390, "min", "memory of the intensity", source="study")
        asymmetry: float = number(
            0.3, 0, 5, "1/%", "rise of the log intensity per per cent of fall since the last signal", source="study"
        )

    def __init__(self, model: object, **about: object) -> None:
        super().__init__(model, **about)  # type: ignore[arg-type]
        self.log_intensity, self.seen_at, self.seen_mid = 0.0, 0, 0.0

    def learn(self, view: View) -> None:
        """Let the intensity move on to now."""
        fall_pct = 100 * (1 - view.mid / (self.seen_mid or view.mid))
        keep = min(math.exp((self.seen_at - view.now) / MINUTE / self.p.burst_minutes), 1.0)
        shock = self.p.burst * math.sqrt(1 - keep * keep) * self.draw.normal()
        self.log_intensity = keep * self.log_intensity + shock + self.p.asymmetry * fall_pct
        self.seen_at, self.seen_mid = view.now, view.mid

    def signal(self) -> float:
        """A draw of Student's t: a normal over the root of a mean of squared normals."""
        squares = sum(self.draw.normal() ** 2 for _ in range(self.p.freedom))
        return self.draw.normal() / math.sqrt(squares / self.p.freedom)

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Trade on the signal, whole contracts."""
        self.learn(view)
        size = int(self.p.contracts * self.signal()) if ring.kind == "time" else 0
        return [Ioc(size, view.mid + math.copysign(self.p.reach_points, size))] if size else []

    def alarms(self, view: View) -> Iterable[Alarm]:
        """The next signal."""
        rate = self.p.signals_per_minute / self.crowd_size * math.exp(self.log_intensity - 0.5 * self.p.burst**2)
        return [At(view.later(min(60 * self.draw.exponential() / max(rate, 1e-9), 1e6)))]
