"""The realism card: laws that real markets keep, what is accepted of each, and whether some days keep them.

A law is a number computed from the moments of all days together (`sim.analysis.observed`), with a range and the source
of the range. Its standard error is the jackknife's over days, which are independent: Efron and Stein, Ann. Stat. 9,
1981, p. 586. A law fails where its number lies outside the range, however large the error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from sim.analysis import stylised
from sim.analysis.observed import FLOW_S, HALF_HOUR_S, RECOVERY_S, RESPONSE_LAGS, SIGN_LAGS, Moments

type Days = Sequence[Moments]
type Range = tuple[float, float]

HORIZONS_S = np.array([1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800])
ABSOLUTE_LAGS, RETURN_LAGS, LEVERAGE_LAGS = 60, 10, 10
"""Minutes."""
LAMBDA_S = np.array([10, 30, 60, 180, 300, 900, 1800])
PROBE_TIMES = np.round(np.arange(0, 2.01, 0.1), 1)
"""Times at which the impact of a probing metaorder is taken, in units of how long it was worked; 1 is its end."""
SHARES: Range = (1e-5, 1e-2)
"""Sizes of metaorders, over the day's volume, for which the square-root law is stated."""


# Curves and numbers of all days together


def signature(days: Days, horizons_s: np.ndarray = HORIZONS_S) -> np.ndarray:
    """Variance of the mid per time at some horizons over that at one minute; NaN below the source's own step."""
    return np.array([_variance(days, horizon) for horizon in horizons_s]) / _variance(days, 60)


