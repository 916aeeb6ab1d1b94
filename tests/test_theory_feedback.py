"""Feedback against its closed forms: the shipped agents in a book of known, linear impact (`flatbook`).

Notation: lambda is the fall per contract sold, g what a hedger sells per point of fall (short gamma, g > 0), phi their
product; f is the fall without feedback. All times and sizes are the agents' own. What is random are the waits and the
sizes of child orders, keyed; where a bound is statistical the test says how often a right program would miss it.

Sources: Frey and Stremme 1997, Mathematical Finance 7, 351-374, and Schoenbucher and Wilmott 2000, SIAM J. Applied
Mathematics 61, 232-272, for 1 / (1 - lambda g); the rest are the same linear feedback with a delay or a memory.
"""

from __future__ import annotations

import numpy as np
import pytest
from flatbook import OPEN, PRICE, loop_gain, moved, option_dealer, scene, shocks, straddle_dealer
from probes import run
from scipy.linalg import expm

from sim.trader import At
from sim.units import SECOND, TICK_POINTS
from sim.view import View

PATIENCE_S = 5.0
"""What is left of a schedule that is late trades within about so long (`sim.kernel.schedules`): a hedger's delay."""


# One shock, and what is left of it at rest


@pytest.mark.parametrize("gain", [-1.0, -0.5, 0.25, 0.5, 0.7, 0.9])
def test_hedger_amplifies_by_one_over_one_minus_the_gain(gain):
    """1 / (1 - lambda g), to one tick and one contract; flat deep book, gamma constant, all hedged at the end.

    The half tick by which a price may differ from what was sold is amplified too: beyond a gain of one half the bound
    is half of 1 / (1 - gain) ticks. Nothing random is left at rest.
    """
    model = scene(straddle_dealer(gain, 100), end="09:38")
    shocks(model, [-2000])
    run(model)
    amplification = 1 / (1 - loop_gain(model))
    assert moved(model) == pytest.approx(-20 * amplification, abs=max(1.0, amplification / 2))
    dealer = model.dealers[0]
    assert View(model, dealer).position == pytest.approx(-View(model, dealer).option_greeks()[0], abs=1)


def test_divergence_ends_in_a_halt():
    """Beyond a gain of one each sale makes a larger one: down to the last halt, with the ledger in order."""
    model = scene(straddle_dealer(1.3, 20), contracts=20, end="10:45")
    shocks(model, [-100])
    run(model)
    assert model.recorder.halts == 3
    assert model.market.in_auction()
    assert -0.035 < moved(model) * TICK_POINTS / PRICE < -0.03
    model.market.check()


def value_trader(contracts_per_point: float, patience_minutes: float = 0.1) -> str:
    """Value traders without a threshold: a position of so many contracts per point from value (which is the start)."""
    return f"""
[agents.value]
class = "agents.value:ValueTrader"
nearest_pct = 0.0
furthest_pct = 0.0
slope_contracts = {contracts_per_point / 5}
limit_contracts = 1e6
patience_minutes = {patience_minutes}
every_seconds = 1.0
auction_contracts = 0.0
pov = 1.0
"""


@pytest.mark.parametrize(("gain", "support"), [(0.0, 0.5), (0.5, 0.5), (0.5, 0.25), (1.2, 0.7)])
def test_value_buyers_subtract_from_the_gain(gain, support):
    """1 / (1 - lambda (g - k)) where buyers take k contracts per point of fall; stable beyond lambda g = 1 by them."""
    hedger = straddle_dealer(gain, 100) if gain else ""
    model = scene(hedger + value_trader(support * 100 / TICK_POINTS), end="09:36")
    shocks(model, [-2000])
    run(model)
    assert moved(model) == pytest.approx(-20 / (1 - gain + support), abs=1)


STEP_POINTS, FIRST_POINTS, RUNGS = 2.0, 6596.0, 10


def stops(contracts: int) -> str:
    """A ladder of stops."""
    return f"""
[agents.ladder]
class = "agents.stops:StopHolder"
clusters_points = {[FIRST_POINTS - STEP_POINTS * rung for rung in range(RUNGS)]}
cluster_contracts = {contracts}.0
density_contracts = 0.0
below_points = 0.0
rearm_points = 0.0
"""


def trends(contracts: int, count: int = RUNGS, step_points: float = STEP_POINTS) -> str:
    """A ladder of trend followers, each with one level, who turn from long to short below it."""
    return f"""
[agents.ladder]
class = "agents.cta:TrendFollower"
count = {count}
contracts = {contracts * count / 2}
first_points = [{FIRST_POINTS}]
last_points = [{FIRST_POINTS - step_points * (count - 1)}]
weights = [1.0]
rearm_points = 0.25
target_vol = 0.15
past_vol = 0.15
twap_low_seconds = 1.0
twap_high_seconds = 1.0
pov = 1.0
"""


