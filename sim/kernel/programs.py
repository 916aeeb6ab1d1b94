"""Standing programs: what the kernel carries out for an agent between two of its decisions.

A program's timer rings, `step` writes at most one message into row 0 of `pending` and sets the next timer; the loop
carries the message out and tells `after`. Streams (LATENT, NOISE, META, CHILDREN) are thinned: candidates come at the
fixed rate RATE and are accepted when their mark is below pace / CAP, so worlds that differ in pace share candidates.
"""

from __future__ import annotations

import math

from sim.kernel.book import enter, room
from sim.kernel.codes import OK, OP_CANCEL, OP_IOC, OP_LIMIT, OP_MARKET, OP_MODIFY, OP_POST
from sim.kernel.draws import exponential, geometric, hashed, pareto, rounded, uniform
from sim.kernel.jit import inline, kernel
from sim.kernel.ladder import key_of, level_at
from sim.kernel.state import (
    ASK,
    BEST,
    BID,
    HIT,
    ID,
    KEY,
    LANE,
    LANES,
    MID2,
    MOVED,
    NO_KEY,
    POSITION,
    QTY,
    ROW,
    SEQ,
    VOLUME,
)
from sim.kernel.wheel import schedule
from sim.kernel.world import (
    ALPHA,
    BETA,
    CANDIDATES,
    CAP,
    CHILDREN,
    DEPTH,
    FAST,
    FLOW,
    FREE_PROGRAM,
    H_HIGH,
    H_LOW,
    LADDER,
    LADDERS,
    LATENT,
    LIFE,
    LOOKING,
    LOOKS,
    MAX_INVENTORY,
    MEMORY,
    NODE_TOP,
    NOISE,
    NONE,
    NOW,
    ON_EXPIRY,
    ON_LOOK,
    ON_PROGRAM,
    P_BOOK,
    P_CAUSE,
    P_CHILD,
    P_DECISION,
    P_END,
    P_ID,
    P_IDLE,
    P_INDEX,
    P_KEY,
    P_KIND,
    P_LEFT,
    P_LIMIT,
    P_LOOK,
    P_LOOK_AT,
    P_NEXT,
    P_ORDER,
    P_OWNER,
    P_POSTED,
    P_ROW,
    P_SIDE,
    P_SLOTS,
    PART_HIGH,
    PART_LOW,
    POV,
    PROGRAM_TOP,
    Q_HIGH,
    Q_LOW,
    RATE,
    REACH,
    S_PACE,
    S_PACE_UNTIL,
    S_SIGMA2,
    S_VOLUME_RATE,
    SCHEDULE,
    SEEN_AT,
    SEEN_POSITION,
    SEEN_SIGMA2,
    SELECTIVE,
    SHAPE,
    SHAPE_MAX,
    SHOWN,
    SIGMA_REF,
    SIZE,
    SKEW,
    SLOTS,
    TARGET,
    TILT,
    TOUCH,
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

SECOND = 1e9
LATE_S = 5.0
"""A schedule that is late trades what is left within some multiple of so many seconds, never all at once."""
SHORTEST, LONGEST, NEVER = 1e-3, 60.0, 1e9
"""Seconds: bounds of a program's sleep, and the sleep of a stream without a rate."""
LAST_NS = 2**62
POISSON_0, CELL_DRAWS = math.exp(-1.0), 20
"""Chance of no look in a cell of time; indices reserved for one (the chance of as many looks is below 1e-18)."""


@inline
def best(b, book, side):
    """Best price of a side, or the last mid where it is empty."""
    key = b.books[book, BEST + side]
    return b.books[book, MID2] >> 1 if key == NO_KEY else key_of(side, key)


@inline
def best_volume(b, book, side):
    key = b.books[book, BEST + side]
    return 0 if key == NO_KEY else b.levels[level_at(b, book * LANES + side, key), VOLUME]


@inline
def write(b, w, p, op, side, price, qty, row, cause):
    """Write the program's message."""
    m = 0
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
def gap(key, index, rate):
    """Nanoseconds between a candidate and the one before it."""
    return max(int(min(exponential(key, index, 0) / rate, NEVER) * SECOND), 1)


@inline
def next_candidate(w, p):
    """The next candidate of a stream; its index is the key of all its draws.

    Candidates that come before the pace changes and will be refused at the present one are passed over at once: they
    are a loop here instead of turns of the wheel.
    """
    key, cap, rate = w.programs[p, P_KEY], w.params[p, CAP], w.params[p, RATE]
    pace, until = w.stats[w.programs[p, P_BOOK], S_PACE], w.stats[w.programs[p, P_BOOK], S_PACE_UNTIL]
    index = w.programs[p, P_INDEX] + 1
    time = w.clock[NOW] + gap(key, index, rate)
    while uniform(key, index, 1) * cap > pace and time < until:
        index += 1
        time += gap(key, index, rate)
    w.clock[CANDIDATES] += index - w.programs[p, P_INDEX]
    w.programs[p, P_INDEX] = index
    schedule(w, time, ON_PROGRAM, p, w.programs[p, P_ID])


@inline
def accepted(w, p, index):
    pace = w.stats[w.programs[p, P_BOOK], S_PACE]
    return uniform(w.programs[p, P_KEY], index, 1) * w.params[p, CAP] < pace


@inline
def affordable(b, w, p, index):
    """Takers are selective: the chance that one trades falls with the spread it would pay, as 1 / ticks."""
    book = w.programs[p, P_BOOK]
    spread = b.books[book, ASK] - b.books[book, BID]
    return spread <= 1 or uniform(w.programs[p, P_KEY], index, 5) * spread < 1.0


@inline
def join(w, p):
    """Let a ladder be among those of its book."""
    book = w.programs[p, P_BOOK]
    w.programs[p, P_NEXT] = w.alarms[book, LADDERS]
    w.alarms[book, LADDERS] = p


@inline
def leave(w, p):
    """Take a ladder from those of its book."""
    book, after = w.programs[p, P_BOOK], w.programs[p, P_NEXT]
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


@inline
def latent(b, w, p):
    """A stream of limit orders, uniform over REACH ticks behind the opposite best, that live an exponential time."""
    index, key, book = w.programs[p, P_INDEX], w.programs[p, P_KEY], w.programs[p, P_BOOK]
    next_candidate(w, p)
    side = hashed(key, index, 2) & 1
    away = 1 + int(uniform(key, index, 3) * w.params[p, REACH])
    price = best(b, book, 1 - side) + (away if side == 1 else -away)
    return write(b, w, p, OP_LIMIT, side, price, geometric(key, index, 4, w.params[p, SIZE]), 0, 0)


@inline
def take(b, w, p, side, qty, selective, cause):
    """Write a market order, or where it is selective one that takes no more than the best queue."""
    book = w.programs[p, P_BOOK]
    if not selective:
        return write(b, w, p, OP_MARKET, side, 0, qty, 0, cause)
    there = best_volume(b, book, 1 - side)
    return there > 0 and write(b, w, p, OP_IOC, side, best(b, book, 1 - side), min(qty, there), 0, cause)


@inline
def noise(b, w, p):
    """A stream of market orders of random sign."""
    index, key = w.programs[p, P_INDEX], w.programs[p, P_KEY]
    next_candidate(w, p)
    if not accepted(w, p, index) or not affordable(b, w, p, index):
        return False
    size = geometric(key, index, 3, w.params[p, SIZE])
    return take(b, w, p, hashed(key, index, 2) & 1, size, uniform(key, index, 4) < w.params[p, SELECTIVE], 0)


@inline
def meta(b, w, p):
    """A stream of metaorders of random sign and Pareto size, each worked by a program of its own (LMF 2005)."""
    index, key = w.programs[p, P_INDEX], w.programs[p, P_KEY]
    next_candidate(w, p)
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
    next_candidate(w, child)


@inline
def children(b, w, p):
    """The children of one metaorder, a Poisson stream of market orders of one sign."""
    index, key = w.programs[p, P_INDEX], w.programs[p, P_KEY]
    next_candidate(w, p)
    if not accepted(w, p, index) or not affordable(b, w, p, index):
        return False
    size = min(geometric(key, index, 3, w.params[p, SIZE]), w.programs[p, P_LEFT])
    return take(b, w, p, w.programs[p, P_SIDE], size, uniform(key, index, 4) < w.params[p, SELECTIVE], 0)


@inline
def pace_of(w, p):
    """Contracts a second at which a schedule should trade now: evenly to its end, within its share of the volume."""
    left, end = w.programs[p, P_LEFT], w.programs[p, P_END]
    pace = math.inf
    if end != 0:
        pace = left / max((end - w.clock[NOW]) / SECOND, LATE_S)
    if w.params[p, POV] > 0.0:
        pace = min(pace, w.params[p, POV] * w.stats[w.programs[p, P_BOOK], S_VOLUME_RATE])
    return pace


@inline
def work(b, w, p):
    """One child of an execution schedule; a child keeps its size until it is executed.

    It waits before each child, the first one too. A wait longer than a sleep is slept in pieces (waits are exponential,
    so each piece is a new draw). A child is selective: it takes no more than the best queue and shuns a wide spread.
    """
    programs, key = w.programs, w.programs[p, P_KEY]
    programs[p, P_INDEX] += 1
    index, side = programs[p, P_INDEX], programs[p, P_SIDE]
    if programs[p, P_CHILD] == 0:
        programs[p, P_CHILD] = min(geometric(key, index, 1, w.params[p, SIZE]), programs[p, P_LEFT])
    wait = exponential(key, index, 0) * programs[p, P_CHILD] / max(pace_of(w, p), 1e-6)
    again(w, p, wait)
    idle, programs[p, P_IDLE] = programs[p, P_IDLE], 1 if wait > LONGEST else 0
    limit, price = programs[p, P_LIMIT], best(b, programs[p, P_BOOK], 1 - side)
    too_far = limit != 0 and (price > limit if side == 0 else price < limit)
    if idle != 0 or too_far or not affordable(b, w, p, index):
        return False
    return take(b, w, p, side, programs[p, P_CHILD], True, programs[p, P_CAUSE])


@inline
def is_live(b, row, order):
    return row != 0 and b.orders[row, ID] == order


@inline
def count_fills(b, w, p):
    """What has been filled of a touch program's resting child since it last looked."""
    programs = w.programs
    row = programs[p, P_ROW]
    held = b.orders[row, QTY] if is_live(b, row, programs[p, P_ORDER]) else 0
    programs[p, P_LEFT] -= programs[p, P_POSTED] - held
    programs[p, P_POSTED] = held


@inline
def touch(b, w, p):
    """Keep a child at the best price of its own side, following it; out of patience, cross the spread."""
    programs = w.programs
    count_fills(b, w, p)
    if programs[p, P_LEFT] <= 0:
        stop(w, p)
        return False
    programs[p, P_INDEX] += 1
    again(w, p, exponential(programs[p, P_KEY], programs[p, P_INDEX], 0) / w.params[p, RATE])
    book, side, row = programs[p, P_BOOK], programs[p, P_SIDE], programs[p, P_ROW]
    live = is_live(b, row, programs[p, P_ORDER])
    if programs[p, P_END] != 0 and w.clock[NOW] >= programs[p, P_END]:
        if live:
            return write(b, w, p, OP_CANCEL, side, 0, 0, row, b.books[book, MOVED])
        return take(b, w, p, side, programs[p, P_LEFT], True, programs[p, P_CAUSE])
    price = best(b, book, side)
    if not live:
        child = min(geometric(programs[p, P_KEY], programs[p, P_INDEX], 1, w.params[p, SIZE]), programs[p, P_LEFT])
        return write(b, w, p, OP_LIMIT, side, price, child, 0, programs[p, P_CAUSE])
    if key_of(b.orders[row, LANE], b.orders[row, KEY]) == price:
        return False
    return write(b, w, p, OP_MODIFY, side, price, b.orders[row, QTY], row, b.books[book, MOVED])


@inline
def inventory(b, w, p):
    """A maker's inventory with a memory, between -1 and 1: tanh of skew x inventory / scale."""
    params, book = w.params, w.programs[p, P_BOOK]
    position = b.owners[w.programs[p, P_OWNER], book, POSITION]
    gone = (w.clock[NOW] - params[p, SEEN_AT]) / SECOND
    params[p, FAST] = params[p, FAST] * math.exp(-gone / params[p, MEMORY]) + position - params[p, SEEN_POSITION]
    params[p, SEEN_POSITION] = position
    params[p, SEEN_AT] = w.clock[NOW]
    return math.tanh(params[p, SKEW] * params[p, FAST] / params[p, MAX_INVENTORY])


@inline
def withdrawal(w, p):
    """Share of its depth that a maker shows at the present volatility."""
    params, sigma2 = w.params, w.stats[w.programs[p, P_BOOK], S_SIGMA2]
    if params[p, SEEN_SIGMA2] != sigma2:
        h = (params[p, SIGMA_REF] / max(math.sqrt(sigma2), 1e-9)) ** params[p, BETA]
        params[p, SHOWN] = min(max(h, params[p, H_LOW]), params[p, H_HIGH])
        params[p, SEEN_SIGMA2] = sigma2
    return params[p, SHOWN]


@inline
def ladder(b, w, p):
    """One look of a market maker at one price of its ladder."""
    index, key = w.programs[p, P_INDEX], w.programs[p, P_KEY]
    next_candidate(w, p)
    side, place = hashed(key, index, 2) & 1, int(uniform(key, index, 3) * SLOTS)
    price = best(b, w.programs[p, P_BOOK], side) + (place if side == 1 else -place)
    return requote(b, w, p, side, price, place, uniform(key, index, 4))


@inline
def is_open(b, book):
    """Whether there is room for an order between the best quotes."""
    return b.books[book, BID] != 0 and b.books[book, ASK] - b.books[book, BID] > 1


@inline
def look(b, w, p):
    """One look of a market maker at an open spread: it may narrow it, rather on the side that brings inventory back."""
    key, index = w.programs[p, P_KEY], w.programs[p, P_LOOK]
    side = hashed(key, index, 1) & 1
    tilt = inventory(b, w, p) * w.params[p, TILT] * (1 - 2 * side)
    if uniform(key, index, 2) < 0.5 * (1.0 + tilt):
        return False
    # Anywhere up to the middle of the gap: a wide spread closes in a few looks, not a tick at a time.
    book = w.programs[p, P_BOOK]
    step = 1 + int(uniform(key, index, 3) * ((b.books[book, ASK] - b.books[book, BID] - 1) >> 1))
    price = best(b, book, side) + (-step if side == 1 else step)
    return requote(b, w, p, side, price, 0, uniform(key, index, 4))


@inline
def next_look(w, p):
    """Find a maker's next look at the spread.

    Looks are a Poisson stream whose draws are keyed by cells of time, one look expected in each. So no look at a spread
    that is closed costs anything, and yet worlds whose spreads differ share all looks. A look's index is negative: it
    shares no draw with a candidate.
    """
    programs, now = w.programs, w.clock[NOW]
    width = int(SECOND / w.params[p, LOOKS])
    cell = now // width
    programs[p, P_LOOK_AT] = LAST_NS
    while programs[p, P_LOOK_AT] == LAST_NS:
        index, n, term = -cell * CELL_DRAWS, 0, POISSON_0
        u, share = uniform(programs[p, P_KEY], index, 0), term
        while u >= share and n < CELL_DRAWS - 1:
            n += 1
            term /= n
            share += term
            time = cell * width + int(uniform(programs[p, P_KEY], index - n, 0) * width)
            if now < time < programs[p, P_LOOK_AT]:
                programs[p, P_LOOK_AT], programs[p, P_LOOK] = time, index - n
        cell += 1


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
def wanted(b, w, p, side, place):
    """Contracts a maker wants to show `place` ticks behind the best."""
    params = w.params
    if place >= params[p, DEPTH]:
        return 0.0
    size = params[p, TARGET] * (1.0 + params[p, SHAPE] * min(float(place), params[p, SHAPE_MAX]))
    return size * withdrawal(w, p) * (1.0 - inventory(b, w, p) * (1 - 2 * side))


@inline
def requote(b, w, p, side, price, place, u):
    """Bring the maker's order at a price to the wanted size; an order left at another price of the slot goes."""
    slot = w.programs[p, P_SLOTS]
    row, order = w.slots[slot, side, price & (SLOTS - 1), 0], w.slots[slot, side, price & (SLOTS - 1), 1]
    book = w.programs[p, P_BOOK]
    cause = max(b.owners[w.programs[p, P_OWNER], book, HIT], b.books[book, MOVED])
    target = rounded(wanted(b, w, p, side, place), u)
    if not is_live(b, row, order):
        return target > 0 and price > 0 and write(b, w, p, OP_POST, side, price, target, 0, cause)
    held = b.orders[row, QTY]
    if target == 0 or key_of(b.orders[row, LANE], b.orders[row, KEY]) != price:
        return write(b, w, p, OP_CANCEL, side, price, 0, row, cause)
    if 2 * target > 3 * held + 1 or 3 * target + 1 < 2 * held:
        return write(b, w, p, OP_MODIFY, side, price, target, row, cause)
    return False


@inline
def step(b, w, p):
    """Let a program act; whether it has written a message."""
    kind = w.programs[p, P_KIND]
    if kind == LADDER:
        return ladder(b, w, p)
    if kind == CHILDREN:
        return children(b, w, p)
    if kind == LATENT:
        return latent(b, w, p)
    if kind == NOISE:
        return noise(b, w, p)
    if kind == SCHEDULE:
        return work(b, w, p)
    if kind == TOUCH:
        return touch(b, w, p)
    meta(b, w, p)
    return False


@inline
def expire(b, w, p, index, code):
    """Give a latent order that rests its life, a mark of its own arrival."""
    row = b.counts[ROW]
    if row != 0 and code == OK:
        life = exponential(w.programs[p, P_KEY], index, 5) * w.params[p, LIFE]
        schedule(w, w.clock[NOW] + int(life * SECOND), ON_EXPIRY, row, b.orders[row, ID])


@inline
def after(b, w, p, code, traded):
    """Note what became of the program's message; `traded` contracts of it were executed at once."""
    kind, programs = w.programs[p, P_KIND], w.programs
    row = b.counts[ROW]
    if kind == LATENT:
        expire(b, w, p, programs[p, P_INDEX] - 1, code)
    elif kind == LADDER:
        if row != 0 and code == OK and w.pending[0, X_OP] == OP_POST:
            side, place = w.pending[0, X_SIDE], w.pending[0, X_PX] & (SLOTS - 1)
            w.slots[programs[p, P_SLOTS], side, place, 0] = row
            w.slots[programs[p, P_SLOTS], side, place, 1] = b.orders[row, ID]
    elif kind == CHILDREN or kind == SCHEDULE:
        programs[p, P_LEFT] -= traded
        programs[p, P_CHILD] = max(programs[p, P_CHILD] - traded, 0)
        if programs[p, P_LEFT] <= 0:
            stop(w, p)
    elif kind == TOUCH:
        after_touch(b, w, p, row, traded)


@inline
def after_touch(b, w, p, row, traded):
    """Remember the child that a touch program has just posted, or forget the one it has cancelled."""
    programs, op = w.programs, w.pending[0, X_OP]
    if op == OP_MODIFY:
        return
    programs[p, P_LEFT] -= traded
    programs[p, P_ROW] = row if op == OP_LIMIT else 0
    programs[p, P_ORDER] = b.orders[row, ID] if op == OP_LIMIT and row != 0 else -1
    programs[p, P_POSTED] = b.orders[row, QTY] if op == OP_LIMIT and row != 0 else 0


@kernel
def stock(b, w, p, reference, count, hollow):
    """Fill a book before it opens with what a LATENT program would have left in it: `count` orders around a price.

    `hollow` is the scale (ticks) of the dip of the density at the price; ages are exponential, so lives start anew.
    """
    key = w.programs[p, P_KEY]
    done = 0
    while done < count:
        if not room(b) or w.clock[NODE_TOP] + 4 > w.nodes.shape[0]:
            return done
        index = w.programs[p, P_INDEX]
        w.programs[p, P_INDEX] += 1
        done += 1
        away = 1 + int(uniform(key, index, 3) * w.params[p, REACH])
        if uniform(key, index, 1) < math.exp(-away / hollow):
            continue
        side = hashed(key, index, 2) & 1
        price = reference + (away if side == 1 else -away)
        write(b, w, p, OP_LIMIT, side, price, geometric(key, index, 4, w.params[p, SIZE]), 0, 0)
        order = b.counts[SEQ] + 1
        m = 0
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
