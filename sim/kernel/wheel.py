"""A timing wheel: what is to happen, in order of time, at a cost that does not grow with how much is waiting.

What is due in the present turn stands in buckets, what is due later in a chain for its turn, dealt out into the buckets
when that begins: so the thousands of orders that expire some day are not in the way of the few timers of this second.
A bucket's nodes are an unsorted chain until they are moved, sorted, into the list `DUE`. Two nodes of one instant act
in the order in which they are in that list, which depends on nothing but the messages so far.
"""

from __future__ import annotations

from sim.kernel.jit import inline, kernel
from sim.kernel.world import (
    BUCKET_BITS,
    BUCKETS,
    CURSOR,
    DUE,
    FREE_NODE,
    KINDS,
    N_ID,
    N_NEXT,
    N_TIME,
    N_WHAT,
    NODE_TOP,
    TURN_BITS,
    TURNS,
)


@inline
def schedule(w, time, kind, ref, ident):
    """Let a node ring at `time` (not before the present bucket)."""
    node = w.clock[FREE_NODE]
    if node == 0:
        node = w.clock[NODE_TOP]
        w.clock[NODE_TOP] = node + 1
    else:
        w.clock[FREE_NODE] = w.nodes[node, N_NEXT]
    w.nodes[node, N_TIME] = time
    w.nodes[node, N_WHAT] = KINDS * ref + kind
    w.nodes[node, N_ID] = ident
    bucket = time >> BUCKET_BITS
    if bucket <= w.clock[CURSOR]:
        sort_in(w, node)
    elif bucket >> TURN_BITS == w.clock[CURSOR] >> TURN_BITS:
        chain_up(w, node, bucket & (BUCKETS - 1))
    else:
        chain_up(w, node, BUCKETS + ((bucket >> TURN_BITS) & (TURNS - 1)))


@inline
def chain_up(w, node, slot):
    """Put a node into a chain of the wheel."""
    w.nodes[node, N_NEXT] = w.wheel[slot]
    w.wheel[slot] = node


@inline
def sort_in(w, node):
    """Put a node into the list of those due, behind those of its own time."""
    time = w.nodes[node, N_TIME]
    before, after = 0, w.clock[DUE]
    while after != 0 and w.nodes[after, N_TIME] <= time:
        before, after = after, w.nodes[after, N_NEXT]
    w.nodes[node, N_NEXT] = after
    if before == 0:
        w.clock[DUE] = node
    else:
        w.nodes[before, N_NEXT] = node


@kernel
def turn(w, cursor):
    """Take the nodes of a bucket, the one after the last, out of its chain, sorted."""
    w.clock[CURSOR] = cursor
    if cursor & (BUCKETS - 1) == 0:
        deal_out(w, cursor >> TURN_BITS)
    slot = cursor & (BUCKETS - 1)
    node = w.wheel[slot]
    w.wheel[slot] = 0
    while node != 0:
        after = w.nodes[node, N_NEXT]
        sort_in(w, node)
        node = after


@inline
def deal_out(w, turn):
    """Put the nodes of a turn that begins into its buckets; those in its chain that are due 20 hours later stay."""
    slot = BUCKETS + (turn & (TURNS - 1))
    node = w.wheel[slot]
    w.wheel[slot] = 0
    while node != 0:
        after, bucket = w.nodes[node, N_NEXT], w.nodes[node, N_TIME] >> BUCKET_BITS
        chain_up(w, node, bucket & (BUCKETS - 1) if bucket >> TURN_BITS == turn else slot)
        node = after


@inline
def first(w, until):
    """The earliest node up to a time, or 0."""
    last = until >> BUCKET_BITS
    while w.clock[DUE] == 0 and w.clock[CURSOR] < last:
        cursor = w.clock[CURSOR] + 1
        # Most buckets are empty: only the others are worth a call.
        if w.wheel[cursor & (BUCKETS - 1)] == 0 and cursor & (BUCKETS - 1) != 0:
            w.clock[CURSOR] = cursor
        else:
            turn(w, cursor)
    node = w.clock[DUE]
    return node if node != 0 and w.nodes[node, N_TIME] <= until else 0


@inline
def release(w, node):
    """Take the first node off the list of those due."""
    w.clock[DUE] = w.nodes[node, N_NEXT]
    w.nodes[node, N_NEXT] = w.clock[FREE_NODE]
    w.clock[FREE_NODE] = node
