"""The implied volatility surface the options market quotes: a few states, and the laws by which they move.

The total variance from now to an expiry is the background's plus that of every pending event due before it:

    w(T) = integral of v(u) du over [0, T] + events,      v(u) = L^2 + (b^2 - L^2) exp(-c u)

with b the background volatility now, L its long-run level and c the speed of its expected return; u is trading time.
(With c = 0 the background is flat, w = b^2 T.) At-the-money volatility is sqrt(w / T), and the smile

    sigma(K) = atm (1 + skew x + curve x^2),     x = wing tanh(z / wing),     z = ln(K/S) / sqrt(w)

is a parabola in z that levels off smoothly: cut off at a hard edge it would leave a kink there, which is a butterfly
arbitrage. Within the bounds of `SurfaceParams` no strike offers a butterfly and no pair of expiries a calendar spread
(for total standard deviations up to 0.3); `arbitrage` measures it. Three things move the surface, nothing else:

- `observe`: d ln b = -spot_beta d ln S + realised_pull (realised - b) dt.
- `release`: a known event's variance leaves linearly while its news is digested. Nothing decrees the fall.
- `press`: demand pressure (Garleanu, Pedersen and Poteshman 2009): an expiry whose vega the dealers have sold since the
  start costs more, and puts bought from them steepen the skew. The skew stays in its arbitrage-free range, an expiry's
  volatility within a factor 2, and total variance may not fall from one expiry to the next: excess pressure is cut off.

Neither the wall clock nor chance enters. Times are nanoseconds after midnight of the scenario's first day.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from sim import clock, greeks
from sim.options import OptionBook

SKEW_RANGE = (-0.2, 0.05)
"""Skews at which the smile is free of butterflies, whatever curve and wing `SurfaceParams` allows."""
VOL_RANGE = (0.02, 3.0)
"""Background volatility is kept in here, whatever the spot does."""
DAILY_DAYS = 14
FRIDAY = 4
"""Of `date.weekday`."""
FRIDAY_DAYS = 72
"""Calendar days of daily expiries from the last day, and of Fridays after them."""
FITTED = "fitted to VIX and VIX1D of 19 and 20 Nov 2025 (Cboe)"


def _field(default: float, low: float, high: float, unit: str, source: str, description: str) -> float:
    value: float = Field(
        default, ge=low, le=high, description=description, json_schema_extra={"unit": unit, "source": source}
    )
    return value


class SurfaceParams(BaseModel, extra="forbid", frozen=True):
    """Starting level and laws of motion of the surface."""

    start_vol: float = _field(0.217, 0.03, 1.5, "1/sqrt(trading year)", FITTED, "background at the start")
    long_run_vol: float = _field(0.224, 0.03, 1.5, "1/sqrt(trading year)", FITTED, "where it tends to")
    reversion_per_year: float = _field(10.0, 0.0, 200.0, "1/trading year", FITTED, "speed of that; 0 is flat")
    spot_beta: float = _field(15.5, 0.0, 60.0, "1", FITTED, "fall of ln background per rise of ln spot")
    realised_pull: float = _field(
        100.0, 0.0, 10_000.0, "1/sqrt(trading year)", "guess", "rate per unit of volatility of following the realised"
    )
    skew: float = _field(-0.12, *SKEW_RANGE, "1", "assumed, round", "slope of the smile in z")
    curve: float = _field(0.02, 0.01, 0.03, "1", "assumed, round", "curvature of the smile in z")
    wing: float = _field(
        6.0, 4.0, 6.0, "standard deviations", "no arbitrage near a close", "where the smile levels off"
    )
    demand_vol: float = _field(
        0.2, 0.0, 2.0, "volatility points per $10M of vega sold", "guess; form: Garleanu et al. 2009", "level pressure"
    )
    demand_skew: float = _field(
        0.005, 0.0, 0.1, "1 per $10M of vega sold one sd below", "guess; form: Garleanu et al. 2009", "skew pressure"
    )
    overnight: float = _field(0.25, 0.0, 0.9, "trading days", "assumed, round", "variance share of a night")


class Event(NamedTuple):
    """A scheduled event: its variance stands in every expiry after `due_ns` until it is released."""

    name: str
    variance: float
    due_ns: int


@dataclass(frozen=True, eq=False)
class Quotes:
    """The surface at one moment: plain arrays, a row of `expiry` for each column of `term`.

    Attributes
    ----------
    expiry : (n,) datetime64[D]
        Quoted expiry dates, rising.
    term : (2, n)
        Trading years to each expiry (0 when over) and total at-the-money variance.
    shape : (3,)
        Skew, curve and wing of the smile.
    """

    expiry: NDArray[np.datetime64]
    term: greeks.Floats
    shape: greeks.Floats

    def atm(self) -> greeks.Floats:
        """At-the-money volatility of each expiry, (n,); 0 when it is over."""
        years, variance = self.term
        return np.sqrt(variance / np.where(years > 0, years, np.inf))

    def vols(self, spot: float, strike: greeks.Floats, row: greeks.Ints) -> greeks.Floats:
        """Volatilities (k,) of options with these strikes (points) and expiry rows (`Surface.rows`)."""
        return greeks.smile(spot, strike, row, self.term, self.shape)

    def totals(self, spot: float, book: OptionBook, row: greeks.Ints, contracts: greeks.Ints) -> greeks.Totals:
        """Delta, gamma, vanna and charm of positions (`greeks.totals`) in a book's options; `row`: `Surface.rows`."""
        sigma = self.vols(spot, book.strike, row)
        return greeks.totals(spot, book.strike, self.term[0][row], sigma, book.is_call, contracts)

    def strip_variance(self, spot: float, row: int, step: float, smallest: float) -> float:
        """Total variance of the strip of one expiry (`greeks.smile_variance`)."""
        return float(greeks.smile_variance(spot, self.term[:, row], self.shape, step, smallest))

    def black76(self, spot: float, strike: greeks.Floats, row: greeks.Ints, is_call: greeks.Bools) -> greeks.Greeks:
        """Prices (points) and greeks of options on this surface, checked and complete."""
        return greeks.black76(spot, strike, self.term[0][row], self.vols(spot, strike, row), is_call)


