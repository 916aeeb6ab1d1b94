"""State of the running market beside its books: clock, timing wheel, standing programs, market statistics."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.kernel.state import records

SECOND = 1_000_000_000
"""In nanoseconds."""

NOW, SINCE, CURSOR, DUE, FREE_NODE, NODE_TOP = range(6)
FREE_PROGRAM, PROGRAM_TOP, QUOTING, WOKEN, FREE_BLOCK, LATER = range(6, 12)
"""Entries of `clock`: time, time up to which the integrals are done, bucket of the wheel, first node due in it, free
lists, the ladder in the midst of a look, the owner whose attention is caught (0 = none), how much waits for a later
turn of the wheel."""

NODE = np.dtype([("time", np.int64), ("what", np.uint32), ("ident", np.int32), ("next", np.uint32)], align=True)
"""A row of `nodes`, the entries of the timing wheel: `what` rings is a row of programs or orders, times 2**KIND_BITS,
plus how; `ident` is what that row holds as long as it is still the one meant."""
KIND_BITS = 2
BLOCK = 16
"""Rows of `nodes` that make a block: the first has the turn's `next` block and, as `ident`, how many are in use."""
SPARE = 8 * BLOCK
"""Rows of `nodes` that are kept free: more than what one step of the market can schedule, a block for each."""
ON_PROGRAM, ON_EXPIRY, ON_PULSE, ON_LOOK = range(4)

BUCKET_BITS = 23
TURN_BITS = 11
BUCKETS, TURNS = 1 << TURN_BITS, 1 << 12
"""The wheel: a turn of 2,048 buckets of 8 ms (about one node due in each), and 4,096 turns of 17 s; 20 hours."""

(
    P_KIND,
    P_OWNER,
    P_BOOK,
    P_DECISION,
    P_KEY,
    P_INDEX,
    P_ID,
    P_SIDE,
    P_LEFT,
    P_CHILD,
    P_END,
    P_LIMIT,
    P_ROW,
    P_ORDER,
    P_SEEN,
    P_SLOTS,
    P_NEXT,
    P_IDLE,
    P_LOOK,
    P_LOOK_AT,
    P_BASE,
    P_PLACE,
) = range(22)
"""Columns of `programs`, in whose row 0 Python writes what a new one is to be. P_ID recognises a stale timer; P_ROW,
P_ORDER are a resting child order, P_SEEN is the number of trades when its owner last looked at it; P_NEXT is the next
free program, or the next ladder of the book; a schedule with P_IDLE only waits anew when its timer rings; P_LOOK,
P_LOOK_AT are key and time of a ladder's next look at the spread; P_BASE, P_PLACE are the best price of P_SIDE at which
its present look began, and how many ticks behind it the look has come."""

NONE, LATENT, NOISE, META, CHILDREN, SCHEDULE, TOUCH, LADDER, ATTENTION = range(9)
"""Kinds of programs."""

RATE, CAP = 0, 1
"""Columns of `params` for streams: candidates a second, and the pace at which every candidate is accepted."""
REACH, SIZE, LIFE = 2, 3, 4
"""LATENT: ticks from the opposite best, mean order size, mean life in seconds."""
SELECTIVE = 4
"""NOISE, META, CHILDREN: share of orders that take no more than the best queue. (SIZE: mean order size.)"""
Q_LOW, Q_HIGH, ALPHA, PART_LOW, PART_HIGH, FLOW = 5, 6, 7, 8, 9, 10
"""META: range and tail exponent of metaorder sizes, range of participation, contracts a second it is a share of."""
CHANCE, CALM_SIGMA, POWER = 2, 3, 4
"""ATTENTION: chance that a look wakes the owner where volatility is CALM_SIGMA (ticks a square-root minute), and the
power of volatility with which it grows."""
POV = 5
"""SCHEDULE: largest share of the market's volume (0 = no bound). (SIZE: mean child.) TOUCH: RATE, SIZE."""
TARGET, SHAPE, SHAPE_MAX, DEPTH, SKEW, MAX_INVENTORY, MEMORY, BETA, SIGMA_REF, H_LOW, H_HIGH, LOOKS, TILT = range(2, 15)
DISPLAYED, REFILL = 15, 16
"""LADDER: its most contracts at the best price, growth of a level per tick from it, the tick beyond which it stops
growing, levels, inventory skew and its scale, memory of inventory in seconds, withdrawal: exponent, reference
volatility in ticks a square-root minute, bounds; looks at an open spread a second, tilt of its fill by inventory;
contracts that all together should display at the best price, share of what is missing that comes back at a look.
(RATE: looks a second at a side of the ladder.)"""
FAST, SEEN_POSITION, SEEN_AT, SHOWN, SEEN_SIGMA2, OWN_NOW, ALL_NOW = range(17, 24)
"""LADDER state: inventory with a memory, the position and time it was last brought up to date; the share of its depth
that it shows, and the variance it has computed that from; TARGET and DISPLAYED as they are at the present look."""
GAP_NS, SIZE_SCALE = 24, 25
"""Derived: a stream's mean gap, and SIZE as the scale of a geometric draw."""
N_PARAMS = 26
SLOTS = 16

