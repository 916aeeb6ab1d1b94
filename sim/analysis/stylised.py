"""Estimators of the stylised facts of markets: arrays in, a number or a curve out.

Signs are +1 for a buyer's trade and -1 for a seller's. Nothing here knows where the data come from. A number that the
data cannot give is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares, minimize
from scipy.stats import linregress

FEWEST = 10
"""Observations below which nothing is fitted."""
LOG_BINS = 12

# Returns


def hill(values: np.ndarray, share: float = 0.02) -> float:
    """Tail exponent of the absolute values, from the largest `share` of them (Hill, Ann. Stat. 3, 1975, p. 1163)."""
    size = np.sort(np.abs(values))[::-1]
    largest = int(share * len(size))
    if largest < FEWEST or size[largest] == 0:
        return np.nan
    return float(1 / np.mean(np.log(size[:largest] / size[largest])))


def variance_per_step(path: np.ndarray, steps: int) -> float:
    """Variance of overlapping moves over `steps`, per step, about the path's drift, unbiased for a random walk.

    Lo and MacKinlay, Rev. Financ. Stud. 1, 1988, p. 41, equations 12. Its ratio at two horizons is a variance ratio;
    over all horizons it is the signature plot, flat for a random walk.

    Parameters
    ----------
    path : float array (n,)
        Prices or their logarithms at even steps.
    steps : int
    """
    total = len(path) - 1
    if total < 2 * steps:
        return np.nan
    moves = path[steps:] - path[:-steps] - steps * (path[-1] - path[0]) / total
    return float(moves @ moves / (steps * (total - steps + 1) * (1 - steps / total)))


def autocorrelation(series: Sequence[np.ndarray], lags: int) -> np.ndarray:
    """Autocorrelation at lags 0 to `lags` of several stretches with one mean; no pair spans two stretches.

    Each lag's mean product is over its own pairs. O(n lags); statsmodels, which takes gaps too, needs O(n^2) with them.
    """
    mean = np.concatenate(series).mean()
    centred = [stretch - mean for stretch in series]
    products = np.zeros(lags + 1)
    for lag in range(lags + 1):
        pairs = [(stretch[: len(stretch) - lag], stretch[lag:]) for stretch in centred if len(stretch) > lag]
        count = sum(len(now) for now, _ in pairs)
        products[lag] = sum(now @ later for now, later in pairs) / count if count else np.nan
    return products / products[0] if products[0] > 0 else np.full(lags + 1, np.nan)


def leverage(returns: Sequence[np.ndarray], lags: int) -> np.ndarray:
    """Correlation of a return with the absolute return 1 to `lags` later (Cont, Quant. Finance 1, 2001, p. 227)."""
    now = [np.concatenate([stretch[:-lag] for stretch in returns]) for lag in range(1, lags + 1)]
    later = [np.concatenate([np.abs(stretch[lag:]) for stretch in returns]) for lag in range(1, lags + 1)]
    return np.array([np.corrcoef(one, other)[0, 1] for one, other in zip(now, later, strict=True)])


def power_decay(curve: np.ndarray, first: int, last: int, pairs: float) -> float:
    """Exponent g of a correlation that decays as lag^-g: least squares in logs over means in logarithmic bins.

    Parameters
    ----------
    curve : float array
        Correlation by lag, from lag 0.
    first, last : int
        Lags that are fitted, both included.
    pairs : float
        That a lag's correlation was estimated from. Bins above twice the error that independent values would have are
        fitted. Where they are fewer than two thirds the exponent is infinite: what has vanished has decayed faster
        than any power.
    """
    if len(curve) <= last or not np.isfinite(curve[first : last + 1]).all():
        return np.nan
    centres, means, counts = log_binned(curve, first, last)
    there = means > 2 / np.sqrt(pairs * counts)
    if there.sum() < 2 * len(means) / 3:
        return np.inf
    return -float(linregress(np.log(centres[there]), np.log(means[there])).slope)


def log_binned(curve: np.ndarray, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Geometric mean of the lags, mean of the curve and number of lags in logarithmic bins; empty ones are left out."""
    lags = np.arange(first, last + 1)
    place = np.digitize(lags, np.geomspace(first, last + 1, LOG_BINS + 1))
    groups = [lags[place == number] for number in np.unique(place)]
    columns = [(np.exp(np.log(group).mean()), curve[group].mean(), len(group)) for group in groups]
    return tuple(np.array(columns, float).T)  # type: ignore[return-value]


# Trades and quotes


