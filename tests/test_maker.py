"""Market makers of the kernel: the depth they display together, their refill, looks that are interrupted.

A stranger, owner 1, holds the best prices, a bid at 1000 and an ask at 1001, so that a ladder's places stand still.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markets import LADDER, SECOND, busy, candidates, market, program

from sim.kernel import draws
from sim.kernel import world as k
from sim.kernel.codes import OK, OP_CANCEL, OP_LIMIT, OP_MARKET
from sim.kernel.ladder import key_of
from sim.kernel.state import ASKS, BIDS, EVENT_NEW, EVENTS, SEQ
from sim.market import Market, resting

PLACES, SIGMA2 = 6, 256.0
STRANGER, MAKERS = 1, (2, 3, 4)


def growth(place: int) -> float:
    """How many times the size at the best price a ladder of `LADDER` has so many ticks behind it."""
    return 1 + LADDER[k.SHAPE] * min(place, LADDER[k.SHAPE_MAX])


def price_at(side: int, place: int) -> int:
    return 1001 + place if side == ASKS else 1000 - place


def whole(contracts: float, side: int, place: int) -> int:
    """Contracts at a place, rounded as all makers round at its price."""
    return draws.rounded(contracts * growth(place), draws.uniform(side, price_at(side, place), 0))


def around(lots: dict[int, int], **options: object) -> Market:
    """A market without makers: the stranger has a contract at both best prices, and bids for more at some places."""
    m = market(ladders=len(MAKERS), **options)
    m.w.stats[0, k.S_SIGMA2] = SIGMA2
    for side in (BIDS, ASKS):
        m.send(STRANGER, OP_LIMIT, side=side, price=price_at(side, 0), size=1)
    for place, size in lots.items():
        m.send(STRANGER, OP_LIMIT, side=BIDS, price=price_at(BIDS, place), size=size)
    return m


def make(m: Market, owner: int, displayed: float, most: float = 1e9, refill: float = 1.0, **columns: int):
    params = LADDER | {k.DISPLAYED: displayed, k.TARGET: most, k.REFILL: refill}
    return program(m, k.LADDER, params, owner=owner, **({"P_KEY": 77 + owner} | columns))


def shown(m: Market) -> dict[int, dict[tuple[int, int], int]]:
    """Contracts that everybody shows, by owner, then by side and places behind the best price."""
    found: dict[int, dict[tuple[int, int], int]] = {owner: {} for owner in (STRANGER, *MAKERS)}
    for row in m.b.orders[m.b.orders["qty"] > 0]:
        side = int(row["lane"]) & 3
        price = int(key_of(side, int(row["key"])))
        place = side, price - 1001 if side == ASKS else 1000 - price
        found[int(row["owner"])][place] = found[int(row["owner"])].get(place, 0) + int(row["qty"])
    return found


def of_makers(found: dict[int, dict[tuple[int, int], int]], place: tuple[int, int]) -> int:
    """Contracts that the makers show at a place together."""
    return sum(found[owner].get(place, 0) for owner in MAKERS)


def stop_at_every_message(m: Market) -> None:
    m.set_alarms(2**40, 2**40)


# Displayed depth

DEPTHS = st.floats(0.5, 60.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), DEPTHS, DEPTHS, st.floats(0.2, 1.0), st.dictionaries(st.integers(0, 5), st.integers(1, 99)))
def test_makers_hold_the_displayed_depth_together(
    makers: int, displayed: float, most: float, refill: float, lots: dict[int, int]
) -> None:
    """After every message nobody shows more than its own most, nor all more than the depth beside the stranger's lot.

    After 90 seconds the depth stands to the contract: a maker looks at a side 180 times on average, each time a missing
    contract comes with a probability of at least 0.2, and at most 3 x 1,800 are missing. One of them has not come with
    a probability below 5,400 exp(-0.2 x 180), 2e-12.
    """
    m = around(lots)
    strange = shown(m)[STRANGER]
    for owner in MAKERS[:makers]:
        make(m, owner, displayed, most, refill)
    stop_at_every_message(m)
    all_places = [(side, place) for side in (BIDS, ASKS) for place in range(PLACES)]
    while m.advance(90 * SECOND) == k.PRICE:
        now = shown(m)
        for place in all_places:
            assert max(now[owner].get(place, 0) for owner in MAKERS) <= whole(most, *place)
            assert of_makers(now, place) <= max(whole(displayed, *place) - strange.get(place, 0), 0)
    final = shown(m)
    assert {place for owner in MAKERS for place in final[owner]} <= set(all_places)
    for place in all_places:
        lot = strange.get(place, 0)
        together = min(lot + makers * whole(most, *place), whole(displayed, *place))
        assert lot + of_makers(final, place) == max(lot, together)


def test_makers_leave_a_price_at_which_somebody_shows_enough_and_come_back() -> None:
    """Within 20 seconds a maker looks at a side 40 times on average: one of them has not with probability 1e-17."""
    m = around({})
    for owner in MAKERS:
        make(m, owner, 20.0, 12.0)
    m.advance(60 * SECOND)
    before = shown(m)
    assert of_makers(before, (BIDS, 0)) == 19
    code, row, _ = m.send(STRANGER, OP_LIMIT, side=BIDS, price=1000, size=500)
    assert code == OK
    m.advance(m.now + 20 * SECOND)
    after = shown(m)
    for owner in MAKERS:
        assert after[owner] == {place: size for place, size in before[owner].items() if place != (BIDS, 0)}
    m.send(STRANGER, OP_CANCEL, row=row)
    m.advance(m.now + 20 * SECOND)
    assert of_makers(shown(m), (BIDS, 0)) == 19


def test_depth_that_has_been_taken_comes_back_at_its_price() -> None:
    m = around({})
    for owner in MAKERS:
        make(m, owner, 20.0, refill=0.5)
    m.advance(60 * SECOND)
    m.send(5, OP_MARKET, side=BIDS, size=15)
    m.send(STRANGER, OP_LIMIT, side=ASKS, price=1001, size=1)
    assert of_makers(shown(m), (ASKS, 0)) == 5
    m.advance(m.now + 60 * SECOND)
    assert of_makers(shown(m), (ASKS, 0)) == 19


# Refill: 400 keys a test. A right program passes for these keys always, and with another set of keys fails less than
# once in a million times (five standard errors).

N_KEYS = 400


def looks_at_bids(key: int, rate: float):
    """Times of a ladder's looks at its bids, from its start."""
    return (time for index, time in candidates(key, rate) if draws.hashed(key, index, 2) & 1 == BIDS)


