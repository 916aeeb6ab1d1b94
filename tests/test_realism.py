"""The realism card: estimators on data of known answer, readers on small files, laws and verdicts.

Statistical tests have one seed, SEED, fixed sizes, and tolerances of at least four standard errors: each would fail a
right program for fewer than one seed in 10,000. They are deterministic here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from markets import SECOND, busy
from probes import QUIET
from scipy.signal import fftconvolve, lfilter
from statsmodels.tsa.stattools import acf
from typer.testing import CliRunner

from agents.metaorder import MetaorderTrader
from sim.analysis import realism, stylised
from sim.analysis.observed import Day, Moments, moments
from sim.analysis.readers import ReadError, ladders, read_bars, read_lobster, sized_quotes
from sim.analysis.realism import LAWS, PROBE_TIMES, RESPONSE_LAGS, Row, judge
from sim.cli import app
from sim.scenario import load
from sim.trader import Ring
from sim.units import HOUR, MINUTE, clock_ns
from sim.validate import command
from sim.validate.worlds import impact_paths, with_probe

SEED = 20251120
OPEN, CLOSE = clock_ns("09:30"), clock_ns("16:00")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


# Returns


def test_hill_finds_the_exponent_of_a_pareto_tail(rng: np.random.Generator) -> None:
    """Size 100,000, so 2,000 in the tail: standard error 3 / sqrt(2000) = 0.067."""
    assert stylised.hill(rng.pareto(3.0, 100_000) + 1) == pytest.approx(3.0, abs=0.3)


def test_hill_of_student_returns_is_near_their_degrees_of_freedom(rng: np.random.Generator) -> None:
    """Size 500,000: standard error 0.03; at its top 2 % the tail of t(3) is not yet a pure power and seems fatter."""
    assert stylised.hill(rng.standard_t(3, 500_000)) == pytest.approx(2.82, abs=0.18)
    assert stylised.hill(rng.standard_normal(500_000)) > 5


def test_hill_needs_ten_in_the_tail() -> None:
    assert np.isnan(stylised.hill(np.arange(1.0, 400.0)))


@pytest.mark.parametrize("steps", [2, 10, 60])
def test_variance_ratio_of_a_random_walk_is_one(rng: np.random.Generator, steps: int) -> None:
    """Size 200,000; standard error sqrt(4 q / 3 n) = 0.02 at q = 60."""
    path = np.cumsum(rng.standard_normal(200_000))
    assert stylised.variance_per_step(path, steps) == pytest.approx(1.0, abs=0.09)


@pytest.mark.parametrize("phi", [-0.3, 0.3])
def test_variance_ratio_of_ar1_returns(rng: np.random.Generator, phi: float) -> None:
    """Lo and MacKinlay 1988: VR(q) = 1 + 2 sum (1 - k / q) phi^k; n = 200,000."""
    path = np.cumsum(lfilter([1.0], [1.0, -phi], rng.standard_normal(200_000)))
    k = np.arange(1, 10)
    wanted = 1 + 2 * np.sum((1 - k / 10) * phi**k)
    ratio = stylised.variance_per_step(path, 10) / stylised.variance_per_step(path, 1)
    assert ratio == pytest.approx(wanted, rel=0.06)


def test_variance_is_unbiased_in_short_paths(rng: np.random.Generator) -> None:
    """20,000 walks of 20 steps: the drift that is taken out is allowed for; standard error 0.005."""
    paths = np.cumsum(rng.standard_normal((20_000, 21)), axis=1)
    assert np.mean([stylised.variance_per_step(path, 5) for path in paths]) == pytest.approx(1.0, abs=0.025)


def test_autocorrelation_has_no_pair_across_stretches() -> None:
    stretches = [np.array([1.0, -1.0])] * 10
    assert stylised.autocorrelation(stretches, 1) == pytest.approx([1.0, -1.0])


def test_autocorrelation_of_one_stretch_is_that_of_statsmodels(rng: np.random.Generator) -> None:
    series = lfilter([1.0], [1.0, -0.7], rng.standard_normal(500))
    assert stylised.autocorrelation([series], 20) == pytest.approx(acf(series, nlags=20, adjusted=True))


def test_leverage_is_where_falls_are_followed_by_large_moves(rng: np.random.Generator) -> None:
    moves = rng.standard_normal(20_000)
    moves[1:] *= 1 - 0.3 * np.sign(moves[:-1])
    curve = stylised.leverage([moves], 3)
    assert curve[0] < -0.1
    assert np.abs(curve[1:]).max() < 0.04


def test_a_power_law_decays_with_its_exponent() -> None:
    curve = np.concatenate([[1.0], 0.2 * np.arange(1.0, 1001.0) ** -0.5])
    assert stylised.power_decay(curve, 10, 1000, 1e6) == pytest.approx(0.5, abs=0.01)


def test_what_has_vanished_decays_faster_than_any_power() -> None:
    assert stylised.power_decay(-np.ones(101), 1, 100, 1e6) == np.inf
    assert stylised.power_decay(0.001 / np.arange(1, 102), 1, 100, 1000) == np.inf
    assert np.isnan(stylised.power_decay(np.ones(50), 1, 100, 1e6))


# Trades and quotes


def test_signs_of_a_fractional_process_have_its_memory(rng: np.random.Generator) -> None:
    """Signs of ARFIMA(0, 0.25, 0) decay as lag^-0.5 (Hosking, Biometrika 68, 1981, p. 165).

    Ten days of 100,000; over five seeds the estimate had a mean of 0.565 (a day's mean sign is taken out of a memory
    that is longer than the day) and a standard deviation of 0.027.
    """
    steps = np.arange(1, 100_000)
    weights = np.concatenate([[1], np.cumprod((steps - 0.75) / steps)])
    days = []
    for _ in range(10):
        values = fftconvolve(rng.standard_normal(200_000), weights, mode="valid")[:100_000]
        times = np.arange(len(values)) * 200_000_000
        days.append(moments(trades_day(times, np.where(values > 0, 1, -1))))
    row = rows_of(days)["Autocorrelation of signs, exponent"]
    assert (row.value, row.verdict) == (pytest.approx(0.55, abs=0.14), "holds")


def test_response_to_a_lasting_impact_is_flat(rng: np.random.Generator) -> None:
    """Every trade moves the mid by a tenth of a tick for good; 400,000 independent signs."""
    signs = rng.choice([-1, 1], 400_000)
    mids = 0.1 * (np.cumsum(signs) - signs)
    assert stylised.response(signs, mids, np.array([1, 10])) == pytest.approx([0.1, 0.1], abs=0.003)


def test_order_flow_imbalance_by_hand() -> None:
    """Cont, Kukanov and Stoikov 2014, equation 3: a cancel, a fill of the ask, a bid that rises, one that falls."""
    bid, bid_size = np.array([10, 10, 10, 11, 10]), np.array([5, 3, 3, 2, 3])
    ask, ask_size = np.array([12, 12, 12, 12, 12]), np.array([5, 5, 1, 1, 1])
    assert stylised.order_flow_imbalance(bid, bid_size, ask, ask_size).tolist() == [-2, 4, 2, -2]


def stylised_book(flow: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Price and size of a side with `depth` contracts on every level, to which one contract at a time comes or goes."""
    total = 10**6 * depth + np.cumsum(flow)
    return (total - 1) // depth, (total - 1) % depth + 1


