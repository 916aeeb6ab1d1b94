"""The running kernel: timing wheel, keyed draws, call auction, standing programs, alarms, buffers.

Laws first. Programs are run in a market of their own around 1,000 ticks, with deep liquidity of owner 1; what they
must do is computed from their keyed draws, so most of these tests are exact.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markets import KEY, LADDER, MANY, SECOND, busy, candidates, deep, market, program
from scipy.stats import kstest

import sim.market
from sim.kernel import draws
from sim.kernel import world as k
from sim.kernel.auction import clearing
from sim.kernel.book import room
from sim.kernel.codes import BAD_OP, NO_TRADING, OK, OP_CANCEL, OP_FOK, OP_IOC, OP_LIMIT, OP_MARKET, OP_MODIFY, OP_STOP
from sim.kernel.jit import JIT
from sim.kernel.state import (
    ASKS,
    BIDS,
    EVENT_DELETE,
    EVENT_NEW,
    EVENTS,
    LIVE,
    LOGGING,
    ORDER_TOP,
    PAGE_TOP,
    QUOTES,
    SEQ,
    STOPS,
    TRADES,
    TREE_OFFSETS,
    TREE_START,
    TREE_WORDS,
    new_books,
)
from sim.kernel.wheel import first, release, schedule
from sim.kernel.world import new_world
from sim.market import NO_PROGRAM, Market, resting

HERE = Path(__file__).parent


def taken(m: Market, owner: int) -> int:
    """Contracts that an owner took."""
    rows = m.trades()
    return int(rows["size"][rows["taker"] == owner].sum())


def work(m: Market, size: int, *, side: int = BIDS, pov: float = 0.0, child: float = 3.5, **columns: int):
    return program(m, k.SCHEDULE, {k.SIZE: child, k.POV: pov}, P_SIDE=side, P_LEFT=size, **columns)


# The page table


def test_each_layer_of_the_tree_of_pages_has_room_of_its_own() -> None:
    """A bit for each page of 2**31 prices, and for each word of the layer below."""
    ends = [*TREE_OFFSETS[1:], TREE_START + TREE_WORDS]
    assert TREE_OFFSETS[0] == TREE_START
    assert np.subtract(ends, TREE_OFFSETS).tolist() == [2**18, 2**13, 2**8, 2**3, 1]


# The timing wheel

FAR = 2**41 if JIT else 2**30
"""Nanoseconds ahead: 37 minutes, but a second where every empty bucket costs a microsecond."""


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3 * (k.BUCKETS << k.BUCKET_BITS) // 2) | st.integers(0, 2**26), st.integers(0, FAR)),
        max_size=60,
    )
)
def test_wheel_is_a_queue_in_order_of_time(entries: list[tuple[int, int]]) -> None:
    """Against a heap; some nodes set another one off when they ring, up to a turn of the wheel and more ahead."""
    w = new_world(1, ladders=0, nodes=1 << 11)
    heap: list[int] = []
    for time, _ in entries:
        schedule(w, time, 0, 0, 0)
        heapq.heappush(heap, time)
    again = [delay for _, delay in entries[::2]]
    horizon, rung = 2**50, []
    while heap:
        node = first(w, horizon if len(heap) % 3 else heap[0])
        time = int(w.nodes[node]["time"])
        assert time == heapq.heappop(heap)
        release(w, node)
        rung.append(time)
        if again:
            delay = again.pop()
            schedule(w, time + delay, 0, 0, 0)
            heapq.heappush(heap, time + delay)
    assert rung == sorted(rung)


def test_wheel_gives_nothing_before_its_time() -> None:
    w = new_world(1, ladders=0)
    schedule(w, 5 << k.BUCKET_BITS, 3, 8, 9)
    assert first(w, (5 << k.BUCKET_BITS) - 1) == 0
    node = first(w, 5 << k.BUCKET_BITS)
    assert w.nodes[node][["what", "ident"]].item() == ((8 << k.KIND_BITS) + 3, 9)


TURN = 1 << (k.BUCKET_BITS + k.TURN_BITS)
ROUND = TURN * k.TURNS
"""The wheel's turn, 17 s, and what the blocks of its turns reach, 20 hours."""


@pytest.mark.skipif(not JIT, reason="some 40 million buckets are turned")
@pytest.mark.parametrize("start", [0, 3 * TURN + 12_345, 5 * ROUND - 1])
@pytest.mark.parametrize("whole", [False, True], ids=["from outside", "from the node before"])
def test_wheel_keeps_what_is_more_than_a_turn_and_more_than_20_hours_ahead(start: int, whole: bool) -> None:
    """Set at the start, backwards; or each when the one before it rings, and all others with it."""
    w = new_world(1, ladders=0)
    w.clock[[k.NOW, k.CURSOR]] = start, start >> k.BUCKET_BITS
    ahead = [5, TURN - 1, TURN, TURN + 1, 3 * TURN + 7, ROUND - TURN, ROUND - 1, ROUND, ROUND + 1, ROUND + TURN]
    times = [start + wait for wait in (*ahead, 2 * ROUND + 11)]
    for time in times[:1] if whole else reversed(times):
        schedule(w, time, 0, 0, 0)
    rung = []
    while node := first(w, start + 3 * ROUND):
        rung.append(int(w.nodes[node]["time"]))
        release(w, node)
        for time in times[1:] if whole and len(rung) == 1 else ():
            schedule(w, time, 0, 0, 0)
    assert rung == times


# Keyed draws: 20,000 draws of one key; a right program passes each of these always, since the key is fixed, and fails
# at another key less than once in 10,000 times (five standard errors).

N_DRAWS = 20_000


def test_the_hash_is_splitmix64() -> None:
    """Published first values for the seed 1234567 (Vigna's reference code, as at Rosetta Code)."""
    values = 6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821
    assert [int(draws.hashed(1234567, 0, which)) % 2**64 for which in range(5)] == list(values)


