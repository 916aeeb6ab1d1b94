"""What must be true of the books after every message, looked at from outside: O(orders + levels in use)."""

from __future__ import annotations

from collections import defaultdict

from sim.kernel.ladder import level_at, next_key
from sim.kernel.state import (
    AUCTION,
    BEST,
    BUY_STOPS,
    CASH,
    HALTED,
    LANES,
    LAST,
    LIVE,
    MIRROR,
    NO_KEY,
    ORDER_TOP,
    POSITION,
    SELL_STOPS,
    STOPS,
    Books,
)


def assert_sound(b: Books) -> None:
    """Queues, levels, counts, best prices and the ledger agree; nothing is crossed, no reached stop still waits."""
    orders = b.orders[: b.counts[ORDER_TOP]]
    live = [row for row in orders["qty"].nonzero()[0].tolist() if row]
    assert (orders[live]["qty"] > 0).all()
    assert len(set(orders[live]["id"].tolist())) == len(live), "an id is live twice"
    resting = sum(1 for row in live if orders[row]["lane"] & 3 < BUY_STOPS)
    assert (b.counts[LIVE], b.counts[STOPS]) == (resting, len(live) - resting)
    by_lane: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in live:
        by_lane[int(orders[row]["lane"])][int(orders[row]["key"])].append(row)
    for lane in range(LANES * len(b.books)):
        assert_lane(b, lane, by_lane[lane])
    for book in range(len(b.books)):
        assert_quotes(b, book)
    assert not b.owners[:, :, [POSITION, CASH]].sum(axis=0).any()


def assert_lane(b: Books, lane: int, expected: dict[int, list[int]]) -> None:
    """The levels in use are those of the orders, from the best on; each queue is linked both ways and adds up."""
    key, seen = int(b.books[lane // LANES, BEST + lane % LANES]), []
    while key != NO_KEY:
        seen.append(key)
        level = b.levels[level_at(b, lane, key)]
        row, before, queue = int(level["head"]), 0, []
        while row:
            assert b.orders[row]["prev"] == before
            queue.append(row)
            row, before = int(b.orders[row]["next"]), row
        assert level["tail"] == before
        assert sorted(queue) == expected[key]
        assert (level["count"], level["volume"]) == (len(queue), b.orders[queue]["qty"].sum())
        key = int(next_key(b, lane, key + 1)) if key + 1 < NO_KEY else NO_KEY
    assert seen == sorted(expected)


def assert_quotes(b: Books, book: int) -> None:
    """Outside auctions bid and ask are apart, and no waiting stop has been reached."""
    bid, ask, *stops = (int(key) for key in b.books[book, BEST : BEST + LANES])
    last = int(b.books[book, LAST])
    if b.books[book, AUCTION] or last == 0:
        return
    assert bid == NO_KEY or ask == NO_KEY or MIRROR - bid < ask
    if not b.books[book, HALTED]:
        assert stops[0] > last
        assert stops[SELL_STOPS - BUY_STOPS] > MIRROR - last
