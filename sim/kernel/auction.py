"""Call auctions: orders collect, crossed or not, then trade at the one price that executes most."""

from __future__ import annotations

from sim.kernel.book import fire_stops, note_quotes, take_off, trade_at, withdraw
from sim.kernel.jit import inline, kernel
from sim.kernel.ladder import level_at, next_key
from sim.kernel.state import (
    ASKS,
    AUCTION,
    BEST,
    BIDS,
    LANES,
    MIRROR,
    NO_KEY,
    SEQ,
)


@inline
def clearing(b, book):
    """Price that executes most (0 = nothing crosses), and the contracts executed there.

    Between several such prices: the one at which an unfilled rest stands, else the middle. O(crossed levels).
    """
    bids, asks = book * LANES + BIDS, book * LANES + ASKS
    bid, ask = b.books[book, BEST + BIDS], b.books[book, BEST + ASKS]
    bid_left, ask_left = 0, 0
    top, bottom, volume = 0, 0, 0
    while bid != NO_KEY and ask != NO_KEY and MIRROR - bid >= ask:
        if bid_left == 0:
            bid_left = b.levels[level_at(b, bids, bid)].volume
        if ask_left == 0:
            ask_left = b.levels[level_at(b, asks, ask)].volume
        top, bottom = MIRROR - bid, ask
        size = min(bid_left, ask_left)
        volume += size
        bid_left -= size
        ask_left -= size
        if bid_left == 0:
            bid = next_key(b, bids, bid + 1) if bid + 1 < NO_KEY else NO_KEY
        if ask_left == 0:
            ask = next_key(b, asks, ask + 1) if ask + 1 < NO_KEY else NO_KEY
    if volume == 0:
        return 0, 0
    if bid_left > 0:
        return top, volume
    if ask_left > 0:
        return bottom, volume
    low = max(bottom, MIRROR - bid) if bid != NO_KEY else bottom
    high = min(top, ask) if ask != NO_KEY else top
    return (low + high) >> 1, volume


@kernel
def uncross(b, now, book):
    """End a call auction: trade all that crosses at the clearing price, then let the book run. The volume traded.

    Of two orders that meet, the later one is the taker.
    """
    price, volume = clearing(b, book)
    left = volume
    while left > 0:
        bid = b.levels[level_at(b, book * LANES + BIDS, b.books[book, BEST + BIDS])].head
        ask = b.levels[level_at(b, book * LANES + ASKS, b.books[book, BEST + ASKS])].head
        maker, taker, side = (bid, ask, 1) if b.orders[bid].id < b.orders[ask].id else (ask, bid, 0)
        size = min(left, min(b.orders[bid].qty, b.orders[ask].qty))
        b.counts[SEQ] += 1
        trade_at(
            b,
            now,
            book,
            maker,
            price,
            side,
            size,
            b.orders[taker].id,
            b.orders[taker].owner,
            b.orders[taker].decision,
            0,
        )
        take_off(b, maker, size)
        withdraw(b, now, taker, size)
        left -= size
    b.books[book, AUCTION] = 0
    b.counts[SEQ] += 1
    note_quotes(b, now, book, 0, 0, 0)
    fire_stops(b, now, book)
    return volume
