"""Greeks: laws, then independent references (mpmath at 50 digits, vollib)."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vollib.black import black
from vollib.black.greeks import analytical

from sim.greeks import black76, quoted, smile, totals

STRIKES = [0.2, 0.6, 0.9, 0.99, 1 - 1e-6, 1.0, 1 + 1e-6, 1.01, 1.1, 1.7, 5.0]
YEARS = [1e-9, 1e-6, 1e-4, 1 / 252, 0.1, 1.0, 3.0]
SIGMAS = [1e-4, 0.01, 0.1, 0.2, 0.6, 2.0]
GRID = np.array([(k, t, s, c) for k in STRIKES for t in YEARS for s in SIGMAS for c in (0, 1)]).T

options = st.tuples(
    st.floats(0.5, 2.0), st.floats(1e-3, 2.0), st.floats(0.03, 1.0), st.booleans()
)  # strike, years, sigma, is_call, for a forward of 1


def reference(strike, years, sigma, is_call):
    """Price, delta, gamma, vega, vanna and charm for a forward of 1, at 50 digits."""
    with mpmath.workdps(50):
        k, t, s = mpmath.mpf(strike), mpmath.mpf(years), mpmath.mpf(sigma)
        stdev = s * mpmath.sqrt(t)
        d1 = -mpmath.log(k) / stdev + stdev / 2
        d2 = d1 - stdev
        sign = 1 if is_call else -1
        price = sign * (mpmath.ncdf(sign * d1) - k * mpmath.ncdf(sign * d2))
        density = mpmath.npdf(d1)
        row = (
            price,
            sign * mpmath.ncdf(sign * d1),
            density / stdev,
            density * mpmath.sqrt(t),
            -density * d2 / s,
            density * d2 / (2 * t),
        )
        return [float(value) for value in row]


def test_all_corners_against_fifty_digits():
    """Relative to values above 1, absolute below; at tiny times gamma and charm are huge."""
    strike, years, sigma, is_call = GRID
    ours = np.array(black76(1.0, strike, years, sigma, is_call == 1))
    want = np.array([reference(*column) for column in GRID.T]).T
    assert np.max(np.abs(ours - want) / np.maximum(1, np.abs(want))) < 1e-10


def test_tail_deltas_keep_their_digits():
    for strike, is_call in ((1.7, True), (0.6, False)):
        want = reference(strike, 0.1, 0.2, is_call)[1]
        assert black76(1.0, strike, 0.1, 0.2, is_call).delta == pytest.approx(want, rel=1e-11)


@pytest.mark.parametrize("is_call", [True, False])
def test_against_vollib(is_call):
    flag = "c" if is_call else "p"
    for strike in (0.8, 0.95, 1.0, 1.05, 1.2):
        ours = black76(1.0, strike, 0.25, 0.2, is_call)
        assert ours.price == pytest.approx(black(flag, 1.0, strike, 0.25, 0.0, 0.2), abs=1e-10)
        assert ours.delta == pytest.approx(analytical.delta(flag, 1.0, strike, 0.25, 0.0, 0.2), abs=1e-10)
        assert ours.gamma == pytest.approx(analytical.gamma(flag, 1.0, strike, 0.25, 0.0, 0.2), abs=1e-10)
        assert ours.vega == pytest.approx(100 * analytical.vega(flag, 1.0, strike, 0.25, 0.0, 0.2), abs=1e-10)


def test_textbook_value():
    """Hull, Options, Futures and Other Derivatives, futures options: F = K = 20, 25 %, 4 months: 1.15 undiscounted."""
    assert black76(20, 20, 4 / 12, 0.25, False).price == pytest.approx(1.12 * math.exp(0.09 * 4 / 12), abs=0.01)


@settings(deadline=None)
@given(options)
def test_put_call_parity(option):
    strike, years, sigma, _ = option
    call, put = (black76(1.0, strike, years, sigma, is_call) for is_call in (True, False))
    assert call.price - put.price == pytest.approx(1 - strike, abs=1e-14)
    assert call.delta - put.delta == pytest.approx(1, abs=1e-15)
    assert (call.gamma, call.vega, call.vanna, call.charm) == (put.gamma, put.vega, put.vanna, put.charm)


@settings(deadline=None)
@given(options)
def test_greeks_are_the_derivatives(option):
    strike, years, sigma, is_call = option
    stdev = sigma * math.sqrt(years)
    ours = black76(1.0, strike, years, sigma, is_call)
    h = 1e-4 * stdev
    up, down = (black76(1 + shift, strike, years, sigma, is_call) for shift in (h, -h))
    assert (up.price - down.price) / (2 * h) == pytest.approx(ours.delta, abs=1e-6)
    assert (up.delta - down.delta) / (2 * h) * stdev == pytest.approx(ours.gamma * stdev, abs=1e-6)
    h = 1e-4 * sigma
    up, down = (black76(1.0, strike, years, sigma + shift, is_call) for shift in (h, -h))
    assert (up.price - down.price) / (2 * h) == pytest.approx(ours.vega, abs=1e-6)
    assert (up.delta - down.delta) / (2 * h) * sigma == pytest.approx(ours.vanna * sigma, abs=1e-6)
    h = 1e-4 * years
    later, sooner = (black76(1.0, strike, years + shift, sigma, is_call) for shift in (h, -h))
    assert (sooner.delta - later.delta) / (2 * h) * years == pytest.approx(ours.charm * years, abs=1e-6)


@settings(deadline=None)
@given(options, st.floats(0.1, 1e4))
def test_units_scale(option, level):
    strike, years, sigma, is_call = option
    one, many = black76(1.0, strike, years, sigma, is_call), black76(level, level * strike, years, sigma, is_call)
    assert many.price == pytest.approx(level * one.price, rel=1e-9, abs=1e-12 * level)
    assert many.delta == pytest.approx(one.delta, rel=1e-9, abs=1e-12)
    assert many.gamma == pytest.approx(one.gamma / level, rel=1e-9, abs=1e-12 / level)


@pytest.mark.parametrize(("strike", "call_delta"), [(90, 1.0), (100, 0.5), (110, 0.0)])
@pytest.mark.parametrize(("years", "sigma"), [(0.0, 0.2), (-1.0, 0.2), (1.0, 0.0)])
def test_an_option_that_is_over_is_its_payoff(strike, call_delta, years, sigma):
    call, put = (black76(100, strike, years, sigma, is_call) for is_call in (True, False))
    assert (call.price, put.price) == (max(100 - strike, 0), max(strike - 100, 0))
    assert (call.delta, put.delta) == (call_delta, call_delta - 1)
    assert call[2:] == (0, 0, 0, 0)


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("is_call", [True, False])
@pytest.mark.parametrize("position", [1, -1])
def test_sign_table_of_an_implied_volatility_fall(above, is_call, position):
    """Volatility falls: short a strike below spot, the hedger buys; short one above, he sells; long, the reverse.

    Call or put makes no difference.
    """
    strike = 6850 if above else 6600
    before, after = (black76(6738, strike, 5 / 252, sigma, is_call).delta for sigma in (0.2, 0.166))
    bought = -position * (after - before)
    assert np.sign(bought) == (position if above else -position)


def test_a_fall_of_volatility_by_17_percent_moves_no_delta_by_more_than_0_0472():
    """Over all strikes, and times of up to a month at 18.5 %: beyond, the bound grows (0.068 at a stdev of 0.5).

    phi(1) |ln 0.83| = 0.045 is its first-order value as time goes to 0.
    """
    stdev = np.linspace(0.001, 0.185 * math.sqrt(21 / 252), 60)[:, None]
    strike = np.exp(np.linspace(-6, 6, 601) * stdev)
    before, after = (black76(1.0, strike, 1.0, stdev * level, True).delta for level in (1, 0.83))
    assert 0.0471 < np.max(np.abs(after - before)) < 0.0473
    assert math.exp(-0.5) / math.sqrt(2 * math.pi) * abs(math.log(0.83)) == pytest.approx(0.045, abs=1e-3)


def test_totals_are_the_sums():
    rng = np.random.default_rng(1)
    strike, years, sigma = rng.uniform(90, 110, 30), rng.uniform(-0.01, 0.1, 30), rng.uniform(0.1, 0.5, 30)
    is_call, contracts = rng.random(30) < 0.5, rng.integers(-100, 100, 30)
    each = black76(100, strike, years, sigma, is_call)
    want = [float(contracts @ greek) for greek in (each.delta, each.gamma, each.vanna, each.charm)]
    assert list(totals(100.0, strike, years, sigma, is_call, contracts)) == pytest.approx(want, rel=1e-12)


def test_arguments_broadcast():
    greeks = black76(100, np.array([[90], [100], [110]]), [0.1, 0.2], 0.2, True)
    assert greeks.price.shape == greeks.charm.shape == (3, 2)
    assert greeks.price[1, 1] == black76(100, 100, 0.2, 0.2, True).price


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 1, 1), "above 0"),
        ((1, -1, 1, 1), "above 0"),
        ((1, 1, 1, -1), "fraction"),
        ((1, 1, math.nan, 1), "finite"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        black76(*arguments, True)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 1.0), st.floats(1e-4, 1.0))
def test_the_smile_levels_off_and_is_the_parabola_near_the_money(sigma, years):
    term = np.array([[years], [sigma**2 * years]])
    stdev = sigma * math.sqrt(years)
    z = np.array([-1e-3, 0.0, 0.5, -60.0, -90.0])
    vols = smile(1.0, np.exp(z * stdev), np.zeros(5, dtype=np.int64), term, np.array([-0.12, 0.02, 6.0]))
    assert vols[:3] == pytest.approx(sigma * (1 - 0.12 * z[:3] + 0.02 * z[:3] ** 2), rel=1e-3)
    assert vols[3:] == pytest.approx(sigma * (1 + 0.72 + 0.72), rel=1e-8)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.05, 1.0), st.sampled_from([0.0, 1e-5, 0.01, 1.0]), st.floats(0.0, 1.0))
def test_quotes_of_an_expiry_are_its_prices_where_there_is_a_bid(sigma, years, smallest):
    strike, shape = np.linspace(50.0, 150.0, 41), np.array([-0.12, 0.02, 6.0])
    term = np.array([years, sigma**2 * years])
    vols = smile(100.0, strike, np.zeros(41, dtype=np.int64), term[:, np.newaxis], shape)
    call, put = quoted(100.0, strike, term, shape, smallest)
    exact = black76(100.0, strike, years, vols, strike >= 100.0).price
    clear = np.abs(exact - smallest) > 1e-9
    outside = np.where(strike >= 100.0, call, put)
    assert outside[clear] == pytest.approx(np.where(exact < smallest, 0.0, exact)[clear], abs=1e-11)
    both = (call > 0) & (put > 0)
    assert (both == (outside > 0))[clear].all()
    assert (call - put)[both] == pytest.approx((100.0 - strike)[both], abs=1e-11)