def response(signs: np.ndarray, mids: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Mean move of the mid, in a trade's direction, from just before it to just before the trade `lag` later.

    Bouchaud, Gefen, Potters and Wyart, Quant. Finance 4, 2004, p. 176.

    Parameters
    ----------
    signs, mids : array (n,)
        Sign of every trade, and the mid just before it.
    lags : int array
    """
    return np.array([np.mean(signs[:-lag] * (mids[lag:] - mids[:-lag])) for lag in lags])


def order_flow_imbalance(bid: np.ndarray, bid_size: np.ndarray, ask: np.ndarray, ask_size: np.ndarray) -> np.ndarray:
    """Contribution to the order flow imbalance of every row of best quotes from the second on, (n - 1,).

    Cont, Kukanov and Stoikov, J. Financ. Econom. 12, 2014, p. 47: what came to the bid and left it, less the same of
    the ask.
    """
    came_bid = (bid[1:] >= bid[:-1]) * bid_size[1:] - (bid[1:] <= bid[:-1]) * bid_size[:-1]
    came_ask = (ask[1:] <= ask[:-1]) * ask_size[1:] - (ask[1:] >= ask[:-1]) * ask_size[:-1]
    return came_bid - came_ask


def slope_r2(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and R2 of least squares; NaN where x does not vary or there is too little of it."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan, np.nan
    fit = linregress(x, y)
    return float(fit.slope), float(fit.rvalue**2)


def power_slope(x: np.ndarray, y: np.ndarray) -> float:
    """Exponent of y against x: least squares in logs, over the points where both are positive."""
    good = (x > 0) & (y > 0)
    return slope_r2(np.log(x[good]), np.log(y[good]))[0]


def branching_ratio(times: np.ndarray, start: float, end: float) -> float:
    """Branching ratio of a Hawkes process with an exponential kernel, by maximum likelihood.

    The share of the events that earlier ones have set off (Filimonov and Sornette, Phys. Rev. E 85, 2012, 056108;
    likelihood: Ozaki, Ann. Inst. Stat. Math. 31, 1979, p. 145).

    Parameters
    ----------
    times : float array
        Times of the events, rising, within start and end (seconds).
    start, end : float
        The window; it should be so short that the base rate is constant.
    """
    if len(times) < 5 * FEWEST:
        return np.nan
    since, length = times - start, end - start
    rate = len(times) / length

    def loss(logs: np.ndarray) -> float:
        base, ratio, decay = np.exp(logs)
        # The sum over all earlier events, in logs: its terms leave the range of floats, their ratios do not.
        earlier = np.logaddexp.accumulate(decay * since)[:-1] - decay * since[1:]
        intensity = base + ratio * decay * np.exp(np.concatenate([[-np.inf], earlier]))
        expected = base * length + ratio * np.sum(-np.expm1(-decay * (length - since)))
        return float(expected - np.log(intensity).sum())

    first = np.log([0.5 * rate, 0.5, 5 * rate])
    # A simplex of its own: the default is tiny along a coordinate that happens to start near zero.
    simplex = first + np.vstack([np.zeros(3), np.eye(3)])
    bounds = [(first[0] - 12, first[0] + 3), (-7, 1), (np.log(10 / length), first[2] + 12)]
    options = {"xatol": 1e-3, "fatol": 1e-3, "initial_simplex": simplex}
    found = minimize(loss, first, method="Nelder-Mead", bounds=bounds, options=options)
    return float(np.exp(found.x[1]))


def half_life(series: Sequence[np.ndarray]) -> float:
    """Half-life in steps of a mean-reverting series, as an AR(1) of its stretches has it; infinite for a walk."""
    now = np.concatenate([stretch[:-1] for stretch in series])
    later = np.concatenate([stretch[1:] for stretch in series])
    slope, _ = slope_r2(now, later)
    if not 0 < slope < 1:
        return np.inf if slope >= 1 else np.nan
    return float(-np.log(2) / np.log(slope))


def time_to_half(lags: np.ndarray, excess: np.ndarray) -> float:
    """First lag from the largest excess on at which half of it is gone; infinite if never, NaN if there is none."""
    peak = int(np.argmax(excess))
    if not excess[peak] > 0:
        return np.nan
    gone = np.flatnonzero(excess[peak:] <= 0.5 * excess[peak])
    return float(lags[peak + gone[0]]) if len(gone) else np.inf


# Metaorders


def impact_law(shares: np.ndarray, impacts: np.ndarray) -> tuple[float, float]:
    """Prefactor and exponent of impact = Y (Q / V)^d, by weighted least squares.

    Toth et al., Phys. Rev. X 1, 2011, 021006; Sato and Kanazawa, Phys. Rev. Lett. 2025.

    Parameters
    ----------
    shares : float array (n,)
        Sizes of the metaorders over the day's volume.
    impacts : float array (n,)
        Impacts over the day's volatility; single ones may well be negative.
    """
    if len(shares) < FEWEST or np.ptp(shares) == 0 or not np.isfinite(impacts).all():
        return np.nan, np.nan

    def misses(law: np.ndarray) -> np.ndarray:
        # Noise grows with the time an order takes, and so as the root of its size.
        return (np.exp(law[0]) * shares ** law[1] - impacts) / np.sqrt(shares)

    found = least_squares(misses, (0.0, 0.5), bounds=((-10, -1), (15, 3))).x
    return float(np.exp(found[0])), float(found[1])