(
    S_PACE,
    S_SIGMA2,
    S_EWMA_A,
    S_EWMA_B,
    S_EWMA_C,
    S_VOLUME_RATE,
    S_LAST_MID2,
    S_PULSES,
    S_SPREAD,
    S_ONE_TICK,
    S_TWO_SIDED,
    S_OPEN,
    S_CLOSE,
    S_FEEDBACK,
    S_ACTIVITY_CAP,
    S_FLOW_SIGMA2,
    S_U_BASE,
    S_U_RISE,
    S_TRADES_SEEN,
    S_NOTIONAL,
    S_PACE_UNTIL,
    S_FROZEN_SIGMA2,
) = range(22)
"""Columns of `stats`, one row a book: flow's pace (time of day x activity), variance a minute in ticks^2, its three
memories, contracts a second, time integrals (ns) of spread, one-tick spread, two-sidedness and what the contracts at
the best quotes are worth; the time before which the pace does not change; the variance that owners see instead of the
second memory's, below 0 where they see that."""

BELOW, ABOVE, LADDERS, LOOKING = range(4)
"""Columns of `alarms`: the nearest price alarms, in half ticks of the mid; the book's first ladder, and whether one of
them is about to look at an open spread."""

X_OP, X_BOOK, X_SIDE, X_PX, X_QTY, X_STOP, X_ROW, X_OWNER, X_DECISION, X_CAUSE = range(10)
"""Columns of a message in `pending`."""
WRITTEN, SENT = 0, 1
"""Rows of `pending`: the message that a program has just written, the one that Python has."""

TIME, PRICE, FILL, LOOK = 1, 2, 3, 4
"""Why the kernel gives control back, beside FULL."""


class World(NamedTuple):
    """Clock, wheel, programs and statistics (arrays, modified in place by the kernel)."""

    clock: np.ndarray
    wheel: np.ndarray
    nodes: np.ndarray
    programs: np.ndarray
    params: np.ndarray
    slots: np.ndarray
    """(ladders, 2, 16, 2): row and id of a maker's order at each price, by price modulo 16."""
    stats: np.ndarray
    alarms: np.ndarray
    pending: np.ndarray


def new_world(n_books: int, *, ladders: int, programs: int = 1 << 10, nodes: int = 1 << 14) -> World:
    """A world at time 0 in which nothing is scheduled; the sizes are where the buffers start."""
    world = World(
        clock=np.zeros(12, np.int64),
        wheel=np.zeros(BUCKETS + TURNS, np.uint32),
        nodes=records(nodes, NODE),
        programs=np.zeros((programs, 22), np.int64),
        params=np.zeros((programs, N_PARAMS)),
        slots=np.zeros((ladders + 1, 2, SLOTS, 2), np.int64),
        stats=np.zeros((n_books, 22)),
        alarms=np.zeros((n_books, 4), np.int64),
        pending=np.zeros((2, 10), np.int64),
    )
    world.clock[[NODE_TOP, PROGRAM_TOP]] = 1
    world.stats[:, S_FROZEN_SIGMA2] = -1.0
    world.alarms[:, BELOW], world.alarms[:, ABOVE] = -1, np.iinfo(np.int64).max
    return world
