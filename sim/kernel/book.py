"""The book: entry, matching by price and time, cancellation, modification, stops, self-trade prevention.

Every function leaves the book as it was when it answers with a refusal code. Buffers are checked by the callers
(`room`), so nothing here allocates or raises.
"""

from __future__ import annotations

import numpy as np

from sim.kernel.codes import (
    BAD_OP,
    BAD_PRICE,
    BAD_SIDE,
    BAD_SIZE,
    NO_TRADING,
    NOT_FIRST,
    OK,
    OP_FOK,
    OP_LIMIT,
    OP_MARKET,
    OP_POST,
    OP_STOP,
    OP_STOPLIMIT,
    OUTSIDE_BAND,
    STP_CANCEL_NEWEST,
    STP_CANCEL_OLDEST,
    STP_DECREMENT,
    STP_NONE,
    WAITING_STOP,
    WOULD_TRADE,
)
from sim.kernel.jit import inline, kernel
from sim.kernel.ladder import key_of, level_at, next_key, push, unlink
from sim.kernel.state import (
    ARRIVAL,
    ASK,
    ASKS,
    AUCTION,
    BAND_HI,
    BAND_LO,
    BEST,
    BID,
    BIDS,
    BUY_STOPS,
    CASH,
    E_DIRECTION,
    E_ORDER,
    E_PRICE,
    E_SIZE,
    E_TIME,
    E_TYPE,
    EVENT_DELETE,
    EVENT_FILL,
    EVENT_NEW,
    EVENT_REDUCE,
    EVENTS,
    FREE_ORDER,
    HALTED,
    HIT,
    LANES,
    LAST,
    LEDGER,
    LIMIT,
    LIVE,
    LOGGING,
    MAX_PRICE,
    MESSAGES,
    MID2,
    MIRROR,
    MOVED,
    NO_KEY,
    ORDER_TOP,
    PAGE,
    PAGE_TOP,
    POSITION,
    QUOTES,
    RING,
    ROW,
    RUNG,
    SELL_STOPS,
    SEQ,
    STOPS,
    STP,
    TRADES,
    WATCH,
)


@inline
def room(b):
    """Whether one more message fits into the buffers, with all the stops it may set off."""
    live = b.counts[LIVE] + b.counts[STOPS]
    need = 2 * live + 4
    return (
        b.counts[TRADES] + need <= b.trades.shape[0]
        and b.counts[QUOTES] + need <= b.quotes.shape[0]
        and (b.counts[LOGGING] == 0 or b.counts[EVENTS] + 2 * need <= b.events.shape[0])
        and b.counts[ORDER_TOP] + 2 <= b.orders.shape[0]
        and (b.counts[PAGE_TOP] + b.counts[STOPS] + 2) * PAGE <= b.levels.shape[0]
    )


@inline
def log(b, now, kind, row, size):
    if b.counts[LOGGING] == 0:
        return
    n = b.counts[EVENTS]
    b.counts[EVENTS] = n + 1
    lane = b.orders[row].lane
    b.events[n, E_TIME] = now
    b.events[n, E_TYPE] = kind
    b.events[n, E_ORDER] = b.orders[row].id
    b.events[n, E_SIZE] = size
    b.events[n, E_PRICE] = key_of(lane, b.orders[row].key)
    b.events[n, E_DIRECTION] = 1 if lane & 3 == BIDS else -1


@inline
def new_row(b):
    row = np.uint32(b.counts[FREE_ORDER])
    if row == 0:
        row = np.uint32(b.counts[ORDER_TOP])
        b.counts[ORDER_TOP] = row + 1
    else:
        b.counts[FREE_ORDER] = b.orders[row].next
    return row


@inline
def free_row(b, row):
    b.orders[row].id = -1
    b.orders[row].qty = 0
    b.orders[row].next = b.counts[FREE_ORDER]
    b.counts[FREE_ORDER] = row


@inline
def drop(b, row):
    """Take a resting order or a waiting stop out of the market."""
    if b.orders[row].lane & 3 >= BUY_STOPS:
        b.counts[STOPS] -= 1
    else:
        b.counts[LIVE] -= 1
    unlink(b, row)
    free_row(b, row)