class Surface:
    """The surface as it moves through a scenario.

    Parameters
    ----------
    params
        Start and laws of motion.
    first_day
        Day 0 of all times.
    now_ns, spot
        The moment and the index level (points) at which `params.start_vol` holds.
    events
        Scheduled events, each with a name of its own.
    held
        Further expiry dates to be quoted, e.g. those of a book.
    last_day
        The last day on which there is to be a VIX; `first_day` if None.

    Attributes
    ----------
    expiry, expiry_ns, fridays
        Quoted expiry dates, rising, their closes, and the rows of those that are Fridays.

    Raises
    ------
    ValueError
        For two events of one name, an event of negative variance, or a spot that is not above 0.
    """

    def __init__(
        self,
        params: SurfaceParams,
        first_day: date,
        now_ns: int,
        spot: float,
        events: Iterable[Event] = (),
        held: Iterable[date] = (),
        last_day: date | None = None,
    ) -> None:
        self.params = params
        self.clock = clock.TradingClock(first_day, params.overnight)
        self.session = clock.TradingClock(first_day, 0.0)
        self.vol = params.start_vol
        self._now_ns, self._spot = now_ns, _positive(spot)
        asked = np.array(list(held), dtype="datetime64[D]").tolist()
        days = sorted({*quoted_expiries(first_day, last_day or first_day), *asked})
        self.expiry, self._quoted = np.array(days, dtype="datetime64[D]"), frozenset(days)
        self.expiry_ns = [self.clock.close_ns(day) for day in days]
        self.fridays = [row for row, day in enumerate(days) if day.weekday() == FRIDAY]
        self._expiries = np.array([(self.clock.days(ns) / clock.YEAR_DAYS, ns, 0.0) for ns in self.expiry_ns])
        self._skew = params.skew
        scheduled = list(events)
        self._event = {event.name: row for row, event in enumerate(scheduled)}
        if len(self._event) < len(scheduled):
            raise ValueError("every event needs a name of its own")
        if not all(0 <= event.variance < math.inf for event in scheduled):
            raise ValueError("an event's variance is 0 or more")
        never = np.finfo(np.float64).max
        self._events = np.array([(e.due_ns, e.variance, never / 2, never) for e in scheduled]).reshape(-1, 4)

    @property
    def session_minutes_a_year(self) -> float:
        """Minutes of sessions in as much trading time as a year has: nights are a part of that."""
        return clock.YEAR_DAYS * clock.SESSION_MINUTES / (1 - self.params.overnight)

    def observe(self, now_ns: int, spot: float, realised_vol: float) -> None:
        """Move the background volatility with spot and realised volatility since the last call.

        Each of the two is solved exactly, so it hardly matters how often it is called.

        Parameters
        ----------
        now_ns
            The present, not before the last call.
        spot
            Index level, points.
        realised_vol
            Recent realised volatility, a fraction per root trading year (`session_minutes_a_year`).

        Raises
        ------
        ValueError
            For a time before the last call, a spot not above 0 or a negative realised volatility.
        """
        if now_ns < self._now_ns or not 0 <= realised_vol < math.inf:
            raise ValueError("the surface is observed forward in time, with a realised volatility of 0 or more")
        # Half the effect of spot before the pull and half after: right to second order, however long the step.
        half = (self._spot / _positive(spot)) ** (0.5 * self.params.spot_beta)
        elapsed = (self.clock.days(now_ns) - self.clock.days(self._now_ns)) / clock.YEAR_DAYS
        pull = self.params.realised_pull * elapsed
        decay = pull * realised_vol
        # The law is linear in 1 / volatility: d(1/b) = -pull (realised / b - 1) dt.
        inverse = math.exp(-decay) / (half * self.vol) + pull * (1.0 if decay < 1e-12 else -math.expm1(-decay) / decay)
        self.vol = min(max(half / inverse, VOL_RANGE[0]), VOL_RANGE[1])
        self._now_ns, self._spot = now_ns, spot

    def release(self, name: str, now_ns: int, over_ns: int) -> None:
        """Let an event's variance leave linearly from `now_ns` on, over `over_ns` (above 0) nanoseconds.

        Raises
        ------
        ValueError
            For an event that is unknown or already released, or `over_ns` of 0 or less.
        """
        if name not in self._event:
            raise ValueError(f"no event is called {name!r}; there are {', '.join(self._event) or 'none'}")
        event = self._events[self._event[name]]
        if event[2] < np.finfo(np.float64).max / 2 or over_ns <= 0:
            raise ValueError(f"event {name!r} is released once, over more than 0 ns")
        event[2:] = now_ns, now_ns + over_ns

    def press(self, change: OptionBook, now_ns: int, spot: float) -> None:
        """Set the demand pressure to that of `change`, the dealers' position now less that at the start.

        Raises
        ------
        ValueError
            For an expiry that is not quoted.
        """
        row = self.rows(change)
        self._expiries[:, 2], self._skew = 0.0, self.params.skew
        quotes = self.at(now_ns)
        vega = quotes.black76(_positive(spot), change.strike, row, change.is_call).vega
        # Dollars of 100-dollar contracts per volatility point: 100 x 0.01; in units of 10 million.
        sold = -change.contracts * vega / 1e7
        stdev = np.sqrt(quotes.term[1][row])
        z = np.log(change.strike / spot) / np.where(stdev > 0, stdev, np.inf)
        skew = self.params.skew + self.params.demand_skew * float(sold @ np.clip(z, -3.0, 3.0))
        self._skew = min(max(skew, SKEW_RANGE[0]), SKEW_RANGE[1])
        self._expiries[:, 2] = np.bincount(row, sold, len(self.expiry)) * self.params.demand_vol / 100

    def rows(self, book: OptionBook) -> greeks.Ints:
        """Row of the surface for each option of a book, (k,): to be computed once and handed to `Quotes`."""
        row = np.searchsorted(self.expiry, book.expiry)
        known = self.expiry[np.minimum(row, len(self.expiry) - 1)] == book.expiry
        if not known.all():
            raise ValueError(f"expiry {book.expiry[~known][0]} is not quoted; name it in `held`")
        return row.astype(np.int64)

    def quotes_expiry(self, day: date) -> bool:
        """Say whether an expiry date is quoted."""
        return day in self._quoted

    def at(self, now_ns: int) -> Quotes:
        """Return the surface as it is at `now_ns`, with the background volatility of the last `observe`."""
        params = self.params
        term = np.empty((2, len(self.expiry)))
        trading_years = self.clock.days(now_ns) / clock.YEAR_DAYS
        law = np.array((params.long_run_vol, params.reversion_per_year))
        greeks.term_variance(trading_years, now_ns, self.vol, law, self._expiries, self._events, term)
        return Quotes(self.expiry, term, np.array((self._skew, params.curve, params.wing)))


