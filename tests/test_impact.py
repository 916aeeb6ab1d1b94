import numpy as np
import pytest
from tapes import GROUPS, OPEN, Tape

from sim.analysis.impact import impact_points_per_contract, sold_in_fall
from sim.units import MINUTE

DEALER, CTA, ETF, MAKER, NOISE, STOP = GROUPS


def day_of(flows, ticks_per_contract, drift_ticks=0):
    """A tape on which each minute's net buying moves both quotes by so many ticks a contract, and news by a drift."""
    tape, mid = Tape(OPEN - 10**9), 26_800
    tape.message(ETF, trade=(mid, 500, NOISE), quote=(mid - 1, mid + 1))  # the auction, at the open itself
    for minute, flow in enumerate(flows):
        tape.now = OPEN + minute * MINUTE
        tape.message(NOISE, trade=(mid, flow + 3, MAKER))
        mid += ticks_per_contract * flow + drift_ticks
        tape.message(NOISE, trade=(mid, -3, MAKER), quote=(mid - 1, mid + 1))
    return tape.frames["trades"], tape.frames["quotes"]


def impact(tables, minutes, window_ns=MINUTE):
    return impact_points_per_contract(*tables, (OPEN, OPEN + minutes * MINUTE), window_ns)


@pytest.mark.parametrize("drift", [0, -7])
def test_impact_is_the_slope_of_price_on_net_buying(drift):
    """Ticks of .25 points; neither what came and went within a window, nor a drift, nor the auction counts."""
    tables = day_of([5, -8, 2, -1], 2, drift)
    assert impact(tables, 4) == pytest.approx(0.5)
    assert impact(tables, 3) == pytest.approx(0.5)


def test_over_longer_windows_impact_that_fades_is_smaller():
    """Every minute's buying is undone in price, not in contracts, by the end of the next minute."""
    tape, mid = Tape(OPEN), 26_800
    tape.message(NOISE, quote=(mid - 1, mid + 1))
    for pair, flow in enumerate([6, 2, -4, 4, -2, 8]):
        for minute, moved in ((2 * pair, 4 * flow), (2 * pair + 1, flow)):
            tape.now = OPEN + minute * MINUTE + 1
            size = flow if moved == 4 * flow else -1
            tape.message(NOISE, trade=(mid, size, MAKER), quote=(mid + moved - 1, mid + moved + 1))
        mid += flow
    tables = tape.frames["trades"], tape.frames["quotes"]
    assert impact(tables, 12) > 2 * impact(tables, 12, 2 * MINUTE) > 0
    assert impact(tables, 12, 2 * MINUTE) == pytest.approx(0.25)


def test_too_few_windows_or_no_trading_have_no_impact():
    assert np.isnan(impact(day_of([5, -8], 2), 2))
    assert np.isnan(impact(day_of([0, 0, 0, 0], 0), 4))
    assert np.isnan(impact((Tape().frames["trades"], Tape().frames["quotes"]), 4))


def fall_of(*trades):
    """Trades of (owner, price in ticks, signed contracts), made by noise traders."""
    tape = Tape()
    for owner, price, size in trades:
        tape.message(owner, trade=(price, size, NOISE))
    return sold_in_fall(tape.frames["trades"], GROUPS)


def test_what_is_sold_in_a_fall_begins_after_the_high_and_ends_with_the_first_trade_at_the_low():
    points, sold = fall_of(
        (CTA, 26_000, -50),
        (ETF, 27_000, 9),
        (CTA, 26_900, -20),
        (DEALER, 26_850, 2),
        (DEALER, 26_800, -5),
        (STOP, 26_800, -1),
    )
    assert points == 50
    assert {group: contracts for group, contracts in sold.items() if contracts} == {
        "ctas": 20,
        "dealers": 3,
        "noise": -23,
    }


def test_without_a_fall_nothing_is_sold_in_it():
    assert fall_of((ETF, 26_000, 9), (ETF, 27_000, 9))[0] == 0
    points, sold = fall_of()
    assert np.isnan(points)
    assert set(sold) == set(GROUPS.values())
    assert not any(sold.values())
