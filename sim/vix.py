"""VIX and VIX1D, computed from option prices as Cboe publishes it.

Source: Cboe, "White Paper: Cboe Volatility Index" (2019), and "Cboe Volatility Index Mathematics Methodology" (2022).
For each of two expiries the total variance is

    sigma^2 T = 2 sum_i (dK_i / K_i^2) Q(K_i) - (F / K_0 - 1)^2          (zero rates)

where F = K + call - put at the strike with the smallest difference of call and put, K_0 is the strike at or next below
F, Q is the price of the out-of-the-money option (the mean of both at K_0), and from K_0 outward options without a bid
are left out, all of them beyond two in a row. The two total variances are interpolated in minutes.

- VIX: to 30 days, in calendar minutes of a 365-day year, between Friday expiries.
- VIX1D: to one business day, in business time (Albers and Kestner, 2024, "The daily rise and fall of the VIX1D"),
  between the two next daily expiries: here a business day is the 390 minutes of a session, 252 of them a year. So it
  falls at the open and rises into the close by construction, as the published one does.

Simplified: model prices stand for mid quotes; an option worth less than the smallest bid has none; every expiry is
settled at 16:00; rates are zero; strikes are 25 points apart for VIX, 5 for VIX1D; no filter of outliers between ticks.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from sim.clock import SESSION_MINUTES, YEAR_DAYS
from sim.surface import Surface
from sim.units import MINUTE

MONTH_MINUTES = 30 * 1440
YEAR_MINUTES = 365 * 1440
MONTH_STEP = 25.0
DAY_STEP = 5.0
SMALLEST_BID = 0.05
"""Smallest price increment of an S&P 500 option, points."""


def index(variance: Sequence[float], left: Sequence[float], minutes: float, year_minutes: float) -> float:
    """Volatility index in percent: two strips interpolated (or extrapolated) to `minutes`, of `year_minutes` a year.

    `variance` is the total variance of the nearer and the later strip, `left` the minutes to their expiries.
    """
    share = (left[1] - minutes) / (left[1] - left[0])
    total = share * variance[0] + (1 - share) * variance[1]
    return 100 * math.sqrt(max(total, 0.0) * year_minutes / minutes)


def vix(surface: Surface, now_ns: int, spot: float) -> float:
    """VIX of a surface, in percent, at an index level in points; ValueError when 30 days are not bracketed."""
    alive = [row for row in surface.fridays if surface.expiry_ns[row] > now_ns]
    left = [(surface.expiry_ns[row] - now_ns) / MINUTE for row in alive]
    after = bisect_right(left, MONTH_MINUTES)
    if not 0 < after < len(alive):
        raise ValueError("no quoted Fridays on both sides of 30 days")
    pair = slice(after - 1, after + 1)
    return index(_variances(surface, now_ns, spot, alive[pair], MONTH_STEP), left[pair], MONTH_MINUTES, YEAR_MINUTES)


def vix1d(surface: Surface, now_ns: int, spot: float) -> float:
    """VIX1D of a surface, in percent, at an index level in points."""
    now = surface.session.days(now_ns)
    next_row = bisect_right(surface.expiry_ns, now_ns)
    rows = range(len(surface.expiry_ns))[next_row : next_row + 2]
    left = [(surface.session.days(surface.expiry_ns[row]) - now) * SESSION_MINUTES for row in rows]
    variances = _variances(surface, now_ns, spot, rows, DAY_STEP)
    return index(variances, left, SESSION_MINUTES, SESSION_MINUTES * YEAR_DAYS)


def _variances(surface: Surface, now_ns: int, spot: float, rows: Sequence[int], step: float) -> list[float]:
    """Total variances of the strips of some expiries, strikes `step` points apart."""
    quotes = surface.at(now_ns)
    return [quotes.strip_variance(spot, row, step, SMALLEST_BID) for row in rows]