class Arbitrage(NamedTuple):
    """Worst values found; below 0 there is an arbitrage."""

    butterfly: float
    """Smallest second divided difference of call prices in strike: the risk-neutral density, per point."""
    calendar: float
    """Smallest rise of total variance from one expiry to the next, at the same log-moneyness."""


def arbitrage(quotes: Quotes, spot: float, strike: greeks.Floats) -> Arbitrage:
    """Look for static arbitrage among the living expiries, at these (rising, at least three) strikes."""
    alive = np.flatnonzero(quotes.term[0] > 0)
    row, strikes = np.repeat(alive, len(strike)), np.tile(strike, len(alive))
    shape = (len(alive), len(strike))
    call = quotes.black76(spot, strikes, row, np.ones(strikes.shape, dtype=bool)).price.reshape(shape)
    density = np.diff(np.diff(call) / np.diff(strike)) / (0.5 * (strike[2:] - strike[:-2]))
    variance = (quotes.vols(spot, strikes, row) ** 2 * quotes.term[0][row]).reshape(shape)
    return Arbitrage(float(density.min()), float(np.diff(variance, axis=0).min(initial=np.inf)))


def quoted_expiries(first_day: date, last_day: date) -> list[date]:
    """Dates always quoted: all trading days from the first one to two weeks after the last, then Fridays for ten."""
    daily_end = last_day + timedelta(days=DAILY_DAYS)
    days = (first_day + timedelta(days=ahead) for ahead in range((daily_end - first_day).days + FRIDAY_DAYS))
    return [day for day in days if clock.is_trading_day(day) and (day.weekday() == FRIDAY or day < daily_end)]


def _positive(spot: float) -> float:
    if not 0 < spot < math.inf:
        raise ValueError(f"spot must be index points above 0, not {spot}")
    return spot
