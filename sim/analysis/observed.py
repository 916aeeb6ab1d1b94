"""A day of a market, simulated or real, and the small arrays that the realism card is computed from.

A day of messages is millions of rows, its moments are some ten thousand numbers: a card of many days keeps only these.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.tsa.stattools import acf

from sim.analysis.stylised import branching_ratio, order_flow_imbalance, response, slope_r2
from sim.units import MINUTE, SECOND

type Moments = dict[str, np.ndarray]

FLOW_S = 10
"""Seconds of an interval of trade flow and of order flow imbalance (Cont, Kukanov and Stoikov 2014)."""
HALF_HOUR_S = 1800
HAWKES_WINDOW_S = 600
"""Filimonov and Sornette 2012 use 10 to 30 minutes."""
SIGN_LAGS = 1000
RESPONSE_LAGS = np.unique(np.geomspace(1, SIGN_LAGS, 16).round().astype(int))
RECOVERY_S = np.array([0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
LARGE_SHARE = 0.01
"""Of the market orders, the largest ones, after which the book's recovery is measured."""


@dataclass(frozen=True)
class Day:
    """What a source tells of a day; None for what it does not.

    Attributes
    ----------
    opens_ns, closes_ns : int
        The session, on the clock of the tables.
    tick : float
        In units of price.
    closes : float array (bars + 1,), optional
        The first price and the price at every end of a minute.
    bar_volume : array (bars,), optional
    trades : DataFrame, optional
        A row an execution: time_ns, size, side (+1 where the buyer took).
    quotes : DataFrame, optional
        Best quotes after every change: time_ns, bid_ticks, bid_size, ask_ticks, ask_size.
    has_sizes : bool
        Whether changes of the sizes alone have rows in `quotes`, too.
    depth : float array (minutes,), optional
        Mean contracts at the best price of a side, for sources without sizes.
    ladder : array (samples, 2, levels), optional
        Sizes of the best levels of either side, now and then.
    inventory : array (minutes,), optional
        Of all market makers together.
    metaorders : float array (n, 2), optional
        Contracts of every order that somebody worked, and the points that the price went in its direction meanwhile.
    etf_share : float array (), optional
        What ETF traders took, of all contracts.
    """

    opens_ns: int
    closes_ns: int
    tick: float
    closes: np.ndarray | None = None
    bar_volume: np.ndarray | None = None
    trades: pd.DataFrame | None = None
    quotes: pd.DataFrame | None = None
    has_sizes: bool = False
    depth: np.ndarray | None = None
    ladder: np.ndarray | None = None
    inventory: np.ndarray | None = None
    metaorders: np.ndarray | None = None
    etf_share: np.ndarray | None = None

    @property
    def seconds(self) -> int:
        """Length of the session."""
        return (self.closes_ns - self.opens_ns) // SECOND


def moments(day: Day) -> Moments:
    """The moments of a day, as far as its source goes; arrays by name, see the functions below.

    What a day is too short to tell is NaN, of which numpy's warnings are not passed on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return _moments(day)


def _moments(day: Day) -> Moments:
    found: Moments = {"seconds": np.array(day.seconds), "tick": np.array(day.tick)}
    if day.closes is not None and day.bar_volume is not None:
        found |= {"mids": day.closes, "step_s": np.array(60), "volume": np.array(day.bar_volume.sum())}
        found |= _profile(np.arange(len(day.bar_volume)) * 60, day.bar_volume, day.seconds)
    if day.quotes is not None:
        found |= _of_quotes(day, day.quotes)
    if day.depth is not None:
        found["depth"] = day.depth
    if day.trades is not None and len(day.trades) > 2 * SIGN_LAGS:
        found |= _of_trades(day, day.trades)
        if day.quotes is not None:
            found |= _of_both(day, _orders(day.trades), day.quotes)
    if "depth" in found and "mids" in found:
        found["halves"] = _halves(found)
    if day.ladder is not None:
        found["ladder"] = np.mean(day.ladder, axis=(0, 1))
    for name in ("inventory", "metaorders", "etf_share"):
        if (values := getattr(day, name)) is not None:
            found[name] = values
    return found


def two_sided(quotes: pd.DataFrame) -> pd.DataFrame:
    """Rows of quotes in which both sides stand."""
    return quotes[(quotes["bid_ticks"] > 0) & (quotes["ask_ticks"] > 0)]


def mids_at(quotes: pd.DataFrame, times_ns: np.ndarray) -> np.ndarray:
    """Mid (ticks) at some times; before the first quote, the first."""
    places = np.searchsorted(quotes["time_ns"], times_ns, side="right") - 1
    return ((quotes["bid_ticks"] + quotes["ask_ticks"]) / 2).to_numpy()[np.maximum(places, 0)]


def second_grid(opens_ns: int, closes_ns: int) -> np.ndarray:
    """Every full second of a session, first and last included."""
    return np.arange(opens_ns, closes_ns + 1, SECOND)


def _of_quotes(day: Day, quotes: pd.DataFrame) -> Moments:
    """Mids by the second (units of price), time-weighted spread and depth, branching ratios of the mid's moves."""
    quotes = two_sided(quotes)
    times = quotes["time_ns"].to_numpy()
    lasting = np.diff(times, append=day.closes_ns)
    spread = (quotes["ask_ticks"] - quotes["bid_ticks"]).to_numpy()
    found = {
        "mids": day.tick * mids_at(quotes, second_grid(day.opens_ns, day.closes_ns)),
        "step_s": np.array(1),
        "spread": np.average(spread, weights=lasting),
        "one_tick": np.average(spread == 1, weights=lasting),
        "branching": _branching(day, quotes),
    }
    if day.has_sizes:
        sizes = (quotes["bid_size"] + quotes["ask_size"]).to_numpy() / 2
        edges = np.arange(day.opens_ns, day.closes_ns + 1, MINUTE)
        found["depth"] = _time_means(times, sizes, lasting, edges)
        columns = (quotes[name].to_numpy() for name in ("bid_ticks", "bid_size", "ask_ticks", "ask_size"))
        found["ofi"] = _by_interval(day, times[1:], order_flow_imbalance(*columns))
    return found