def test_the_slope_of_the_imbalance_is_one_over_twice_the_depth(rng: np.random.Generator) -> None:
    """The stylised book of Cont, Kukanov and Stoikov 2014 moves by OFI / (2 depth), but for a fraction of a tick."""
    depths, slopes = np.array([5, 10, 20, 40]), []
    for depth in depths:
        bid, bid_size = stylised_book(rng.choice([-1, 1], 200_000), depth)
        ask, ask_size = stylised_book(rng.choice([-1, 1], 200_000), depth)
        imbalance = stylised.order_flow_imbalance(bid, bid_size, -ask, ask_size)
        # The ask is a mirrored bid: what comes to it lowers it.
        sums = imbalance[: 199 * 1000].reshape(199, 1000).sum(axis=1)
        moves = np.diff(((bid - ask) / 2)[::1000])[:199]
        slopes.append(stylised.slope_r2(sums, moves)[0])
    assert np.array(slopes) * 2 * depths == pytest.approx(np.ones(4), abs=0.1)
    assert stylised.power_slope(depths, np.array(slopes)) == pytest.approx(-1, abs=0.06)


def hawkes(rng: np.random.Generator, base: float, ratio: float, decay: float, end: float) -> np.ndarray:
    """Times of a Hawkes process, generation by generation."""
    generation = rng.uniform(0, end, rng.poisson(base * end))
    times = [generation]
    while len(generation):
        children = np.repeat(generation, rng.poisson(ratio, len(generation)))
        generation = children + rng.exponential(1 / decay, len(children))
        times.append(generation)
    everything = np.sort(np.concatenate(times))
    return everything[everything < end]


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.8])
def test_branching_ratio_of_a_hawkes_process(rng: np.random.Generator, ratio: float) -> None:
    """Some 4,000 events; over 12 seeds the estimate had a standard deviation of 0.02 or less."""
    times = hawkes(rng, 2.0 * (1 - ratio), ratio, 2.0, 2000.0)
    assert stylised.branching_ratio(times, 0.0, 2000.0) == pytest.approx(ratio, abs=0.1)