@pytest.mark.parametrize("refill", [0.0125, 0.25, 1.0])
def test_a_missing_contract_comes_back_after_the_looks_that_the_share_implies(refill: float) -> None:
    """Each look brings it with the probability of the share: the number of looks is geometric, its mean 1 / share."""
    m = around({}, log_events=True)
    counts = []
    for trial in range(N_KEYS):
        seen, start, key = m.count(EVENTS), m.now, 1000 + trial
        ladder = make(m, MAKERS[0], 2.0, refill=refill, P_KEY=key)
        bids = np.zeros((0, 1))
        while not len(bids):
            m.advance(m.now + 60 * SECOND)
            events = m.events()[seen:]
            bids = events[(events[:, 1] == EVENT_NEW) & (events[:, 4] == 1000)]
        counts.append(count_until(looks_at_bids(key, LADDER[k.RATE]), int(bids[0, 0]) - start))
        m.stop_program(ladder)
    error = math.sqrt(1 - refill) / refill / math.sqrt(N_KEYS)
    assert abs(np.mean(counts) - 1 / refill) <= 5 * error


def count_until(times, last: int) -> int:
    """How many of the times, in order, come up to the last one, which is one of them."""
    for count, time in enumerate(times, start=1):
        if time >= last:
            assert time == last
            return count
    raise AssertionError


@pytest.mark.parametrize("looks", [1, 3, 8])
def test_what_is_missing_shrinks_by_the_share_at_every_look(looks: int) -> None:
    """Of 100 contracts a quarter comes at each; rounding is unbiased and makes an error of at most one contract."""
    m, refill = around({}), 0.25
    missing = []
    for trial in range(N_KEYS):
        start, key = m.now, 5000 + trial
        times = looks_at_bids(key, LADDER[k.RATE])
        ladder = make(m, MAKERS[0], 101.0, refill=refill, P_KEY=key)
        m.advance(start + [next(times) for _ in range(looks)][-1])
        missing.append(100 - shown(m)[MAKERS[0]].get((BIDS, 0), 0))
        m.stop_program(ladder)
    assert np.std(missing) <= 1.0
    assert abs(np.mean(missing) - 100 * (1 - refill) ** looks) <= 5 / math.sqrt(N_KEYS)


# Looks that are interrupted


def test_look_interrupted_by_an_alarm_goes_on_at_the_next_advance() -> None:
    """At every message of a busy market; nothing else is different."""
    straight, stopped = busy(), busy()
    straight.advance(30 * SECOND)
    stop_at_every_message(stopped)
    in_a_look = 0
    while stopped.advance(30 * SECOND) == k.PRICE:
        in_a_look += bool(stopped.w.clock[k.QUOTING])
    assert in_a_look > 50
    assert resting(stopped.b, 0) == resting(straight.b, 0)
    assert np.array_equal(stopped.quotes(), straight.quotes())
    assert np.array_equal(stopped.trades(), straight.trades())
    assert stopped.count(SEQ) == straight.count(SEQ)


