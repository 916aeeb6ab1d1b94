"""Calibration finds what made the moments, says how well it is known, and goes on where it stopped."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from sim import calibrate, ensemble
from sim.analysis.realism import LAWS, Law
from sim.calibrate import CalibrationError, distance, of_law, read_calibration
from sim.ensemble import Course
from sim.scenario import load
from sim.units import HOUR, MINUTE, clock_ns

CALM = Path(__file__).parent.parent / "configs" / "calm.toml"
NOV20 = CALM.with_name("nov20.toml")
TEXT = f"""
title = "Made up"
scenario = "{CALM}"
seeds = 2
[[factor]]
key = "depth_musd"
range = [2.0, 12.0]
[[factor]]
key = "options.scale"
range = [0.0, 1.0]
[[factor]]
key = "surface.skew"
range = [-0.2, -0.1]
"""
DEPTH, SCALE = 7.0, 0.3
"""Where the made-up laws are in the middle of what is accepted."""


def law(name, value, middle, half):
    return Law("Made up", name, "1", (name,), value, (middle - half, middle + half), (middle - half, middle + half), "")


def mean(name):
    return lambda days: float(np.mean([day[name] for day in days]))


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    """A calibration whose days tell depth and scale, and nothing of the skew; its path."""

    def observe(text, seed):
        scenario = load(text)
        return {"depth": scenario.depth_musd + 1e-9 * seed, "scale": scenario.options.scale + 1e-9 * seed}

    monkeypatch.setattr(calibrate, "observe", observe)
    monkeypatch.setattr(
        calibrate, "LAWS", (law("depth", mean("depth"), DEPTH, 1.0), law("scale", mean("scale"), SCALE, 0.1))
    )
    path = tmp_path / "made-up.toml"
    path.write_text(TEXT)
    return path


def run(path, folder, trials):
    return calibrate.calibrate(read_calibration(path), folder, trials=trials, workers=1, show=lambda done, total: None)


def test_what_made_the_moments_is_found_and_how_well_it_is_known(made_up, tmp_path):
    fit = run(made_up, tmp_path / "out", 80)
    depth, scale, skew = fit["factors"]
    assert fit["distance"] < 0.5
    assert depth["optimum"] == pytest.approx(DEPTH, abs=1.0)
    assert scale["optimum"] == pytest.approx(SCALE, abs=0.1)
    # A target is known to half of its half range, and depth and scale are targets themselves.
    assert depth["high"] - depth["optimum"] == pytest.approx(1.96 * 0.5 * 1.0, rel=1e-3)
    assert scale["optimum"] - scale["low"] == pytest.approx(1.96 * 0.5 * 0.1, rel=1e-3)
    assert (skew["low"], skew["high"]) == (-0.2, -0.1)
    optimum = tomllib.loads((tmp_path / "out" / "optimum.toml").read_text())
    assert load(CALM, optimum).depth_musd == depth["optimum"]
    assert json.loads((tmp_path / "out" / "fit.json").read_text())["trials"] == 80


def test_it_goes_on_where_it_stopped(made_up, tmp_path):
    first = calibrate.search(read_calibration(made_up), tmp_path, 5, 1, lambda done, total: None)
    own = load(CALM)
    assert first.loc[0, "depth_musd"] == pytest.approx((own.depth_musd - 2) / 10)
    assert first.loc[0, "options.scale"] == pytest.approx(own.options.scale)
    again = calibrate.search(read_calibration(made_up), tmp_path, 9, 1, lambda done, total: None)
    assert again[:5].equals(first)
    assert len(again) == 9
    made_up.write_text(TEXT.replace("[2.0, 12.0]", "[3.0, 12.0]"))
    assert len(calibrate.search(read_calibration(made_up), tmp_path, 1, 1, lambda done, total: None)) == 1


def test_a_search_killed_in_its_first_trial_tries_the_scenarios_own_values(made_up, tmp_path, monkeypatch):
    calibration = read_calibration(made_up)
    with monkeypatch.context() as killed:
        killed.setattr(calibrate, "observe", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            calibrate.search(calibration, tmp_path, 1, 1, lambda done, total: None)
    (tried,) = calibrate.search(calibration, tmp_path, 1, 1, lambda done, total: None).to_dict("records")
    assert [tried[key] for key in calibration.keys] == calibration.own_places()


def test_a_line_that_a_kill_has_cut_is_no_harm(made_up, tmp_path):
    calibrate.search(read_calibration(made_up), tmp_path, 3, 1, lambda done, total: None)
    journal = tmp_path / calibrate.JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_c')
    assert len(calibrate.search(read_calibration(made_up), tmp_path, 3, 1, lambda done, total: None)) == 3
    assert journal.read_bytes().startswith(whole)


@pytest.mark.parametrize("line", [b"garbage\n", b"{}\n", b"7\n"])
def test_a_damaged_journal_is_one_line(made_up, tmp_path, line):
    (tmp_path / calibrate.JOURNAL).write_bytes(line)
    with pytest.raises(CalibrationError, match=r"trials\.journal: damaged"):
        calibrate.search(read_calibration(made_up), tmp_path, 1, 1, lambda done, total: None)


def test_a_law_out_of_reach_or_without_a_value_counts_so_much_and_no_more():
    nothing = law("nothing", lambda days: np.nan, 0, 1)
    assert np.isnan(of_law(0, nothing, (-1.0, 1.0)).off([]))
    assert np.isnan(of_law(0, law("depth", mean("depth"), 0, 1), (-1.0, 1.0)).off([{"scale": 1.0}]))
    assert distance(np.array([0.5, np.nan])) == (0.25 + calibrate.FARTHEST) / 2
    assert distance(np.array([1e9])) == calibrate.FARTHEST


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("depth_musd", "depth_muds"), "did you mean 'depth_musd'?"),
        (("range = [2.0, 12.0]", "values = [2, 3]"), "depth_musd: a factor of a calibration has a range"),
        (("range = [2.0, 12.0]", "range = [-2.0, 12.0]"), "depth_musd: -2.0"),
        (("seeds = 2", "seeds = 1"), "seeds: 1"),
        (
            ("seeds = 2", 'seeds = 2\nleave_out = ["Volum"]'),
            "leave_out: no law or fact is called 'Volum'; did you mean",
        ),
        (("seeds = 2", 'seeds = 2\nleave_out = ["Xyz"]'), "'Xyz'; there are Top of book, Spread"),
        (
            ("seeds = 2", 'seeds = 2\n[[world]]\njudged_by = "day"'),
            "world.0.judged_by: the scenario does not know the day",
        ),
        (("options.scale", "depth_musd"), "depth_musd: set twice"),
        (("options.scale", "market.halts_pct.0"), "market.halts_pct.0: "),
        (("options.scale", "real.vix_high"), "real.vix_high: "),
        (("title", "titel"), "titel"),
        (
            ("seeds = 2", 'seeds = 2\n[[world]]\njudged_by = "dey"'),
            "world.0.judged_by: 'dey' should be 'card' or 'day'",
        ),
        (("seeds = 2", f"seeds = 2\nleave_out = {[law.name for law in LAWS]}"), "no law or fact is left"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, change, problem):
    path = tmp_path / "bad.toml"
    path.write_text(TEXT.replace(*change))
    with pytest.raises(CalibrationError) as error:
        read_calibration(path)
    assert str(error.value).startswith(str(path))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_a_day_is_held_to_the_facts_of_the_real_one(monkeypatch, tmp_path):
    """Runs of the real course whose hours have as many times the real volume as the depth says."""
    real = load(NOV20)
    known = {clock_ns(clock): points for clock, points in real.real_course.price_points}
    clock = [clock_ns("09:30") + MINUTE * bar for bar in range(1, 391)]
    mids = np.interp(clock, list(known), list(known.values()))
    hourly = dict(real.real_course.volume_contracts)

    def observe(text, seed):
        volume = [hourly.get(f"{-(-at // HOUR):02d}:00", 0) / 60 * load(text).depth_musd for at in clock]
        numbers = {"vix_morning_low": 19.28, "vix_high": 28.27, "vix1d_open": 14.12, "etf_share": 0.41}
        sold = {"time_of_high": "10:37:00", "sold_contracts": 100.0, "sold_blind": 20.0 + seed}
        return Course("whole", seed, clock, mids.tolist(), volume, **numbers, **sold)

    monkeypatch.setattr(ensemble, "observe", observe)
    path = tmp_path / "day.toml"
    text = TEXT.partition('[[factor]]\nkey = "options')[0].replace("[2.0, 12.0]", "[0.5, 1.5]")
    path.write_text(text.replace(str(CALM), str(NOV20)).replace("seeds = 2", 'seeds = 2\n[[world]]\njudged_by = "day"'))
    calibration = read_calibration(path)
    (worlds,) = calibration.days([[0.5]], calibration.seeds, 1)
    value = {target.name: target.value(worlds[0]) for target in calibration.targets}
    assert value["volume of the hour to 12:00, of the real one"] == pytest.approx(1.0)
    assert value["median at 16:00"] == 6539
    assert value["sold blind, of what is sold"] == pytest.approx(0.215)
    assert len(value) == len(calibration.targets) == 19
    assert run(path, tmp_path / "out", 12)["factors"][0]["optimum"] == pytest.approx(1.0, abs=0.1)


def test_the_error_of_a_median_is_that_of_days_drawn_again():
    """The median of n normal days has a variance of pi / 2n; 25 days, mean of 40 sets: 10 % off in one of 1,000."""
    rng = np.random.default_rng(3)
    errors = [calibrate.bootstrapped(np.median, rng.normal(size=25).tolist()) for _ in range(40)]
    assert np.mean(errors) == pytest.approx(np.sqrt(np.pi / 50), rel=0.2)


def test_what_no_day_tells_has_no_error():
    assert np.isnan(calibrate.bootstrapped(lambda days: np.inf, [1.0, 2.0]))


def test_shipped_calibrations_can_be_read():
    for path in (CALM.parent / "calibrations").glob("*.toml"):
        calibration = read_calibration(path)
        assert len(calibration.targets) > len(calibration.keys)