@pytest.mark.parametrize("ladder", [stops, trends])
@pytest.mark.parametrize(("gain", "contracts"), [(0.0, 90), (0.0, 170), (0.5, 50), (0.5, 90)])
def test_a_ladder_of_triggers_runs_on_where_each_reaches_the_next(ladder, gain, contracts):
    """Runs through where lambda q / (1 - lambda g) is at least the spacing (8 ticks; 4.5, 8.5, 5 and 9), else stops.

    The shock ends half a tick below the first rung. The fall is that of the shock and of all that was sold, amplified.
    """
    depth = 20
    model = scene(ladder(contracts) + (straddle_dealer(gain, depth) if gain else ""), contracts=depth, end="09:37")
    shocks(model, [-round(17 * depth * (1 - gain))])
    run(model)
    sold = [-View(model, trader).position for trader in model.crowds["ladder"]]
    runs_on = contracts / depth / (1 - gain) >= STEP_POINTS / TICK_POINTS
    assert round(sum(sold) / contracts) == (RUNGS if runs_on else 1)
    assert moved(model) == pytest.approx(-17 - sum(sold) / depth / (1 - gain), abs=1 / (1 - gain))


def test_dense_triggers_add_to_the_gain():
    """Trend followers whose levels lie evenly, rho contracts per point: slope 1 / (1 - lambda rho) below the first.

    80 funds of 8 contracts two ticks apart, 20 contracts a tick: lambda rho = 0.2 (times 1.026 of a quiet day's
    volatility), from 16.5 ticks down. To one fund's sale, amplified: one tick.
    """
    depth, funds, spacing = 20, 80, 0.5
    model = scene(trends(8, funds, spacing), contracts=depth, end="09:37")
    shocks(model, [-80 * depth])
    run(model)
    first = (PRICE - FIRST_POINTS) / TICK_POINTS
    size = -View(model, model.crowds["ladder"][0]).position
    gain = size / (spacing / TICK_POINTS) / depth
    assert moved(model) == pytest.approx(-first - (80 - first) / (1 - gain), abs=1.5)


def test_vanna_adds_to_gamma():
    """Gain of g + beta_v v: volatility rises beta_v points per point of fall, v contracts are sold per point of that.

    Short puts 3 % below, background volatility that moves with spot alone. Gamma and vanna themselves change by 3 %
    over the 10 points of the fall, which is amplified: to 5 %, where vanna makes 30 % of the fall.
    """
    falls = {}
    for beta in (0.0, 15.5):
        hedger = option_dealer((6400.0, "put", -100_000))
        model = scene(hedger, end="09:44", **{"surface.spot_beta": beta, "session.bar_seconds": 10})
        _, gamma, vanna, _ = model.option_greeks(model.dealers[0].owner, PRICE, model.quotes())
        vol_per_point = 100 * beta * model.surface.vol / PRICE
        gain = TICK_POINTS / 100 * (-gamma + vol_per_point * vanna)
        shocks(model, [-2000])
        run(model)
        falls[beta] = float(moved(model))
        assert falls[beta] == pytest.approx(-20 / (1 - gain), rel=0.05)
    assert falls[15.5] < 1.25 * falls[0.0]


# One hedge a step


STEP_S = 40


def hedge_once_a_step(gain: float, sizes: list[int], end: str, depth: int = 20) -> tuple[np.ndarray, float]:
    """Moves of the mid (ticks) from step to step, and the loop gain: a shock, then the hedge of the last step's move.

    The dealer looks one second before each shock; what it then trades is done long before the next one.
    """
    model = scene(straddle_dealer(gain, depth), contracts=depth, end=end, **{"market.halts_pct": [20.0]})
    step = STEP_S * SECOND
    model.dealers[0].alarms = lambda view: [At(view.now - (view.now + SECOND - OPEN) % step + step)]
    shocks(model, sizes, STEP_S)
    before = loop_gain(model)
    run(model)
    ends = OPEN + np.arange(1, len(sizes) + 2) * step - 2 * SECOND
    return np.diff(moved(model, ends)), (before + loop_gain(model)) / 2


@pytest.mark.parametrize("gain", [0.6, -0.5])
def test_one_hedge_a_step_is_a_first_order_autoregression(gain):
    """Each move is r = e + phi r', to the tick.

    So its deviation is 1 / sqrt(1 - phi^2), its autocorrelation phi, and in the long run its deviation 1 / (1 - phi).
    300 normal shocks of 4 ticks. Rounding to a tick of each move, and phi times that of the last one: at most 1.5. The
    sum misses (sum of e - phi r_N) / (1 - phi) by roundings at both ends and half a percent of phi over the day. The
    sample's autocorrelation and deviation lie within 4 standard errors: one failure in 3,000.
    """
    rng, steps, depth = np.random.default_rng(2), 300, 20
    sizes = np.rint(rng.normal(0, 4 * depth, steps)).astype(int)
    r, phi = hedge_once_a_step(gain, sizes.tolist(), "12:52", depth)
    e = sizes / depth
    assert np.abs(r[1:] - e[1:] - phi * r[:-1]).max() < 1.5
    assert r.sum() == pytest.approx((e.sum() - phi * r[-1]) / (1 - phi), abs=1.5 / (1 - phi) + 0.01 * np.abs(e).sum())
    assert np.corrcoef(r[1:], r[:-1])[0, 1] == pytest.approx(phi, abs=4 * np.sqrt((1 - phi**2) / steps))
    error = 4 * np.sqrt((1 + phi**2) / (1 - phi**2) / (2 * steps))
    assert r.std() / (4 * np.sqrt(1 / (1 - phi**2))) == pytest.approx(1, abs=error)


