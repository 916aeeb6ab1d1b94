"""What a theory of the cascade takes from a day: how far trading moves the price, and what is sold while it falls.

If selling Q contracts moves the price by lambda Q points, and a fall of x points makes people sell psi x contracts, a
fall f from outside ends at f / (1 - lambda psi): lambda psi is the loop gain, and at 1 nothing holds the fall but what
is not linear (Frey and Stremme 1997, Mathematical Finance 7, 351; Schonbucher and Wilmott 2000, SIAM J. Appl. Math.
61, 232).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sim.analysis.tape import HALF_TICK_POINTS, contracts_by_group, mid2
from sim.units import MINUTE, TICK_POINTS

WINDOWS_NS = {"60s": MINUTE, "30min": 30 * MINUTE}
"""Windows that impact is measured over: it fades, and people who react more slowly meet less of it."""
LEAST_WINDOWS = 3


def impact_points_per_contract(
    trades: pd.DataFrame, quotes: pd.DataFrame, hours: tuple[int, int], window_ns: int
) -> float:
    """Change of the mid for every contract that takers bought net: slope of a line through the windows of a session.

    Windows lie side by side from the open on, each without its first instant: the opening auction, in which nobody
    takes, belongs to none. A line through points in which news moves price and traders alike overstates impact, one
    through points in which traders buy what has fallen understates it.

    Parameters
    ----------
    trades, quotes : DataFrame
        Rows of one book and one session, in order.
    hours : tuple of int
        Its open and close, in nanoseconds.
    window_ns : int

    Returns
    -------
    float
        Index points a contract; NaN with fewer than three windows, or if none differs in what was taken.
    """
    edges = np.arange(hours[0], hours[1] + 1, window_ns)
    mids = np.concatenate([[0], mid2(quotes)])[np.searchsorted(quotes["time_ns"], edges, side="right")]
    bought = np.concatenate([[0], np.cumsum((trades["size"] * trades["side"]).to_numpy())])
    flow = np.diff(bought[np.searchsorted(trades["time_ns"], edges, side="right")])
    known = mids[:-1] > 0
    if known.sum() < LEAST_WINDOWS or not np.ptp(flow[known]):
        return np.nan
    # scipy.stats has this, too, but takes longer to import than a short run takes.
    return float(np.polyfit(flow[known], np.diff(mids)[known] * HALF_TICK_POINTS, 1)[0])


def sold_in_fall(trades: pd.DataFrame, owner_group: Mapping[int, str]) -> tuple[float, dict[str, int]]:
    """The fall from the first trade at the highest price to the lowest after it, and what each group sold in between.

    Parameters
    ----------
    trades : DataFrame
        Rows of one book and one session, in order.
    owner_group : mapping
        See `owner_groups`.

    Returns
    -------
    points : float
        At least 0; NaN without trades.
    contracts : dict
        Sold net by group, takers and makers alike, after the high up to the first trade at the low; they add up to
        zero.
    """
    price = trades["price_ticks"].to_numpy()
    if not len(price):
        return np.nan, dict.fromkeys(owner_group.values(), 0)
    high = int(price.argmax())
    low = high + int(price[high:].argmin())
    net = contracts_by_group(trades.iloc[high + 1 : low + 1], owner_group)["net"]
    return float(price[high] - price[low]) * TICK_POINTS, (-net).to_dict()