@inline
def rest(b, now, row):
    push(b, row)
    b.counts[LIVE] += 1
    b.counts[ROW] = row
    log(b, now, EVENT_NEW, row, b.orders[row].qty)


@inline
def shrink(b, row, size):
    """Take `size` off an order that stays in its place."""
    b.orders[row].qty -= size
    b.levels[level_at(b, b.orders[row].lane, b.orders[row].key)].volume -= size


@inline
def take_off(b, row, size):
    """Take `size` off a resting order, which leaves when nothing is left of it."""
    if b.orders[row].qty == size:
        drop(b, row)
    else:
        shrink(b, row, size)


@inline
def trade(b, now, book, row, side, size, order, owner, decision, cause):
    """Trade a resting order with an incoming one at the price of the resting one."""
    price = key_of(b.orders[row].lane, b.orders[row].key)
    trade_at(b, now, book, row, price, side, size, order, owner, decision, cause)


@inline
def trade_at(b, now, book, row, price, side, size, order, owner, decision, cause):
    """Put a trade on the tape and in the ledger."""
    maker = b.orders[row].owner
    n = np.uint32(b.counts[TRADES])
    b.counts[TRADES] = n + 1
    b.trades[n].time_ns = now
    b.trades[n].book = book
    b.trades[n].price_ticks = price
    b.trades[n].size = size
    b.trades[n].maker_id = b.orders[row].id
    b.trades[n].taker_id = order
    b.trades[n].maker = maker
    b.trades[n].taker = owner
    b.trades[n].maker_decision = b.orders[row].decision
    b.trades[n].taker_decision = decision
    b.trades[n].side = 1 - 2 * side
    b.trades[n].seq = b.counts[SEQ]
    b.trades[n].cause = cause
    if b.counts[LEDGER] != 0:
        bought = size * (1 - 2 * side)
        settle(b, book, owner, bought, price)
        settle(b, book, maker, -bought, price)
        b.owners[maker, book, HIT] = b.counts[SEQ]
    b.books[book, LAST] = price
    log(b, now, EVENT_FILL, row, size)


@inline
def settle(b, book, owner, bought, price):
    b.owners[owner, book, POSITION] += bought
    b.owners[owner, book, CASH] -= bought * price
    if b.owners[owner, book, WATCH] != 0:
        b.owners[owner, book, WATCH] = RUNG
        b.counts[RING] = 1


@inline
def prevent(b, now, row, qty, mode):
    """Self-trade prevention: what is left of the incoming order; 0 where it is cancelled."""
    if mode == STP_CANCEL_NEWEST:
        return 0
    size = min(qty, b.orders[row].qty) if mode == STP_DECREMENT else b.orders[row].qty
    withdraw(b, now, row, size)
    if mode == STP_DECREMENT:
        return qty - size
    return qty if mode == STP_CANCEL_OLDEST else 0


@inline
def withdraw(b, now, row, size):
    """Take `size` off a resting order without a trade of its own."""
    log(b, now, EVENT_DELETE if b.orders[row].qty == size else EVENT_REDUCE, row, size)
    take_off(b, row, size)


@inline
def sweep(b, now, book, side, limit_key, qty, order, owner, decision, cause):
    """Match an incoming order against the other side up to a limit; what is left of it (0 where it was cancelled)."""
    lane = np.uint32(book * LANES + 1 - side)
    mode = b.books[book, STP]
    while qty > 0 and b.books[lane >> 2, BEST + (lane & 3)] <= limit_key:
        level = level_at(b, lane, b.books[lane >> 2, BEST + (lane & 3)])
        row = b.levels[level].head
        if mode != STP_NONE and owner != 0 and b.orders[row].owner == owner:
            qty = prevent(b, now, row, qty, mode)
            continue
        size = min(qty, b.orders[row].qty)
        trade(b, now, book, row, side, size, order, owner, decision, cause)
        qty -= size
        take_off(b, row, size)
    return qty


