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
from typing import NamedTuple

import numpy as np

from sim.clock import SESSION_MINUTES, YEAR_DAYS
from sim.greeks import Floats, Ints, strip_variance
from sim.surface import Surface
from sim.units import MINUTE

MONTH_MINUTES = 30 * 1440
YEAR_MINUTES = 365 * 1440
MONTH_STEP = 25.0
DAY_STEP = 5.0
SMALLEST_BID = 0.05
"""Smallest price increment of an S&P 500 option, points."""


class Strip(NamedTuple):
    """Options of one expiry: strikes (k,) rising, call and put mid prices (k,) with 0 for no bid, minutes left."""

    strike: Floats
    call: Floats
    put: Floats
    minutes: float


def total_variance(strip: Strip) -> float:
    """Total variance to the expiry of a strip, sigma^2 T; 0 when it is over or no strike has two bids."""
    return strip_variance(strip.strike, strip.call, strip.put) if strip.minutes > 0 else 0.0


def index(near: Strip, later: Strip, minutes: float, year_minutes: float) -> float:
    """Volatility index in percent: two strips interpolated (or extrapolated) to `minutes`, of `year_minutes` a year."""
    share = (later.minutes - minutes) / (later.minutes - near.minutes)
    variance = share * total_variance(near) + (1 - share) * total_variance(later)
    return 100 * math.sqrt(max(variance, 0.0) * year_minutes / minutes)


def vix(surface: Surface, now_ns: int, spot: float) -> float:
    """VIX of a surface, in percent, at an index level in points; ValueError when 30 days are not bracketed."""
    minutes = (np.array(surface.expiry_ns) - now_ns) / MINUTE
    friday = surface.expiry.astype(np.int64) % 7 == 1  # day 0, 1 January 1970, was a Thursday
    rows = np.flatnonzero(friday & (minutes > 0))
    after = int(np.searchsorted(minutes[rows], MONTH_MINUTES, side="right"))
    if not 0 < after < rows.size:
        raise ValueError("no quoted Fridays on both sides of 30 days")
    near, later = _strips(surface, now_ns, spot, rows[after - 1 : after + 1], minutes, MONTH_STEP)
    return index(near, later, MONTH_MINUTES, YEAR_MINUTES)


def vix1d(surface: Surface, now_ns: int, spot: float) -> float:
    """VIX1D of a surface, in percent, at an index level in points."""
    now = surface.session.days(now_ns)
    rows = np.flatnonzero(np.array(surface.expiry_ns) > now_ns)[:2]
    minutes = np.zeros(surface.expiry.size)
    minutes[rows] = [(surface.session.days(surface.expiry_ns[row]) - now) * SESSION_MINUTES for row in rows]
    near, later = _strips(surface, now_ns, spot, rows, minutes, DAY_STEP)
    return index(near, later, SESSION_MINUTES, SESSION_MINUTES * YEAR_DAYS)


def _strips(surface: Surface, now_ns: int, spot: float, rows: Ints, minutes: Floats, step: float) -> list[Strip]:
    """Strips of strikes `step` points apart, out to where no option is worth a bid."""
    quotes = surface.at(now_ns)
    strips = []
    for row in rows:
        reach = math.sqrt(quotes.term[1, row])
        low, high = (round(spot * math.exp(z * reach) / step) for z in (-10, 6))
        strike: Floats = step * np.arange(max(low - 2, 1), high + 3, dtype=np.float64)
        call, put = quotes.quoted(spot, strike, row, SMALLEST_BID)
        strips.append(Strip(strike, call, put, float(minutes[row])))
    return strips
