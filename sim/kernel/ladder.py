"""Price levels of a lane: FIFO queues in pages of 256 levels, found through a page table.

Prices are 31-bit integers, so a page table of 2**23 entries reaches all of them; its memory is touched only where
there are orders. The next level behind the best is found by a linear scan inside a page (a dense book) and by a
32-ary tree of mapped pages beyond it (a sparse one). A page that empties is given back.
"""

from __future__ import annotations

import math

import numpy as np

from sim.kernel.jit import inline, kernel
from sim.kernel.state import (
    ASKS,
    BEST,
    BUY_STOPS,
    FREE_PAGE,
    MIRROR,
    NO_KEY,
    PAGE,
    PAGE_BITS,
    PAGE_LEVELS,
    PAGE_NEXT,
    PAGE_TOP,
    TREE_OFFSETS,
)


@inline
def key_of(lane, price):
    """Key of a price in a lane, and price of a key: the map is its own inverse."""
    side, price = lane & 3, np.int64(price)
    return price if side == ASKS or side == BUY_STOPS else MIRROR - price


@inline
def level_at(b, lane, key):
    """Row of `levels` for a key; a row of the empty page 0 where the page is not mapped."""
    lane, page = np.uint32(lane), np.uint32(key) >> PAGE_BITS
    return np.uint32((b.table[lane, page] << PAGE_BITS) | (key & (PAGE - 1)))


@inline
def lowest_bit(word):
    """Place of the lowest set bit of a positive word below 2**53."""
    return math.frexp(float(word & -word))[1] - 1


@inline
def mark_page(b, lane, page):
    for depth in range(5):
        word = page >> 5
        b.table[lane, TREE_OFFSETS[depth] + word] |= 1 << (page & 31)
        page = word


@inline
def unmark_page(b, lane, page):
    for depth in range(5):
        word = page >> 5
        b.table[lane, TREE_OFFSETS[depth] + word] &= ~(1 << (page & 31))
        if b.table[lane, TREE_OFFSETS[depth] + word] != 0:
            return
        page = word


@kernel
def next_page(b, lane, page):
    """Lowest mapped page above `page`, or -1."""
    node = page
    for depth in range(5):
        word = node >> 5
        above = b.table[lane, TREE_OFFSETS[depth] + word] & -(2 << (node & 31))
        if above != 0:
            node = (word << 5) | lowest_bit(above)
            for below in range(depth - 1, -1, -1):
                node = (node << 5) | lowest_bit(b.table[lane, TREE_OFFSETS[below] + node])
            return node
        node = word
    return -1


@inline
def open_page(b, lane, page):
    slot = b.counts[FREE_PAGE]
    if slot == 0:
        slot = b.counts[PAGE_TOP]
        b.counts[PAGE_TOP] += 1
    else:
        b.counts[FREE_PAGE] = b.pages[slot, PAGE_NEXT]
    b.table[lane, page] = slot
    mark_page(b, lane, page)


@inline
def close_page(b, lane, page):
    slot = b.table[lane, page]
    b.table[lane, page] = 0
    b.pages[slot, PAGE_NEXT] = b.counts[FREE_PAGE]
    b.counts[FREE_PAGE] = slot
    unmark_page(b, lane, page)


@inline
def next_key(b, lane, key):
    """Best key in use at or beyond `key`, or NO_KEY."""
    page = key >> PAGE_BITS
    slot = b.table[lane, page]
    if slot != 0:
        for level in range((slot << PAGE_BITS) | (key & (PAGE - 1)), (slot + 1) << PAGE_BITS):
            if b.levels[level].count != 0:
                return (page << PAGE_BITS) | (level & (PAGE - 1))
    page = next_page(b, lane, page)
    return NO_KEY if page < 0 else next_key_of_page(b, lane, page)


@inline
def next_key_of_page(b, lane, page):
    level = b.table[lane, page] << PAGE_BITS
    while b.levels[level].count == 0:
        level += 1
    return (page << PAGE_BITS) | (level & (PAGE - 1))


@kernel
def depth(b, lane, key, out):
    """Fill `out`, (reach, 2), with price and contracts of the levels in use among `reach` keys from `key`; how many."""
    used = 0
    for near in range(key, key + len(out)):
        level = level_at(b, lane, near)
        if b.levels[level].count != 0:
            out[used, 0] = key_of(lane, near)
            out[used, 1] = b.levels[level].volume
            used += 1
    return used


@inline
def push(b, row):
    """Put an order at the back of the queue at its key."""
    lane, key = np.uint32(b.orders[row].lane), np.int64(b.orders[row].key)
    page = np.uint32(key) >> PAGE_BITS
    if b.table[lane, page] == 0:
        open_page(b, lane, page)
    level = level_at(b, lane, key)
    tail = b.levels[level].tail
    b.orders[row].prev = tail
    b.orders[row].next = 0
    if tail == 0:
        b.levels[level].head = row
        b.pages[level >> PAGE_BITS, PAGE_LEVELS] += 1
        if key < b.books[lane >> 2, BEST + (lane & 3)]:
            b.books[lane >> 2, BEST + (lane & 3)] = key
    else:
        b.orders[tail].next = row
    b.levels[level].tail = row
    b.levels[level].count += 1
    b.levels[level].volume += b.orders[row].qty


@inline
def unlink(b, row):
    """Take an order out of its queue; its open size leaves the level with it."""
    lane, key = np.uint32(b.orders[row].lane), np.int64(b.orders[row].key)
    level = level_at(b, lane, key)
    before, after = b.orders[row].prev, b.orders[row].next
    if before == 0:
        b.levels[level].head = after
    else:
        b.orders[before].next = after
    if after == 0:
        b.levels[level].tail = before
    else:
        b.orders[after].prev = before
    b.levels[level].volume -= b.orders[row].qty
    b.levels[level].count -= 1
    if b.levels[level].count == 0:
        close_level(b, lane, key, level)


@inline
def close_level(b, lane, key, level):
    slot = level >> PAGE_BITS
    b.pages[slot, PAGE_LEVELS] -= 1
    if b.books[lane >> 2, BEST + (lane & 3)] == key:
        b.books[lane >> 2, BEST + (lane & 3)] = next_key(b, lane, key)
    if b.pages[slot, PAGE_LEVELS] == 0:
        close_page(b, lane, key >> PAGE_BITS)