def _variance(days: Days, horizon_s: int) -> float:
    """Of the price, per second; NaN where the source is coarser."""
    steps = [(day["mids"], int(day["step_s"])) for day in days]
    if any(horizon_s % step for _, step in steps):
        return np.nan
    return float(np.mean([stylised.variance_per_step(mids, horizon_s // step) / step for mids, step in steps]))


def daily_volatility(days: Days) -> float:
    """In units of price: that of half hours, as if all of the session were as they are."""
    return float(np.sqrt(_variance(days, HALF_HOUR_S) * np.mean([day["seconds"] for day in days])))


def minute_volatility(days: Days) -> float:
    """Standard deviation of the mid's moves over a minute, in units of price."""
    return float(np.sqrt(60 * _variance(days, 60)))


def returns(days: Days, minutes: int = 1) -> list[np.ndarray]:
    """Log returns of every day."""
    return [np.diff(np.log(day["mids"][:: minutes * 60 // int(day["step_s"])])) for day in days]


def absolute_acf(days: Days) -> np.ndarray:
    """Autocorrelation of absolute one-minute returns over their usual size at that time of day (half hours)."""
    sizes = [np.abs(stretch) for stretch in returns(days)]
    halves = [np.arange(len(stretch)) // 30 for stretch in sizes]
    usual = np.bincount(np.concatenate(halves), np.concatenate(sizes)) / np.bincount(np.concatenate(halves))
    return stylised.autocorrelation(
        [size / usual[half] for size, half in zip(sizes, halves, strict=True)], ABSOLUTE_LAGS
    )


def price_impact(days: Days, horizon_s: int) -> tuple[float, float]:
    """Slope (price per 1,000 contracts) and R2 of the mid's move on the net flow of trades in the same interval."""
    parts = horizon_s // FLOW_S
    flows, moves = [], []
    for day in days:
        count = len(day["flow"]) // parts
        flows.append(day["flow"][: count * parts].reshape(count, parts).sum(axis=1) / 1000)
        moves.append(np.diff(day["mids"][:: horizon_s // int(day["step_s"])])[:count])
    return stylised.slope_r2(np.concatenate(flows), np.concatenate(moves))


def mean_of(days: Days, name: str) -> np.ndarray:
    """Mean of a moment over days."""
    return np.mean([day[name] for day in days], axis=0)


def stacked(days: Days, name: str) -> np.ndarray:
    """Rows of a moment of all days."""
    return np.concatenate([day[name] for day in days])


def probe_path(days: Days) -> np.ndarray:
    """Impact of probing metaorders at PROBE_TIMES over what the law gives with Y = 1, mean of all of them."""
    rows = stacked(days, "probe")
    return (rows[:, 1:] / np.sqrt(rows[:, :1])).mean(axis=0) / daily_volatility(days)


def probe_impacts(days: Days) -> np.ndarray:
    """Impacts of probing metaorders at their end over daily volatility."""
    return stacked(days, "probe")[:, 1 + _END] / daily_volatility(days)


def root_law(shares: np.ndarray, impacts: np.ndarray) -> tuple[float, float]:
    """Exponent of the impact of metaorders, and its size over the square root of Q / V at Q / V = 0.001.

    That is the prefactor Y of the square-root law where the sizes are, which hardly depends on the exponent.
    """
    prefactor, exponent = stylised.impact_law(shares, impacts)
    return exponent, prefactor * TYPICAL_SHARE ** (exponent - 0.5)


def own_orders(days: Days) -> np.ndarray:
    """Shares of the day's volume and impacts over daily volatility of what agents decided to trade, (n, 2)."""
    rows = np.concatenate([day["metaorders"] / (float(day["volume"]), 1.0) for day in days])
    inside = (rows[:, 0] >= SHARES[0]) & (rows[:, 0] <= SHARES[1])
    return rows[inside] / (1.0, daily_volatility(days))


TYPICAL_SHARE = 1e-3
_END = int(np.flatnonzero(PROBE_TIMES == 1)[0])


# The laws

THIN_BELOW_MUSD = 7.6
"""Geometric mean of the two depths that ranges are stated for, $5M and $11.5M."""


class Law(NamedTuple):
    """A law of markets.

    `needs` are the moments it is computed from; `normal` and `thin` the ranges accepted in a book of ordinary depth
    and in a thin one, None where the number is only shown. `of_future`: stated for the E-mini future alone.
    """

    section: str
    name: str
    unit: str
    needs: tuple[str, ...]
    value: Callable[[Days], float]
    normal: Range | None
    thin: Range | None
    source: str
    of_future: bool = False

    def told_by(self, days: Days) -> list[Moments]:
        """The days that have all it needs."""
        return [day for day in days if all(name in day for name in self.needs)]


def _law(
    section: str,
    name: str,
    unit: str,
    needs: str,
    value: Callable[[Days], float],
    normal: Range | None,
    source: str,
    *,
    thin: Range | None = None,
    of_future: bool = False,
) -> Law:
    """A law; `thin` where another range is accepted in a thin book, `needs` as words."""
    return Law(section, name, unit, tuple(needs.split()), value, normal, thin or normal, source, of_future)


def _size(
    name: str, unit: str, needs: str, value: Callable[[Days], float], normal: Range, thin: Range, source: str
) -> Law:
    return _law("Size", name, unit, needs, value, normal, source, thin=thin, of_future=True)


def _mean(name: str, factor: float = 1.0) -> Callable[[Days], float]:
    return lambda days: factor * float(np.mean([np.mean(day[name]) for day in days]))


def _levels(*levels: int) -> Callable[[Days], float]:
    """Contracts on some levels over those on the first."""
    return lambda days: float(mean_of(days, "ladder")[np.array(levels) - 1].sum() / mean_of(days, "ladder")[0])


def _per_day(above: str, below: str) -> Callable[[Days], float]:
    return lambda days: float(mean_of(days, above) / mean_of(days, below))


def _profile(first: int, last: int) -> Callable[[Days], float]:
    return lambda days: 100 * float(mean_of(days, "profile")[first:last].mean())


def _variance_ratio(horizon_s: int) -> Callable[[Days], float]:
    return lambda days: float(signature(days, np.array([horizon_s]))[0])


def _tail(minutes: int) -> Callable[[Days], float]:
    return lambda days: stylised.hill(np.concatenate(returns(days, minutes)))


def _absolute(lag: int) -> Callable[[Days], float]:
    return lambda days: float(absolute_acf(days)[lag])


def _return_acf(first: int, last: int) -> Callable[[Days], float]:
    return lambda days: float(stylised.autocorrelation(returns(days), RETURN_LAGS)[first : last + 1].mean())


def _leverage(days: Days) -> float:
    return float(stylised.leverage(returns(days), LEVERAGE_LAGS).mean())


def _response(place: int) -> Callable[[Days], float]:
    return lambda days: float(mean_of(days, "response")[place])


def _rises(days: Days) -> float:
    return float(spearmanr(RESPONSE_LAGS, mean_of(days, "response")).statistic)


def _flattens(days: Days) -> float:
    slopes = np.diff(mean_of(days, "response")) / np.diff(RESPONSE_LAGS)
    return float(spearmanr(RESPONSE_LAGS[1:], slopes).statistic)


def _lambda(horizon_s: int) -> Callable[[Days], float]:
    return lambda days: price_impact(days, horizon_s)[0]


def _lambda_decay(days: Days) -> float:
    slopes = np.array([price_impact(days, horizon)[0] for horizon in LAMBDA_S])
    return stylised.power_slope(LAMBDA_S, slopes)


def _exponent(name: str, y: int, x: int) -> Callable[[Days], float]:
    """Exponent of one column of half hours against another."""
    return lambda days: stylised.power_slope(stacked(days, name)[:, x], stacked(days, name)[:, y])


def _decay(days: Days) -> float:
    path = probe_path(days)
    return float(path[-1] / path[_END])


def _absolute_decay(days: Days) -> float:
    return stylised.power_decay(absolute_acf(days), 1, ABSOLUTE_LAGS, sum(map(len, returns(days))))


def _next_sign(days: Days) -> float:
    return float(mean_of(days, "sign_acf")[1])


def _sign_decay(days: Days) -> float:
    pairs = sum(float(day["orders"]) for day in days)
    return stylised.power_decay(mean_of(days, "sign_acf"), 10, SIGN_LAGS, pairs)


def _impact(name: str, value: Callable[[Days], float], normal: Range, thin: Range) -> Law:
    return _law("Flow", name, "points per 1,000", "flow mids", value, normal, LAMBDA, thin=thin, of_future=True)


def _ofi_r2(days: Days) -> float:
    return _mean_known(stacked(days, "halves")[:, OFI_R2])


def _probe(place: int) -> Callable[[Days], float]:
    return lambda days: root_law(stacked(days, "probe")[:, 0], probe_impacts(days))[place]


def _mean_known(values: np.ndarray) -> float:
    """Mean of those that are known."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _own(place: int) -> Callable[[Days], float]:
    return lambda days: root_law(*own_orders(days).T)[place]


def _branching(days: Days) -> float:
    return _mean_known(stacked(days, "branching"))


def _inventory(days: Days) -> float:
    return stylised.half_life([day["inventory"].astype(float) for day in days])


def _half_time(name: str) -> Callable[[Days], float]:
    return lambda days: stylised.time_to_half(RECOVERY_S, mean_of(days, name))


DEPTH, VOLATILITY, OFI_SLOPE, OFI_R2 = range(4)
"""Columns of the moment `halves`."""
PRESS = "desks' figures of 2025, by the press"
ESTIMATE = "estimated from volumes and ranges of autumn 2025"
SAMPLE = "published samples of the ten-level book"
CONT, LIU = "Cont 2001", "Liu et al. 1999; Cont 2001"
LMF = "Lillo, Mike and Farmer 2005; Sato and Kanazawa 2023"
ROOT = "Toth et al. 2011; Sato and Kanazawa 2025"
OFI, LAMBDA = "Cont, Kukanov and Stoikov 2014", "estimated from ranges and volumes, within a factor of two"
DIFFUSIVE, GOPIKRISHNAN = "Bouchaud et al. 2018, ch. 2", "Gopikrishnan et al. 1999"
HAWKES, KIRILENKO = "Filimonov and Sornette 2012", "Kirilenko et al. 2017"
BOUCHAUD, LARGE = "Bouchaud et al. 2004", "Large 2007; bounds estimated"

LAWS = (
    _size("Top of book", "contracts", "depth", _mean("depth"), (25, 45), (10, 20), PRESS),
    _law("Size", "Spread", "ticks", "spread", _mean("spread"), None, "", of_future=True),
    _size("Time at one tick", "share", "one_tick", _mean("one_tick"), (0.97, 1), (0.6, 0.95), SAMPLE),
    _size("Level 2 over level 1", "1", "ladder", _levels(2), (1.3, 2.0), (1.3, 2.0), SAMPLE),
    _size("Level 5 over level 1", "1", "ladder", _levels(5), (2, 4), (2, 4), SAMPLE),
    _size("Ten levels over level 1", "1", "ladder", _levels(*range(1, 11)), (15, 30), (15, 30), SAMPLE),
    _size("Volume", "million contracts", "volume", _mean("volume", 1e-6), (1.1, 1.4), (2.2, 2.8), ESTIMATE),
    _size("Trades", "1/s", "prints seconds", _per_day("prints", "seconds"), (5, 20), (15, 30), ESTIMATE),
    _size("Mean trade", "contracts", "volume prints", _per_day("volume", "prints"), (3.5, 4.5), (3, 4), ESTIMATE),
    _size("Share taken by ETF traders", "1", "etf_share", _mean("etf_share"), (0.24, 0.32), (0.24, 0.45), PRESS),
    _size("Volatility of a minute", "points", "mids", minute_volatility, (2.4, 3.5), (6, 8), ESTIMATE),
    _law("Profile", "Volume of the first half hour", "%", "profile", _profile(0, 1), (10, 18), ESTIMATE),
    _law("Profile", "Volume of a half hour at noon", "%", "profile", _profile(5, 7), (2, 8), ESTIMATE),
    _law("Profile", "Volume of the last half hour", "%", "profile", _profile(12, 13), (12, 23), ESTIMATE),
    _law("Diffusion", "Variance ratio, 10 s to 1 min", "1", "mids", _variance_ratio(10), (0.8, 1.2), DIFFUSIVE),
    _law("Diffusion", "Variance ratio, 5 min to 1 min", "1", "mids", _variance_ratio(300), (0.8, 1.2), DIFFUSIVE),
    _law("Diffusion", "Variance ratio, 30 min to 1 min", "1", "mids", _variance_ratio(1800), (0.8, 1.2), DIFFUSIVE),
    _law("Returns", "Tail exponent, 1 min", "1", "mids", _tail(1), (2.5, 4.5), GOPIKRISHNAN),
    _law("Returns", "Tail exponent, 5 min", "1", "mids", _tail(5), (2.5, 4.5), GOPIKRISHNAN),
    _law("Returns", "Autocorrelation of returns, 1 min", "1", "mids", _return_acf(1, 1), (-0.1, 0.1), CONT),
    _law("Returns", "Autocorrelation of returns, 2 to 10 min", "1", "mids", _return_acf(2, 10), (-0.03, 0.03), CONT),
    _law("Returns", "Autocorrelation of absolute returns, 1 min", "1", "mids", _absolute(1), (0.15, 0.4), LIU),
    _law("Returns", "Autocorrelation of absolute returns, 60 min", "1", "mids", _absolute(60), (0.05, 0.2), LIU),
    _law("Returns", "Autocorrelation of absolute returns, exponent", "1", "mids", _absolute_decay, (0.2, 0.4), LIU),
    _law("Returns", "Leverage, over 1 to 10 min", "1", "mids", _leverage, (-0.3, -0.005), CONT),
    _law("Signs", "Autocorrelation of signs, next trade", "1", "sign_acf", _next_sign, (0.05, 0.5), LMF),
    _law("Signs", "Autocorrelation of signs, exponent", "1", "sign_acf orders", _sign_decay, (0.3, 0.7), LMF),
    _law("Signs", "Response after 1 trade", "ticks", "response", _response(0), None, ""),
    _law("Signs", "Response after 1000 trades", "ticks", "response", _response(-1), None, ""),
    _law("Signs", "Response rises: rank correlation", "1", "response", _rises, (0.9, 1), BOUCHAUD),
    _law("Signs", "Response flattens: rank correlation", "1", "response", _flattens, (-1, -0.9), BOUCHAUD),
    _impact("Impact of the flow of 60 s", _lambda(60), (0.7, 5.4), (2, 12)),
    _impact("Impact of the flow of 30 min", _lambda(1800), (0.375, 1.8), (1, 4.8)),
    _law(
        "Flow",
        "Impact of the flow, exponent in time",
        "1",
        "flow mids",
        _lambda_decay,
        (-0.4, -0.05),
        "Patzelt and Bouchaud 2018",
    ),
    _law("Flow", "Imbalance: R2 of 10 s", "1", "ofi halves", _ofi_r2, (0.5, 0.85), OFI),
    _law(
        "Flow",
        "Imbalance: slope on depth, half hours",
        "1",
        "ofi halves",
        _exponent("halves", OFI_SLOPE, DEPTH),
        (-1.3, -0.7),
        OFI,
    ),
    _law(
        "Flow",
        "Imbalance: slope on depth, across depths",
        "1",
        "depths",
        _exponent("depths", OFI_SLOPE, DEPTH),
        (-1.3, -0.7),
        OFI,
    ),
    _law(
        "Flow",
        "Depth on volatility, half hours",
        "1",
        "halves",
        _exponent("halves", DEPTH, VOLATILITY),
        (-1.5, -0.7),
        PRESS,
    ),
    _law(
        "Flow",
        "Depth on volatility, across depths",
        "1",
        "depths",
        _exponent("depths", DEPTH, VOLATILITY),
        (-1.5, -0.7),
        PRESS,
    ),
    _law("Metaorders", "Impact of metaorders put in: exponent", "1", "probe mids", _probe(0), (0.4, 0.65), ROOT),
    _law("Metaorders", "Impact of metaorders put in: prefactor", "1", "probe mids", _probe(1), (0.5, 2), ROOT),
    _law(
        "Metaorders",
        "Impact of metaorders put in: what stays",
        "1",
        "probe mids",
        _decay,
        (0.4, 0.9),
        "Bucci et al. 2018",
    ),
    _law(
        "Metaorders", "Impact of the market's own: exponent", "1", "metaorders volume mids", _own(0), (0.4, 0.65), ROOT
    ),
    _law("Metaorders", "Impact of the market's own: prefactor", "1", "metaorders volume mids", _own(1), (0.5, 2), ROOT),
    _law("Recovery", "Branching ratio of moves of the mid", "1", "branching", _branching, (0.6, 0.9), HAWKES),
    _law(
        "Recovery",
        "Half-life of the spread after a large trade",
        "s",
        "spread_excess",
        _half_time("spread_excess"),
        (0, 20),
        LARGE,
    ),
    _law(
        "Recovery",
        "Half-life of depth after a large trade",
        "s",
        "depth_missing",
        _half_time("depth_missing"),
        (0, 20),
        LARGE,
    ),
    _law("Recovery", "Half-life of makers' inventory", "min", "inventory", _inventory, (1, 4), KIRILENKO),
)


# Judging


@dataclass(frozen=True)
class Row:
    """A row of the card: what was measured of a law, and the verdict.

    `verdict` is "holds", "fails", "shown" (no range is stated, or not for this market) or "left out" (`value` is NaN).
    `se` is NaN where there is one day alone.
    """

    section: str
    law: str
    unit: str
    value: float
    se: float
    low: float | None
    high: float | None
    days: int
    verdict: str
    source: str

    @property
    def measured(self) -> str:
        """The value as text; "" where there is none."""
        return "" if np.isnan(self.value) else f"{self.value:.3g}"

    @property
    def error(self) -> str:
        """The standard error as text."""
        return "" if np.isnan(self.se) else f"{self.se:.2g}"

    @property
    def accepted(self) -> str:
        """The accepted range as text."""
        return "" if self.low is None else f"{self.low:g} to {self.high:g}"


def judge(days: Days, *, thin: bool = False, of_future: bool = True) -> list[Row]:
    """The card of some days.

    Parameters
    ----------
    days : sequence of Moments
        One or more. A law is computed from those that have all it needs.
    thin : bool
        Take the ranges of a thin book.
    of_future : bool
        Whether this is the E-mini future; for others its own numbers are shown and not judged.
    """
    return [_row(law, days, law.thin if thin else law.normal, of_future) for law in LAWS]


def _row(law: Law, days: Days, accepted: Range | None, of_future: bool) -> Row:
    used = law.told_by(days)
    value = law.value(used) if used else np.nan
    low, high = accepted if accepted and (of_future or not law.of_future) else (None, None)
    verdict = "holds" if low is not None and high is not None and low <= value <= high else "fails"
    if np.isnan(value):
        verdict = "left out"
    elif low is None:
        verdict = "shown"
    about = (law.section, law.name, law.unit, value, jackknife(law.value, used), low, high)
    return Row(*about, len(used), verdict, law.source)


def jackknife(value: Callable[[Days], float], days: Days) -> float:
    """Standard error of a number of several days, from what it is without each of them; NaN for a single day."""
    if len(days) < 2:
        return np.nan
    without = np.array([value([*days[:place], *days[place + 1 :]]) for place in range(len(days))])
    return float(np.sqrt((len(days) - 1) * without.var())) if np.isfinite(without).all() else np.nan