def test_half_life_of_an_ar1(rng: np.random.Generator) -> None:
    series = lfilter([1.0], [1.0, -0.7], rng.standard_normal(40_000))
    assert stylised.half_life([series[:20_000], series[20_000:]]) == pytest.approx(-np.log(2) / np.log(0.7), rel=0.06)
    assert stylised.half_life([np.cumsum(np.ones(100))]) == np.inf


@pytest.mark.parametrize(("excess", "wanted"), [([4, 3, 2, 1], 5), ([1, 4, 3, 2], 9), ([4, 3, 3, 3], np.inf)])
def test_time_to_half_counts_from_the_largest(excess: list[float], wanted: float) -> None:
    assert stylised.time_to_half(np.array([0, 1, 5, 9]), np.array(excess)) == wanted
    assert np.isnan(stylised.time_to_half(np.arange(4), -np.ones(4)))


# Metaorders


def test_the_square_root_law_is_found_in_exact_data() -> None:
    shares = np.geomspace(1e-4, 1e-2, 30)
    assert stylised.impact_law(shares, 0.9 * np.sqrt(shares)) == pytest.approx((0.9, 0.5))
    assert realism.root_law(shares, 0.9 * np.sqrt(shares)) == pytest.approx((0.5, 0.9))


def test_impact_is_what_two_worlds_go_apart_from_the_start_on() -> None:
    apart = np.concatenate([np.full(100, 7.0), 7 + np.arange(100.0)])
    rows = impact_paths(apart, np.array([99.5, 99.5]), np.array([119.5] * 2), np.array([1, -1]), np.array([0.1, 0.2]))
    assert rows[:, 0].tolist() == [0.1, 0.2]
    assert rows[0, 1 + PROBE_TIMES.tolist().index(1)] == 20
    assert (rows[0, 1:] == -rows[1, 1:]).all()
    assert len(rows[0]) == 1 + len(PROBE_TIMES)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_probe_orders_a_share_of_the_volume_at_a_pace_that_leaves_room(sign: int) -> None:
    """A hundredth of a million contracts at a twentieth of the volume takes a fifth of the day."""
    text = with_probe("[agents]\n", sign * 0.01, 1e6, 390 * 60)
    assert f"contracts = {sign * 10_000}" in text
    assert "every_minutes = 187.2" in text


def test_probes_of_opposite_sign_mirror_each_other() -> None:
    orders = []
    for contracts in (100, -100):
        params, draws = MetaorderTrader.Params(contracts=contracts), np.random.default_rng(SEED)
        trader: Any = SimpleNamespace(p=params, draw=draws)
        orders.append([MetaorderTrader.decide(trader, None, Ring("time"))[0].contracts for _ in range(20)])
    assert orders[0] == [-contracts for contracts in orders[1]]
    assert set(orders[0]) == {100, -100}


