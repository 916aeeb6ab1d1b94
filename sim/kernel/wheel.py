"""A timing wheel: what is to happen, in order of time, at a cost that does not grow with how much is waiting.

What is due in the present turn stands in buckets, a chain of nodes each; what is due later in blocks for its turn, to
be dealt out into the buckets when that begins: so the thousands of orders that expire some day are not in the way of
the few timers of this second, and are read one behind the other. A bucket's chain is unsorted until it is moved,
sorted, into the list `DUE`. Two nodes of one instant act in the order in which they are in that list, which depends on
nothing but the messages so far.
"""

from __future__ import annotations

import numpy as np

from sim.kernel.jit import inline, kernel
from sim.kernel.world import (
    BLOCK,
    BUCKET_BITS,
    BUCKETS,
    CURSOR,
    DUE,
    FREE_BLOCK,
    FREE_NODE,
    KIND_BITS,
    LATER,
    NODE_TOP,
    SPARE,
    TURN_BITS,
    TURNS,
)


@inline
def node_room(w):
    """Whether a step of the market finds room, and all that waits for a later turn when it is dealt out."""
    return w.clock[NODE_TOP] + w.clock[LATER] + SPARE <= w.nodes.shape[0]


@inline
def schedule(w, time, kind, ref, ident):
    """Let a node ring at `time` (not before the present bucket)."""
    enlist(w, time, (ref << KIND_BITS) | kind, ident)


@inline
def enlist(w, time, what, ident):
    bucket, cursor = time >> BUCKET_BITS, w.clock[CURSOR]
    if bucket >> TURN_BITS > cursor >> TURN_BITS:
        put_off(w, time, what, ident)
        return
    node = np.uint32(w.clock[FREE_NODE])
    if node == 0:
        node = np.uint32(w.clock[NODE_TOP])
        w.clock[NODE_TOP] = node + 1
    else:
        w.clock[FREE_NODE] = w.nodes[node].next
    write_node(w, node, time, what, ident)
    if bucket <= cursor:
        sort_in(w, node)
    else:
        chain_up(w, node, bucket & (BUCKETS - 1))


@inline
def write_node(w, node, time, what, ident):
    w.nodes[node].time = time
    w.nodes[node].what = what
    w.nodes[node].ident = ident


@inline
def put_off(w, time, what, ident):
    """Write what is due in a later turn into the last block of that turn."""
    slot = BUCKETS + ((time >> (BUCKET_BITS + TURN_BITS)) & (TURNS - 1))
    block = w.wheel[slot]
    if block == 0 or w.nodes[block].ident == BLOCK - 1:
        block = new_block(w, block)
        w.wheel[slot] = block
    count = w.nodes[block].ident + 1
    w.nodes[block].ident = count
    write_node(w, np.uint32(block + count), time, what, ident)
    w.clock[LATER] += 1


@inline
def new_block(w, after):
    """An empty block, in front of another one of its turn."""
    block = np.uint32(w.clock[FREE_BLOCK])
    if block == 0:
        block = np.uint32(w.clock[NODE_TOP])
        w.clock[NODE_TOP] = block + BLOCK
    else:
        w.clock[FREE_BLOCK] = w.nodes[block].next
    w.nodes[block].next = after
    w.nodes[block].ident = 0
    return block


@inline
def chain_up(w, node, slot):
    """Put a node into a chain of the wheel."""
    w.nodes[node].next = w.wheel[slot]
    w.wheel[slot] = node


@inline
def sort_in(w, node):
    """Put a node into the list of those due, behind those of its own time."""
    time = w.nodes[node].time
    before, after = np.uint32(0), np.uint32(w.clock[DUE])
    while after != 0 and w.nodes[after].time <= time:
        before, after = after, w.nodes[after].next
    w.nodes[node].next = after
    if before == 0:
        w.clock[DUE] = node
    else:
        w.nodes[before].next = node


@inline
def turn(w, cursor):
    """Take the nodes of a bucket, the one after the last, out of its chain, sorted."""
    w.clock[CURSOR] = cursor
    if cursor & (BUCKETS - 1) == 0:
        deal_out(w, cursor >> TURN_BITS)
    slot = cursor & (BUCKETS - 1)
    node = w.wheel[slot]
    w.wheel[slot] = 0
    while node != 0:
        after = w.nodes[node].next
        sort_in(w, node)
        node = after


@kernel
def deal_out(w, turn):
    """Put what is due in a turn that begins into its buckets; what is due 20 hours later in a block of that turn."""
    slot = BUCKETS + (turn & (TURNS - 1))
    block = w.wheel[slot]
    w.wheel[slot] = 0
    while block != 0:
        after, count = w.nodes[block].next, w.nodes[block].ident
        w.clock[LATER] -= count
        for place in range(count):
            row = np.uint32(block + 1 + place)
            enlist(w, w.nodes[row].time, w.nodes[row].what, w.nodes[row].ident)
        w.nodes[block].next = w.clock[FREE_BLOCK]
        w.clock[FREE_BLOCK] = block
        block = after


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
    node = np.uint32(w.clock[DUE])
    return node if node != 0 and w.nodes[node].time <= until else 0


@inline
def release(w, node):
    """Take the first node off the list of those due."""
    w.clock[DUE] = w.nodes[node].next
    w.nodes[node].next = w.clock[FREE_NODE]
    w.clock[FREE_NODE] = node
