"""Small markets around 1,000 ticks and the programs in them, for the tests of the kernel."""

from __future__ import annotations

from collections.abc import Iterator

from sim.kernel import draws
from sim.kernel import world as k
from sim.kernel.codes import OP_LIMIT
from sim.kernel.state import ASKS, BIDS
from sim.market import NO_PROGRAM, Market

SECOND = 10**9
MANY = 200_000_000
"""Contracts of a quote that nobody exhausts."""
KEY = 77

LADDER = {
    k.RATE: 4.0,
    k.DISPLAYED: 1e9,
    k.REFILL: 1.0,
    k.TARGET: 10.0,
    k.SHAPE: 0.5,
    k.SHAPE_MAX: 3.0,
    k.DEPTH: 6.0,
    k.SKEW: 1.0,
    k.MAX_INVENTORY: 100.0,
    k.MEMORY: 1e9,
    k.BETA: 0.5,
    k.SIGMA_REF: 16.0,
    k.H_LOW: 0.2,
    k.H_HIGH: 1.5,
    k.LOOKS: 40.0,
    k.TILT: 0.0,
}


def market(n_owners: int = 5, **options: object) -> Market:
    """A market at time 0 with a session of an hour, its book empty and open, its last mid 1000.5 ticks."""
    made = Market(n_owners, **options)
    made.start_session(0, 0, 3600 * SECOND, 2001)
    made.open_auction()
    return made


def deep(**options: object) -> Market:
    """The same with a bid at 1000 and an ask at 1001 that nobody exhausts, of owner 1."""
    made = market(**options)
    made.send(1, OP_LIMIT, side=BIDS, price=1000, size=MANY)
    made.send(1, OP_LIMIT, side=ASKS, price=1001, size=MANY)
    return made


def program(
    m: Market,
    kind: int,
    params: dict[int, float],
    owner: int = 2,
    instead_of: tuple[int, int] = NO_PROGRAM,
    **columns: int,
) -> tuple[int, int]:
    chosen = {getattr(k, name): value for name, value in columns.items()}
    head = {k.P_KIND: kind, k.P_OWNER: owner, k.P_KEY: KEY}
    return m.start_program(head | chosen, params, instead_of)


def candidates(key: int, rate: float) -> Iterator[tuple[int, int]]:
    """Numbers and times of a stream's candidates."""
    now, index = 0, 0
    while True:
        index += 1
        now += max(int(draws.exponential(key, index, 0) / rate * 1e9), 1)
        yield index, now


def busy(**options: object) -> Market:
    """A market in which the price moves."""
    m = market(ladders=1, **options)
    m.set_activity(0.0, 1.0, 16.0, 1.0, 0.0)
    for owner, side, price in ((1, BIDS, 900), (1, ASKS, 1100)):
        m.send(owner, OP_LIMIT, side=side, price=price, size=MANY)
    program(m, k.LATENT, {k.RATE: 40.0, k.REACH: 30.0, k.SIZE: 3.0, k.LIFE: 20.0}, owner=3, P_KEY=5)
    program(m, k.NOISE, {k.RATE: 20.0, k.CAP: 1.0, k.SIZE: 4.0, k.SELECTIVE: 0.5}, owner=4, P_KEY=6)
    program(m, k.LADDER, LADDER | {k.TARGET: 1.0, k.RATE: 4.0, k.LOOKS: 5.0}, P_KEY=7)
    m.start_pulse()
    return m
