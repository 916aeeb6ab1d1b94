"""The kernel against the closed forms of the order-book literature: queues, spreads, cascades of stops, depth.

Each test states when its formula holds, the sample, and how often a right program would fail it; all draws are keyed,
so a test that passes once passes always, and the odds are those of a change of keys.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from markets import LADDER, MANY, SECOND, market, program
from scipy.special import gammaln
from scipy.stats import chi2, norm

from sim.kernel import world as k
from sim.kernel.codes import OP_LIMIT, OP_MARKET, OP_STOP
from sim.kernel.state import ASKS, BIDS, STOPS
from sim.market import Market

FOREVER = 1e9
DAYS = 10**14
RARE = 1e-3


# Which queue is used up first


def first_move(
    m: Market, key: int, queues: tuple[int, int], limits: float, life_s: float, markets: float
) -> tuple[bool, float]:
    """Whether the ask is used up before the bid, from queues of so many orders, and after how many seconds.

    To each best queue orders of one contract come at the rate `limits`, live an exponential time, and are traded at the
    rate `markets`. Lives have no memory, so the stock is as good as new.
    """
    m.start_session(0, 0, DAYS, 2001)
    for side, price in ((BIDS, 980), (ASKS, 1021)):
        m.send(1, OP_LIMIT, side=side, price=price, size=MANY)
    stream = {k.RATE: limits, k.REACH: 1.0, k.SIZE: 1.0, k.LIFE: life_s}
    for side, price, wanted in ((BIDS, 1000, queues[0]), (ASKS, 1001, queues[1])):
        handle = program(m, k.LATENT, stream, owner=2, P_KEY=4 * key + side)
        while m.best(side) != (price, wanted):
            m.stock(handle, 2001 - price, 1, 1e-9)
    m.open_auction()
    program(m, k.NOISE, {k.RATE: 2 * markets, k.CAP: 1.0, k.SIZE: 1.0, k.SELECTIVE: 1.0}, owner=3, P_KEY=4 * key + 2)
    m.set_alarms(2000, 2002)
    m.advance(DAYS)
    return m.mid2() > 2001, m.now / SECOND


def first_moves(queues: tuple[int, int], trials: int, limits: float, life_s: float, markets: float) -> np.ndarray:
    """Share of rises, and mean time of the first move in seconds."""
    m = market()
    m.set_activity(0.0, 1.0, 16.0, 1.0, 0.0)
    first = 1_000_000 * queues[0] + 10_000 * queues[1]
    return np.mean([first_move(m, first + n, queues, limits, life_s, markets) for n in range(trials)], axis=0)


@pytest.mark.parametrize("queues", [(4, 4), (4, 8), (9, 3)])
def test_balanced_queues_follow_cont_and_de_larrard(queues):
    """Up with (2/pi) atan(bid/ask): no cancels, as many limit as market orders, both queues independent.

    Cont and de Larrard 2013, SIAM J. Financial Mathematics 4, 1-25 (balanced flow, no correlation). On whole orders the
    formula is off by less than 0.001 at these queues. 1,000 trials each; three tests fail one time in 1,000 together.
    """
    n = 1000
    want = 2 / np.pi * np.arctan(queues[0] / queues[1])
    share, _ = first_moves(queues, n, 1.0, FOREVER, 1.0)
    assert abs(share - want) < 0.001 + norm.isf(RARE / 6) * np.sqrt(want * (1 - want) / n)


CONT_STOIKOV_TALREJA = [
    [0.500, 0.336, 0.259, 0.216, 0.188],
    [0.664, 0.500, 0.407, 0.348, 0.307],
    [0.741, 0.593, 0.500, 0.437, 0.391],
    [0.784, 0.652, 0.563, 0.500, 0.452],
    [0.812, 0.693, 0.609, 0.548, 0.500],
]
"""Chance that the mid rises first at a spread of one tick, by orders at the bid (rows) and at the ask."""


def test_rates_of_cont_stoikov_and_talreja_give_their_probabilities():
    """Their rates at the best quotes (limit 1.85, market 0.94, cancel 0.71 an order and second), their table.

    Cont, Stoikov and Talreja 2010, Operations Research 58, 549-563. 200 trials in each of 25 cells; chi-square of the
    25 cells. The table hardly depends on the rates, so the mean time to the move is held to theirs as well: that of two
    independent birth-death queues, solved here; all cells together to 4 standard errors of 1.4 %. One failure in 900.
    """
    n, want, sizes = 200, np.array(CONT_STOIKOV_TALREJA), range(1, 6)
    moves = np.array([[first_moves((b, a), n, 1.85, 1 / 0.71, 0.94) for a in sizes] for b in sizes])
    score = (moves[..., 0] - want) ** 2 / (want * (1 - want) / n)
    assert score.sum() < chi2.isf(RARE, score.size)
    ends = 0.94 + 0.71 * np.arange(1, 31)
    queue = np.diag(np.full(29, 1.85), 1) + np.diag(ends[1:], -1) - np.diag(1.85 + ends)
    both = np.kron(queue, np.eye(30)) + np.kron(np.eye(30), queue)
    seconds = np.linalg.solve(both, -np.ones(900)).reshape(30, 30)[:5, :5]
    assert moves[..., 1].sum() == pytest.approx(seconds.sum(), rel=4 * 0.014)


# The spread of a book that is filled and emptied at random


def mean_spread(limits: float, markets: float, cancels: float, key: int, seconds: int = 20_000) -> float:
    """Mean spread in ticks: `limits` orders a second and tick, `markets` a second, each lives 1 / `cancels` seconds.

    The kernel's latent orders are those of the model. Its noise traders are not, since they shun a wide spread: market
    orders come from a seeded generator here.
    """
    m, reach, middle = market(), 400, 10_000
    m.start_session(0, 0, DAYS, 2 * middle + 1)
    for side, price in ((BIDS, middle // 2), (ASKS, 2 * middle)):
        m.send(1, OP_LIMIT, side=side, price=price, size=MANY)
    stream = {k.RATE: limits * reach, k.REACH: float(reach), k.SIZE: 1.0, k.LIFE: 1 / cancels}
    m.stock(program(m, k.LATENT, stream, P_KEY=key), middle, round(limits * reach / cancels), 20.0)
    m.open_auction()
    rng = np.random.default_rng(key)
    times = np.cumsum(rng.exponential(SECOND / markets, round(seconds * markets))).astype(int)
    for time, side in zip(times.tolist(), rng.integers(0, 2, len(times)).tolist(), strict=True):
        m.advance(time)
        m.send(3, OP_MARKET, side=side, size=1)
    _, spread, _, quoted = m.integrals()
    return spread / quoted


def test_spread_scales_as_in_the_santa_fe_model():
    """Spread = (mu / alpha) f(eps), eps = 2 delta sigma / mu: the same function whatever the rates.

    Smith, Farmer, Gillemot and Krishnamurthy 2003, Quantitative Finance 3, 481-514: order size 1, spread of 30 ticks or
    more, so that the tick hardly counts. Scaled spreads agree to 6 % (the standard error of each is 1 %); the fit
    f = 0.28 + 1.86 eps^0.75 (Farmer, Patelli and Zovko 2005, PNAS 102, 2254-2259) to 25 %: it rises faster than ours.
    """
    scaled = {
        (limits, markets, cancels): mean_spread(limits, markets, cancels, key) * limits / markets
        for key, (limits, markets, cancels) in enumerate(
            [(0.02, 1.0, 0.1), (0.01, 1.0, 0.1), (0.04, 2.0, 0.2), (0.02, 1.0, 0.4), (0.01, 0.5, 0.2)], start=1
        )
    }
    first, *same, wide, wide_slow = scaled.values()
    assert same == pytest.approx([first, first], rel=0.06)
    assert wide_slow == pytest.approx(wide, rel=0.06)
    for (_, markets, cancels), f in scaled.items():
        assert f == pytest.approx(0.28 + 1.86 * (2 * cancels / markets) ** 0.75, rel=0.25)


# Cascades


def borel(n: float, size: np.ndarray) -> np.ndarray:
    """Chance of a cascade of so many, each setting off Poisson(n) more (Borel 1942; an M/D/1 busy period)."""
    return np.exp(-n * size + (size - 1) * np.log(n * size) - gammaln(size + 1))


def cascade_sizes(n: float, rng: np.random.Generator, hedgers: int = 2000, band: int = 10) -> np.ndarray:
    """Sizes of the cascades of many band hedgers as the price is pushed down, where one hedger began.

    One contract a tick: lambda = 1. Each hedger of gamma n / `hedgers` sells its band once the price has used it up,
    from a uniform place in it: a stop, somewhere in the band / gamma below.
    """
    span = round(band * hedgers / n)
    top, places = 3 * span, np.sort(rng.integers(0, span, hedgers))
    m = market()
    m.send(1, OP_LIMIT, side=ASKS, price=top + 1, size=MANY)
    for price in range(top, top - span - 100 * band, -1):
        m.send(1, OP_LIMIT, side=BIDS, price=price, size=1)
    m.send(3, OP_MARKET, side=ASKS, size=1)
    for place in places.tolist():
        m.send(2, OP_STOP, side=ASKS, stop=top - 1 - place, size=band)
    sizes = []
    while waiting := m.count(STOPS):
        start = places[-waiting]
        m.send(3, OP_MARKET, side=ASKS, size=int(start - (top - 1 - m.best(BIDS)[0]) + 1))
        if np.count_nonzero(places == start) == 1:
            sizes.append(waiting - m.count(STOPS))
    return np.array(sizes[:-1])


@pytest.mark.parametrize("n", [0.5, 0.8])
def test_cascades_of_many_band_hedgers_are_borel(n):
    """e^{-nk} (nk)^{k-1} / k!, mean 1 / (1 - n): bands small against the price's range, hedgers many, places uniform.

    Two draws of 2,000 hedgers, some 2,000 and 800 cascades; chi-square of sizes 1 to 7 and above, mean within 4
    standard errors (variance n / (1 - n)^3): four checks, one failure in 400 together at new seeds.
    """
    rng = np.random.default_rng(1)
    sizes = np.concatenate([cascade_sizes(n, rng) for _ in range(2)])
    small = np.arange(1, 8)
    seen = np.append([np.count_nonzero(sizes == size) for size in small], np.count_nonzero(sizes > 7))
    want = len(sizes) * np.append(borel(n, small), 1 - borel(n, small).sum())
    assert ((seen - want) ** 2 / want).sum() < chi2.isf(RARE, len(small))
    assert sizes.mean() == pytest.approx(1 / (1 - n), abs=4 * np.sqrt(n / (1 - n) ** 3 / len(sizes)))


def test_two_coupled_books_follow_the_matrix_form():
    """Falls are (I - Lambda Psi)^-1 f in two flat books on one clock; psi[i, j] is sold in i per tick of fall in j.

    One hedger, spectral radius 0.55. Nothing random; a tick that is not quite used up counts as none, amplified by the
    row sums of the inverse: to two ticks of 179 and 129. Beyond a radius of one the bids of a book are swept empty.
    """
    depth, shock, top = np.array([40, 25]), np.array([4000, 1000]), 20_000
    psi = np.array([[12.0, 8.0], [6.0, 9.0]])
    want = np.linalg.solve(np.eye(2) - psi / depth[:, None], shock / depth)
    falls, m = coupled_fall(depth, psi, shock, top)
    assert falls == pytest.approx(want, abs=2)
    m.check()
    assert np.abs(np.linalg.eigvals(3 * psi / depth[:, None])).max() > 1
    falls, m = coupled_fall(depth, 3 * psi, shock, top)
    assert (0, 0) in (m.best(BIDS, 0), m.best(BIDS, 1))
    m.check()


def coupled_fall(depth: np.ndarray, psi: np.ndarray, shock: np.ndarray, top: int) -> tuple[np.ndarray, Market]:
    """Falls of the best bids (ticks) once a hedger of both books has nothing left to sell, or no one to sell to."""
    m = market(4, n_books=2)
    m.open_auction(1)
    for book in (0, 1):
        for price in range(top, top - 2000, -1):
            m.send(1, OP_LIMIT, side=BIDS, price=price, size=int(depth[book]), book=book)
        m.send(2, OP_MARKET, side=ASKS, size=int(shock[book]), book=book)
    while True:
        falls = np.array([top - m.best(BIDS, book)[0] for book in (0, 1)])
        missing = np.rint(psi @ falls).astype(int) + [m.position(3, book) for book in (0, 1)]
        if (missing <= 0).all() or top in falls:
            return falls, m
        for book in np.flatnonzero(missing > 0).tolist():
            m.send(3, OP_MARKET, side=ASKS, size=int(missing[book]), book=book)


# Depth that falls as volatility rises


@cache
def volatility(beta: float, flow: float) -> float:
    """Deviation of the mid's moves (ticks a shock) in a book that one maker shows, against a flow of market orders."""
    return float(np.sqrt(np.mean([one_volatility(beta, flow, key) ** 2 for key in range(9)])))