def test_all_messages_of_a_look_are_of_one_instant() -> None:
    m = around({})
    make(m, MAKERS[0], 20.0)
    stop_at_every_message(m)
    m.advance(60 * SECOND)
    start, messages = m.now, 1
    while m.w.clock[k.QUOTING] and m.advance(60 * SECOND) == k.PRICE and m.now == start:
        messages += 1
    assert messages == PLACES


def test_look_takes_down_what_stands_16_ticks_away_and_posts_in_its_place_at_once() -> None:
    """Prices 16 ticks apart share a slot; within a minute a side is looked at but with a probability of exp(-120)."""
    m = around({})
    make(m, MAKERS[0], 20.0)
    m.advance(60 * SECOND)
    m.send(5, OP_MARKET, side=BIDS, size=sum(whole(20.0, ASKS, place) for place in range(PLACES)))
    m.send(STRANGER, OP_LIMIT, side=ASKS, price=1017, size=1)
    m.send(STRANGER, OP_LIMIT, side=BIDS, price=1016, size=1)
    stop_at_every_message(m)
    while (BIDS, 0) in shown(m)[MAKERS[0]]:
        m.advance(120 * SECOND)
    start = m.now
    while m.now == start:
        before = shown(m)[MAKERS[0]]
        m.advance(120 * SECOND)
    assert {place for side, place in before if side == BIDS} == set(range(-16, PLACES - 16))


@pytest.mark.parametrize("messages", range(1, PLACES + 1))
def test_ladder_stopped_in_the_middle_of_a_look_leaves_nothing_behind(messages: int) -> None:
    """No order, and no look for the next program in its place to go on with."""
    m = around({})
    ladder = make(m, MAKERS[0], 20.0)
    stop_at_every_message(m)
    for _ in range(messages):
        m.advance(60 * SECOND)
    assert m.w.clock[k.QUOTING] == ladder[0]
    m.stop_program(ladder)
    m.check()
    assert m.advance(m.now + SECOND) == k.TIME
    assert [size for *_, size in resting(m.b, 0)] == [1, 1]
    other = make(m, MAKERS[1], 20.0, P_KEY=5)
    assert other[0] == ladder[0]
    start = m.now
    m.advance(60 * SECOND)
    assert m.now == start + next(candidates(5, LADDER[k.RATE]))[1]
    assert not shown(m)[MAKERS[0]]


def test_a_ladder_that_is_adjusted_keeps_its_orders_and_what_it_remembers() -> None:
    """It shows half as much within 60 seconds, 60 looks at a side on average, by orders that kept their places."""
    m = around({})
    ladder = make(m, MAKERS[0], 20.0)
    m.advance(60 * SECOND)
    before = {order for *_, order, size in resting(m.b, 0) if size > 1}
    m.w.params[ladder[0], k.FAST] = 3.0
    m.adjust(ladder, LADDER | {k.DISPLAYED: 10.0, k.TARGET: 1e9, k.REFILL: 1.0})
    assert m.w.params[ladder[0], k.FAST] == 3.0
    assert {order for *_, order, size in resting(m.b, 0) if size > 1} == before
    m.advance(m.now + 60 * SECOND)
    assert {order for *_, order, size in resting(m.b, 0) if size > 1} == before
    assert shown(m)[MAKERS[0]][BIDS, 2] == whole(10.0, BIDS, 2)


# A side that is empty


@pytest.mark.parametrize("side", [BIDS, ASKS])
def test_empty_side_is_quoted_at_the_last_mid_at_once(side: int) -> None:
    """Not where the next order of somebody else stands: that moves the price by half the way there.

    The makers look at the spread 120 times a second and answer every other time: none does within a second with a
    probability below exp(-60).
    """
    m = around({})
    for owner in MAKERS:
        program(m, k.LADDER, LADDER | {k.RATE: 1e-9, k.TARGET: 10.0}, owner=owner, P_KEY=77 + owner)
    m.send(5, OP_MARKET, side=1 - side, size=1)
    live = m.b.orders[m.b.orders["qty"] > 0]
    assert not any(key_of(int(row["lane"]) & 3, int(row["key"])) == price_at(side, 0) for row in live)
    m.advance(SECOND)
    assert of_makers(shown(m), (side, 0)) > 0
    assert m.mid2() == 2001
