"""Standing programs: what the kernel carries out for an agent between two of its decisions.

A program's timer rings; it writes at most one message into row 0 of `pending` and sets its next timer; the loop carries
the message out and tells the program what became of it. Streams (LATENT, NOISE, META, CHILDREN, a LADDER's looks) have
candidates at the fixed rate RATE; flow accepts them when their mark is below pace / CAP, so worlds that differ in pace
share them.
"""

from __future__ import annotations

import numpy as np

from sim.kernel.codes import OP_IOC, OP_MARKET
from sim.kernel.draws import exponential, geometric_scale, uniform
from sim.kernel.jit import inline, kernel
from sim.kernel.ladder import key_of, level_at
from sim.kernel.state import ASK, BEST, BID, LANES, MID2, NO_KEY
from sim.kernel.wheel import schedule
from sim.kernel.world import (
    CAP,
    FREE_PROGRAM,
    GAP_NS,
    LADDER,
    LADDERS,
    NONE,
    NOW,
    ON_PROGRAM,
    P_BOOK,
    P_DECISION,
    P_ID,
    P_INDEX,
    P_KEY,
    P_KIND,
    P_NEXT,
    P_OWNER,
    PROGRAM_TOP,
    QUOTING,
    RATE,
    S_PACE,
    S_PACE_UNTIL,
    SECOND,
    SEEN_SIGMA2,
    SIZE,
    SIZE_SCALE,
    WRITTEN,
    X_BOOK,
    X_CAUSE,
    X_DECISION,
    X_OP,
    X_OWNER,
    X_PX,
    X_QTY,
    X_ROW,
    X_SIDE,
)

SHORTEST, LONGEST = 1e-3, 60.0
"""Seconds: bounds of a program's sleep."""
SLOWEST = 1e-8
"""A second: the rate of a stream that has none; a candidate in three years."""


@inline
def book_of(w, p):
    """The book of a program, unsigned as an index should be."""
    return np.uint32(w.programs[p, P_BOOK])


@inline
def best(b, book, side):
    """Best price of a side, or the last mid where it is empty."""
    key = b.books[book, np.uint32(BEST + side)]
    return b.books[book, MID2] >> 1 if key == NO_KEY else key_of(side, key)


@inline
def best_volume(b, book, side):
    key = b.books[book, np.uint32(BEST + side)]
    return 0 if key == NO_KEY else b.levels[level_at(b, book * LANES + side, key)].volume


@inline
def volume_at(b, book, side, price):
    """Contracts displayed at a price."""
    return b.levels[level_at(b, book * LANES + side, key_of(side, price))].volume


@inline
def write(b, w, p, op, side, price, qty, row, cause):
    """Write the program's message."""
    m = WRITTEN
    w.pending[m, X_OP] = op
    w.pending[m, X_BOOK] = w.programs[p, P_BOOK]
    w.pending[m, X_SIDE] = side
    w.pending[m, X_PX] = price
    w.pending[m, X_QTY] = qty
    w.pending[m, X_ROW] = row
    w.pending[m, X_OWNER] = w.programs[p, P_OWNER]
    w.pending[m, X_DECISION] = w.programs[p, P_DECISION]
    w.pending[m, X_CAUSE] = cause
    return True


@inline
def again(w, p, seconds):
    """Ring again after some seconds, within the bounds of a sleep."""
    delay = min(max(seconds, SHORTEST), LONGEST)
    schedule(w, w.clock[NOW] + int(delay * SECOND + 0.5), ON_PROGRAM, p, w.programs[p, P_ID])


@inline
def gap(key, index, mean_ns):
    """Nanoseconds between a candidate and the one before it."""
    return max(int(exponential(key, index, 0) * mean_ns), 1)


@inline
def next_candidate(w, p):
    """The next candidate of a stream; its index is the key of all its draws.

    Candidates that come before the pace changes and will be refused at the present one are passed over at once: they
    are a loop here instead of turns of the wheel.
    """
    key, cap, mean_ns = w.programs[p, P_KEY], w.params[p, CAP], w.params[p, GAP_NS]
    pace, until = w.stats[book_of(w, p), S_PACE], w.stats[book_of(w, p), S_PACE_UNTIL]
    index = w.programs[p, P_INDEX] + 1
    time = w.clock[NOW] + gap(key, index, mean_ns)
    while uniform(key, index, 1) * cap > pace and time < until:
        index += 1
        time += gap(key, index, mean_ns)
    w.programs[p, P_INDEX] = index
    schedule(w, time, ON_PROGRAM, p, w.programs[p, P_ID])


@inline
def mean_gap(rate):
    """Mean nanoseconds between the candidates of a stream."""
    return SECOND / max(rate, SLOWEST)


@kernel
def derive(w, p):
    """Set what follows from a program's parameters; each kind reads its own of it."""
    w.params[p, GAP_NS] = mean_gap(w.params[p, RATE])
    w.params[p, SIZE_SCALE] = geometric_scale(w.params[p, SIZE])
    w.params[p, SEEN_SIGMA2] = -1.0


@inline
def accepted(w, p, index):
    pace = w.stats[book_of(w, p), S_PACE]
    return uniform(w.programs[p, P_KEY], index, 1) * w.params[p, CAP] < pace


@inline
def affordable(b, w, p, index):
    """Takers are selective: the chance that one trades falls with the spread it would pay, as 1 / ticks."""
    book = book_of(w, p)
    spread = b.books[book, ASK] - b.books[book, BID]
    return spread <= 1 or uniform(w.programs[p, P_KEY], index, 5) * spread < 1.0


@inline
def take(b, w, p, side, qty, selective, cause):
    """Write a market order, or where it is selective one that takes no more than the best queue."""
    book = book_of(w, p)
    if not selective:
        return write(b, w, p, OP_MARKET, side, 0, qty, 0, cause)
    there = best_volume(b, book, 1 - side)
    return there > 0 and write(b, w, p, OP_IOC, side, best(b, book, 1 - side), min(qty, there), 0, cause)


@inline
def is_live(b, row, order):
    return row != 0 and b.orders[row].id == order


@inline
def join(w, p):
    """Let a ladder be among those of its book."""
    book = book_of(w, p)
    w.programs[p, P_NEXT] = w.alarms[book, LADDERS]
    w.alarms[book, LADDERS] = p


@inline
def leave(w, p):
    """Take a ladder from those of its book."""
    book, after = book_of(w, p), w.programs[p, P_NEXT]
    other = w.alarms[book, LADDERS]
    if other == p:
        w.alarms[book, LADDERS] = after
        return
    while w.programs[other, P_NEXT] != p:
        other = w.programs[other, P_NEXT]
    w.programs[other, P_NEXT] = after


@inline
def stop(w, p):
    """End a program; its place is free, its timer is stale."""
    if w.programs[p, P_KIND] == LADDER:
        leave(w, p)
    if w.clock[QUOTING] == p:
        w.clock[QUOTING] = 0
    w.programs[p, P_KIND] = NONE
    w.programs[p, P_ID] += 1
    w.programs[p, P_NEXT] = w.clock[FREE_PROGRAM]
    w.clock[FREE_PROGRAM] = p


@inline
def new_program(w):
    p = w.clock[FREE_PROGRAM]
    if p == 0:
        p = w.clock[PROGRAM_TOP]
        w.clock[PROGRAM_TOP] = p + 1
    else:
        w.clock[FREE_PROGRAM] = w.programs[p, P_NEXT]
    return p