def test_uniform_draws_are_uniform_and_independent() -> None:
    u = np.array([[draws.uniform(KEY, index, which) for which in range(2)] for index in range(N_DRAWS)])
    counts = np.histogram(u[:, 0], bins=50, range=(0, 1))[0]
    expected = N_DRAWS / 50
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi2 - 49) < 5 * math.sqrt(2 * 49)
    assert abs(np.corrcoef(u[:, 0], u[:, 1])[0, 1]) < 5 / math.sqrt(N_DRAWS)
    assert abs(np.corrcoef(u[1:, 0], u[:-1, 0])[0, 1]) < 5 / math.sqrt(N_DRAWS)
    assert u.min() >= 0
    assert u.max() < 1


def test_exponential_geometric_and_pareto_have_their_means() -> None:
    x = np.array([draws.exponential(KEY, index, 0) for index in range(N_DRAWS)])
    assert abs(x.mean() - 1) < 5 / math.sqrt(N_DRAWS)
    g = np.array([draws.geometric(KEY, index, 1, draws.geometric_scale(3.5)) for index in range(N_DRAWS)])
    assert g.min() == 1
    assert abs(g.mean() - 3.5) < 5 * math.sqrt(3.5 * 2.5 / N_DRAWS)
    p = np.array([draws.pareto(KEY, index, 2, 20.0, 6000.0, 1.5) for index in range(N_DRAWS)])
    assert 20 <= p.min() <= p.max() <= 6000
    assert abs((p > 80).mean() - 0.125) < 5 * math.sqrt(0.125 / N_DRAWS)
    assert [draws.geometric(KEY, index, 1, draws.geometric_scale(1.0)) for index in range(9)] == [1] * 9


def test_the_ziggurat_is_exponential_in_its_layers_at_their_edges_and_in_its_tail() -> None:
    """Against the distribution function of scipy; the keys are fixed, so a right program passes always."""
    x = np.array([draws.exponential(KEY, index, 3) for index in range(N_DRAWS)])
    assert kstest(x, "expon").pvalue > 0.001
    assert (np.diff(draws.EDGES) < 0).all()
    areas = draws.EDGES[1:-1] * np.diff(np.exp(-draws.EDGES[1:]))
    assert areas == pytest.approx(draws.AREA, rel=1e-9), "layers of one area"
    beyond = draws.EDGES[0]
    tail = np.array([draws.near_the_edge(draws.hashed(KEY, index, 4), 0, beyond) for index in range(5000)])
    assert kstest(tail - draws.TAIL, "expon").pvalue > 0.001, "without a memory beyond the base"
    for layer in (1, 100, 254):
        high, low = draws.EDGES[layer : layer + 2]
        x = (low + high) / 2
        under = (math.exp(-x) - math.exp(-high)) / (math.exp(-low) - math.exp(-high))
        kept = np.mean([draws.near_the_edge(draws.hashed(KEY, n, 5), layer, x) == x for n in range(5000)])
        assert abs(kept - under) < 5 * math.sqrt(under * (1 - under) / 5000)


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.permutations(range(30)))
def test_a_draw_depends_on_key_and_index_alone(key: int, order: list[int]) -> None:
    forward = {index: draws.uniform(key, index, 1) for index in range(30)}
    assert {index: draws.uniform(key, index, 1) for index in order} == forward
    assert len(set(forward.values())) == 30


RUN = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from sim.kernel import draws
from markets import busy
marks = [float(f(5, i, w, *more)) for i in range(400) for w in range(4) for f, more in (
    (draws.uniform, ()), (draws.exponential, ()), (draws.geometric, (2.97,)), (draws.pareto, (20.0, 6000.0, 1.5)))]
