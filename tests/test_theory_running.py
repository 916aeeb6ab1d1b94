"""The running market against theory: a gamma hedger multiplies volatility by 1 / (1 - lambda g).

Makers, latent orders and noise as shipped, in a book of $5M, and nobody else: prices move by what is traded. A hedger
sells g contracts per point of fall (short gamma, g > 0), each hedge worked over one, two or five minutes. Volatility is
that of half an hour; the world without the hedger has the same seed, and so the same candidates for orders.

lambda is measured with the loop cut open, on the hedger's own schedule. The same hedger hedges the price of another
seed: what it trades has the sizes, speed and persistence of a hedge, but answers nothing that happens in its world.
lambda is what that world has moved away, over half an hour, from the same seed without a hedger, per contract traded:
a line through the origin. Nothing of the closed loop goes into it. Impact fades, so that lambda is a number only for a
schedule and a horizon (Bouchaud, Gefen, Potters and Wyart 2004, Quantitative Finance 4, 176-190); a loop's gain is
what comes back where it is cut (Astrom and Murray 2008, Feedback Systems, chapter 9). The law itself: Frey and Stremme
1997, Mathematical Finance 7, 351-374; Schoenbucher and Wilmott 2000, SIAM J. Applied Mathematics 61, 232-272.

All tables: `uv run pytest -m slow -s tests/test_theory_running.py`, half an hour on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.model import MarketModel
from sim.units import SECOND, TICK_POINTS
from sim.view import View

type Floats = NDArray[np.float64]

SCENE = """base = "configs/calm.toml"
title = "Makers, latent orders, noise and a hedger"
depth_musd = 5.0

[session]
bar_seconds = 300

[options]
book = []

