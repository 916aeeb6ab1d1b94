"""The benchmark's stream of messages: adds, cancels and market orders around a book of steady size."""

from __future__ import annotations

import math

from sim.kernel.book import cancel, enter, room
from sim.kernel.codes import OP_CANCEL, OP_LIMIT, OP_MARKET
from sim.kernel.draws import hashed, mix, uniform
from sim.kernel.jit import inline, kernel, silent
from sim.kernel.ladder import key_of
from sim.kernel.replay import M_ID, M_OP, M_PX, M_QTY, M_SIDE, live_row
from sim.kernel.state import BEST, LIVE, NO_KEY, ROW

STANDING = 2400
"""Orders resting at the start; above it cancels are a little more frequent than below."""
MIDDLE = 100_000
MARKETS, FEW_CANCELS, MANY_CANCELS = 0.10, 0.38, 0.40
DISTANCE_P = 0.02
LARGEST = 10
LOW_32 = 0xFFFFFFFF


@inline
def distance(key, i):
    """Geometric on 1, 2, ...: ticks from the opposite best."""
    return 1 + int(math.log(1.0 - uniform(key, i, 3)) / math.log(1.0 - DISTANCE_P))


@inline
def opposite(b, side):
    """Best price of the other side, one tick beyond the middle where it is empty."""
    key = b.books[0, BEST + 1 - side]
    return MIDDLE + 1 - 2 * side if key == NO_KEY else key_of(1 - side, key)


@silent
@inline
def pick(b, row_of, live, n, draw):
    """Place in `live` of a random live order, and the list's length once those found to be gone have left it."""
    place = ((draw & LOW_32) * n) >> 32
    while live_row(b, row_of, live[place]) == 0:
        n -= 1
        live[place] = live[n]
        draw = mix(draw)
        place = ((draw & LOW_32) * n) >> 32
    return place, n


@inline
def write_message(m, op, order, side, price, size):
    m[M_OP], m[M_ID], m[M_SIDE], m[M_PX], m[M_QTY] = op, order, side, price, size


@kernel
def write_stream(b, messages, row_of, live, key):
    """Write a stream of messages that keeps about `STANDING` orders alive in the empty book `b`.

    Parameters
    ----------
    messages : (n, 8)
        Filled. The first `STANDING` of them are adds, the ids are the positions of the adds.
    row_of, live : (n,)
        Scratch: rows by id, and ids of the orders that may be alive.
    key : int
        The stream's key.

    Returns
    -------
    int
        Messages written; short of n where a buffer of the book is full.
    """
    n = 0
    for i in range(messages.shape[0]):
        if not room(b):
            return i
        m = messages[i]
        side, kind = hashed(key, i, 0) & 1, uniform(key, i, 1)
        size = 1 + int(uniform(key, i, 2) * LARGEST)
        cancels = MANY_CANCELS if b.counts[LIVE] > STANDING else FEW_CANCELS
        if i < STANDING or kind >= MARKETS + cancels:
            price = opposite(b, side) - (1 - 2 * side) * distance(key, i)
            write_message(m, OP_LIMIT, i, side, price, size)
            enter(b, i, 0, OP_LIMIT, side, price, size, 0, i, 0, 0, 0)
            row_of[i], live[n] = b.counts[ROW], i
            n += 1
        elif kind < MARKETS:
            write_message(m, OP_MARKET, i, side, 0, size)
            enter(b, i, 0, OP_MARKET, side, 0, size, 0, i, 0, 0, 0)
        else:
            place, n = pick(b, row_of, live, n, hashed(key, i, 4))
            write_message(m, OP_CANCEL, live[place], 0, 0, 0)
            cancel(b, i, row_of[live[place]], 0, 0, 0)
            n -= 1
            live[place] = live[n]
    return messages.shape[0]
