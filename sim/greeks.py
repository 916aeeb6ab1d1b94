"""Compiled formulas of the options market: Black-76 with zero rates, and the model's smile.

Notation (Black 1976; Hull, Options, Futures and Other Derivatives, ch. 18-19): forward F, strike K, years T, volatility
sigma, s = sigma sqrt(T), d1 = ln(F/K)/s + s/2, d2 = d1 - s; N is the normal distribution, n its density.

==========  ============================  ===================================
greek       formula                       unit, for prices in index points
==========  ============================  ===================================
price       F N(d1) - K N(d2) (call)      points
delta       N(d1) (call), -N(-d1) (put)   points per point
gamma       n(d1) / (F s)                 delta per point
vega        F n(d1) sqrt(T)               points per 1.00 of volatility
vanna       d delta/d sigma, -n(d1) d2/sigma   delta per 1.00 of volatility
charm       -d delta/d T, n(d1) d2/(2 T)  delta per year that passes
==========  ============================  ===================================

Gamma, vega, vanna and charm are the same for a call and a put. An option with no time or no volatility left is worth
its payoff: its delta is that of the payoff (one half at the strike), its other greeks are 0.

Functions with a leading underscore are for compiled callers; `totals`, `quoted`, `smile`, `term_variance` and
`strip_variance` are called often and check nothing; `black76` checks its arguments.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_ROOT_HALF = math.sqrt(0.5)
_DENSITY_AT_0 = 1.0 / math.sqrt(2.0 * math.pi)
_FAR = 38.0
"""Beyond so many standard deviations the normal tail is below the smallest double."""


class Greeks(NamedTuple):
    """Price and greeks of options, one array each in the shape of the broadcast arguments (units: module head)."""

    price: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    vanna: Floats
    charm: Floats


class Totals(NamedTuple):
    """Greeks of whole positions: sums of contracts times greek (units: module head, times contracts)."""

    delta: Floats
    gamma: Floats
    vanna: Floats
    charm: Floats


@njit(cache=True, nogil=True)
def _below(x: float) -> float:
    """Return the normal distribution function; erfc keeps its lower tail exact."""
    return 0.5 * math.erfc(-x * _ROOT_HALF)


@njit(cache=True, nogil=True)
def _d1(forward: float, strike: float, stdev: float) -> float:
    """d1, held within +-38; log1p of the exact difference keeps it right at the money, when stdev is tiny."""
    d1 = math.log1p((forward - strike) / strike) / stdev + 0.5 * stdev
    return min(max(d1, -_FAR), _FAR)


@njit(cache=True, nogil=True)
def _payoff_delta(forward: float, strike: float, is_call: bool) -> float:
    """Delta of the payoff; one half at the strike, so that a call and a put still differ by one."""
    above = 1.0 if forward > strike else 0.0 if forward < strike else 0.5
    return above if is_call else above - 1.0


@njit(cache=True, nogil=True)
def _greeks(
    forward: float, strike: float, years: float, sigma: float, is_call: bool
) -> tuple[float, float, float, float]:
    """(delta, density at d1, stdev, d2) of one option; all but delta are 0 when it is over."""
    stdev = sigma * math.sqrt(max(years, 0.0))
    if stdev < 1e-150:  # dividing by it would overflow, and nothing is left to happen
        return _payoff_delta(forward, strike, is_call), 0.0, 0.0, 0.0
    d1 = _d1(forward, strike, stdev)
    density = _DENSITY_AT_0 * math.exp(-0.5 * d1 * d1)
    return _below(d1) if is_call else -_below(-d1), density, stdev, d1 - stdev


@njit(cache=True, nogil=True)
def _price(forward: float, strike: float, delta: float, d2: float, is_call: bool) -> float:
    """Price from delta and d2; rounding may not make it negative."""
    other = _below(d2) if is_call else -_below(-d2)
    return max(forward * delta - strike * other, 0.0)


@njit(cache=True, nogil=True)
def _fill(forward: Floats, strike: Floats, years: Floats, sigma: Floats, is_call: Bools, out: Floats) -> None:
    """Fill the rows of out (6, n) with price, delta, gamma, vega, vanna and charm."""
    for i in range(strike.size):
        call = bool(is_call[i])
        delta, density, stdev, d2 = _greeks(forward[i], strike[i], years[i], sigma[i], call)
        out[1, i] = delta
        if stdev == 0.0:
            out[0, i] = max(forward[i] - strike[i], 0.0) if call else max(strike[i] - forward[i], 0.0)
            continue
        out[0, i] = _price(forward[i], strike[i], delta, d2, call)
        out[2, i] = density / (forward[i] * stdev)
        out[3, i] = density * forward[i] * math.sqrt(years[i])
        out[4, i] = -density * d2 / sigma[i]
        out[5, i] = density * d2 / (2.0 * years[i])


@njit(cache=True, nogil=True)
def _sum(
    forward: float, strike: Floats, years: Floats, sigma: Floats, is_call: Bools, contracts: Ints, out: Floats
) -> None:
    """Add up in the columns of out (4, m) delta, gamma, vanna and charm of the rows of contracts (m, k)."""
    for i in range(strike.size):
        delta, density, stdev, d2 = _greeks(forward, strike[i], years[i], sigma[i], bool(is_call[i]))
        for j in range(contracts.shape[0]):
            out[0, j] += contracts[j, i] * delta
            if stdev > 0.0:
                weight = contracts[j, i] * density
                out[1, j] += weight / (forward * stdev)
                out[2, j] -= weight * d2 / sigma[i]
                out[3, j] += weight * d2 / (2.0 * years[i])


@njit(cache=True, nogil=True)
def term_variance(
    trading_years: float, now_ns: int, vol: float, terms: Floats, expiries: Floats, events: Floats, out: Floats
) -> None:
    """Trading years and total at-the-money variance to every expiry, as `sim.surface` lays them down.

    Parameters
    ----------
    trading_years, now_ns
        The present on the trading clock, in years, and in nanoseconds.
    vol
        Background volatility now, a fraction a (trading) year.
    terms : (2,)
        Long-run volatility and the speed, per year, at which the expected variance goes there.
    expiries : (n, 3)
        Rising: the expiry on the trading clock (years), the same in nanoseconds, demand's shift of its volatility.
    events : (m, 4)
        Due moment, variance, start and end of the release (nanoseconds; infinite while it is pending).
    out : (2, n)
        Filled: years to expiry (0 when over) and total variance, never falling from one expiry to the next.
    """
    long_run = terms[0] * terms[0]
    floor = 0.0
    for e in range(expiries.shape[0]):
        years = max(expiries[e, 0] - trading_years, 0.0)
        decay = terms[1] * years
        # The mean over [0, years] of exp(-speed u).
        weight = 1.0 if decay < 1e-12 else -math.expm1(-decay) / decay
        variance = years * (long_run + (vol * vol - long_run) * weight)
        for j in range(events.shape[0]):
            if years > 0.0 and events[j, 0] < expiries[e, 1]:
                left = (events[j, 3] - now_ns) / (events[j, 3] - events[j, 2]) if now_ns > events[j, 2] else 1.0
                variance += events[j, 1] * max(left, 0.0)
        if years > 0.0:
            sigma = math.sqrt(variance / years)
            shifted = min(max(sigma + expiries[e, 2], 0.5 * sigma), 2.0 * sigma)
            variance = max(shifted * shifted * years, floor)
        floor = variance
        out[0, e] = years
        out[1, e] = variance


@njit(cache=True, nogil=True)
def smile(spot: float, strike: Floats, row: Ints, term: Floats, shape: Floats) -> Floats:
    """Volatility of options, one per strike.

    sigma(K) = atm (1 + skew x + curve x^2), x = wing tanh(z / wing), z = ln(K/S) / sqrt(total variance).

    Parameters
    ----------
    spot
        Index level, points.
    strike : (k,)
        Strikes, points.
    row : (k,)
        Row of each option's expiry in `term`.
    term : (2, n)
        Trading years and total variance of each expiry (`term_variance`).
    shape : (3,)
        Skew, curve and wing (a number of standard deviations).

    Returns
    -------
    (k,) volatilities, fractions a trading year; 0 where the expiry is over.
    """
    out = np.zeros(strike.size)
    for i in range(strike.size):
        out[i] = _vol(spot, strike[i], term[0, row[i]], term[1, row[i]], shape)
    return out


@njit(cache=True, nogil=True)
def _vol(spot: float, strike: float, years: float, variance: float, shape: Floats) -> float:
    stdev = math.sqrt(variance)
    if years <= 0.0 or stdev <= 0.0:
        return 0.0
    x = shape[2] * math.tanh(math.log(strike / spot) / (stdev * shape[2]))
    return stdev / math.sqrt(years) * (1.0 + shape[0] * x + shape[1] * x * x)


@njit(cache=True, nogil=True)
def quoted(spot: float, strike: Floats, term: Floats, shape: Floats, smallest: float) -> Floats:
    """Prices of the calls and the puts of one expiry on the smile, unchecked.

    Parameters
    ----------
    spot, strike, shape
        As for `smile`.
    term : (2,)
        Trading years and total variance of the expiry.
    smallest
        Smallest bid, points.

    Returns
    -------
    (2, k) prices in points, calls and puts; 0 where an option is worth less than the smallest bid, and beyond two
    strikes in a row, from spot outward, that have not both a call and a put: strips end there.
    """
    years, variance = term
    out = np.zeros((2, strike.size))
    middle = np.searchsorted(strike, spot)
    for step, nearest in ((-1, middle - 1), (1, middle)):
        i, missing = nearest, 0
        while 0 <= i < strike.size and missing < 2:
            sigma = _vol(spot, strike[i], years, variance, shape)
            delta, _, stdev, d2 = _greeks(spot, strike[i], years, sigma, True)
            call = _price(spot, strike[i], delta, d2, True) if stdev > 0.0 else max(spot - strike[i], 0.0)
            put = call - (spot - strike[i])
            out[0, i] = call if call >= smallest else 0.0
            out[1, i] = put if put >= smallest else 0.0
            missing = 0 if min(call, put) >= smallest else missing + 1
            i += step
    return out


@njit(cache=True, nogil=True)
def strip_variance(strike: Floats, call: Floats, put: Floats) -> float:
    """Total variance of a strip of options as Cboe adds it up (`sim.vix`); 0 when no strike has two bids.

    Parameters
    ----------
    strike, call, put : (k,)
        Strikes, rising, and prices of calls and puts, 0 for no bid (points).
    """
    both = np.flatnonzero((call > 0.0) & (put > 0.0))
    if both.size == 0:
        return 0.0
    near = both[np.argmin(np.abs(call[both] - put[both]))]
    forward = strike[near] + call[near] - put[near]
    centre = max(np.searchsorted(strike, forward, side="right") - 1, 0)
    price = np.concatenate((put[:centre], call[centre:]))
    price[centre] = 0.5 * (call[centre] + put[centre])
    used = _used(price, centre)
    chosen = strike[used]
    total = 0.0
    for i in range(used.size):
        # A strike that is used alone has the listed ones as neighbours.
        width = _width(chosen, i) if used.size > 1 else _width(strike, centre)
        total += width / chosen[i] ** 2 * price[used[i]]
    return 2.0 * total - (forward / strike[centre] - 1.0) ** 2


@njit(cache=True, nogil=True)
def smile_variance(spot: float, term: Floats, shape: Floats, step: float, smallest: float) -> float:
    """Total variance of the strip of one expiry on the smile, out to where no option is worth a bid.

    Parameters
    ----------
    spot, term, shape, smallest
        As for `quoted`.
    step
        Distance of the strikes, points.
    """
    reach = math.sqrt(term[1])
    low, high = round(spot * math.exp(-10.0 * reach) / step), round(spot * math.exp(6.0 * reach) / step)
    strike: Floats = step * np.arange(max(low - 2, 1), high + 3, dtype=np.float64)
    call, put = quoted(spot, strike, term, shape, smallest)
    return strip_variance(strike, call, put)


@njit(cache=True, nogil=True)
def _used(price: Floats, centre: int) -> Ints:
    """Rows of the options used: the centre and, going outward, those with a price up to the first two without."""
    used = np.arange(price.size) == centre
    for step in (-1, 1):
        row, missing = centre + step, 0
        while 0 <= row < price.size and missing < 2:
            used[row] = price[row] > 0.0
            missing = 0 if used[row] else missing + 1
            row += step
    return np.flatnonzero(used)


@njit(cache=True, nogil=True)
def _width(strike: Floats, i: int) -> float:
    """Half the distance between the neighbours of a strike; at the ends that to the only one."""
    low, high = max(i - 1, 0), min(i + 1, strike.size - 1)
    return (strike[high] - strike[low]) / (high - low)


def totals(forward: float, strike: Floats, years: Floats, sigma: Floats, is_call: Bools, contracts: Ints) -> Totals:
    """Delta, gamma, vanna and charm of positions at one forward, unchecked and fast (30 options: some 2 us).

    Parameters
    ----------
    forward
        Forward in index points, above 0.
    strike, years, sigma, is_call : (k,)
        The options (contiguous float64, bool).
    contracts : (k,) or (m, k)
        The signed contracts held of each (contiguous int64), in one position or in m.

    Returns
    -------
    Scalars for one position, (m,) for m of them.
    """
    positions = contracts if contracts.ndim == 2 else contracts[np.newaxis]
    out = np.zeros((4, len(positions)))
    _sum(forward, strike, years, sigma, is_call, positions, out)
    return Totals(*out) if contracts.ndim == 2 else Totals(*out[:, 0])


def black76(forward: ArrayLike, strike: ArrayLike, years: ArrayLike, sigma: ArrayLike, is_call: ArrayLike) -> Greeks:
    """Black-76 price and greeks with zero rates, for arguments of any shapes that broadcast.

    Parameters
    ----------
    forward, strike
        Forward and strike, in the same unit, above 0.
    years
        Time to expiry; 0 or less is over.
    sigma
        Volatility, a fraction per root year, 0 or more.
    is_call
        True for a call, False for a put.

    Raises
    ------
    ValueError
        For a forward or strike that is not above 0, a negative volatility, or anything that is not finite.

    References
    ----------
    Black (1976), The pricing of commodity contracts, J. Financial Economics 3, 167-179.
    """
    shape = np.broadcast(forward, strike, years, sigma, is_call).shape
    f, k, t, s = (_flat(x, shape, np.float64) for x in (forward, strike, years, sigma))
    _check(f, k, t, s)
    out = np.zeros((6, math.prod(shape)))
    _fill(f, k, t, s, _flat(is_call, shape, np.bool_), out)
    return Greeks(*out.reshape(6, *shape))


def _flat(values: ArrayLike, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    full = np.empty(shape, kind)
    full[...] = values
    return full.ravel()


def _check(forward: Floats, strike: Floats, years: Floats, sigma: Floats) -> None:
    if not all(np.isfinite(x).all() for x in (forward, strike, years, sigma)):
        raise ValueError("forward, strike, years and sigma must be finite numbers")
    if (forward <= 0).any() or (strike <= 0).any():
        raise ValueError("forward and strike must be above 0")
    if (sigma < 0).any():
        raise ValueError("sigma must be 0 or more; it is a fraction (0.2 for 20 %)")
