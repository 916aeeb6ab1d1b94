"""VIX: Cboe's worked example, then what must hold on any surface."""

import csv
import math
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from sim.greeks import black76, strip_variance
from sim.surface import Event, Surface, SurfaceParams
from sim.units import MINUTE, moment_ns
from sim.vix import MONTH_MINUTES, SESSION_MINUTES, YEAR_MINUTES, index, vix, vix1d

DAY = date(2025, 11, 19)
CLOSE = moment_ns("2025-11-19 16:00", DAY)
SPOT = 6642.0


class Strip(NamedTuple):
    """Options of one expiry: strikes, rising, prices of calls and puts with 0 for no bid, minutes left."""

    strike: np.ndarray
    call: np.ndarray
    put: np.ndarray
    minutes: float


def total_variance(strip):
    return strip_variance(strip.strike, strip.call, strip.put)


def month_index(near, later):
    left = near.minutes, later.minutes
    return index((total_variance(near), total_variance(later)), left, MONTH_MINUTES, YEAR_MINUTES)


def white_paper(term, minutes):
    """Strip of one term of the white paper's example: mid quotes, 0 where there is no bid (or no quote)."""
    with (Path(__file__).parent / "data" / "vix_white_paper.csv").open() as file:
        rows = [row for row in csv.DictReader(line for line in file if line[0] != "#") if row["term"] == term]
    mid = {
        (float(row["strike"]), row["right"]): (float(row["bid"]) + float(row["ask"])) / 2
        for row in rows
        if float(row["bid"]) > 0
    }
    strike = np.array(sorted({float(row["strike"]) for row in rows}))
    call, put = (np.array([mid.get((k, right), 0.0) for k in strike]) for right in ("call", "put"))
    return Strip(strike, call, put, minutes)


def flat_strip(sigma, minutes, step=1.0, spot=100.0):
    strike = np.arange(0.3 * spot, 3 * spot, step)
    years = minutes / YEAR_MINUTES
    call, put = (black76(spot, strike, years, sigma, right).price for right in (True, False))
    return Strip(strike, call, put, minutes)


def surface(events=(), **params):
    return Surface(SurfaceParams(**params), DAY, CLOSE, SPOT, events)


def test_white_paper_example():
    """24 and 31 days, 35,924 and 46,394 minutes: 0.01846292, 0.01882101 and 13.69 (there with rates of 0.03 %)."""
    near, later = white_paper("near", 35_924), white_paper("next", 46_394)
    assert total_variance(near) / (35_924 / YEAR_MINUTES) == pytest.approx(0.01846292, rel=3e-5)
    assert total_variance(later) / (46_394 / YEAR_MINUTES) == pytest.approx(0.01882101, rel=3e-5)
    assert month_index(near, later) == pytest.approx(13.69, abs=0.005)


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.4])
def test_flat_dense_strips_return_the_volatility(sigma):
    near, later = flat_strip(sigma, 25 * 1440, 0.1), flat_strip(sigma, 32 * 1440, 0.1)
    assert month_index(near, later) == pytest.approx(100 * sigma, rel=3e-4)


def test_nothing_counts_beyond_two_strikes_without_a_bid():
    strip = flat_strip(0.2, MONTH_MINUTES)
    put = strip.put.copy()
    put[(strip.strike == 80) | (strip.strike == 81)] = 0
    cut = put.copy()
    cut[strip.strike < 80] = 0
    assert total_variance(strip._replace(put=put)) == total_variance(strip._replace(put=cut))
    assert total_variance(strip._replace(put=put)) < total_variance(strip)


def test_one_missing_bid_is_bridged_by_wider_neighbours():
    strip = flat_strip(0.2, MONTH_MINUTES)
    put = np.where(strip.strike == 90, 0.0, strip.put)
    assert total_variance(strip._replace(put=put)) == pytest.approx(total_variance(strip), rel=2e-3)