print(hashlib.sha256(repr(marks).encode()).hexdigest())
market = busy()
market.advance(15 * 10**9)
print(hashlib.sha256(market.trades().tobytes()).hexdigest(), len(market.trades()))
"""


def test_draws_and_tape_are_the_same_without_the_compiler() -> None:
    """15 seconds of a market; also a guard against overflow warnings of the hash in plain Python."""
    script = RUN.format(folder=str(HERE))
    outputs = []
    for jit in ("0", "1"):
        env = os.environ | {"NUMBA_DISABLE_JIT": jit}
        done = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-c", script], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout.split())
    assert outputs[0] == outputs[1]
    assert int(outputs[0][2]) > 20


def test_compiled_code_is_kept_by_its_digest_whoever_has_imported_numba_before(tmp_path: Path) -> None:
    """Where numba keeps it by default, it would not see an edit in another file."""
    script = "import numba; from sim.kernel import jit; print(numba.config.CACHE_DIR)"
    env = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    env["XDG_CACHE_HOME"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).parent == tmp_path / "thinbook"


# Call auctions

ORDERS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(95, 110) | st.integers(200, 700), st.integers(1, 9), st.integers(1, 4)),
    max_size=30,
)
AUCTION_MARKET = Market(5)


def volume_at(orders: list[tuple[int, int, int, int]], price: int) -> int:
    bids = sum(size for side, at, size, _ in orders if side == BIDS and at >= price)
    asks = sum(size for side, at, size, _ in orders if side == ASKS and at <= price)
    return min(bids, asks)


@settings(max_examples=200, deadline=None)
@given(ORDERS)
def test_auction_trades_the_most_it_can_at_one_price(orders: list[tuple[int, int, int, int]]) -> None:
    m = AUCTION_MARKET
    m.start_session(0, 0, 3600 * SECOND, 2001)
    before, start = m.b.owners.copy(), m.count(TRADES)
    for side, price, size, owner in orders:
        m.send(owner, OP_LIMIT, side=side, price=price, size=size)
    price, volume = clearing(m.b, 0)
    assert volume == max((volume_at(orders, at) for _, at, _, _ in orders), default=0)
    assert m.open_auction() == volume
    made = m.trades()[start:]
    assert made["size"].sum() == volume
    assert set(made["price_ticks"].tolist()) <= {price}
    if volume:
        assert volume_at(orders, int(price)) == volume
    bid, ask = m.best(BIDS)[0], m.best(ASKS)[0]
    assert not bid or not ask or bid < ask
    m.check()
    bought = (m.b.owners - before)[:, 0, 0]
    assert np.abs(bought).sum() <= 2 * volume
    left = {(side, at): size for side, at, _, size in resting(m.b, 0)}
    for side, at, *_ in orders:
        better = at > price if side == BIDS else at < price
        assert not (volume and better and (side, at) in left), "an order better than the price was left"
    sent = [sum(size for side, _, size, _ in orders if side == one) for one in (BIDS, ASKS)]
    rest = [sum(size for side, _, _, size in resting(m.b, 0) if side == one) for one in (BIDS, ASKS)]
    assert [a - b for a, b in zip(sent, rest, strict=True)] == [volume, volume]


def test_auction_keeps_time_priority_and_takes_limit_orders_alone() -> None:
    m = Market(5)
    m.start_session(0, 0, 3600 * SECOND, 2001)
    for owner in (2, 3):
        m.send(owner, OP_LIMIT, side=BIDS, price=1000, size=5)
    assert m.send(4, OP_LIMIT, side=ASKS, price=998, size=7)[0] == OK
    assert m.send(4, OP_MARKET, side=ASKS, size=7)[0] == BAD_OP
    assert m.send(4, OP_IOC, side=ASKS, price=998, size=7)[0] == BAD_OP
    assert m.count(TRADES) == 0
    assert m.open_auction() == 7
    assert (m.position(2), m.position(3), m.position(4)) == (5, 2, -7)
    assert m.trades()[0]["price_ticks"] == 1000, "the price at which a rest stands"


def test_volume_of_an_auction_is_not_in_the_volume_rate() -> None:
    """Neither of the opening one nor of one that ends a halt; 60 contracts in a second are one a second of a minute."""
    m = Market(5)
    m.start_session(0, 0, 3600 * SECOND, 2001)

    def cross(size: int) -> None:
        for side in (BIDS, ASKS):
            m.send(2 + side, OP_LIMIT, side=side, price=1000, size=size)
        assert m.open_auction() == size

    cross(7000)
    m.set_activity(0.0, 1.0, 16.0, 1.0, 0.0)
    m.start_pulse()
    m.advance(m.now + 20 * SECOND)
    assert m.volume_rate() == 0.0
    m.send(1, OP_LIMIT, side=ASKS, price=1001, size=60)
    m.send(4, OP_MARKET, side=BIDS, size=60)
    m.advance(m.now + SECOND)
    assert m.volume_rate() == pytest.approx(1.0)
    m.set_auction()
    cross(9000)
    m.advance(m.now + SECOND)
    assert m.volume_rate() == pytest.approx(59 / 60)


# Streams


def until(seconds: int, rate: float) -> list[tuple[int, int]]:
    """Numbers and times of a stream's first candidates."""
    return list(itertools.takewhile(lambda candidate: candidate[1] <= seconds * SECOND, candidates(KEY, rate)))


def test_latent_orders_come_and_live_as_their_marks_say() -> None:
    m = deep(log_events=True)
    rate, life, reach = 5.0, 3.0, 40
    program(m, k.LATENT, {k.RATE: rate, k.REACH: reach, k.SIZE: 5.0, k.LIFE: life})
    m.advance(60 * SECOND)
    events = m.events()[2:]
    new = events[events[:, 1] == EVENT_NEW]
    gone = {int(row[2]): int(row[0]) for row in events[events[:, 1] == EVENT_DELETE]}
    expected = []
    for index, now in candidates(KEY, rate):
        if now > 60 * SECOND:
            break
        side = draws.hashed(KEY, index, 2) & 1
        away = 1 + int(draws.uniform(KEY, index, 3) * reach)
        price = 1000 + away if side else 1001 - away
        expected.append((now, draws.geometric(KEY, index, 4, draws.geometric_scale(5.0)), price, -1 if side else 1))
    assert [tuple(row) for row in new[:, [0, 3, 4, 5]].tolist()] == expected
    for index, row in enumerate(new, start=1):
        dies = int(row[0]) + int(draws.exponential(KEY, index, 5) * life * 1e9)
        assert gone.get(int(row[2]), -1) == (dies if dies <= 60 * SECOND else -1)
    assert m.count(LIVE) == 2 + len(new) - len(gone)


def test_a_stream_that_is_adjusted_keeps_its_candidates() -> None:
    """Latent orders come at the same times and prices, smaller; of noise a quarter of the same orders comes."""

    def adjusted(kind: int, **change: float) -> np.ndarray:
        m = deep(log_events=True)
        m.w.stats[0, k.S_PACE] = 1.0
        params = {k.RATE: 20.0, k.REACH: 40, k.SIZE: 8.0, k.LIFE: 1e9, k.CAP: 1.0}
        handle = program(m, kind, params)
        m.advance(30 * SECOND)
        m.adjust(handle, params | {getattr(k, name): param for name, param in change.items()})
        m.advance(60 * SECOND)
        events = m.events()[2:]
        return events[events[:, 1] == EVENT_NEW] if kind == k.LATENT else m.trades()

    whole, small = adjusted(k.LATENT), adjusted(k.LATENT, SIZE=2.0)
    before = whole[:, 0] <= 30 * SECOND
    assert whole[:, [0, 4, 5]].tolist() == small[:, [0, 4, 5]].tolist()
    assert whole[before].tolist() == small[before].tolist()
    assert (whole[~before, 3] >= small[~before, 3]).all()
    assert whole[~before, 3].sum() > 3 * small[~before, 3].sum()

    every, some = adjusted(k.NOISE), adjusted(k.NOISE, CAP=4.0)
    kept = {index for index, now in until(60, 20.0) if now <= 30 * SECOND or draws.uniform(KEY, index, 1) < 0.25}
    assert every["time_ns"].tolist() == [now for _, now in until(60, 20.0)]
    assert some["time_ns"].tolist() == [now for index, now in until(60, 20.0) if index in kept]