@kernel
def reachable(b, book, side, limit_key, qty, owner):
    """Whether `qty` contracts can be had up to a limit, own ones not counted where self-trades are prevented."""
    lane = book * LANES + 1 - side
    other_only = b.books[book, STP] != STP_NONE and owner != 0
    key = b.books[lane >> 2, BEST + (lane & 3)]
    found = 0
    while key <= limit_key and key < NO_KEY and found < qty:
        level = level_at(b, lane, key)
        found += b.levels[level].volume
        if other_only:
            row = b.levels[level].head
            while row != 0:
                if b.orders[row].owner == owner:
                    found -= b.orders[row].qty
                row = b.orders[row].next
        key = next_key(b, lane, key + 1) if key + 1 < NO_KEY else NO_KEY
    return found >= qty


@inline
def write_row(b, row, lane, price, qty, order, owner, decision):
    b.orders[row].lane = lane
    b.orders[row].key = key_of(lane, price)
    b.orders[row].qty = qty
    b.orders[row].id = order
    b.orders[row].owner = owner
    b.orders[row].decision = decision


@inline
def refusal(b, book, op, side, price, qty, stop):
    """Why an order may not enter, or OK."""
    if side != 0 and side != 1:
        return BAD_SIDE
    if qty <= 0 or qty > MAX_PRICE:
        return BAD_SIZE
    priced = op != OP_MARKET and op != OP_STOP
    if priced and (price <= 0 or price > MAX_PRICE):
        return BAD_PRICE
    if (op == OP_STOP or op == OP_STOPLIMIT) and (stop <= 0 or stop > MAX_PRICE):
        return BAD_PRICE
    if b.books[book, HALTED] != 0:
        return NO_TRADING
    if priced and (price < b.books[book, BAND_LO] or price > b.books[book, BAND_HI]):
        return OUTSIDE_BAND
    if op == OP_POST and b.books[book, np.uint32(BEST + 1 - side)] <= key_of(1 - side, price):
        return WOULD_TRADE
    return OK


@inline
def enter(b, now, book, op, side, price, qty, stop, order, owner, decision, cause):
    """Enter an order of any kind; OK or the reason of its refusal. `counts[ROW]` says where it rests."""
    b.counts[SEQ] += 1
    b.counts[ROW] = 0
    code = refusal(b, book, op, side, price, qty, stop)
    if code != OK:
        return code
    if op == OP_STOP or op == OP_STOPLIMIT:
        wait(b, book, op, side, price, qty, stop, order, owner, decision)
    elif b.books[book, AUCTION] != 0:
        return collect(b, now, book, op, side, price, qty, order, owner, decision)
    else:
        limit_key = MAX_PRICE if op == OP_MARKET else key_of(1 - side, price)
        if op != OP_FOK or reachable(b, book, side, limit_key, qty, owner):
            left = sweep(b, now, book, side, limit_key, qty, order, owner, decision, cause)
            if left > 0 and (op == OP_LIMIT or op == OP_POST):
                row = new_row(b)
                write_row(b, row, book * LANES + side, price, left, order, owner, decision)
                rest(b, now, row)
    row = np.uint32(b.counts[ROW])
    conclude(b, now, book, owner, decision, cause)
    # The stops it set off may have traded with it: an order that is gone rests nowhere.
    b.counts[ROW] = row if b.orders[row].id == order else 0
    return OK


@inline
def collect(b, now, book, op, side, price, qty, order, owner, decision):
    """An order in a call auction: it rests, crossed or not."""
    if op != OP_LIMIT:
        return BAD_OP
    row = new_row(b)
    write_row(b, row, book * LANES + side, price, qty, order, owner, decision)
    rest(b, now, row)
    b.counts[MESSAGES] += 1
    return OK


@inline
def wait(b, book, op, side, price, qty, stop, order, owner, decision):
    row = new_row(b)
    write_row(b, row, book * LANES + BUY_STOPS + side, stop, qty, order, owner, decision)
    b.stops[row, LIMIT] = price if op == OP_STOPLIMIT else 0
    b.stops[row, ARRIVAL] = b.counts[SEQ]
    push(b, row)
    b.counts[STOPS] += 1
    b.counts[ROW] = row


