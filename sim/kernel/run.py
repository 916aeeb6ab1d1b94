"""The loop of the running market: the next thing due acts, its message is carried out, alarms are looked at."""

from __future__ import annotations

import math

import numpy as np

from sim.kernel.book import cancel, enter, modify, room
from sim.kernel.codes import FULL, OK, OP_CANCEL, OP_MODIFY, OP_POST
from sim.kernel.flow import attend, children, expire, latent, meta, noise
from sim.kernel.jit import inline, kernel
from sim.kernel.maker import call_makers, is_open, ladder, look, quote
from sim.kernel.programs import best_volume, book_of, derive, join, new_program, next_candidate, stop
from sim.kernel.schedules import after_touch, touch, work
from sim.kernel.state import (
    ASK,
    ASKS,
    AUCTION,
    BID,
    BIDS,
    MID2,
    RING,
    ROW,
    SEQ,
    TRADES,
)
from sim.kernel.wheel import first, node_room, release, schedule
from sim.kernel.world import (
    ABOVE,
    ATTENTION,
    BELOW,
    CHILDREN,
    FILL,
    KIND_BITS,
    LADDER,
    LADDERS,
    LATENT,
    LOOK,
    LOOKING,
    NOISE,
    NOW,
    ON_EXPIRY,
    ON_LOOK,
    ON_PROGRAM,
    ON_PULSE,
    P_CHILD,
    P_ID,
    P_IDLE,
    P_INDEX,
    P_KIND,
    P_LEFT,
    P_SLOTS,
    PRICE,
    PROGRAM_TOP,
    QUOTING,
    S_ACTIVITY_CAP,
    S_CLOSE,
    S_EWMA_A,
    S_EWMA_B,
    S_EWMA_C,
    S_FEEDBACK,
    S_FLOW_SIGMA2,
    S_LAST_MID2,
    S_NOTIONAL,
    S_ONE_TICK,
    S_OPEN,
    S_PACE,
    S_PACE_UNTIL,
    S_PULSES,
    S_SIGMA2,
    S_SPREAD,
    S_TRADES_SEEN,
    S_TWO_SIDED,
    S_U_BASE,
    S_U_RISE,
    S_VOLUME_RATE,
    SCHEDULE,
    SECOND,
    SENT,
    SINCE,
    SLOTS,
    TIME,
    TOUCH,
    WOKEN,
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
    X_STOP,
)

MEMORIES = (30.0, 300.0, 3600.0)
WEIGHTS = (0.4, 0.35, 0.25)
"""Memories (s) and weights of the activity that excites itself: quadratic Hawkes, Blanc-Donier-Bouchaud 2017."""
RETURN_S, WITHDRAW_S, VOLUME_S = 10, 120.0, 60.0
"""Seconds of the returns behind all volatilities; memories of the makers' volatility and of the volume rate."""


@inline
def world_room(w):
    return node_room(w) and w.clock[PROGRAM_TOP] + 4 <= w.programs.shape[0]


@inline
def integrate(b, w):
    """Let the books' time integrals take up what has stood since they last did: to be called before a book changes."""
    gone = w.clock[NOW] - w.clock[SINCE]
    if gone == 0:
        return
    w.clock[SINCE] = w.clock[NOW]
    for book in range(b.books.shape[0]):
        bid, ask = b.books[book, BID], b.books[book, ASK]
        if bid != 0 and ask != 0 and b.books[book, AUCTION] == 0:
            there = best_volume(b, book, BIDS) + best_volume(b, book, ASKS)
            w.stats[book, S_NOTIONAL] += gone * 0.25 * there * (bid + ask)
            w.stats[book, S_SPREAD] += gone * (ask - bid)
            w.stats[book, S_ONE_TICK] += gone if ask - bid == 1 else 0
            w.stats[book, S_TWO_SIDED] += gone


@inline
def remember(w, book, column, squared, memory):
    w.stats[book, column] += (squared - w.stats[book, column]) * (1.0 - math.exp(-RETURN_S / memory))


