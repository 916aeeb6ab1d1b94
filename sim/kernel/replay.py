"""A prepared stream of messages through one book: replay, tests and the benchmark use it."""

from __future__ import annotations

from sim.kernel.book import cancel, enter, execute, modify, room
from sim.kernel.codes import (
    BAD_OP,
    LIVE_ID,
    NOT_LIVE,
    OK,
    OP_BAND,
    OP_CANCEL,
    OP_EXECUTE,
    OP_HALT,
    OP_MODIFY,
    OP_RESUME,
    OP_STOPLIMIT,
    UNKNOWN_ID,
)
from sim.kernel.jit import inline, kernel
from sim.kernel.state import BAND_HI, BAND_LO, HALTED, ROW

M_OP, M_ID, M_SIDE, M_PX, M_QTY, M_OWNER, M_STOP = range(7)
"""Columns of a message; ids and owners are dense, owner 0 is nobody."""


@inline
def live_row(b, row_of, order):
    """Row of a live order or waiting stop, or 0."""
    row = row_of[order]
    return row if row != 0 and b.orders[row].id == order else 0


@inline
def apply(b, row_of, now, m):
    """Carry out one message; OK or the reason of its refusal."""
    op, order = m[M_OP], m[M_ID]
    if op == OP_HALT or op == OP_RESUME:
        b.books[0, HALTED] = 1 if op == OP_HALT else 0
        return OK
    if op == OP_BAND:
        b.books[0, BAND_LO], b.books[0, BAND_HI] = m[M_PX], m[M_QTY]
        return OK
    row = live_row(b, row_of, order)
    if 0 <= op <= OP_STOPLIMIT:
        if row != 0:
            return LIVE_ID
        code = enter(b, now, 0, op, m[M_SIDE], m[M_PX], m[M_QTY], m[M_STOP], order, m[M_OWNER], 0, 0)
        return code
    if op == OP_EXECUTE:
        return NOT_LIVE if row == 0 else execute(b, now, row, m[M_QTY])
    if row == 0:
        return UNKNOWN_ID
    if op == OP_CANCEL:
        cancel(b, now, row, 0, 0, 0)
        return OK
    return modify(b, now, row, m[M_PX], m[M_QTY], 0, 0) if op == OP_MODIFY else BAD_OP


@kernel
def replay(b, messages, row_of, codes, start):
    """Carry out messages from `start` on; the position after the last one done (short of the end: a buffer is full)."""
    for i in range(start, messages.shape[0]):
        if not room(b):
            return i
        m = messages[i]
        codes[i] = apply(b, row_of, i, m)
        if codes[i] == OK and m[M_OP] <= OP_STOPLIMIT:
            row_of[m[M_ID]] = b.counts[ROW]
    return messages.shape[0]