@inline
def conclude(b, now, book, owner, decision, cause):
    """End of a message: its quotes go on the tape, then the stops it reached are entered, one at a time."""
    b.counts[MESSAGES] += 1
    note_quotes(b, now, book, owner, decision, cause)
    if has_reached_stop(b, book):
        fire_stops(b, now, book)


@inline
def has_reached_stop(b, book):
    """Whether the last trade has reached the nearest waiting stop of a side."""
    last = b.books[book, LAST]
    return last != 0 and (b.books[book, BEST + BUY_STOPS] <= last or b.books[book, BEST + SELL_STOPS] <= MIRROR - last)


@inline
def best_price(b, book, side):
    """Best price of a side, 0 where it is empty."""
    key = b.books[book, np.uint32(BEST + side)]
    return 0 if key == NO_KEY else key_of(side, key)


@inline
def note_quotes(b, now, book, owner, decision, cause):
    """Put a change of the best prices on the tape, with the message that made it (none while an auction collects)."""
    if b.books[book, AUCTION] != 0:
        return
    bid, ask = best_price(b, book, BIDS), best_price(b, book, ASKS)
    if bid == b.books[book, BID] and ask == b.books[book, ASK]:
        return
    n = np.uint32(b.counts[QUOTES])
    b.counts[QUOTES] = n + 1
    b.quotes[n].time_ns = now
    b.quotes[n].book = book
    b.quotes[n].bid_ticks = bid
    b.quotes[n].bid_size = b.levels[level_at(b, book * LANES, MIRROR - bid)].volume if bid != 0 else 0
    b.quotes[n].ask_ticks = ask
    b.quotes[n].ask_size = b.levels[level_at(b, book * LANES + ASKS, ask)].volume if ask != 0 else 0
    b.quotes[n].seq = b.counts[SEQ]
    b.quotes[n].owner = owner
    b.quotes[n].decision = decision
    b.quotes[n].cause = cause
    b.books[book, BID] = bid
    b.books[book, ASK] = ask
    b.books[book, MOVED] = b.counts[SEQ]
    if bid != 0 and ask != 0:
        b.books[book, MID2] = bid + ask


@kernel
def earliest(b, lane, last_key):
    """The waiting stop that arrived first among those the last trade has reached, or 0. O(levels reached)."""
    found = 0
    key = b.books[lane >> 2, BEST + (lane & 3)]
    while key <= last_key:
        row = b.levels[level_at(b, lane, key)].head
        if found == 0 or b.stops[row, ARRIVAL] < b.stops[found, ARRIVAL]:
            found = row
        key = next_key(b, lane, key + 1) if key + 1 < NO_KEY else NO_KEY
    return found


@inline
def next_stop(b, book):
    """Of the stops that the last trade has reached the one that arrived first."""
    last = b.books[book, LAST]
    buy = earliest(b, book * LANES + BUY_STOPS, last)
    sell = earliest(b, book * LANES + SELL_STOPS, MIRROR - last)
    if buy == 0 or (sell != 0 and b.stops[sell, ARRIVAL] < b.stops[buy, ARRIVAL]):
        return sell
    return buy


@kernel
def fire_stops(b, now, book):
    if b.books[book, HALTED] != 0 or b.books[book, AUCTION] != 0:
        return
    root = b.counts[SEQ]
    while has_reached_stop(b, book):
        row = next_stop(b, book)
        fire(b, now, book, row, reached_by(b, book, row, root))


@inline
def reached_by(b, book, row, root):
    """The message, `root` or one after it, since whose last trade the price has stood at or beyond a stop."""
    lane, key, found = b.orders[row].lane, b.orders[row].key, root
    n, later = b.counts[TRADES] - 1, 0
    while n >= 0 and b.trades[n].seq >= root:
        message = b.trades[n].seq
        if message != later and b.trades[n].book == book:
            if key_of(lane, b.trades[n].price_ticks) < key:
                return found
            found = message
        later = message
        n -= 1
    return found