@pytest.mark.parametrize("pace", [1.0, 0.3])
def test_noise_is_thinned_from_the_same_candidates(pace: float) -> None:
    m = deep()
    m.w.stats[0, k.S_PACE] = pace
    rate, cap = 30.0, 2.0
    program(m, k.NOISE, {k.RATE: rate, k.CAP: cap, k.SIZE: 3.5, k.SELECTIVE: 0.9})
    m.advance(60 * SECOND)
    expected = []
    for index, now in candidates(KEY, rate):
        if now > 60 * SECOND:
            break
        if draws.uniform(KEY, index, 1) * cap < pace:
            side = draws.hashed(KEY, index, 2) & 1
            expected.append((now, draws.geometric(KEY, index, 3, draws.geometric_scale(3.5)), 1 - 2 * side))
    assert m.trades()[["time_ns", "size", "side"]].tolist() == [tuple(row) for row in expected]


def test_takers_shun_a_wide_spread() -> None:
    """Of the candidates those trade whose mark times the spread (ticks) is below 1."""
    m, spread = market(), 4
    for side, price in ((BIDS, 1000), (ASKS, 1000 + spread)):
        m.send(1, OP_LIMIT, side=side, price=price, size=MANY)
    m.w.stats[0, k.S_PACE] = 1.0
    program(m, k.NOISE, {k.RATE: 30.0, k.CAP: 1.0, k.SIZE: 3.5, k.SELECTIVE: 0.5})
    m.advance(20 * SECOND)
    expected = [now for index, now in until(20, 30.0) if draws.uniform(KEY, index, 5) * spread < 1]
    assert len(expected) > 100
    assert m.trades()["time_ns"].tolist() == expected


def test_selective_takers_take_the_best_queue_to_its_last_contract() -> None:
    m = market()
    for side, price, size in ((BIDS, 1000, MANY), (ASKS, 1001, 1), (ASKS, 1002, MANY)):
        m.send(1, OP_LIMIT, side=side, price=price, size=size)
    m.w.stats[0, k.S_PACE] = 1.0
    program(m, k.NOISE, {k.RATE: 10.0, k.CAP: 1.0, k.SIZE: 50.0, k.SELECTIVE: 1.0})
    m.advance(5 * SECOND)
    bought = m.trades()[m.trades()["side"] == 1]
    assert bought[0][["price_ticks", "size"]].tolist() == (1001, 1)
    assert set(bought[1:]["price_ticks"].tolist()) == {1002}


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_stream_without_a_rate_has_no_candidates() -> None:
    m = deep()
    program(m, k.NOISE, {k.RATE: 0.0, k.CAP: 1.0, k.SIZE: 3.5, k.SELECTIVE: 0.9})
    program(m, k.LATENT, {k.RATE: 1e-12, k.REACH: 10.0, k.SIZE: 3.5, k.LIFE: 1.0})
    before = m.count(SEQ)
    m.advance(1000)
    assert m.count(SEQ) == before


def test_a_book_is_stocked_on_both_sides() -> None:
    """400 orders, each on a side by a keyed coin: fixed by the key, and a right coin would be off by 3 deviations."""
    m = market()
    m.set_auction()
    handle = program(m, k.LATENT, {k.RATE: 1e-9, k.REACH: 100.0, k.SIZE: 3.0, k.LIFE: 1e9})
    before = m.count(SEQ)
    m.stock(handle, 1000, 400, 1e-9)
    sides, _, numbers, _ = zip(*resting(m.b, 0), strict=True)
    assert sorted(numbers) == list(range(before + 1, before + 401)), "their messages'"
    assert (len(sides), sides.count(BIDS)) == (400, pytest.approx(200, abs=30))


def test_metaorders_are_traded_to_the_last_contract() -> None:
    m = deep()
    m.w.stats[0, k.S_PACE] = 1.0
    params = {k.RATE: 0.5, k.CAP: 1.5, k.SIZE: 3.5, k.SELECTIVE: 0.9, k.Q_LOW: 20.0, k.Q_HIGH: 600.0, k.ALPHA: 1.5}
    handle = program(m, k.META, params | {k.PART_LOW: 0.02, k.PART_HIGH: 0.15, k.FLOW: 500.0})
    m.advance(100 * SECOND)
    m.stop_program(handle)
    m.advance(3600 * SECOND)
    sizes = []
    for index, now in candidates(KEY, 0.5):
        if now > 100 * SECOND:
            break
        if draws.uniform(KEY, index, 1) * 1.5 < 1.0:
            side = draws.hashed(KEY, index, 3) & 1
            sizes.append((1 - 2 * side) * int(draws.pareto(KEY, index, 4, 20.0, 600.0, 1.5)))
    assert len(sizes) > 20
    assert m.position(2) == sum(sizes)
    assert taken(m, 2) == sum(map(abs, sizes))
    assert m.w.programs[1:, k.P_KIND].any() == 0, "a metaorder ends when it is done"