def test_probes_start_on_the_grid_while_an_interval_fits_in() -> None:
    trader: Any = SimpleNamespace(p=MetaorderTrader.Params(start_minutes=30, every_minutes=120))
    times = []
    view = SimpleNamespace(opens=OPEN, closes=CLOSE, now=OPEN)
    while alarms := MetaorderTrader.alarms(trader, view):
        view.now = alarms[0].time_ns
        times.append((view.now - OPEN) // MINUTE)
    assert times == [30, 150, 270]


# Days


def trades_day(times_ns: np.ndarray, sides: np.ndarray, **more: object) -> Day:
    trades = pd.DataFrame({"time_ns": OPEN + times_ns, "size": 1, "side": sides})
    return Day(OPEN, OPEN + 6 * HOUR + 30 * MINUTE, 0.25, trades=trades, **more)


def test_the_profile_of_a_u_shaped_day() -> None:
    """Two contracts a second in the first and last half hour, one in between."""
    seconds = np.arange(23_400)
    busy_half = (seconds < 1800) | (seconds >= 21_600)
    times = np.sort(np.concatenate([seconds, seconds[busy_half]])) * SECOND
    found = moments(trades_day(times, np.resize([1, -1], len(times))))
    assert found["profile"] == pytest.approx(np.array([2, *[1] * 11, 2]) / 15)
    assert found["volume"] == found["prints"] == found["orders"] == len(times)


def test_executions_of_one_instant_are_one_order() -> None:
    signs = np.tile([1, 1, -1, -1], 1000)
    times = np.repeat(np.arange(2000), 2) * SECOND
    found = moments(trades_day(times, signs))
    assert found["sign_acf"][1] == pytest.approx(-1, abs=0.01)
    assert found["orders"] == len(signs) / 2


@pytest.fixture(scope="module")
def small_market() -> tuple[np.ndarray, pd.DataFrame]:
    """Events and quotes of ten minutes of a small market."""
    m = busy(log_events=True)
    m.advance(600 * SECOND)
    return m.events().copy(), pd.DataFrame(m.quotes())


def replayed(events: np.ndarray) -> Iterator[tuple[int, dict[int, int], dict[int, int]]]:
    """Time and sizes by price of bids and asks after every event, the plain way."""
    sides: dict[int, dict[int, int]] = {1: {}, -1: {}}
    for time, kind, _, size, price, direction in events.tolist():
        side = sides[direction]
        side[price] = side.get(price, 0) + (size if kind == 1 else -size)
        if not side[price]:
            del side[price]
        yield time, sides[1], sides[-1]


def test_quotes_with_sizes_are_those_of_a_plain_replay(small_market: tuple[np.ndarray, pd.DataFrame]) -> None:
    events, quotes = small_market
    after = {
        time: (max(bids), bids[max(bids)], min(asks), asks[min(asks)])
        for time, bids, asks in replayed(events)
        if bids and asks
    }
    found = sized_quotes(events, quotes)
    assert len(found) > 5000
    rows = found.set_index("time_ns")[["bid_ticks", "bid_size", "ask_ticks", "ask_size"]]
    assert {time: tuple(row) for time, row in zip(rows.index, rows.to_numpy().tolist(), strict=True)} == {
        time: after[time] for time in rows.index
    }


def test_ladders_are_those_of_a_plain_replay(small_market: tuple[np.ndarray, pd.DataFrame]) -> None:
    events, _ = small_market
    time = 300 * SECOND
    *_, (_, bids, asks) = replayed(events[events[:, 0] <= time])
    wanted = [[bids[price] for price in sorted(bids)[::-1][:3]], [asks[price] for price in sorted(asks)[:3]]]
    assert ladders(events, np.array([time]), levels=3)[0].tolist() == wanted


# Files


MESSAGES = """34200.5,1,1,5,1000000,1
34200.5,1,2,7,1000200,-1
34201.25,4,2,3,1000200,-1
34202,1,3,2,1000100,1
"""
BOOK = """9999999999,0,1000000,5
1000200,7,1000000,5
1000200,4,1000000,5
1000200,4,1000100,2
"""
NAME = "XYZ_2012-06-21_34200000_57600000_message_1.csv"


def lobster(folder: Path, messages: str = MESSAGES, book: str = BOOK, name: str = NAME) -> Path:
    (folder / name).write_text(messages)
    (folder / name.replace("message", "orderbook")).write_text(book)
    return folder / name


def test_a_lobster_pair_is_read(tmp_path: Path) -> None:
    day = read_lobster(lobster(tmp_path))
    assert (day.opens_ns, day.closes_ns, day.tick, day.ladder) == (OPEN, CLOSE, 0.01, None)
    assert day.trades is not None
    assert day.trades.to_numpy().tolist() == [[34201250000000, 3, 1]]
    assert day.quotes is not None
    assert day.quotes.to_numpy().tolist() == [
        [34200500000000, 10000, 5, 10002, 7],
        [34201250000000, 10000, 5, 10002, 4],
        [34202000000000, 10001, 2, 10002, 4],
    ]
    found = moments(day)
    assert found["mids"][[0, 1, 2, -1]].tolist() == pytest.approx([100.01, 100.01, 100.015, 100.015])
    assert found["one_tick"] > 0.99


def test_rows_of_a_pair_outside_its_session_count_for_nothing(tmp_path: Path) -> None:
    early, late = "34199.9,1,8,1,900000,1\n", "57600.000000001,1,9,1,900000,1\n"
    (row, *_) = BOOK.splitlines(keepends=True)
    day = read_lobster(lobster(tmp_path, early + MESSAGES + late, row + BOOK + row))
    assert day.quotes is not None
    assert day.quotes["time_ns"].between(OPEN, CLOSE).all()


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"messages": MESSAGES + "x\n"}, "line 5: no LOBSTER message"),
        ({"book": BOOK + BOOK}, "8 rows, but 4 messages"),
        ({"book": "1,2,3\n" * 4}, "3 columns"),
        ({"book": "1,2,3,four\n"}, "no LOBSTER order book"),
        ({"book": "9999999999,0,-9999999999,0\n" * 4}, "no row of the session has a bid and an offer"),
        ({"name": "XYZ_message_1.csv"}, "no LOBSTER name"),
        ({"name": "XYZ_2012-06-21_57600000_34200000_message_1.csv"}, "ends before it begins"),
    ],
)
def test_a_broken_pair_is_one_line(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    with pytest.raises(ReadError, match=problem) as error:
        read_lobster(lobster(tmp_path, **files))
    assert "\n" not in str(error.value)


def test_a_message_file_needs_its_book(tmp_path: Path) -> None:
    path = lobster(tmp_path)
    (tmp_path / NAME.replace("message", "orderbook")).unlink()
    with pytest.raises(ReadError, match="is not beside it"):
        read_lobster(path)


def bars(days: int, rng: np.random.Generator) -> pd.DataFrame:
    """A random walk of Student returns, t(3), with 100 contracts a minute, all day and at night."""
    times = pd.date_range("2025-11-17 08:00", periods=days * 1440, freq="min")
    close = 6700 * np.exp(np.cumsum(2e-4 * rng.standard_t(3, len(times))))
    open_ = np.concatenate([[6700], close[:-1]])
    low, high = np.minimum(open_, close), np.maximum(open_, close)
    return pd.DataFrame({"datetime": times, "open": open_, "high": high, "low": low, "close": close, "volume": 100})


def test_bars_are_read_in_regular_hours(tmp_path: Path, rng: np.random.Generator) -> None:
    table = bars(2, rng)
    table.drop(index=[95, 96]).to_csv(tmp_path / "bars.csv", index=False)
    first, second = read_bars(tmp_path / "bars.csv")
    inside = table[90:480]
    assert first.closes is not None
    assert second.closes is not None
    assert len(first.closes) == len(second.closes) == 391
    assert first.closes[0] == inside["open"].iloc[0]
    assert first.closes[5:8].tolist() == [inside["close"].iloc[4]] * 3
    assert first.closes[8:].tolist() == inside["close"].iloc[7:].tolist()
    assert moments(first)["volume"] == 38_800


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("datetime,open,high,low,close\n", "no column 'volume'"),
        ("datetime,open,high,low,close,volume\n2025-11-17 09:30,1,1,1,x,1\n", "line 2: no bar: 2025-11-17 09:30, 1"),
        ("datetime,open,high,low,close,volume\nyesterday,1,1,1,1,1\n", "line 2: no bar: yesterday"),
        ("datetime,open,high,low,close,volume\n2025-11-17 09:30,1,1,1,0,1\n", "line 2: no bar"),
        ("datetime,open,high,low,close,volume\n2025-11-17 09:30,1,1,1,1,-1\n", "line 2: no bar"),
        ("datetime,open,high,low,close,volume\n2025-11-17 09:30,2,1,2,2,1\n", "line 2: no bar"),
        (
            "datetime,open,high,low,close,volume\n2025-11-17 09:30,1,1,1,1,1\n2025-11-17 09:31+05:00,1,1,1,1,1\n",
            "datetime: some times name a zone",
        ),
        ("datetime,open,high,low,close,volume\n2025-11-17 09:30,1,1,1,1,1\n", "no day with one-minute bars"),
        ("datetime,open,high,low,close,volume\n", "no day with one-minute bars"),
        ("", "no CSV"),
    ],
)
def test_broken_bars_are_one_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "bars.csv").write_text(text)
    with pytest.raises(ReadError, match=problem) as error:
        read_bars(tmp_path / "bars.csv")
    assert "\n" not in str(error.value)


