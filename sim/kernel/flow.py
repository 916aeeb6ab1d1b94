"""The flow of orders that nobody decides one by one: latent limit orders, market orders, metaorders and their children.

All are streams of candidates, thinned by the pace of the market; so are the looks of those whom volatility wakes.
"""

from __future__ import annotations

import math

import numpy as np

from sim.kernel.book import enter, room
from sim.kernel.codes import OK, OP_LIMIT
from sim.kernel.draws import exponential, geometric, hashed, pareto, uniform
from sim.kernel.jit import inline, kernel
from sim.kernel.programs import accepted, affordable, best, book_of, derive, new_program, next_candidate, take, write
from sim.kernel.state import ROW, SEQ
from sim.kernel.wheel import node_room, schedule
from sim.kernel.world import (
    ALPHA,
    CALM_SIGMA,
    CAP,
    CHANCE,
    CHILDREN,
    FLOW,
    LIFE,
    NOW,
    ON_EXPIRY,
    P_BOOK,
    P_DECISION,
    P_INDEX,
    P_KEY,
    P_KIND,
    P_LEFT,
    P_OWNER,
    P_SIDE,
    PART_HIGH,
    PART_LOW,
    POWER,
    Q_HIGH,
    Q_LOW,
    RATE,
    REACH,
    S_EWMA_B,
    S_FROZEN_SIGMA2,
    SECOND,
    SELECTIVE,
    SIZE,
    SIZE_SCALE,
    WOKEN,
    WRITTEN,
    X_QTY,
)


@inline
def latent(b, w, p, index):
    """A stream of limit orders, uniform over REACH ticks behind the opposite best, that live an exponential time."""
    key, book = w.programs[p, P_KEY], book_of(w, p)
    side = hashed(key, index, 2) & 1
    away = 1 + int(uniform(key, index, 3) * w.params[p, REACH])
    price = best(b, book, 1 - side) + (away if side == 1 else -away)
    return write(b, w, p, OP_LIMIT, side, price, geometric(key, index, 4, w.params[p, SIZE_SCALE]), 0, 0)


@inline
def noise(b, w, p, index):
    """A stream of market orders of random sign."""
    key = w.programs[p, P_KEY]
    if not accepted(w, p, index) or not affordable(b, w, p, index):
        return False
    size = geometric(key, index, 3, w.params[p, SIZE_SCALE])
    return take(b, w, p, hashed(key, index, 2) & 1, size, uniform(key, index, 4) < w.params[p, SELECTIVE], 0)


@inline
def meta(b, w, p, index):
    """A stream of metaorders of random sign and Pareto size, each worked by a program of its own (LMF 2005)."""
    key = w.programs[p, P_KEY]
    if not accepted(w, p, index) or not affordable(b, w, p, index):
        return
    child = new_program(w)
    programs, params = w.programs, w.params
    programs[child, P_KIND] = CHILDREN
    programs[child, P_OWNER] = programs[p, P_OWNER]
    programs[child, P_BOOK] = programs[p, P_BOOK]
    programs[child, P_DECISION] = programs[p, P_DECISION]
    programs[child, P_KEY] = hashed(key, index, 2)
    programs[child, P_INDEX] = 0
    programs[child, P_SIDE] = hashed(key, index, 3) & 1
    programs[child, P_LEFT] = int(pareto(key, index, 4, params[p, Q_LOW], params[p, Q_HIGH], params[p, ALPHA]))
    share = params[p, PART_LOW] * (params[p, PART_HIGH] / params[p, PART_LOW]) ** uniform(key, index, 6)
    params[child, CAP] = params[p, CAP]
    params[child, RATE] = share * params[p, FLOW] * params[p, CAP] / params[p, SIZE]
    params[child, SIZE] = params[p, SIZE]
    params[child, SELECTIVE] = params[p, SELECTIVE]
    derive(w, child)
    next_candidate(w, child)


@inline
def children(b, w, p, index):
    """The children of one metaorder, a Poisson stream of market orders of one sign."""
    key = w.programs[p, P_KEY]
    if not accepted(w, p, index) or not affordable(b, w, p, index):
        return False
    size = min(geometric(key, index, 3, w.params[p, SIZE_SCALE]), w.programs[p, P_LEFT])
    return take(b, w, p, w.programs[p, P_SIDE], size, uniform(key, index, 4) < w.params[p, SELECTIVE], 0)


@inline
def attend(w, p, index):
    """A stream of looks at the market, each of which wakes the owner with a chance that grows with volatility."""
    book = book_of(w, p)
    frozen = w.stats[book, S_FROZEN_SIGMA2]
    sigma = math.sqrt(frozen if frozen >= 0.0 else w.stats[book, S_EWMA_B])
    chance = w.params[p, CHANCE] * (sigma / w.params[p, CALM_SIGMA]) ** w.params[p, POWER]
    if uniform(w.programs[p, P_KEY], index, 2) < chance:
        w.clock[WOKEN] = w.programs[p, P_OWNER]


@inline
def expire(b, w, p, index, code):
    """Give a latent order that rests its life, a mark of its own arrival."""
    row = np.uint32(b.counts[ROW])
    if row != 0 and code == OK:
        life = exponential(w.programs[p, P_KEY], index, 5) * w.params[p, LIFE]
        schedule(w, w.clock[NOW] + int(life * SECOND), ON_EXPIRY, row, b.orders[row].id)


@kernel
def stock(b, w, p, reference, count, hollow):
    """Fill a book before it opens with what a LATENT program would have left in it: `count` orders around a price.

    `hollow` is the scale (ticks) of the dip of the density at the price; ages are exponential, so lives start anew.
    """
    key = w.programs[p, P_KEY]
    done = 0
    while done < count:
        if not (room(b) and node_room(w)):
            return done
        index = w.programs[p, P_INDEX]
        w.programs[p, P_INDEX] += 1
        done += 1
        away = 1 + int(uniform(key, index, 3) * w.params[p, REACH])
        if uniform(key, index, 1) < math.exp(-away / hollow):
            continue
        side = hashed(key, index, 2) & 1
        price = reference + (away if side == 1 else -away)
        write(b, w, p, OP_LIMIT, side, price, geometric(key, index, 4, w.params[p, SIZE_SCALE]), 0, 0)
        order = b.counts[SEQ] + 1
        m = WRITTEN
        code = enter(
            b,
            w.clock[NOW],
            w.programs[p, P_BOOK],
            OP_LIMIT,
            side,
            price,
            w.pending[m, X_QTY],
            0,
            order,
            w.programs[p, P_OWNER],
            0,
            0,
        )
        expire(b, w, p, index, code)
    return done
