"""Put-buying hedgers: insure before an event and in fear, cash in after it.

They buy out-of-the-money puts of the next days while a scheduled event is due within two days or the VIX is high and
above its last close, more of them the higher it is. Else they sell what they hold at a constant hazard, and at all
times puts that are deep in the money at a slower one (rates are guesses of the right order; one-week SPX put volumes:
Cboe, November 2025).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, timedelta

from sim.clock import is_trading_day
from sim.options import Contract
from sim.trader import Action, Alarm, At, OnNews, OnVol, Ring, TradeOptions, Trader, number
from sim.units import HOUR
from sim.view import View

STRIKE_POINTS = 25.0


class PutHedger(Trader):
    """Buys puts from the dealers, and sells them again."""

    class Params(Trader.Params):
        """How much insurance is bought, and when it is sold."""

        contracts_per_hour: float = number(
            600.0, 0, 1e6, "contracts/h", "puts bought by all in fear, at the least", source="guess"
        )
        fear_vix: float = number(20.0, 0, 200, "VIX points", "fear is above it and the last close", source="guess")
        fear_factor: float = number(0.5, 0, 20, "1", "more bought per 5 VIX points above", source="guess")
        event_factor: float = number(1.0, 0, 20, "1", "more bought with an event due within two days", source="guess")
        otm_low_pct: float = number(1.0, 0, 50, "%", "nearest strike bought, below the index", source="guess")
        otm_high_pct: float = number(4.0, 0, 50, "%", "furthest", source="guess")
        longest_days: int = number(10, 1, 60, "days", "longest expiry bought", source="guess")
        cash_in_per_hour: float = number(
            0.3, 0, 10, "1/h", "hazard of selling once the event has passed", source="guess"
        )
        deep_per_hour: float = number(
            0.1, 0, 10, "1/h", "the same for a put of delta beyond 0.6, on top", source="guess"
        )
        every_minutes: float = number(20.0, 0.1, 390, "min", "mean time between two looks", source="guess")
        alarm_vix: float = number(2.0, 0.1, 100, "VIX points", "move that makes them look at once", source="guess")

    def begin(self) -> None:
        """Have looked at nothing yet."""
        self.looked = -1

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Buy insurance while an event is due or in fear, else cash in; take the profit of deep puts at all times."""
        hours = (view.now - max(self.looked, view.opens)) / HOUR
        self.looked = view.now
        if hours <= 0:
            return []
        due = view.event_due_days() < 2
        if due or view.vix > max(view.prior_vix, self.p.fear_vix):
            return [*self._sell(view, hours, 0.0), *self._buy(view, hours, due)]
        return self._sell(view, hours, self.p.cash_in_per_hour)

    def _buy(self, view: View, hours: float, due: bool) -> list[Action]:
        fear = self.p.fear_factor * max(0.0, view.vix - self.p.fear_vix) / 5
        rate = self.p.contracts_per_hour / self.crowd_size * (1 + fear + (self.p.event_factor if due else 0.0))
        otm = self.draw.uniform(self.p.otm_low_pct, self.p.otm_high_pct)
        strike = STRIKE_POINTS * round(view.mid * (1 - otm / 100) / STRIKE_POINTS)
        return [TradeOptions(Contract(self._expiry(view), strike, False), round(rate * hours))]

    def _expiry(self, view: View) -> date:
        """A day drawn evenly from tomorrow to the longest or, without trading or options then, the last before it.

        Before a weekend that may leave none: then it is the next one.
        """
        one = timedelta(days=1)
        day = view.date + one + int(self.draw.uniform() * self.p.longest_days) * one
        while day > view.date and not _can_expire(day, view):
            day -= one
        while day == view.date or not _can_expire(day, view):
            day += one
        return day

    def _sell(self, view: View, hours: float, per_hour: float) -> list[Action]:
        sales: list[Action] = []
        for contract, held, delta in view.options():
            hazard = per_hour + (self.p.deep_per_hour if delta < -0.6 else 0.0)
            if held > 0 and self.draw.uniform() < -math.expm1(-hazard * hours):
                sales.append(TradeOptions(contract, -held))
        return sales

    def alarms(self, view: View) -> Iterable[Alarm]:
        """Look again in a while, at news, and when the VIX has moved."""
        wait = view.later(60 * self.p.every_minutes * self.draw.exponential() + 1)
        return [At(wait), OnNews(), OnVol(self.p.alarm_vix)]


def _can_expire(day: date, view: View) -> bool:
    return is_trading_day(day) and view.is_quoted(day)