# The card


def rows_of(days: list[Moments], **how: bool) -> dict[str, Row]:
    return {row.law: row for row in judge(days, **how)}


def test_every_law_has_a_name_of_its_own_and_a_source_if_it_is_judged() -> None:
    assert len({law.name for law in LAWS}) == len(LAWS)
    assert all(law.source for law in LAWS if law.normal)
    assert all(law.normal[0] < law.normal[1] for law in LAWS if law.normal)


@pytest.mark.parametrize(("one_tick", "normal", "thin"), [(0.98, "holds", "fails"), (0.8, "fails", "holds")])
def test_a_verdict_is_whether_the_value_lies_in_the_range(one_tick: float, normal: str, thin: str) -> None:
    days = [{"one_tick": np.array(one_tick)}]
    assert rows_of(days)["Time at one tick"].verdict == normal
    assert rows_of(days, thin=True)["Time at one tick"].verdict == thin
    assert rows_of(days, of_future=False)["Time at one tick"].verdict == "shown"
    assert rows_of(days)["Volume"].verdict == "left out"


def test_what_has_no_power_law_fails_the_law_of_its_exponent() -> None:
    vanished = np.concatenate([[1.0], -np.ones(1000)])
    days = [{"sign_acf": vanished, "orders": np.array(1e6)}]
    assert rows_of(days)["Autocorrelation of signs, exponent"].verdict == "fails"