# Execution schedules


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(1, 600), st.integers(-(2**40), 2**40), st.integers(0, 1))
def test_twap_is_done_soon_after_its_end(size: int, seconds: int, key: int, side: int) -> None:
    """A sleep that began before the end is over a minute later; what is late then goes in a few draws (see LATE_S)."""
    m = TWAP_MARKET
    start, held = m.now, m.position(2)
    handle = work(m, size, side=side, P_END=start + seconds * SECOND, P_KEY=key)
    m.advance(start + (seconds + 600) * SECOND)
    assert m.left(handle) == 0
    assert m.position(2) - held == size * (1 - 2 * side)


TWAP_MARKET = deep()


@pytest.mark.parametrize("side", [BIDS, ASKS])
def test_twap_is_spread_evenly(side: int) -> None:
    """2,000 contracts in some 570 children: the share of a half has a standard error of 3 %; a right one fails 1e-6."""
    m = deep()
    work(m, 2000, side=side, P_END=600 * SECOND)
    m.advance(300 * SECOND)
    assert 0.35 < abs(m.position(2)) / 2000 < 0.65
    m.advance(600 * SECOND)
    assert abs(m.position(2)) > 1800


def test_pov_keeps_to_its_share() -> None:
    """20 minutes at a tenth of 100 contracts a second: 12,000 contracts, standard error 2 %; a right one fails 1e-6."""
    m = deep()
    m.w.stats[0, k.S_VOLUME_RATE] = 100.0
    work(m, 10**6, pov=0.1)
    m.advance(1200 * SECOND)
    assert abs(m.position(2) - 12_000) < 1200


def test_pov_stops_with_the_market_and_its_end_does_not_hurry_it() -> None:
    m = deep()
    m.w.stats[0, k.S_VOLUME_RATE] = 0.0
    work(m, 500, pov=0.1, P_END=10 * SECOND)
    m.advance(600 * SECOND)
    assert m.position(2) <= 30, "a first child at most"


def test_child_waits_for_the_best_queue_and_keeps_its_size() -> None:
    m = market()
    m.send(1, OP_LIMIT, side=ASKS, price=1001, size=2)
    m.send(1, OP_LIMIT, side=ASKS, price=1002, size=1)
    m.send(1, OP_LIMIT, side=ASKS, price=1003, size=100)
    work(m, 20, child=10**6)
    m.advance(600 * SECOND)
    assert m.trades()["price_ticks"].tolist() == [1001, 1002, 1003]
    assert m.trades()["size"].tolist() == [2, 1, 17]
    assert len(set(m.trades()["time_ns"].tolist())) == 3, "each child takes no more than the best queue"


@pytest.mark.parametrize("side", [BIDS, ASKS])
@pytest.mark.parametrize("end", [0, 30 * SECOND])
def test_work_respects_its_limit_at_its_end_too(side: int, end: int) -> None:
    m = market()
    away = 1 - 2 * side
    for step, size in ((-1, 1000), (0, 5), (1, 7), (2, 1000)):
        m.send(1, OP_LIMIT, side=side if step < 0 else 1 - side, price=1000 + step * away, size=size)
    handle = work(m, 100, side=side, P_END=end, P_LIMIT=1000 + away)
    m.advance(300 * SECOND)
    assert m.position(2) == 12 * away
    assert m.left(handle) == 88 * away


def test_work_counts_its_own_trades_alone() -> None:
    """The holder's own stop, set off by its child, is not part of the schedule."""
    m = market()
    m.send(1, OP_LIMIT, side=BIDS, price=1000, size=10)
    m.send(1, OP_LIMIT, side=BIDS, price=999, size=500)
    m.send(2, OP_STOP, side=ASKS, stop=1000, size=50)
    work(m, 100, side=ASKS, P_END=60 * SECOND)
    m.advance(120 * SECOND)
    assert m.position(2) == -150


# Touch


def test_touch_follows_the_best_price() -> None:
    m = market()
    m.send(1, OP_LIMIT, side=ASKS, price=1010, size=MANY)
    touch = program(m, k.TOUCH, {k.RATE: 20.0, k.SIZE: 1000.0}, P_SIDE=BIDS, P_LEFT=30)
    for bid in (1000, 1003, 1004, 1007):
        m.send(1, OP_LIMIT, side=BIDS, price=bid, size=5)
        m.advance(m.now + 5 * SECOND)
        mine = [row for row in resting(m.b, 0) if int(m.b.orders[touch_row(m, touch)]["id"]) == row[2]]
        assert mine == [(BIDS, bid, mine[0][2], 30)], "at the best price, all of it"
    assert m.position(2) == 0


def touch_row(m: Market, handle: tuple[int, int]) -> int:
    return int(m.w.programs[handle[0], k.P_ROW])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**40), st.lists(st.integers(1, 12), min_size=1, max_size=25))
def test_touch_counts_its_fills(size: int, key: int, hits: list[int]) -> None:
    """Hit by market orders of any size between its looks, it trades what it was to trade, never more."""
    m = TOUCH_MARKET
    start, held = m.now, m.position(2)
    touch = program(
        m, k.TOUCH, {k.RATE: 2.0, k.SIZE: 4.0}, P_SIDE=BIDS, P_LEFT=size, P_KEY=key, P_END=start + 100 * SECOND
    )
    for hit in hits:
        m.advance(m.now + SECOND)
        m.send(3, OP_MARKET, side=ASKS, size=hit)
        done = m.position(2) - held
        assert 0 <= done <= size
    m.advance(start + 100 * SECOND)
    m.advance(start + 600 * SECOND)
    assert m.position(2) - held == size
    assert not m.alive(touch)
    m.check()


TOUCH_MARKET = deep()


