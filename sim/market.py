"""The market: buffers, clock, alarms and ledger around the compiled kernel. The only caller of the kernel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.kernel.ladder import key_of, level_at, next_key
from sim.kernel.replay import M_OWNER, replay
from sim.kernel.state import (
    ASKS,
    BEST,
    BIDS,
    EVENTS,
    HEAD,
    ID,
    LANES,
    LIVE,
    NEXT,
    NO_KEY,
    ORDER_TOP,
    PAGE,
    PAGE_TOP,
    QTY,
    QUOTES,
    STOPS,
    STP,
    T_MAKER_ID,
    T_PRICE,
    T_SIZE,
    T_TAKER_ID,
    TRADE_TAPE,
    TRADES,
    Books,
    new_books,
)


def grown(b: Books) -> Books:
    """The books with buffers in which at least one more message fits. Amortised O(1) a message."""
    counts, spare = b.counts, 4 * int(b.counts[LIVE] + b.counts[STOPS]) + 64
    pages = int(counts[PAGE_TOP] + counts[STOPS]) + 64
    return b._replace(
        tape=_longer(b.tape, 1, int(counts[[TRADES, QUOTES, EVENTS]].max()) + spare),
        orders=_longer(b.orders, 0, int(counts[ORDER_TOP]) + 64),
        pages=_longer(b.pages, 0, pages),
        levels=_longer(b.levels, 0, pages * PAGE),
    )


def _longer(array: np.ndarray, axis: int, need: int) -> np.ndarray:
    """The same array, or a copy of at least twice its length where an axis has fewer than `need` rows."""
    if need <= array.shape[axis]:
        return array
    more = [(0, max(array.shape[axis], need) if k == axis else 0) for k in range(array.ndim)]
    return np.pad(array, more)


def resting(b: Books, book: int) -> list[tuple[int, int, int, int]]:
    """All resting orders as (side, price, id, open), bids before asks, best first, in queue order."""
    return [entry for side in (BIDS, ASKS) for entry in _lane(b, book * LANES + side)]


def _lane(b: Books, lane: int) -> Iterator[tuple[int, int, int, int]]:
    key = int(b.books[lane // LANES, BEST + lane % LANES])
    while key != NO_KEY:
        row = int(b.levels[level_at(b, lane, key), HEAD])
        while row:
            yield lane % LANES, int(key_of(lane, key)), int(b.orders[row, ID]), int(b.orders[row, QTY])
            row = int(b.orders[row, NEXT])
        key = int(next_key(b, lane, key + 1)) if key + 1 < NO_KEY else NO_KEY


def replay_array(
    messages: np.ndarray, n_ids: int, n_owners: int, stp: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Carry out a prepared stream of messages in one fresh book.

    Parameters
    ----------
    messages : int64 array (n, 8)
        Operation, dense id, side, price, size, dense owner (-1 = nobody), stop price, unused.
    n_ids, n_owners : int
        How many dense ids and owners there are.
    stp : int
        Self-trade prevention, a code of `sim.kernel.codes`.

    Returns
    -------
    trades : int64 array (m, 4)
        Maker id, taker id, price, size.
    codes : int64 array (n,)
        0 for an accepted message, else the reason of its refusal.
    resting : int64 array (k, 4)
        Side, price, id and open size of what rests at the end, best first, in queue order, bids before asks.
    """
    b = new_books(1, n_owners)
    b.books[0, STP] = stp
    messages = np.array(messages, np.int64).reshape(-1, 8)
    messages[:, M_OWNER] += 1
    codes, row_of = np.zeros(len(messages), np.int64), np.zeros(n_ids + 1, np.int64)
    done = replay(b, messages, row_of, codes, 0)
    while done < len(messages):
        b = grown(b)
        done = replay(b, messages, row_of, codes, done)
    trades = b.tape[TRADE_TAPE, : b.counts[TRADES]][:, [T_MAKER_ID, T_TAKER_ID, T_PRICE, T_SIZE]]
    return trades, codes, np.array(resting(b, 0), np.int64).reshape(-1, 4)