def one_volatility(beta: float, flow: float, key: int, reference: float = 9.0) -> float:
    """The same for one seed. Depth is 1,000 contracts a tick x (reference / volatility a minute)^beta.

    Every two seconds, long after it has refilled all, an order comes for up to 6 ticks x `flow` of the full depth; half
    a queue more, so that it is rounded to whole ticks and not down.
    """
    m, middle = market(ladders=1), 10_000
    m.start_session(0, 0, DAYS, 2 * middle + 1)
    m.set_activity(0.0, 1.0, reference, 1.0, 0.0)
    for side, price in ((BIDS, middle), (ASKS, middle + 1)):
        m.send(1, OP_LIMIT, side=side, price=price, size=1000)
    m.open_auction()
    quotes = {k.TARGET: 1000.0, k.DEPTH: 16.0, k.SHAPE: 0.0, k.SKEW: 0.0, k.RATE: 20.0, k.BETA: beta}
    program(m, k.LADDER, LADDER | quotes | {k.SIGMA_REF: reference, k.H_LOW: 1e-3, k.H_HIGH: 1e3}, P_KEY=key)
    m.start_pulse()
    mids = []
    for n, ticks in enumerate(np.random.default_rng(key).uniform(-6 * flow, 6 * flow, 2500).tolist(), start=1):
        m.advance(2 * n * SECOND)
        mids.append(m.mid2() / 2)
        side = BIDS if ticks > 0 else ASKS
        m.send(3, OP_MARKET, side=side, size=round(abs(ticks) * 1000 + m.best(1 - side)[1] / 2))
    return float(np.diff(mids[500:]).std())


@pytest.mark.parametrize(("beta", "flow"), [(0.5, 1.3), (0.8, 1.08)])
def test_depth_that_falls_with_volatility_raises_it_to_one_over_one_minus_beta(beta, flow):
    """Volatility is (s / s')^(1 / (1 - beta)) times as high, s / s' being what it is in a book of fixed depth.

    Depth is not clipped, orders take less than the ladder's 16 levels, volatility is measured over long. 2,500 shocks
    and nine seeds, the same in all worlds. Of the two sides' ratio the standard error is some 4 % at beta 0.8, where
    that of volatility alone counts five times: to 15 %, which a right program misses once in some 5,000.
    """
    alone = volatility(0.0, flow) / volatility(0.0, 1.0)
    both = volatility(beta, flow) / volatility(beta, 1.0)
    assert both == pytest.approx(alone ** (1 / (1 - beta)), rel=0.15)