def test_variance_is_interpolated_not_volatility():
    near, later = flat_strip(0.1, 20 * 1440, 0.1), flat_strip(0.3, 40 * 1440, 0.1)
    want = 100 * math.sqrt((0.5 * 0.01 * 20 + 0.5 * 0.09 * 40) / 30)
    assert month_index(near, later) == pytest.approx(want, rel=1e-3)


def test_a_strip_in_which_no_strike_has_two_bids_has_no_variance():
    strip = Strip(np.array([90.0, 100.0]), np.array([10.0, 0.0]), np.array([0.0, 1.0]), 60)
    assert total_variance(strip) == 0


def test_the_last_strike_with_a_bid_has_the_listed_ones_as_neighbours():
    strike, gone = np.array([95.0, 100.0, 110.0]), np.zeros(3)
    straddle = np.array([0.0, 1.0, 0.0])
    strip = Strip(strike, gone + straddle, gone + straddle, 60)
    assert total_variance(strip) == pytest.approx(2 * 7.5 / 100**2 * 1.0)


def test_an_expired_strip_has_no_variance():
    assert surface().at(CLOSE).strip_variance(SPOT, 0, 5.0, 0.05) == 0


def test_vix_of_a_flat_background_is_near_it_and_above():
    """The smile lifts the variance of a strip by some 11 %, hence VIX by about a point."""
    flat = surface(start_vol=0.2, reversion_per_year=0.0)
    assert 20.2 < vix(flat, CLOSE, SPOT) < 21.5
    assert 20.2 < vix1d(flat, CLOSE, SPOT) < 21.5


def test_vix1d_falls_at_the_open_and_rises_into_the_close():
    """Albers and Kestner (2024): in business time the night belongs to the next day only."""
    flat = surface(start_vol=0.2, reversion_per_year=0.0)
    clock = [moment_ns(f"2025-11-20 {time}", DAY) for time in ("09:30", "11:00", "13:00", "15:00", "16:00")]
    values = [vix1d(flat, now, SPOT) for now in clock]
    assert values == sorted(values)
    assert values[0] == pytest.approx(math.sqrt(0.75) * values[-1], rel=0.01)
    assert values[-1] == pytest.approx(vix1d(flat, CLOSE, SPOT), rel=0.01)


def test_the_event_leaves_vix_and_vix1d():
    """1.75e-4 is worth 0.45 points of a VIX of 23.7; in VIX1D it stands whole, lifted by the smile."""
    event = Event("payrolls", 1.75e-4, moment_ns("2025-11-20 08:30", DAY))
    with_event, without = surface([event], start_vol=0.225), surface(start_vol=0.225)
    assert vix(with_event, CLOSE, SPOT) - vix(without, CLOSE, SPOT) == pytest.approx(0.45, abs=0.05)
    before, after = vix1d(with_event, CLOSE, SPOT), vix1d(without, CLOSE, SPOT)
    assert before**2 - after**2 == pytest.approx(1.11 * 1.75e-4 * 252 * 1e4, rel=0.02)
    with_event.release("payrolls", CLOSE, MINUTE)
    assert vix(with_event, CLOSE + MINUTE, SPOT) == pytest.approx(vix(without, CLOSE + MINUTE, SPOT), rel=1e-12)


def test_vix_is_continuous_where_expiries_change():
    moving = surface()
    now = moment_ns("2025-11-20 16:00", DAY)
    for index_of in (vix, vix1d):
        assert index_of(moving, now - MINUTE, SPOT) == pytest.approx(index_of(moving, now + MINUTE, SPOT), rel=0.02)


def test_a_month_that_is_not_bracketed_is_refused():
    with pytest.raises(ValueError, match="30 days"):
        vix(surface(), moment_ns("2026-01-10 16:00", DAY), SPOT)


def test_a_business_day_is_a_session():
    assert SESSION_MINUTES == 6.5 * 60