@kernel
def pulse(b, w, book):
    """Once a second: volume rate; every ten seconds: volatilities, activity and the pace of the flow."""
    s = w.stats
    volume = 0.0
    while s[book, S_TRADES_SEEN] < b.counts[TRADES]:
        n = int(s[book, S_TRADES_SEEN])
        volume += b.trades[n].size if b.trades[n].book == book else 0
        s[book, S_TRADES_SEEN] += 1
    s[book, S_VOLUME_RATE] += (volume - s[book, S_VOLUME_RATE]) / VOLUME_S
    s[book, S_PULSES] += 1
    phase = int(s[book, S_PULSES]) % RETURN_S
    s[book, S_PACE_UNTIL] = w.clock[NOW] + (RETURN_S - phase) * SECOND
    if phase == 0:
        move = 0.5 * (b.books[book, MID2] - s[book, S_LAST_MID2])
        s[book, S_LAST_MID2] = b.books[book, MID2]
        squared = move * move * (60.0 / RETURN_S)
        remember(w, book, S_EWMA_A, squared, MEMORIES[0])
        remember(w, book, S_EWMA_B, squared, MEMORIES[1])
        remember(w, book, S_EWMA_C, squared, MEMORIES[2])
        remember(w, book, S_SIGMA2, squared, WITHDRAW_S)
        s[book, S_PACE] = activity(s, book) * time_of_day(s, book, w.clock[NOW])
    schedule(w, w.clock[NOW] + SECOND, ON_PULSE, book, 0)


@inline
def activity(s, book):
    """Self-excited activity of the flow, one where volatility is the reference."""
    heat = WEIGHTS[0] * s[book, S_EWMA_A] + WEIGHTS[1] * s[book, S_EWMA_B] + WEIGHTS[2] * s[book, S_EWMA_C]
    share = s[book, S_FEEDBACK]
    return min(1.0 - share + share * heat / s[book, S_FLOW_SIGMA2], s[book, S_ACTIVITY_CAP])


@inline
def time_of_day(s, book, now):
    """The U-shape of volume over a session: base + rise |2x - 1|^3."""
    x = (now - s[book, S_OPEN]) / (s[book, S_CLOSE] - s[book, S_OPEN])
    return s[book, S_U_BASE] + s[book, S_U_RISE] * abs(2.0 * x - 1.0) ** 3


@inline
def carry_out(b, w, m):
    """Hand a message to its book; the answer's code."""
    op, book, now = w.pending[m, X_OP], np.uint32(w.pending[m, X_BOOK]), w.clock[NOW]
    owner, decision, cause = np.uint32(w.pending[m, X_OWNER]), w.pending[m, X_DECISION], w.pending[m, X_CAUSE]
    row, price, qty = np.uint32(w.pending[m, X_ROW]), w.pending[m, X_PX], w.pending[m, X_QTY]
    if op == OP_CANCEL:
        cancel(b, now, row, owner, decision, cause)
        return OK
    if op == OP_MODIFY:
        return modify(b, now, row, price, qty, decision, cause)
    order = b.counts[SEQ] + 1
    return enter(
        b, now, book, op, w.pending[m, X_SIDE], price, qty, w.pending[m, X_STOP], order, owner, decision, cause
    )


@inline
def step(b, w, p):
    """Let a program act; whether it has written a message."""
    kind = w.programs[p, P_KIND]
    if kind == SCHEDULE:
        return work(b, w, p)
    if kind == TOUCH:
        return touch(b, w, p)
    index = w.programs[p, P_INDEX]
    next_candidate(w, p)
    if kind == LATENT:
        return latent(b, w, p, index)
    if kind == NOISE:
        return noise(b, w, p, index)
    if kind == CHILDREN:
        return children(b, w, p, index)
    if kind == LADDER:
        ladder(b, w, p, index)
    elif kind == ATTENTION:
        attend(w, p, index)
    else:
        meta(b, w, p, index)
    return False


@inline
def after(b, w, p, code, traded):
    """Note what became of the program's message; `traded` contracts of it were executed at once."""
    kind, programs = w.programs[p, P_KIND], w.programs
    row = np.uint32(b.counts[ROW])
    if kind == LATENT:
        expire(b, w, p, programs[p, P_INDEX] - 1, code)
    elif kind == LADDER:
        if row != 0 and code == OK and w.pending[WRITTEN, X_OP] == OP_POST:
            side, place = w.pending[WRITTEN, X_SIDE], w.pending[WRITTEN, X_PX] & (SLOTS - 1)
            w.slots[programs[p, P_SLOTS], side, place, 0] = row
            w.slots[programs[p, P_SLOTS], side, place, 1] = b.orders[row].id
    elif kind == CHILDREN or kind == SCHEDULE:
        programs[p, P_LEFT] -= traded
        programs[p, P_CHILD] = max(programs[p, P_CHILD] - traded, 0)
        if programs[p, P_LEFT] <= 0:
            stop(w, p)
    elif kind == TOUCH:
        after_touch(b, w, p, row, traded)


