"""Execution schedules: a parent order worked over time, within a share of the volume, or at the touch."""

from __future__ import annotations

import math

from sim.kernel.codes import OP_CANCEL, OP_LIMIT, OP_MODIFY
from sim.kernel.draws import exponential, geometric
from sim.kernel.jit import inline
from sim.kernel.ladder import key_of
from sim.kernel.programs import LONGEST, affordable, again, best, book_of, is_live, stop, take, write
from sim.kernel.state import MOVED, TRADES
from sim.kernel.world import (
    NOW,
    P_CHILD,
    P_END,
    P_IDLE,
    P_INDEX,
    P_KEY,
    P_LEFT,
    P_LIMIT,
    P_ORDER,
    P_ROW,
    P_SEEN,
    P_SIDE,
    POV,
    RATE,
    S_VOLUME_RATE,
    SECOND,
    SIZE_SCALE,
    WRITTEN,
    X_OP,
)

LATE_S = 5.0
"""A schedule that is late trades what is left within some multiple of so many seconds, never all at once."""


@inline
def pace_of(w, p):
    """Contracts a second at which a schedule should trade now: evenly to its end, within its share of the volume."""
    left, end = w.programs[p, P_LEFT], w.programs[p, P_END]
    pace = math.inf
    if end != 0:
        pace = left / max((end - w.clock[NOW]) / SECOND, LATE_S)
    if w.params[p, POV] > 0.0:
        pace = min(pace, w.params[p, POV] * w.stats[book_of(w, p), S_VOLUME_RATE])
    return pace


@inline
def work(b, w, p):
    """One child of an execution schedule; a child keeps its size until it is executed.

    It waits before each child, the first one too. A wait longer than a sleep is slept in pieces (waits are exponential,
    so each piece is a new draw). A child is selective: it takes no more than the best queue and shuns a wide spread.
    """
    programs, key = w.programs, w.programs[p, P_KEY]
    programs[p, P_INDEX] += 1
    index, side = programs[p, P_INDEX], programs[p, P_SIDE]
    if programs[p, P_CHILD] == 0:
        programs[p, P_CHILD] = min(geometric(key, index, 1, w.params[p, SIZE_SCALE]), programs[p, P_LEFT])
    wait = exponential(key, index, 0) * programs[p, P_CHILD] / max(pace_of(w, p), 1e-6)
    again(w, p, wait)
    idle, programs[p, P_IDLE] = programs[p, P_IDLE], 1 if wait > LONGEST else 0
    limit, price = programs[p, P_LIMIT], best(b, book_of(w, p), 1 - side)
    too_far = limit != 0 and (price > limit if side == 0 else price < limit)
    if idle != 0 or too_far or not affordable(b, w, p, index):
        return False
    return take(b, w, p, side, programs[p, P_CHILD], True, 0)


@inline
def count_fills(b, w, p):
    """Take off what a touch program's resting child has traded since the last look: O(trades since then).

    Its size alone does not tell: self-trade prevention may have taken it out of the book.
    """
    programs = w.programs
    if programs[p, P_ROW] == 0:
        return
    order = programs[p, P_ORDER]
    for n in range(programs[p, P_SEEN], b.counts[TRADES]):
        if b.trades[n].maker_id == order or b.trades[n].taker_id == order:
            programs[p, P_LEFT] -= b.trades[n].size
    programs[p, P_SEEN] = b.counts[TRADES]


@inline
def touch(b, w, p):
    """Keep a child at the best price of its own side, following it; out of patience, cross the spread."""
    programs = w.programs
    count_fills(b, w, p)
    if programs[p, P_LEFT] <= 0:
        stop(w, p)
        return False
    programs[p, P_INDEX] += 1
    again(w, p, exponential(programs[p, P_KEY], programs[p, P_INDEX], 0) / w.params[p, RATE])
    book, side, row = book_of(w, p), programs[p, P_SIDE], programs[p, P_ROW]
    live = is_live(b, row, programs[p, P_ORDER])
    if programs[p, P_END] != 0 and w.clock[NOW] >= programs[p, P_END]:
        if live:
            return write(b, w, p, OP_CANCEL, side, 0, 0, row, b.books[book, MOVED])
        return take(b, w, p, side, programs[p, P_LEFT], True, 0)
    price = best(b, book, side)
    if not live:
        child = geometric(programs[p, P_KEY], programs[p, P_INDEX], 1, w.params[p, SIZE_SCALE])
        return write(b, w, p, OP_LIMIT, side, price, min(child, programs[p, P_LEFT]), 0, 0)
    if key_of(b.orders[row].lane, b.orders[row].key) == price:
        return False
    return write(b, w, p, OP_MODIFY, side, price, b.orders[row].qty, row, b.books[book, MOVED])


@inline
def after_touch(b, w, p, row, traded):
    """Remember the child that a touch program has just posted, or forget the one it has cancelled."""
    programs, op = w.programs, w.pending[WRITTEN, X_OP]
    if op == OP_MODIFY:
        return
    programs[p, P_LEFT] -= traded
    programs[p, P_SEEN] = b.counts[TRADES]
    programs[p, P_ROW] = row if op == OP_LIMIT else 0
    programs[p, P_ORDER] = b.orders[row].id if op == OP_LIMIT and row != 0 else -1
