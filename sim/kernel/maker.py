"""A market maker's quotes: a ladder on both sides of the book, and the spread.

A look at one side of the ladder goes through all its prices in one instant, one message after the other. At each price
the maker shows what is missing there to the depth it thinks right for the whole book, as far as its own size allows:
makers who do so hold the displayed depth together without knowing of one another. Too much goes at once; what is
missing at the best price, where they are traded with, comes back over several looks.
"""

from __future__ import annotations

import math

import numpy as np

from sim.kernel.codes import OP_CANCEL, OP_MODIFY, OP_POST
from sim.kernel.draws import hashed, rounded, uniform
from sim.kernel.jit import inline, kernel
from sim.kernel.ladder import key_of
from sim.kernel.programs import best, book_of, is_live, volume_at, write
from sim.kernel.state import ASK, BID, HIT, MID2, MOVED, POSITION
from sim.kernel.wheel import schedule
from sim.kernel.world import (
    ALL_NOW,
    BETA,
    DEPTH,
    DISPLAYED,
    FAST,
    H_HIGH,
    H_LOW,
    LADDERS,
    LOOKING,
    LOOKS,
    MAX_INVENTORY,
    MEMORY,
    NOW,
    ON_LOOK,
    OWN_NOW,
    P_BASE,
    P_ID,
    P_INDEX,
    P_KEY,
    P_LOOK,
    P_LOOK_AT,
    P_NEXT,
    P_OWNER,
    P_PLACE,
    P_SIDE,
    P_SLOTS,
    QUOTING,
    REFILL,
    S_SIGMA2,
    SECOND,
    SEEN_AT,
    SEEN_POSITION,
    SEEN_SIGMA2,
    SHAPE,
    SHAPE_MAX,
    SHOWN,
    SIGMA_REF,
    SKEW,
    SLOTS,
    TARGET,
    TILT,
    WRITTEN,
    X_OP,
)


@inline
def inventory(b, w, p):
    """A maker's inventory with a memory, between -1 and 1: x / sqrt(1 + x^2) of x = skew x inventory / scale.

    From look to look it fades by 1 / (1 + t / memory), which is the exponential law where looks are frequent.
    """
    # No tanh and no exp: a look is so short that two calls into the C library would be much of it.
    params, book = w.params, book_of(w, p)
    position = b.owners[np.uint32(w.programs[p, P_OWNER]), book, POSITION]
    gone = (w.clock[NOW] - params[p, SEEN_AT]) / SECOND
    params[p, FAST] = params[p, FAST] / (1.0 + gone / params[p, MEMORY]) + position - params[p, SEEN_POSITION]
    params[p, SEEN_POSITION] = position
    params[p, SEEN_AT] = w.clock[NOW]
    x = params[p, SKEW] * params[p, FAST] / params[p, MAX_INVENTORY]
    return x / math.sqrt(1.0 + x * x)


@inline
def withdrawal(w, p):
    """Share of its depth that a maker shows at the present volatility."""
    params, sigma2 = w.params, w.stats[book_of(w, p), S_SIGMA2]
    if params[p, SEEN_SIGMA2] != sigma2:
        h = (params[p, SIGMA_REF] / max(math.sqrt(sigma2), 1e-9)) ** params[p, BETA]
        params[p, SHOWN] = min(max(h, params[p, H_LOW]), params[p, H_HIGH])
        params[p, SEEN_SIGMA2] = sigma2
    return params[p, SHOWN]


@inline
def measure(w, p, side, held):
    """Set the contracts for the best price of a side: the most of its own, and all that should be displayed.

    `held` is the inventory, between -1 and 1.
    """
    shown = withdrawal(w, p)
    w.params[p, OWN_NOW] = shown * w.params[p, TARGET] * (1.0 - held * (1 - 2 * side))
    w.params[p, ALL_NOW] = shown * w.params[p, DISPLAYED]


@inline
def ladder(b, w, p, index):
    """Begin a look at one side of the ladder."""
    programs = w.programs
    side = hashed(programs[p, P_KEY], index, 2) & 1
    measure(w, p, side, inventory(b, w, p))
    programs[p, P_SIDE] = side
    programs[p, P_BASE] = best(b, book_of(w, p), side)
    programs[p, P_PLACE] = 0
    w.clock[QUOTING] = p


@inline
def quote(b, w, p):
    """Go on with a look to the next price that wants a message; whether there is one."""
    side, base = w.programs[p, P_SIDE], w.programs[p, P_BASE]
    for place in range(w.programs[p, P_PLACE], SLOTS):
        refill = w.params[p, REFILL] if place == 0 else 1.0
        if requote(b, w, p, side, base + (place if side == 1 else -place), place, refill):
            # After a cancel there may be something to post at the same price.
            w.programs[p, P_PLACE] = place + (w.pending[WRITTEN, X_OP] != OP_CANCEL)
            return True
    w.clock[QUOTING] = 0
    return False