def test_touch_takes_a_child_lost_to_self_trade_prevention_for_no_fill() -> None:
    m = deep()
    touch = program(m, k.TOUCH, {k.RATE: 2.0, k.SIZE: 1000.0}, P_SIDE=BIDS, P_LEFT=30)
    m.advance(5 * SECOND)
    assert m.is_live(touch_row(m, touch), int(m.w.programs[touch[0], k.P_ORDER]))
    m.send(2, OP_MARKET, side=ASKS, size=m.best(BIDS)[1])
    assert not m.is_live(touch_row(m, touch), int(m.w.programs[touch[0], k.P_ORDER]))
    m.advance(10 * SECOND)
    assert m.left(touch) == 30, "it trades with others alone"


# Ladders


def quoted(sigma: float = 16.0, bought: int = 0) -> tuple[dict[int, int], dict[int, int]]:
    """Sizes of a ladder by ticks from the best price, bids and asks, beside a lot of owner 1 at 1000 and 1001."""
    m = market(ladders=1)
    for side, price in ((BIDS, 1000), (ASKS, 1001)):
        m.send(1, OP_LIMIT, side=side, price=price, size=1)
    m.w.stats[0, k.S_SIGMA2] = sigma**2
    program(m, k.LADDER, LADDER)
    m.transfer(3, 2, bought, 1000)
    m.advance(60 * SECOND)
    assert m.count(TRADES) == 0
    rows = resting(m.b, 0)[0:]
    bids = {1000 - price: size for side, price, _, size in rows if side == BIDS and size > 1}
    asks = {price - 1001: size for side, price, _, size in rows if side == ASKS and size > 1}
    return bids, asks


def test_ladder_shows_its_target_sizes() -> None:
    wanted = {place: 10.0 * (1 + 0.5 * min(place, 3)) for place in range(6)}
    for sizes in quoted():
        assert sizes.keys() == wanted.keys()
        assert all(abs(sizes[place] - wanted[place]) < 1 for place in wanted)


@pytest.mark.parametrize(("sigma", "share"), [(64.0, 0.5), (10_000.0, 0.2), (1.0, 1.5)])
def test_ladder_withdraws_as_volatility_rises(sigma: float, share: float) -> None:
    for sizes in quoted(sigma):
        assert all(abs(sizes[place] - share * 10 * (1 + 0.5 * min(place, 3))) < 1 for place in range(6))


@pytest.mark.parametrize("bought", [50, -50])
def test_ladder_leans_against_its_inventory(bought: int) -> None:
    bids, asks = quoted(bought=bought)
    lean = math.tanh(bought / 100)
    for place in range(6):
        full = 10 * (1 + 0.5 * min(place, 3))
        assert abs(bids[place] - full * (1 - lean)) < 1
        assert abs(asks[place] - full * (1 + lean)) < 1


def test_ladder_fills_an_open_spread() -> None:
    m = market(ladders=1)
    for side, price in ((BIDS, 990), (ASKS, 1010)):
        m.send(1, OP_LIMIT, side=side, price=price, size=1)
    m.w.stats[0, k.S_SIGMA2] = 256.0
    program(m, k.LADDER, LADDER)
    m.advance(60 * SECOND)
    assert m.best(ASKS)[0] - m.best(BIDS)[0] == 1