@pytest.mark.parametrize("gain", [-0.7, -1.25])
def test_long_gamma_hedged_once_a_step_swings_and_beyond_one_ever_wider(gain):
    """Over-hedging: r = phi^n f. A single shock of 10 ticks, nothing random, to 1.5 ticks a step."""
    steps = 7
    r, phi = hedge_once_a_step(gain, [-200] + steps * [0], "09:37")
    assert r[0] == -10
    assert np.abs(r[1:] - phi * r[:-1]).max() < 1.5
    assert (np.abs(r[-1]) > 20) == (gain < -1)


# Hedges that take time, impact that does not last


def test_a_delayed_hedge_slows_down_as_its_gain_nears_one():
    """Falls by f (1 + phi / (1 - phi) (1 - exp(-h (1 - phi) t))), h the rate at which a hedge is worked.

    The dealer's look every 0.3 to 0.9 s is short against 1 / h = 5 s. The mean of 24 shocks of 400 contracts in pieces
    of 3.5 on average has a standard error below 2 %; looks and ticks take 3 % off: to 8 %, which tells h to a third.
    """
    every_s, depth = 70, 20
    sizes = [(400 + 7 * (n % 11)) * (-1) ** n for n in range(24)]
    after_s = np.array([2, 5, 10, 20, 40, 60])
    starts = OPEN + np.arange(1, len(sizes) + 1) * every_s * SECOND
    for gain in (0.5, -1.0):
        model = scene(straddle_dealer(gain, depth), contracts=depth, end="10:00")
        shocks(model, sizes, every_s)
        run(model)
        before = moved(model, starts - SECOND)
        x = np.array([(moved(model, starts + t * SECOND) - before) @ np.sign(sizes) for t in after_s])
        shape = 1 + gain / (1 - gain) * (1 - np.exp(-(1 - gain) * after_s / PATIENCE_S))
        assert x * depth / np.abs(sizes).sum() == pytest.approx(shape, rel=0.08)


def test_beyond_a_gain_of_one_a_delayed_hedge_grows_exponentially():
    """As exp(h (phi - 1) t): from 20 to 200 ticks at phi = 1.5 in 23 s; to 20 %, half of it the dealer's time to look.

    The pieces of 3.5 contracts against 200 to 2,000 make some 5 % of noise (one standard error).
    """
    model = scene(straddle_dealer(1.5, 20), contracts=20, end="09:32")
    shocks(model, [-100])
    run(model)
    fall = -moved(model, OPEN + 60 * SECOND + np.arange(0, 60 * SECOND, SECOND // 10))
    took_s = (np.argmax(fall >= 200) - np.argmax(fall >= 20)) / 10
    assert np.log(10) / took_s == pytest.approx(0.5 / PATIENCE_S, rel=0.2)


def test_where_impact_decays_feedback_does_too_only_slower():
    """Rises to about f / (1 - phi), then goes back to f as exp(-kappa t / (1 - phi)).

    News of the night moves price and value by 40 ticks; the dealer hedges that at the open, and value traders, who
    want far more than they can work in the time, press the price back at the rate kappa = lambda x slope / patience
    (1 / 200 s). That form takes the hedge to be immediate; with one worked at the rate h, what is hedged (H) and what
    is pressed back (V) solve H' = h (phi (f + H - V) - H), V' = kappa (H - V): up to 5 % more.
    Pieces of 3.5 contracts leave at most 3.5 % (standard deviation of a run, 64 seeds), so 5 % are 4 standard errors
    of the mean of 8 runs: twelve such marks fail a right program at most once in 1,500.
    """
    jump, depth, kappa, h = 40, 40, 1 / 200, 1 / PATIENCE_S
    after_s = np.array([60, 120, 200, 300, 400, 600])
    slope = 100 * depth / TICK_POINTS
    news = {"session.prior_close_points": PRICE + jump * TICK_POINTS}
    for gain in (0.3, 0.5):
        people = straddle_dealer(gain, depth) + value_trader(slope, 100 / kappa / 60)
        moves = []
        for seed in range(1, 9):
            model = scene(people, seed=seed, contracts=depth, end="09:41", **news)
            run(model)
            moves.append(jump - moved(model, OPEN + after_s * SECOND))
        flow = np.array([[h * (gain - 1), -h * gain, h * gain], [kappa, -kappa, 0], [0, 0, 0]])
        hedged, pressed, _ = np.transpose([expm(flow * t)[:, 2] for t in after_s])
        assert np.mean(moves, axis=0) == pytest.approx(jump * (1 + hedged - pressed), rel=0.05)