@inline
def is_open(b, book):
    """Whether there is room for an order between the best quotes; beside the one there is where a side is empty."""
    bid, ask = b.books[book, BID], b.books[book, ASK]
    return ask - bid > 1 or (bid == 0) != (ask == 0)


@inline
def look(b, w, p):
    """One look of a market maker at an open spread: it may narrow it, rather on the side that brings inventory back."""
    key, index, book = w.programs[p, P_KEY], w.programs[p, P_LOOK], book_of(w, p)
    bid, ask = b.books[book, BID], b.books[book, ASK]
    is_empty = bid == 0 or ask == 0
    side = int(ask == 0) if is_empty else hashed(key, index, 1) & 1
    held = inventory(b, w, p)
    if uniform(key, index, 2) < 0.5 * (1.0 + held * w.params[p, TILT] * (1 - 2 * side)):
        return False
    if is_empty:
        # At the last mid: the next order of others may stand anywhere, and is no sign of what the market is worth.
        mid = b.books[book, MID2] >> 1
        price = max(mid, bid + 1) if side == 1 else min(mid, ask - 1)
    else:
        # Anywhere up to the middle of the gap: a wide spread closes in a few looks, not a tick at a time.
        step = 1 + int(uniform(key, index, 3) * ((ask - bid - 1) >> 1))
        price = ask - step if side == 1 else bid + step
    measure(w, p, side, held)
    return requote(b, w, p, side, price, 0, 1.0)


@inline
def next_look(w, p):
    """Find a maker's next look at the spread.

    There is one in each cell of time, whose number is the key of its draws. So no look at a spread that is closed costs
    anything, and yet worlds whose spreads differ share all looks. A look's index is negative: it shares no draw with a
    candidate.
    """
    key, now = w.programs[p, P_KEY], w.clock[NOW]
    cell_ns = int(SECOND / w.params[p, LOOKS])
    cell = now // cell_ns
    time = look_time(key, cell, cell_ns)
    if time <= now:
        cell += 1
        time = look_time(key, cell, cell_ns)
    w.programs[p, P_LOOK], w.programs[p, P_LOOK_AT] = -cell, time


@inline
def look_time(key, cell, cell_ns):
    return int((cell + uniform(key, -cell, 0)) * cell_ns)


@kernel
def call_makers(w, book):
    """Let the first maker of a book to look at its open spread ring."""
    p, first = w.alarms[book, LADDERS], 0
    while p != 0:
        if w.params[p, LOOKS] > 0.0:
            if w.programs[p, P_LOOK_AT] <= w.clock[NOW]:
                next_look(w, p)
            if first == 0 or w.programs[p, P_LOOK_AT] < w.programs[first, P_LOOK_AT]:
                first = p
        p = w.programs[p, P_NEXT]
    if first != 0:
        schedule(w, w.programs[first, P_LOOK_AT], ON_LOOK, first, w.programs[first, P_ID])
        w.alarms[book, LOOKING] = 1


@inline
def wanted(b, w, p, side, price, place, held):
    """Contracts a maker wants to show at a price, `place` ticks behind the best, where it shows `held`.

    All makers round at the same points, which differ from price to price.
    """
    if place >= w.params[p, DEPTH] or price <= 0:
        return 0
    growth = 1.0 + w.params[p, SHAPE] * min(float(place), w.params[p, SHAPE_MAX])
    others = volume_at(b, book_of(w, p), side, price) - held
    size = min(w.params[p, OWN_NOW] * growth, w.params[p, ALL_NOW] * growth - others)
    return rounded(max(size, 0.0), uniform(side, price, 0))


@inline
def provoker(b, w, p):
    """The message that a quote answers: the last fill of its owner or move of the best prices."""
    book = book_of(w, p)
    return max(b.owners[np.uint32(w.programs[p, P_OWNER]), book, HIT], b.books[book, MOVED])


@inline
def requote(b, w, p, side, price, place, refill):
    """Bring the maker's order at a price towards the size wanted; an order left at another price of the slot goes."""
    slot, half, at = np.uint32(w.programs[p, P_SLOTS]), np.uint32(side), price & (SLOTS - 1)
    row = np.uint32(w.slots[slot, half, at, 0])
    if row == 0 and place >= w.params[p, DEPTH]:
        return False
    live = is_live(b, row, w.slots[slot, half, at, 1])
    if not live:
        w.slots[slot, half, at, 0] = 0
    elif key_of(b.orders[row].lane, b.orders[row].key) != price:
        return write(b, w, p, OP_CANCEL, side, price, 0, row, provoker(b, w, p))
    held = b.orders[row].qty if live else 0
    target = wanted(b, w, p, side, price, place, held)
    if target > held:
        look = hashed(w.programs[p, P_KEY], w.programs[p, P_INDEX], 3)
        target = held + rounded(refill * (target - held), uniform(look, place, 0))
    if target == held:
        return False
    if target == 0:
        return write(b, w, p, OP_CANCEL, side, price, 0, row, provoker(b, w, p))
    return write(b, w, p, OP_MODIFY if live else OP_POST, side, price, target, row, provoker(b, w, p))