@inline
def act(b, w, kind, ref, ident):
    """Let what was in a node of the wheel act; whether it has written a message."""
    if kind == ON_PROGRAM:
        if w.programs[ref, P_ID] != ident:
            return False
        return step(b, w, ref)
    if kind == ON_EXPIRY:
        if b.orders[ref].id != ident:
            return False
        w.pending[WRITTEN, X_OP] = OP_CANCEL
        w.pending[WRITTEN, X_ROW] = ref
        w.pending[WRITTEN, X_BOOK] = b.orders[ref].lane >> 2
        w.pending[WRITTEN, X_OWNER] = b.orders[ref].owner
        w.pending[WRITTEN, X_DECISION] = b.orders[ref].decision
        w.pending[WRITTEN, X_CAUSE] = 0
        return True
    if kind == ON_LOOK:
        book = book_of(w, ref)
        w.alarms[book, LOOKING] = 0
        return w.programs[ref, P_ID] == ident and is_open(b, book) and look(b, w, ref)
    pulse(b, w, ref)
    return False


@inline
def taken(b, start, message):
    """Contracts that a message took from the book; its trades are the first on the tape from `start` on."""
    size, n = 0, np.uint32(start)
    while n < b.counts[TRADES] and b.trades[n].seq == message:
        size += b.trades[n].size
        n += 1
    return size


@inline
def rung(b, w):
    """Whether an alarm of price or fill rings."""
    for book in range(b.books.shape[0]):
        mid2 = b.books[book, MID2]
        if mid2 <= w.alarms[book, BELOW] or mid2 >= w.alarms[book, ABOVE]:
            return PRICE
    if b.counts[RING] != 0:
        b.counts[RING] = 0
        return FILL
    return OK


@inline
def call_all_makers(b, w):
    """Where a spread has opened, let the first maker to look at it ring."""
    for book in range(b.books.shape[0]):
        if is_open(b, book) and w.alarms[book, LOOKING] == 0 and w.alarms[book, LADDERS] != 0:
            call_makers(w, book)


@kernel
def run(b, w, until):
    """Run the market up to a time; TIME, or earlier PRICE, FILL or LOOK (an alarm), or FULL (a buffer)."""
    while True:
        if not room(b) or not world_room(w):
            return FULL
        # Unsigned: numba need not ask whether an index counts from the end.
        kind, ref = ON_PROGRAM, np.uint32(w.clock[QUOTING])
        ident = w.programs[ref, P_ID]
        if ref != 0:
            has_written = quote(b, w, ref)
        else:
            call_all_makers(b, w)
            node = np.uint32(first(w, until))
            if node == 0:
                w.clock[NOW] = until
                integrate(b, w)
                return TIME
            kind, ref = w.nodes[node].what & (2**KIND_BITS - 1), np.uint32(w.nodes[node].what >> KIND_BITS)
            ident = w.nodes[node].ident
            w.clock[NOW] = w.nodes[node].time
            release(w, node)
            has_written = act(b, w, kind, ref, ident)
        if not has_written:
            if w.clock[WOKEN] != 0:
                return LOOK
            continue
        integrate(b, w)
        message, start = b.counts[SEQ] + 1, b.counts[TRADES]
        code = carry_out(b, w, WRITTEN)
        if kind != ON_EXPIRY and w.programs[ref, P_ID] == ident:
            after(b, w, ref, code, taken(b, start, message))
        alarm = rung(b, w)
        if alarm != OK:
            return alarm


@kernel
def deliver(b, w):
    """Carry out the message that Python has written, at once; the answer's code, or FULL."""
    if not room(b):
        return FULL
    integrate(b, w)
    return carry_out(b, w, SENT)


@kernel
def launch(w, old, ident):
    """Start the program that Python has written into row 0, and empty that; its row, or 0 where a buffer is full.

    The program `old` with its `ident` ends for it, where that still goes on.
    """
    if not world_room(w):
        return 0
    end_program(w, old, ident)
    p = new_program(w)
    new = w.programs[p, P_ID]
    for column in range(w.programs.shape[1]):
        w.programs[p, column], w.programs[0, column] = w.programs[0, column], 0
    for column in range(w.params.shape[1]):
        w.params[p, column], w.params[0, column] = w.params[0, column], 0.0
    w.programs[p, P_ID] = new
    derive(w, p)
    set_off(w, p)
    return p


@inline
def set_off(w, p):
    """Set a program's first timer: streams wait for their first candidate, the others begin at once."""
    if w.programs[p, P_KIND] == SCHEDULE or w.programs[p, P_KIND] == TOUCH:
        w.programs[p, P_IDLE] = 1
        schedule(w, w.clock[NOW], ON_PROGRAM, p, w.programs[p, P_ID])
    else:
        if w.programs[p, P_KIND] == LADDER:
            join(w, p)
        next_candidate(w, p)


@kernel
def end_program(w, p, ident):
    """End a program, where it still goes on."""
    if w.programs[p, P_ID] == ident:
        stop(w, p)
