"""The kernel's state: plain arrays of integers, and the names of their columns.

Row 0 of `orders` and page 0 of `levels` mean "none", so that arrays of zeros are an empty market.

A *lane* is one price-ordered queue of orders: every book has four, its bids, its asks, its waiting buy stops and its
waiting sell stops. Inside a lane prices are *keys* that grow away from the best: the price itself where the lowest is
best (asks, buy stops), its mirror image where the highest is (bids, sell stops). One code path serves all four.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.kernel.jit import JIT

BIDS, ASKS, BUY_STOPS, SELL_STOPS = range(4)
LANES = 4

ORDER = np.dtype(
    [
        ("key", np.int32),
        ("qty", np.int32),
        ("owner", np.uint32),
        ("lane", np.int32),
        ("prev", np.uint32),
        ("next", np.uint32),
        ("id", np.int32),
        ("decision", np.int32),
    ]
)
"""A row of `orders`, half a cache line: most orders rest for long and are touched twice. `id` is unique among live
ones; a stale handle (row, id) is recognised by it. What serves as an index is unsigned, here and as `np.uint32` at
other places: numba need not ask then whether it counts from the end, and asking costs a few per cent of a run."""
LEVEL = np.dtype([("volume", np.int64), ("head", np.uint32), ("tail", np.uint32), ("count", np.int64)])
"""A row of `levels`: contracts, first and last order, orders."""
LIMIT, ARRIVAL = range(2)
"""Columns of `stops`: a waiting stop's limit price (0 = market) and its place in the order of arrival."""
PAGE_LEVELS, PAGE_NEXT = range(2)
"""Columns of `pages`: levels in use, next free page."""
BEST = 0
LAST, HALTED, BAND_LO, BAND_HI, BID, ASK, AUCTION, MOVED, MID2, STP = range(4, 14)
"""Columns of `books`. BEST to BEST + 3 are the best keys of the four lanes, BID and ASK the best prices last put on the
tape (0 = none), MOVED the message that changed them, MID2 their sum while both sides are there (the last one
otherwise)."""
(
    FREE_ORDER,
    ORDER_TOP,
    FREE_PAGE,
    PAGE_TOP,
    LIVE,
    STOPS,
    TRADES,
    QUOTES,
    EVENTS,
    MESSAGES,
    SEQ,
    RING,
    ROW,
    LOGGING,
    LEDGER,
) = range(15)
"""Entries of `counts`: free lists and high-water marks, live orders and waiting stops, rows on the tapes, accepted
messages, the last message's number, whether a watched owner had a fill, the row where the last entered order rests
(0 = nowhere), whether events are logged and a ledger is kept."""

TRADE = np.dtype(
    [
        ("time_ns", np.int64),
        ("book", np.int32),
        ("price_ticks", np.int32),
        ("size", np.int32),
        ("maker_id", np.int32),
        ("taker_id", np.int32),
        ("maker", np.int32),
        ("taker", np.int32),
        ("maker_decision", np.int32),
        ("taker_decision", np.int32),
        ("side", np.int32),
        ("seq", np.int32),
        ("cause", np.int32),
    ]
)
QUOTE = np.dtype(
    [
        ("time_ns", np.int64),
        ("book", np.int32),
        ("bid_ticks", np.int32),
        ("bid_size", np.int64),
        ("ask_ticks", np.int32),
        ("ask_size", np.int64),
        ("seq", np.int32),
        ("owner", np.int32),
        ("decision", np.int32),
        ("cause", np.int32),
    ],
    align=True,
)
"""Rows of the tape: trades, and changes of the best quotes. Sizes of quotes are sums over orders."""
E_TIME, E_TYPE, E_ORDER, E_SIZE, E_PRICE, E_DIRECTION = range(6)
"""Columns of the order events, which are LOBSTER's, and their types: 1 new limit order, 2 partial cancel, 3 deletion,
4 execution of a resting order."""
EVENT_NEW, EVENT_REDUCE, EVENT_DELETE, EVENT_FILL = 1, 2, 3, 4

MAX_PRICE = 2**31 - 1
MIRROR = 2**31
NO_KEY = 2**31
"""The best key of an empty lane."""
PAGE_BITS = 8
PAGE = 1 << PAGE_BITS
TREE_START = 1 << (31 - PAGE_BITS)
TREE_OFFSETS = (
    TREE_START,
    TREE_START + 2**18,
    TREE_START + 2**18 + 2**13,
    TREE_START + 2**18 + 2**13 + 2**8,
    TREE_START + 2**18 + 2**13 + 2**8 + 2**3,
)
TREE_WORDS = 2**18 + 2**13 + 2**8 + 2**3 + 1


POSITION, CASH, HIT, WATCH = range(4)
"""Last axis of `owners`: contracts held, ticks x contracts received, the last message that traded with an order of
theirs, whether a fill of theirs rings (1) and has rung (RUNG)."""
RUNG = 2


class Books(NamedTuple):
    """All books of a market: their orders, queues, tape and ledger (arrays, modified in place by the kernel).

    A struct of few arrays on purpose: every array costs seven machine words or more in every call that is not inlined.
    """

    table: np.ndarray
    """(lanes, 2**23 + tree): the page table of a lane, then its tree of mapped pages."""
    pages: np.ndarray
    levels: np.ndarray
    orders: np.ndarray
    stops: np.ndarray
    """(rows, 2): what only a waiting stop has, in its row of `orders`."""
    books: np.ndarray
    counts: np.ndarray
    trades: np.ndarray
    quotes: np.ndarray
    events: np.ndarray
    owners: np.ndarray
    """(owners + 1, books, 4): the ledger; owner 0 is nobody."""


def new_books(n_books: int, n_owners: int, *, orders: int = 1 << 14, pages: int = 1 << 6, tape: int = 1 << 16) -> Books:
    """Empty books; owners are 0 (nobody) to `n_owners`; the sizes are where the buffers start."""
    state = Books(
        table=np.zeros((n_books * LANES, TREE_START + TREE_WORDS), np.int64),
        pages=np.zeros((pages, 2), np.int64),
        levels=records(pages * PAGE, LEVEL),
        orders=records(orders, ORDER),
        stops=np.zeros((orders, 2), np.int64),
        books=np.zeros((n_books, 16), np.int64),
        counts=np.zeros(15, np.int64),
        trades=records(tape, TRADE),
        quotes=records(tape, QUOTE),
        events=np.zeros((tape, 6), np.int64),
        owners=np.zeros((n_owners + 1, n_books, 4), np.int64),
    )
    state.counts[[ORDER_TOP, PAGE_TOP]] = 1
    state.books[:, BEST : BEST + LANES] = NO_KEY
    state.books[:, BAND_HI] = np.iinfo(np.int64).max
    state.books[:, BAND_LO] = np.iinfo(np.int64).min
    return state


def records(rows: int, kind: np.dtype) -> np.ndarray:
    """Rows whose fields are attributes: numba's always are, and it finds the type of a plain array at once."""
    empty = np.zeros(rows, kind)
    return empty if JIT else empty.view(np.recarray)
