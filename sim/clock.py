"""Trading days and the trading clock.

Variance comes with trading: a day, close to close, is one trading day, of which the night has a share and the session
of 9:30 to 16:00 the rest. A weekend or a holiday is one long night. Half sessions (28 November 2025, 24 December) are
taken as full ones. Holidays are those of the New York Stock Exchange from 2024 to 2026; beyond, weekends only.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, timedelta

import numpy as np

from sim.units import DAY, MINUTE, clock_ns

YEAR_DAYS = 252
HORIZON_DAYS = 3660
OPEN_NS = clock_ns("09:30")
CLOSE_NS = clock_ns("16:00")
SESSION_MINUTES = (CLOSE_NS - OPEN_NS) // MINUTE

_HOLIDAYS = {
    2024: "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25",
    2025: "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25",
    2026: "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25",
}
HOLIDAYS = frozenset(date.fromisoformat(f"{year}-{day}") for year, days in _HOLIDAYS.items() for day in days.split())
"""Full-day closings of the New York Stock Exchange (nyse.com, holidays and trading hours)."""


def is_trading_day(day: date) -> bool:
    """Say whether the New York Stock Exchange trades that day."""
    return day.weekday() < 5 and day not in HOLIDAYS


class TradingClock:
    """Trading time, in days, at any moment of ten years.

    Parameters
    ----------
    first_day
        Day 0: moments are nanoseconds after its midnight.
    overnight
        Share of a trading day that passes from one close to the next open, in [0, 1). With 0 it counts sessions only.
    """

    def __init__(self, first_day: date, overnight: float) -> None:
        self.first_day = first_day
        days = np.datetime64(first_day) + np.arange(-7, HORIZON_DAYS)
        holidays = np.array(sorted(HOLIDAYS), dtype="datetime64[D]")
        trading = days[np.is_busday(days, holidays=holidays)] - np.datetime64(first_day)
        midnights = trading.astype(np.int64) * DAY
        self._moments = [int(midnight) + ns for midnight in midnights for ns in (OPEN_NS, CLOSE_NS)]
        self._days = [row + passed for row in range(len(midnights)) for passed in (overnight, 1.0)]

    def days(self, now_ns: int) -> float:
        """Trading days since a fixed moment; only differences mean anything. ValueError outside the ten years."""
        row = bisect_right(self._moments, now_ns)
        if not 0 < row < len(self._moments):
            raise ValueError(f"{now_ns} ns is not within a week before and ten years after {self.first_day}")
        start, end = self._moments[row - 1], self._moments[row]
        passed = (now_ns - start) / (end - start)
        return self._days[row - 1] + passed * (self._days[row] - self._days[row - 1])

    def close_ns(self, day: date) -> int:
        """Return 16:00 of a day, in nanoseconds."""
        return (day - self.first_day) // timedelta(days=1) * DAY + CLOSE_NS