def test_looks_close_a_wide_spread_by_up_to_half_at_a_time() -> None:
    m = market(ladders=1)
    for side, price in ((BIDS, 900), (ASKS, 1100)):
        m.send(1, OP_LIMIT, side=side, price=price, size=1)
    m.w.stats[0, k.S_SIGMA2] = 256.0
    program(m, k.LADDER, LADDER | {k.RATE: 1e-9})
    m.advance(5 * SECOND)
    quotes = m.quotes()[1:]
    gaps = (quotes["ask_ticks"] - quotes["bid_ticks"]).tolist()
    assert (gaps[0], gaps[-1]) == (200, 1)
    bid, ask = quotes["bid_ticks"], quotes["ask_ticks"]
    assert bid[0] < bid[-1] < ask[-1] < ask[0], "from both sides"
    assert all(1 <= gap - after <= 1 + (gap - 1) // 2 for gap, after in itertools.pairwise(gaps))
    assert len(gaps) < 40


def test_stopped_ladder_takes_its_orders_along() -> None:
    m = deep(ladders=1)
    m.w.stats[0, k.S_SIGMA2] = 256.0
    handle = program(m, k.LADDER, LADDER)
    m.advance(60 * SECOND)
    assert m.count(LIVE) > 10
    m.stop_program(handle)
    assert m.count(LIVE) == 2
    m.advance(120 * SECOND)
    assert m.count(LIVE) == 2


def test_ladders_may_be_replaced_any_number_of_times() -> None:
    m = deep(ladders=1)
    m.w.stats[0, k.S_SIGMA2] = 256.0
    handle = NO_PROGRAM
    for _ in range(20):
        before, handle = handle, program(m, k.LADDER, LADDER, instead_of=handle)
        assert (m.count(LIVE), m.alive(before), m.alive(handle)) == (2, False, True)
        m.advance(m.now + SECOND)
    m.stop_program(handle)
    assert m.count(LIVE) == 2


def test_a_program_in_place_of_one_that_has_ended_ends_no_other() -> None:
    m = deep()
    ended = program(m, k.SCHEDULE, {k.SIZE: 3.5}, P_LEFT=10, P_END=SECOND)
    m.stop_program(ended)
    other = program(m, k.SCHEDULE, {k.SIZE: 3.5}, P_LEFT=20, P_END=SECOND)
    assert other[0] == ended[0], "in its row"
    program(m, k.SCHEDULE, {k.SIZE: 3.5}, instead_of=ended, P_LEFT=30, P_END=SECOND)
    assert m.left(other) == 20


# Statistics


@pytest.mark.parametrize("pulses", [10, 20, 30, 40])
def test_pace_is_that_of_the_hour_times_what_past_moves_excite(pulses: int) -> None:
    """Squared moves of ten pulses are remembered over 30, 300 and 3600 s, with weights that add up to 1.

    Makers remember them over two minutes.
    """
    m, share, base, rise, reference = market(), 0.7, 0.5, 1.5, 4.0
    m.w.stats[0, k.S_CLOSE] = 40 * SECOND
    m.set_activity(share, 100.0, reference, base, rise)
    m.start_pulse()
    for side, price in ((BIDS, 1004), (ASKS, 1005)):
        m.send(1, OP_LIMIT, side=side, price=price, size=1)
    m.advance((pulses - 1) * SECOND)  # the first one is at 0

    def remembered(memory: float) -> float:
        kept = math.exp(-10 / memory)
        return (reference**2 * kept + 4**2 * 6 * (1 - kept)) * kept ** (pulses / 10 - 1)

    heat = sum(weight * remembered(memory) for memory, weight in ((30, 0.4), (300, 0.35), (3600, 0.25)))
    hour = base + rise * abs(2 * (pulses - 1) / 40 - 1) ** 3
    assert m.w.stats[0, k.S_PACE] == pytest.approx(hour * (1 - share + share * heat / reference**2))
    assert m.w.stats[0, k.S_SIGMA2] == pytest.approx(remembered(120))


def test_integrals_hold_what_stood_how_long() -> None:
    m = market()
    m.advance(SECOND)
    m.send(1, OP_LIMIT, side=BIDS, price=1000, size=3)
    m.send(1, OP_LIMIT, side=ASKS, price=1001, size=1)
    m.advance(3 * SECOND)
    m.send(2, OP_MARKET, side=BIDS, size=1)
    m.advance(4 * SECOND)
    m.send(1, OP_LIMIT, side=ASKS, price=1003, size=5)
    m.advance(8 * SECOND)
    dollars, *times = m.integrals() / SECOND
    assert times == [1 * 2 + 3 * 4, 2, 6]
    assert dollars == pytest.approx(12.5 * (2 * 2 * 1000.5 + 4 * 4 * 1001.5))


def test_integrals_hold_what_stood_up_to_an_order_sent_after_a_look() -> None:
    m = market()
    for side, price in ((BIDS, 1000), (ASKS, 1001)):
        m.send(1, OP_LIMIT, side=side, price=price, size=1)
    looks = program(m, k.ATTENTION, {k.RATE: 1.0, k.CHANCE: 1.0, k.CALM_SIGMA: 1.0, k.POWER: 0.0})
    assert m.advance(60 * SECOND) == k.LOOK
    m.send(2, OP_MARKET, side=BIDS, size=1)
    m.stop_program(looks)
    looked, _ = m.now, m.advance(60 * SECOND)
    assert m.integrals()[1:].tolist() == [looked] * 3, "the offer is gone from then on"


def test_changes_of_the_best_prices_have_the_sizes_of_their_moment() -> None:
    m = market()
    for side, price, size in ((BIDS, 1000, 3), (ASKS, 1002, 4), (ASKS, 1001, 5), (ASKS, 1002, 2)):
        m.send(1, OP_LIMIT, side=side, price=price, size=size)
    m.send(2, OP_MARKET, side=BIDS, size=5)
    quotes = m.quotes()[["bid_ticks", "bid_size", "ask_ticks", "ask_size"]]
    expected = [(1000, 3, 0, 0), (1000, 3, 1002, 4), (1000, 3, 1001, 5), (1000, 3, 1002, 6)]
    assert quotes.tolist() == expected


def test_an_auction_clears_its_own_book() -> None:
    m = market(n_books=2)
    m.send(1, OP_LIMIT, side=BIDS, price=900, size=9)
    m.send(1, OP_LIMIT, side=BIDS, price=1002, size=5, book=1)
    m.send(2, OP_LIMIT, side=ASKS, price=1000, size=3, book=1)
    assert m.open_auction(1) == 3
    assert (m.best(BIDS), m.best(BIDS, 1), m.best(ASKS, 1)) == ((900, 9), (1002, 2), (0, 0))


def test_all_or_nothing_counts_what_its_own_book_holds() -> None:
    m = market(n_books=2)
    m.open_auction(1)
    m.send(1, OP_LIMIT, side=ASKS, price=1001, size=5, book=1)
    for size, traded in ((6, 0), (5, 5)):
        m.send(2, OP_FOK, side=BIDS, price=1001, size=size, book=1)
        assert m.position(2, 1) == traded


def test_events_of_a_second_book_have_their_direction() -> None:
    m = market(n_books=2, log_events=True)
    m.open_auction(1)
    for side, price in ((BIDS, 1000), (ASKS, 1001)):
        m.send(1, OP_LIMIT, side=side, price=price, size=1, book=1)
    assert m.events()[:, [4, 5]].tolist() == [[1000, 1], [1001, -1]]


# Alarms, buffers


def test_kernel_returns_at_the_message_that_crosses_a_level() -> None:
    m = busy()
    m.advance(5 * SECOND)
    for _ in range(30):
        low, high = m.mid2() - 4, m.mid2() + 4
        seen = m.count(QUOTES)
        m.set_alarms(low, high)
        assert m.advance(3600 * SECOND) == k.PRICE
        rows = m.quotes()[seen:]
        both = rows[(rows["bid_ticks"] != 0) & (rows["ask_ticks"] != 0)]
        mid2 = both["bid_ticks"] + both["ask_ticks"]
        beyond = (mid2 <= low) | (mid2 >= high)
        assert beyond.tolist() == [False] * (len(both) - 1) + [True]
        assert both[-1]["time_ns"] == m.now


def test_kernel_returns_at_a_watched_fill() -> None:
    m = busy()
    m.advance(5 * SECOND)
    m.send(5, OP_LIMIT, side=BIDS, price=m.best(BIDS)[0], size=1)
    m.watch(5, True)
    assert m.advance(3600 * SECOND) == k.FILL
    assert m.position(5) == 1
    assert m.trades()[-1]["time_ns"] == m.now
    assert m.has_rung(5)


def test_tiny_buffers_grow_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    large = busy()
    monkeypatch.setattr(sim.market, "new_books", functools.partial(new_books, orders=4, pages=2, tape=8))
    monkeypatch.setattr(sim.market, "new_world", functools.partial(new_world, programs=2, nodes=4))
    small = busy()
    assert len(small.b.orders) < len(large.b.orders)
    for m in (large, small):
        m.advance(120 * SECOND)
        m.check()
    assert np.array_equal(large.trades(), small.trades())
    assert np.array_equal(large.quotes(), small.quotes())
    assert large.count(TRADES) > 500
    assert resting(large.b, 0) == resting(small.b, 0)


@pytest.mark.parametrize(("entry", "most"), [(TRADES, 88), (QUOTES, 88), (EVENTS, 76), (ORDER_TOP, 62), (PAGE_TOP, 5)])
def test_there_is_room_for_all_that_a_message_may_set_off(entry: int, most: int) -> None:
    """Four orders may trade and move the quotes, each twice; each has two events of it, if these are kept."""
    b = new_books(1, 0, orders=64, pages=8, tape=100)
    b.counts[[LIVE, STOPS, LOGGING, ORDER_TOP, PAGE_TOP]] = 3, 1, 1, 1, 1
    for used in (most, most + 1):
        b.counts[entry] = used
        assert room(b) == (used == most)
    b.counts[LOGGING] = 0
    assert room(b) == (entry == EVENTS)


# Messages


def test_an_order_eaten_by_the_stop_it_set_off_is_not_live() -> None:
    m = market()
    m.send(1, OP_LIMIT, side=BIDS, price=990, size=1)
    m.send(3, OP_MARKET, side=ASKS, size=1)
    m.send(2, OP_STOP, side=BIDS, stop=995, size=5)
    m.send(1, OP_LIMIT, side=BIDS, price=1000, size=2)
    code, row, order = m.send(4, OP_LIMIT, side=ASKS, price=1000, size=7)
    assert m.position(4) == -7, "two at the bid, five to the stop that this trade reached"
    assert (code, row, order) == (OK, 0, 0)


@pytest.mark.parametrize("side", [BIDS, ASKS])
def test_a_stop_that_fires_names_the_message_that_reached_it(side: int) -> None:
    """Three stops of owners 2, 3, 4: a trade reaches the first two, only the first one's trade reaches the third."""
    m, away = market(), 2 * side - 1
    for step in range(4):
        m.send(1, OP_LIMIT, side=1 - side, price=1000 - step * away, size=5)
    for owner, size, step in ((2, 10, 0), (3, 1, 0), (4, 1, 2)):
        m.send(owner, OP_STOP, side=side, stop=1000 - step * away, size=size)
    assert m.count(STOPS) == 3
    m.send(5, OP_MARKET, side=side, size=1)
    root, *rest = dict.fromkeys(m.trades()["seq"].tolist())
    assert len(rest) == 3
    causes = {(row["taker"], row["seq"]): row["cause"] for row in m.trades()}
    assert causes == {(5, root): 0, (2, rest[0]): root, (3, rest[1]): root, (4, rest[2]): rest[0]}


def test_modified_order_moves_the_price_for_the_decision_that_modified_it() -> None:
    m = deep()
    _, row, _ = m.send(2, OP_LIMIT, side=BIDS, price=998, size=5, decision=41)
    m.send(2, OP_MODIFY, row=row, price=1000, size=5, decision=42)
    m.send(2, OP_CANCEL, row=row, decision=43)
    m2 = market()
    _, row, _ = m2.send(2, OP_LIMIT, side=BIDS, price=998, size=5, decision=41)
    m2.send(2, OP_MODIFY, row=row, price=999, size=5, decision=42)
    assert m2.quotes()["decision"].tolist() == [41, 42]
    m2.send(3, OP_MARKET, side=ASKS, size=1, decision=50)
    assert m2.trades()[["maker_decision", "taker_decision"]].tolist() == [(42, 50)]


def test_halted_market_takes_nothing_but_cancels() -> None:
    m = deep()
    _, row, _ = m.send(2, OP_LIMIT, side=BIDS, price=998, size=5)
    m.set_halted(True)
    assert m.send(3, OP_MARKET, side=BIDS, size=5)[0] == NO_TRADING
    assert m.send(3, OP_LIMIT, side=BIDS, price=900, size=5)[0] == NO_TRADING
    assert m.send(2, OP_MODIFY, row=row, price=997, size=5)[0] == NO_TRADING
    assert m.send(2, OP_CANCEL, row=row)[0] == OK
    handle = work(m, 10)
    m.advance(600 * SECOND)
    assert m.count(TRADES) == 0
    m.set_halted(False)
    m.advance(1200 * SECOND)
    assert not m.alive(handle)
    assert m.position(2) == 10


def test_a_new_session_is_not_halted() -> None:
    m = deep()
    m.set_halted(True)
    m.start_session(10**13, 10**13, 2 * 10**13, 2001)
    assert m.send(2, OP_LIMIT, side=BIDS, price=900, size=5)[0] == OK


@pytest.mark.parametrize(("looks", "gap"), [(0.0, 20), (0.5, 1)])
def test_only_looks_close_an_open_spread(looks: float, gap: int) -> None:
    m = market(ladders=1)
    for side, price in ((BIDS, 990), (ASKS, 1010)):
        m.send(1, OP_LIMIT, side=side, price=price, size=1)
    program(m, k.LADDER, LADDER | {k.LOOKS: looks})
    m.advance(60 * SECOND)
    assert m.best(ASKS)[0] - m.best(BIDS)[0] == gap