[agents.hedger]
class = "hedgers:GammaHedger"
"""
OTHERS = ("dealers", "hedgers", "ctas", "etfs", "value", "stops", "rebalancers")
HALF_HOUR_S, HALF_HOUR_BARS = 1800, 6
DAYS = tuple(np.busday_offset("2025-10-27", range(20)).astype(str))
SEEDS = (1, 2, 3, 4, 5)
SPEEDS_S = (60, 120, 300)
"""Seconds over which a hedge is worked: the shipped dealers take from 60 to 300."""
PROBE_CONTRACTS_PER_POINT = 100.0
"""Where the loop is cut: lambda g of about a quarter, in the middle of those that the law is held to."""


@dataclass
class Days:
    """The days of a seed: half-hour changes of the mid and of the hedger's position, (days, windows) each.

    `path` is the mid at every full second from the first midnight on.
    """

    moves: Floats
    traded: Floats
    path: Floats


def scene(seed: int, contracts_per_point: float, work_s: float, days: Sequence[str] = DAYS) -> MarketModel:
    hedger = {"agents.hedger.contracts_per_point": contracts_per_point, "agents.hedger.work_seconds": work_s}
    return MarketModel(SCENE, rng=seed, without=OTHERS, **{"session.days": list(days)} | hedger)


def half_hours(levels: Sequence[float], days: int) -> Floats:
    """Changes over half an hour within each day; windows overlap."""
    by_day = np.reshape(levels, (days, -1))
    return by_day[:, HALF_HOUR_BARS:] - by_day[:, :-HALF_HOUR_BARS]


def path_of(model: MarketModel) -> Floats:
    quotes = model.market.quotes()
    seconds = np.arange(0, model.market.now + 1, SECOND)
    rows = np.searchsorted(quotes["time_ns"], seconds, side="right") - 1
    return (quotes[rows]["bid_ticks"] + quotes[rows]["ask_ticks"]) * TICK_POINTS / 2


def play(model: MarketModel) -> Days:
    """Run all days."""
    hedger, mids, positions = model.crowds["hedger"][0], [], []
    while model.running:
        model.step()
        mids.append(model.recorder.value("mid"))
        positions.append(View(model, hedger).position)
    days = len(model.config.session.days)
    return Days(half_hours(mids, days), half_hours(positions, days), path_of(model))


@cache
def alone(seed: int) -> Days:
    """The world whose hedger has no gamma."""
    return play(scene(seed, 0.0, SPEEDS_S[0]))


def probed(seed: int, other: int, work_s: float) -> Days:
    """The world whose hedger hedges the price of another one."""
    model, path = scene(seed, PROBE_CONTRACTS_PER_POINT, work_s), alone(other).path
    model.crowds["hedger"][0].watch = lambda view: float(path[view.now // SECOND])
    return play(model)


def by_day(above: Floats, below: Floats) -> Floats:
    """Sums over the windows of each day: (days, 2)."""
    return np.column_stack([above.sum(axis=1), below.sum(axis=1)])


@cache
def impact_sums(work_s: float) -> Floats:
    """Their quotient is lambda."""
    rows = []
    for seed, other in zip(SEEDS, SEEDS[1:] + SEEDS[:1], strict=True):
        days = probed(seed, other, work_s)
        rows.append(by_day((days.moves - alone(seed).moves) * days.traded, days.traded**2))
    return np.concatenate(rows)


def variance_sums(contracts_per_point: float, work_s: float, seeds: Sequence[int]) -> Floats:
    """Their quotient is the square of the ratio of volatilities."""
    pairs = [(play(scene(seed, contracts_per_point, work_s)), alone(seed)) for seed in seeds]
    return np.concatenate([by_day(hedged.moves**2, plain.moves**2) for hedged, plain in pairs])


def quotients(sums: Floats) -> Floats:
    """Quotient of all days, then of all but one, each left out in turn."""
    kept = sums.sum(axis=0) - np.vstack([np.zeros(2), sums])
    return kept[:, 0] / kept[:, 1]


def error(found: Floats) -> float:
    """Jackknife standard error of quotients."""
    return float(found[1:].std() * np.sqrt(len(found) - 2))


def with_delay(gain: float, work_s: float) -> float:
    """The law for half an hour of a random walk where a hedge comes at the rate 1 / work_s instead of at once."""
    decays = (1 - gain) * HALF_HOUR_S / work_s
    amplification = 1 / (1 - gain) ** 2
    return float(np.sqrt(amplification - (amplification - 1) * -np.expm1(-decays) / decays))


def agreement(gain: float, work_s: float, seeds: Sequence[int]) -> tuple[float, float]:
    """Ratio of volatilities at a loop gain, over 1 / (1 - gain), and its standard error; a row of the printed table."""
    impact = quotients(impact_sums(work_s))
    contracts_per_point = gain / impact[0]
    ratio = np.sqrt(quotients(variance_sums(contracts_per_point, work_s, seeds)))
    print(
        f"worked over {work_s} s, lambda {1000 * impact[0]:.2f} +- {1000 * error(impact):.2f} points per 1,000, "
        f"gain {gain:+.2f}: ratio {ratio[0]:.3f} +- {error(ratio):.3f}, theory {1 / (1 - gain):.3f}, "
        f"with the delay {with_delay(gain, work_s):.3f}"
    )
    of_ratio, of_impact = error(ratio) / ratio[0], error(impact) * contracts_per_point / (1 - gain)
    quotient = float(ratio[0] * (1 - gain))
    return quotient, quotient * float(np.hypot(of_ratio, of_impact))


@pytest.mark.slow
@pytest.mark.parametrize("work_s", SPEEDS_S)
def test_a_hedger_multiplies_volatility_by_one_over_one_minus_the_gain(work_s):
    """To 15 % up to gains of .35 of either sign; 20 days of seeds 1 to 5, all worlds paired day by day.

    Worst are short hedgers at .35 over 300 s: -9.3 % (standard error 1.5, most of it that of lambda). Other seeds would
    fail it there by 3.8 standard errors: once in 14,000.
    """
    found = {gain: agreement(gain, work_s, SEEDS) for gain in (-0.35, -0.2, 0.2, 0.35)}
    assert all(abs(quotient - 1) < 0.15 for quotient, _ in found.values()), found


@pytest.mark.slow
def test_beyond_that_slow_hedgers_fall_short_of_the_law_and_fast_short_ones_exceed_it():
    """Gains of .6 and .9, 20 days of seed 1: a table, held to its order only. At .9 over its first five days.

    Later the price runs away there, and all that follows has another level.

    Hedges worked over five minutes come too late: what answers them takes 1 / (1 - gain) times as long. Over one minute
    the loop runs on the impact of minutes, which is larger than that of the half hour.
    """
    slow = [agreement(gain, 300, SEEDS[:1])[0] for gain in (-0.9, -0.6, 0.6)]
    week = variance_sums(0.9 / quotients(impact_sums(300))[0], 300, SEEDS[:1])[:5]
    slow.append(np.sqrt(quotients(week)[0]) * (1 - 0.9))
    print(f"gain +0.90, five days: {slow[-1]:.3f} of the law")
    assert slow == sorted(slow, reverse=True)
    assert agreement(0.6, 60, SEEDS[:1])[0] > 1


def test_a_few_days_with_a_hedger():
    """The same to 25 % over four days of one seed, with the lambda that the long test finds: 2.51 points per 1,000.

    The standard error is 5 times that of 100 days, some 4 %; the law itself misses by 2 % here: once in a million.
    """
    plain, *hedged = (play(scene(1, gain / 0.00251, 120, DAYS[:4])).moves for gain in (0.0, -0.35, 0.35))
    for gain, moves in zip((-0.35, 0.35), hedged, strict=True):
        assert np.sqrt((moves**2).sum() / (plain**2).sum()) * (1 - gain) == pytest.approx(1, abs=0.25)
