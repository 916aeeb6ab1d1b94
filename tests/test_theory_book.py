"""The kernel against the closed forms of the order-book literature: queues, spreads, cascades of stops, depth.

Each test states when its formula holds, the sample, and how often a right program would fail it; all draws are keyed,
so a test that passes once passes always, and the odds are those of a change of keys.
"""

from __future__ import annotations

import numpy as np
import pytest
from markets import LADDER, MANY, SECOND, market, program, trades
from scipy.stats import chi2, norm

from sim.kernel import world as k
from sim.kernel.codes import OP_LIMIT, OP_MARKET, OP_STOP
from sim.kernel.state import ASKS, BIDS, T_SIZE, T_TAKER_ID
from sim.market import Market

FOREVER = 1e9
DAYS = 10**14
RARE = 1e-3


# Which queue is used up first


def price_rises(
    m: Market, key: int, queues: tuple[int, int], limits: float, life_s: float, markets: float
) -> bool:
    """Whether the ask is used up before the bid, from queues of so many orders of one contract, a tick apart.

    To each best queue orders come at the rate `limits`, live an exponential time, and are traded at the rate `markets`.
    Orders of streams are memoryless, so the stock is as good as new.
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
    return m.mid2() > 2001


def share_of_rises(queues: tuple[int, int], trials: int, limits: float, life_s: float, markets: float) -> float:
    m = market()
    m.set_activity(0.0, 1.0, 16.0, 1.0, 0.0)
    first = 1_000_000 * queues[0] + 10_000 * queues[1]
    return float(np.mean([price_rises(m, first + n, queues, limits, life_s, markets) for n in range(trials)]))


@pytest.mark.parametrize("queues", [(4, 4), (4, 8), (9, 3)])
def test_balanced_queues_follow_cont_and_de_larrard(queues):
    """Up with (2/pi) atan(bid/ask): no cancels, as many limit as market orders, both queues independent.

    Cont and de Larrard 2013, SIAM J. Financial Mathematics 4, 1-25 (balanced flow, no correlation). On whole orders the
    formula is off by less than 0.001 at these queues. 1,000 trials each; three tests fail one time in 1,000 together.
    """
    n = 1000
    want = 2 / np.pi * np.arctan(queues[0] / queues[1])
    share = share_of_rises(queues, n, 1.0, FOREVER, 1.0)
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
    25 cells, one failure in 1,000.
    """
    n, want = 200, np.array(CONT_STOIKOV_TALREJA)
    share = np.array([[share_of_rises((b, a), n, 1.85, 1 / 0.71, 0.94) for a in range(1, 6)] for b in range(1, 6)])
    score = (share - want) ** 2 / (want * (1 - want) / n)
    assert score.sum() < chi2.isf(RARE, score.size)