def test_the_error_of_a_mean_is_the_usual_one(rng: np.random.Generator) -> None:
    values = rng.standard_normal(7)
    row = rows_of([{"spread": np.array(value)} for value in values])["Spread"]
    assert (row.value, row.se) == pytest.approx((values.mean(), values.std(ddof=1) / np.sqrt(7)))
    assert np.isnan(rows_of([{"spread": np.array(1.0)}])["Spread"].se)


def test_a_concave_response_rises_and_flattens() -> None:
    for power, flattens in ((0.3, True), (1.5, False)):
        rows = rows_of([{"response": 0.02 * RESPONSE_LAGS**power}])
        assert rows["Response rises: rank correlation"].verdict == "holds"
        assert (rows["Response flattens: rank correlation"].verdict == "holds") == flattens


def test_flow_that_moves_the_price_in_proportion_is_found(rng: np.random.Generator) -> None:
    """Two points a thousand contracts at every horizon: no decay with the horizon."""
    flow = rng.integers(-300, 300, 2340)
    mids = np.interp(np.arange(23_401), np.arange(0, 23_401, 10), 6700 + 0.002 * np.concatenate([[0], np.cumsum(flow)]))
    day = {"flow": flow, "mids": mids, "step_s": np.array(1), "seconds": np.array(23_400)}
    rows = rows_of([day])
    assert rows["Impact of the flow of 60 s"].value == pytest.approx(2)
    assert rows["Impact of the flow of 30 min"].value == pytest.approx(2)
    assert rows["Impact of the flow, exponent in time"].value == pytest.approx(0, abs=1e-6)


