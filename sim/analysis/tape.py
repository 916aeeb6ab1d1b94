"""Trades and quotes by group: who traded, and the mechanical attribution of the price.

Mechanical means: every change of the mid belongs to the message that made it. It is exact and adds up, but it says who
moved the price, not what would have happened without them; for that, compare paired runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sim.units import DAY, TICK_POINTS

AUCTION, HALT = "auction", "halt"
"""Whom price changes are credited to that no owner has made: opening auctions, and those that end a halt."""
UNKNOWN = "unknown"
HALF_TICK_POINTS = TICK_POINTS / 2


def owner_groups(agents: pd.DataFrame) -> dict[int, str]:
    """Group of every owner, from the table of agents."""
    owners = agents.drop_duplicates("agent")
    return dict(zip(owners["agent"].tolist(), owners["group"].tolist(), strict=True))


def mid2(quotes: pd.DataFrame) -> np.ndarray:
    """Best bid plus best ask of one book after every change.

    Parameters
    ----------
    quotes : DataFrame (n rows)
        Rows of the table of quotes, of one book.

    Returns
    -------
    int64 array (n,)
        Half ticks; the last one known while a side is empty, 0 before there is any.
    """
    return mid2_of(quotes["bid_ticks"].to_numpy(), quotes["ask_ticks"].to_numpy())


def mid2_of(bid: np.ndarray, ask: np.ndarray, before: int = 0) -> np.ndarray:
    """Best bid plus best ask, (n,); while a side is empty (0) the last one known, `before` where there is none yet."""
    last = np.maximum.accumulate(np.where((bid > 0) & (ask > 0), np.arange(len(bid)), -1))
    return np.where(last >= 0, (bid + ask)[last], before)


def ticks_from_mid(prices: np.ndarray, mid: Any, is_offer: np.ndarray) -> np.ndarray:
    """Ticks from the mid, whole ones counted away from it: the best prices are at +1 and -1 at a spread of one tick.

    Parameters
    ----------
    prices : int array (n,)
        Ticks.
    mid : float, or array (n,)
        Ticks.
    is_offer : bool array (n,)
    """
    away = np.where(is_offer, np.ceil(prices - mid), np.floor(prices - mid)).astype(np.int64)
    return np.where(away == 0, np.where(is_offer, 1, -1), away)


def mid_moves(quotes: pd.DataFrame) -> np.ndarray:
    """Change of the mid of its book by every row of quotes: int64 array (n,), half ticks.

    The first mid of a book is where counting starts. While a side is empty nothing changes: the row that fills it
    takes the whole way from the last mid.
    """
    moves = np.zeros(len(quotes), np.int64)
    for _, rows in quotes.groupby("book").indices.items():
        mids = mid2(quotes.iloc[rows])
        moves[rows[1:]] = np.where(mids[:-1] > 0, np.diff(mids), 0)
    return moves


def movers(quotes: pd.DataFrame, owner_group: Mapping[int, str]) -> pd.Series:
    """Group credited with each row of quotes, (n,): its owner's, AUCTION for a day's first row by nobody, else HALT."""
    nobody = quotes["owner"] == 0
    opening = ~pd.DataFrame({"day": quotes["time_ns"] // DAY, "book": quotes["book"]}).duplicated()
    names = [*dict.fromkeys(owner_group.values()), UNKNOWN]
    groups = pd.Series(np.array(names, object)[_places(quotes["owner"], owner_group, names)], quotes.index)
    return groups.mask(nobody, HALT).mask(nobody & opening, AUCTION)


def price_points_by_group(quotes: pd.DataFrame, owner_group: Mapping[int, str]) -> dict[str, float]:
    """Index points by which every group has moved the mid; they add up to the last mid less the first, exactly.

    Parameters
    ----------
    quotes : DataFrame
        Rows of the table of quotes. Of several days, the way from one to the next belongs to "auction".
    owner_group : mapping
        See `owner_groups`.
    """
    start = dict.fromkeys([*owner_group.values(), AUCTION, HALT], 0.0)
    moves = pd.Series(mid_moves(quotes), index=quotes.index)
    half_ticks = moves.groupby(movers(quotes, owner_group)).sum()
    return start | {str(group): HALF_TICK_POINTS * int(total) for group, total in half_ticks.items()}


def contracts_by_group(trades: pd.DataFrame, owner_group: Mapping[int, str]) -> pd.DataFrame:
    """Contracts traded by every group: columns gross (bought and sold), net (bought less sold) and taken.

    A trade counts for its taker and for its maker: gross adds up to twice the volume, net to zero, taken to the volume.
    """
    names = [*dict.fromkeys(owner_group.values()), UNKNOWN]
    taker, maker = (_places(trades[side], owner_group, names) for side in ("taker", "maker"))
    size, bought = trades["size"], trades["size"] * trades["side"]
    taken, made = np.bincount(taker, size, len(names)), np.bincount(maker, size, len(names))
    net = np.bincount(taker, bought, len(names)) - np.bincount(maker, bought, len(names))
    by_group = pd.DataFrame({"gross": taken + made, "net": net, "taken": taken}, names).astype(np.int64)
    return by_group if by_group["gross"].iloc[-1] else by_group.iloc[:-1]


def etf_share(contracts: pd.DataFrame) -> float:
    """What ETF traders took, of all contracts (see `contracts_by_group`); NaN where none were traded."""
    taken = contracts["taken"]
    return float(taken.get("etfs", 0) / taken.sum()) if taken.sum() else np.nan


def _places(owners: pd.Series, owner_group: Mapping[int, str], names: list[str]) -> np.ndarray:
    """Place of every owner's group among the names, (n,); the last one if no table knows the owner."""
    place_of = np.array([names.index(group) for group in [*owner_group.values(), names[-1]]])
    return place_of[pd.Index(owner_group).get_indexer(owners)]
