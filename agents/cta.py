"""CTA trend followers: long above the moving average of each horizon, short below, scaled to a target volatility.

A horizon's signal is a sign ladder (Hurst, Ooi and Pedersen 2013, "Demystifying managed futures"; Baltas and Kosowski
2013). On one day only the levels matter: the average of the last 10 and 20 days, the sell triggers of the bank notes,
lies differently for each fund; longer ones are further down. A trigger fires only once the price has traded above it
by the re-arm distance, and once a day: what it has turned short turns long again there on a later day at the earliest,
since trends are those of daily prices. What is traded is worked over time, at a small share of the volume.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Self

from pydantic import model_validator

from sim.trader import Above, Action, Alarm, Below, Ring, Trader, Work, number, numbers
from sim.view import View

DAYS = 252
MEMORY_DAYS = 20


class TrendFollower(Trader):
    """A fund that turns short when the price falls through its trend levels, and long again when it has come back."""

    class Params(Trader.Params):
        """Size of all funds together, their levels and their execution."""

        contracts: float = number(
            45_000.0,
            0,
            1e6,
            "contracts",
            "position of all funds, fully long at target volatility",
            source="study, of the order of Goldman Sachs desk notes: $12.8bn (38,000 contracts) of S&P sold that week",
        )
        first_points: tuple[float, ...] = numbers(
            (6700.0, 6685.0, 6457.0, 6300.0, 6150.0),
            1,
            1e5,
            "points",
            "level of the average of 10, 20, 50, 100 and 200 days, for the first fund",
            source="short: the press on Goldman Sachs desk notes, Nov 2025; medium: the notes; long: guess",
        )
        last_points: tuple[float, ...] = numbers(
            (6685.0, 6665.0, 6420.0, 6270.0, 6100.0),
            1,
            1e5,
            "points",
            "the same for the last fund; the others lie evenly between",
            source="guess",
        )
        weights: tuple[float, ...] = numbers(
            (0.2, 0.2, 0.2, 0.2, 0.2), 0, 1, "share", "of each horizon", source="assumed, even"
        )
        rearm_points: float = number(10.0, 0.25, 1000, "points", "a trigger is armed this far above it", source="guess")
        target_vol: float = number(
            0.15,
            0.01,
            2,
            "1/sqrt(year)",
            "volatility at which a position has its full size",
            source="guess; form: Hurst, Ooi and Pedersen 2013",
        )
        past_vol: float = number(0.15, 0.01, 2, "1/sqrt(year)", "volatility of the last twenty days", source="guess")
        twap_low_seconds: float = number(
            14_400.0, 1, 23_400, "s", "shortest time over which a sale is worked", source="study"
        )
        twap_high_seconds: float = number(23_400.0, 1, 23_400, "s", "longest: a session", source="study")
        pov: float = number(0.05, 0.001, 1, "share of volume", "largest participation of a fund", source="guess")

        @model_validator(mode="after")
        def _levels_match(self) -> Self:
            if not len(self.first_points) == len(self.last_points) == len(self.weights):
                raise ValueError("first_points, last_points and weights: one value each for every horizon")
            return self

    def begin(self) -> None:
        """Take a place among the levels, and a speed."""
        place = self.index / max(self.crowd_size - 1, 1)
        pairs = zip(self.p.first_points, self.p.last_points, strict=True)
        self.levels = [first + (last - first) * place for first, last in pairs]
        self.armed = [False] * len(self.levels)
        self.short, self.sold_at = [0] * len(self.levels), [-1] * len(self.levels)
        self.work_s = self.draw.uniform(self.p.twap_low_seconds, self.p.twap_high_seconds)

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Turn short where price has fallen through an armed trigger, long where it is back above on a later day."""
        trade, sold = 0, max(-(view.position + view.working), 0)
        for place, level in enumerate(self.levels):
            if self.armed[place] and view.mid <= level:
                self.armed[place], self.sold_at[place] = False, view.now
                self.short[place] = round(2 * self.p.weights[place] * self.size(view))
                trade -= self.short[place]
            elif view.mid >= level + self.p.rearm_points and self.sold_at[place] < view.opens:
                self.armed[place] = True
                # A sale that the close has cut short is bought back as far as it went.
                back = min(self.short[place], sold)
                trade, sold, self.short[place] = trade + back, sold - back, 0
        if not trade:
            return []
        return [Work(view.working + trade, until_ns=view.later(self.work_s), pov=self.p.pov)]

    def size(self, view: View) -> float:
        """Contracts of a full position at the volatility seen, today's move included."""
        today = math.log(view.mid / view.prior_close) ** 2 * DAYS
        variance = self.p.past_vol**2 + (today - self.p.past_vol**2) / MEMORY_DAYS
        return self.p.contracts / self.crowd_size * min(self.p.target_vol / math.sqrt(variance), 1.5)

    def alarms(self, view: View) -> Iterable[Alarm]:
        """Each level not sold at today: fall through it where armed, rise above it by the re-arm distance where not."""
        return [
            Below(level) if armed else Above(level + self.p.rearm_points)
            for level, armed, sold_at in zip(self.levels, self.armed, self.sold_at, strict=True)
            if sold_at < view.opens
        ]