def _branching(day: Day, quotes: pd.DataFrame) -> np.ndarray:
    """Branching ratio of the mid's moves in every window of the day."""
    mid2 = (quotes["bid_ticks"] + quotes["ask_ticks"]).to_numpy()
    moved = quotes["time_ns"].to_numpy()[1:][np.diff(mid2) != 0]
    times = np.unique(moved - day.opens_ns) / SECOND
    starts = range(0, day.seconds - HAWKES_WINDOW_S + 1, HAWKES_WINDOW_S)
    windows = [(times[(times >= start) & (times < start + HAWKES_WINDOW_S)], start) for start in starts]
    return np.array([branching_ratio(inside, start, start + HAWKES_WINDOW_S) for inside, start in windows])


def _time_means(times: np.ndarray, values: np.ndarray, lasting: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Time-weighted means between edges of a value that holds from one time to the next."""
    total = np.concatenate([[0.0], np.cumsum(values * lasting)])
    until = np.append(times, times[-1] + lasting[-1])
    return np.diff(np.interp(edges, until, total)) / np.diff(edges)


def _by_interval(day: Day, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums over the intervals of FLOW_S seconds."""
    count = day.seconds // FLOW_S
    place = (times - day.opens_ns) // (FLOW_S * SECOND)
    inside = (place >= 0) & (place < count)
    return np.bincount(place[inside], values[inside], count)


def _profile(seconds: np.ndarray, sizes: np.ndarray, length: int) -> Moments:
    """Share of the volume of each half hour; nothing where the day is shorter than a full session of 6.5 hours."""
    if length != 13 * HALF_HOUR_S or not sizes.sum():
        return {}
    places = np.clip(seconds // HALF_HOUR_S, 0, 12).astype(int)
    return {"profile": np.bincount(places, sizes, 13) / sizes.sum()}


def _of_trades(day: Day, trades: pd.DataFrame) -> Moments:
    """Volume, prints, market orders and the correlation of their signs, the day's profile, flow by interval."""
    times, sizes = trades["time_ns"].to_numpy(), trades["size"].to_numpy()
    signs = _orders(trades)["side"].to_numpy()
    return {
        "volume": np.array(sizes.sum()),
        "prints": np.array(len(trades)),
        "orders": np.array(len(signs)),
        "flow": _by_interval(day, times, sizes * trades["side"].to_numpy()),
        "sign_acf": acf(signs, nlags=SIGN_LAGS, fft=True),
        **_profile((times - day.opens_ns) / SECOND, sizes, day.seconds),
    }


def _orders(trades: pd.DataFrame) -> pd.DataFrame:
    """Market orders: executions of one instant and side are one."""
    first = (trades["time_ns"].diff() != 0) | (trades["side"].diff() != 0)
    return trades.groupby(first.cumsum().to_numpy()).agg(
        time_ns=("time_ns", "first"), side=("side", "first"), size=("size", "sum")
    )


def _of_both(day: Day, orders: pd.DataFrame, quotes: pd.DataFrame) -> Moments:
    """Response to trades (ticks), and what is too wide and what is missing after the largest ones."""
    quotes = two_sided(quotes)
    times, sides = orders["time_ns"].to_numpy(), orders["side"].to_numpy()
    found = {"response": response(sides, mids_at(quotes, times - 1), RESPONSE_LAGS)}
    large = (orders["size"] >= orders["size"].quantile(1 - LARGE_SHARE)).to_numpy()
    after = times[large, None] + (RECOVERY_S * SECOND).astype(np.int64)
    places = np.maximum(np.searchsorted(quotes["time_ns"], after, side="right") - 1, 0)
    lasting = np.diff(quotes["time_ns"], append=day.closes_ns)
    spread = (quotes["ask_ticks"] - quotes["bid_ticks"]).to_numpy()
    found["spread_excess"] = spread[places].mean(axis=0) - np.average(spread, weights=lasting)
    if day.has_sizes:
        asks, bids = quotes["ask_size"].to_numpy(), quotes["bid_size"].to_numpy()
        hit = np.where(sides[large, None] > 0, asks[places], bids[places])
        found["depth_missing"] = np.average((asks + bids) / 2, weights=lasting) - hit.mean(axis=0)
    return found


def _halves(found: Moments) -> np.ndarray:
    """Depth, volatility (price, a square-root minute), slope (ticks a contract) and R2 of the order flow imbalance.

    A row for each half hour: (half hours, 4).
    """
    step = int(found["step_s"])
    fine = found["mids"][:: max(FLOW_S // step, 1)]
    moves, per_minute = np.diff(fine), 60 // max(FLOW_S, step)
    rows = []
    for half in range(len(found["depth"]) // 30):
        inside = slice(half * 30 * per_minute, (half + 1) * 30 * per_minute)
        sigma = np.sqrt(np.mean(moves[inside] ** 2) * per_minute)
        slope, r2 = (np.nan, np.nan)
        if "ofi" in found:
            slope, r2 = slope_r2(found["ofi"][inside], moves[inside] / float(found["tick"]))
        rows.append([found["depth"][half * 30 : half * 30 + 30].mean(), sigma, slope, r2])
    return np.array(rows).reshape(-1, 4)