def test_bars_are_judged_by_what_they_tell(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    """40 days of a walk with t(3) returns: diffusive, no memory, fat tails; nothing is known of trades.

    Tail: 312 of 15,600 returns, standard error 0.16; variance ratio at 30 minutes: standard error 0.05.
    """
    bars(40, rng).to_csv(tmp_path / "bars.csv", index=False)
    found = {row.law: row for row in command.validate_records([tmp_path / "bars.csv"], tmp_path / "card")}
    for law in ("Variance ratio, 30 min to 1 min", "Tail exponent, 1 min", "Autocorrelation of returns, 1 min"):
        assert found[law].verdict == "holds"
        assert found[law].days == 40
    for law in ("Autocorrelation of absolute returns, 1 min", "Autocorrelation of absolute returns, exponent"):
        assert found[law].verdict == "fails"
    assert found["Volume"].verdict == found["Volatility of a minute"].verdict == "shown"
    assert found["Branching ratio of moves of the mid"].verdict == "left out"
    content = json.loads((tmp_path / "card" / "card.json").read_text())
    assert [law["law"] for law in content["laws"]] == [law.name for law in LAWS]
    page = (tmp_path / "card" / "card.html").read_text()
    assert page.count("<svg") >= 3
    assert all(escape(law.name) in page for law in LAWS)
    assert str(tmp_path / "card" / "card.html") in capsys.readouterr().out


def test_a_scenario_is_judged_with_its_experiments(tmp_path: Path) -> None:
    """Two quarters of an hour of three kinds of people; one of them with metaorders put in, and in other depths."""
    scenario = load(QUIET, {"session.end": "09:46"})
    rows = command.validate_scenario(
        scenario, days=2, first_seed=5, experiments=1, workers=1, out=tmp_path, show=lambda done, total: None
    )
    found = {row.law: row for row in rows}
    assert found["Top of book"].days == 2
    assert found["Top of book"].verdict == "holds"
    assert found["Impact of metaorders put in: exponent"].days == 1
    for law in ("Impact of metaorders put in: exponent", "Volume of the last half hour"):
        assert found[law].verdict == "left out", "the session is too short"
    content = json.loads((tmp_path / "card.json").read_text())
    assert (content["seeds"], content["thin"], content["depth_musd"]) == ([5, 6], True, 5.0)


@pytest.mark.slow
def test_the_card_is_the_same_from_two_processes(tmp_path: Path) -> None:
    scenario = load(QUIET, {"session.end": "09:46"})
    cards = [
        command.validate_scenario(
            scenario, days=2, first_seed=5, experiments=1, workers=workers, out=tmp_path, show=lambda done, total: None
        )
        for workers in (1, 2)
    ]
    assert repr(cards[0]) == repr(cards[1])


def test_a_day_in_other_bars_than_minutes_is_refused(tmp_path: Path) -> None:
    scenario = load(QUIET, {"session.end": "09:46", "session.bar_seconds": 10})
    with pytest.raises(ReadError, match=r"session\.bar_seconds: .* bars of a minute"):
        command.validate_scenario(
            scenario, days=1, first_seed=5, experiments=0, workers=1, out=tmp_path, show=lambda done, total: None
        )


def test_recorded_days_take_no_settings(tmp_path: Path, rng: np.random.Generator) -> None:
    bars(2, rng).to_csv(tmp_path / "bars.csv", index=False)
    result = CliRunner().invoke(app, ["validate", str(tmp_path / "bars.csv"), "--set", "depth_musd=5"])
    assert isinstance(result.exception, ValueError)
    assert str(result.exception).startswith("--set: ")


def test_a_law_that_fails_is_named_and_exit_is_one(tmp_path: Path, rng: np.random.Generator) -> None:
    bars(2, rng).to_csv(tmp_path / "bars.csv", index=False)
    result = CliRunner().invoke(app, ["validate", str(tmp_path / "bars.csv"), "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "fails: " in result.stderr
    assert "Autocorrelation of absolute returns, exponent" in result.stderr