@kernel
def fire(b, now, book, row, cause):
    """Enter a stop that was reached, as a market or limit order provoked by the message that reached it."""
    b.counts[SEQ] += 1
    b.counts[MESSAGES] += 1
    side = b.orders[row].lane & 1
    owner, decision, limit = b.orders[row].owner, b.orders[row].decision, b.stops[row, LIMIT]
    unlink(b, row)
    b.counts[STOPS] -= 1
    limit_key = MAX_PRICE if limit == 0 else key_of(1 - side, limit)
    left = sweep(b, now, book, side, limit_key, b.orders[row].qty, b.orders[row].id, owner, decision, cause)
    settle_rest(b, now, row, side, limit, left)
    note_quotes(b, now, book, owner, decision, cause)


@inline
def settle_rest(b, now, row, side, price, left):
    """Rest what is left of an order that came out of a queue in its own row, or free the row."""
    if left > 0 and price > 0:
        lane = (b.orders[row].lane & ~3) | side
        b.orders[row].lane = lane
        b.orders[row].key = key_of(lane, price)
        b.orders[row].qty = left
        rest(b, now, row)
    else:
        free_row(b, row)


@inline
def cancel(b, now, row, owner, decision, cause):
    """Cancel a live order or waiting stop."""
    b.counts[SEQ] += 1
    book = np.uint32(b.orders[row].lane >> 2)
    if b.orders[row].lane & 3 < BUY_STOPS:
        log(b, now, EVENT_DELETE, row, b.orders[row].qty)
    drop(b, row)
    b.counts[MESSAGES] += 1
    note_quotes(b, now, book, owner, decision, cause)


@inline
def modify(b, now, row, price, qty, decision, cause):
    """Change price and open size of a live order; it keeps its place only where it does not grow or move.

    From then on it belongs to the decision that modified it.
    """
    b.counts[SEQ] += 1
    lane = b.orders[row].lane
    book, side = np.uint32(lane >> 2), lane & 3
    if side >= BUY_STOPS:
        return WAITING_STOP
    if qty <= 0 or qty > MAX_PRICE:
        return BAD_SIZE
    if price <= 0 or price > MAX_PRICE:
        return BAD_PRICE
    if b.books[book, HALTED] != 0:
        return NO_TRADING
    moved = key_of(lane, price) != b.orders[row].key
    if moved and (price < b.books[book, BAND_LO] or price > b.books[book, BAND_HI]):
        return OUTSIDE_BAND
    owner = b.orders[row].owner
    b.orders[row].decision = decision
    if moved or qty > b.orders[row].qty:
        log(b, now, EVENT_DELETE, row, b.orders[row].qty)
        unlink(b, row)
        b.counts[LIVE] -= 1
        left = qty
        if b.books[book, AUCTION] == 0:
            order, limit_key = b.orders[row].id, key_of(1 - side, price)
            left = sweep(b, now, book, side, limit_key, qty, order, owner, decision, cause)
        settle_rest(b, now, row, side, price, left)
    elif qty < b.orders[row].qty:
        log(b, now, EVENT_REDUCE, row, b.orders[row].qty - qty)
        shrink(b, row, b.orders[row].qty - qty)
    conclude(b, now, book, owner, decision, cause)
    return OK


@kernel
def execute(b, now, row, qty):
    """Take `qty` off a resting order as an exchange reports it; OK where that order was first in the best queue.

    Where it was not, what stood before it is gone at the exchange, and is taken out here.
    """
    b.counts[SEQ] += 1
    lane = b.orders[row].lane
    code = OK
    ahead = first_row(b, lane)
    while ahead != row:
        drop(b, ahead)
        ahead = first_row(b, lane)
        code = NOT_FIRST
    size = min(qty, b.orders[row].qty)
    trade(b, now, lane >> 2, row, 1 - (lane & 1), size, -1, 0, 0, 0)
    take_off(b, row, size)
    conclude(b, now, lane >> 2, 0, 0, 0)
    return code


@inline
def first_row(b, lane):
    """The order at the front of a lane's best queue."""
    return b.levels[level_at(b, lane, b.books[lane >> 2, BEST + (lane & 3)])].head


@kernel
def clear(b):
    """Take every order and stop out of the market, at the end of a session. O(rows)."""
    for row in range(1, b.counts[ORDER_TOP]):
        if b.orders[row].qty > 0:
            drop(b, row)
