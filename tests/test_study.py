import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tapes import CLOSE, OPEN, Tape
from tapes import scenario as days

from sim import study
from sim.study import WORLDS, Job, Outcome, between, change_pct, is_sound, judge, outcome_of, plan, run_all
from sim.units import HOUR, MINUTE

FALL = Outcome(
    world="thin",
    seed=1,
    f_pct=-3.0,
    high_to_close_pct=-3.4,
    time_of_high="10:37:00",
    time_6700_lost="11:27:00",
    vix_prior_close=23.66,
    vix_morning_low=19.28,
    vix_close=26.42,
    volume_contracts=2_500_000,
    share_of_time_one_tick=0.9,
    sold_contracts=60_000,
    sound=True,
)
ETF = 3


def world(name, seeds=range(1, 21), **changes):
    """A world whose runs differ a little in F."""
    outcome = replace(FALL, world=name, **changes)
    return [replace(outcome, seed=seed, f_pct=outcome.f_pct + 0.01 * (seed % 5)) for seed in seeds]


@pytest.fixture
def outcomes():
    """Worlds in which everything that is claimed holds."""
    calm = {"f_pct": -1.0, "share_of_time_one_tick": 0.97}
    return {name: world(name, **calm) for name in WORLDS} | {
        "thin": world("thin"),
        "frozen": world("frozen", sold_contracts=20_000),
    }


def verdict(outcomes, claim):
    return next(row for row in judge(outcomes) if claim in row.claim)


def test_everything_holds_in_a_world_made_for_it(outcomes):
    rows = judge(outcomes)
    assert [row.claim for row in rows if row.holds is False] == []
    assert [row.claim for row in rows if row.holds is None] == [
        "news only: F against thin",
        "noise only: F against thin",
    ]
    assert len({row.claim for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("name", "claim", "changes"),
    [
        ("thin", "high to close", {"high_to_close_pct": -2.3}),
        ("thin", "high to close", {"high_to_close_pct": -4.6}),
        ("thin", "6700 is lost", {"time_6700_lost": "12:31:00"}),
        ("thin", "6700 is lost", {"time_6700_lost": None}),
        ("normal", "normal depth", {"f_pct": -2.0}),
        ("thin", "normal depth", {"f_pct": 1.0}),
        ("feedback off", "feedback off", {"f_pct": -1.9}),
        ("frozen", "frozen at the high", {"sold_contracts": 25_000}),
        ("thin", "frozen at the high", {"sold_contracts": -1}),
        ("no ctas", "ctas deepen", {"f_pct": -3.0}),
        ("no dealers", "dealers deepen", {"f_pct": -4.0}),
        ("thin", "morning low", {"vix_morning_low": 20.2}),
        ("thin", "VIX at the close", {"vix_close": 23.0}),
        ("thin", "volume", {"volume_contracts": 3_100_000}),
        ("thin", "thin: share of time", {"share_of_time_one_tick": 0.96}),
        ("normal", "normal: share of time", {"share_of_time_one_tick": 0.94}),
        ("$40M", "to the end", {"sound": False}),
    ],
)
def test_a_claim_that_does_not_hold_is_said_so(outcomes, name, claim, changes):
    assert verdict(outcomes, claim).holds
    outcomes[name] = [replace(item, **({"f_pct": item.f_pct} | changes)) for item in outcomes[name]]
    assert not verdict(outcomes, claim).holds


def test_the_bounds_belong_to_the_target():
    assert between("", [-4.5], -4.5, -2.4).holds
    assert between("", [-9, -2.4, 5], -4.5, -2.4) == ("", "-2.40 (median of 3)", "-4.5 to -2.4", True)


def test_worlds_are_compared_on_the_seeds_that_both_have():
    few, many = world("normal", range(1, 4), f_pct=-1.5), world("thin", range(1, 101))
    many[5:] = [replace(item, f_pct=9.0) for item in many[5:]]
    row = study.at_most_of("", few, many, 0.6)
    assert (row.measured, row.holds) == ("-1.48 of -2.98 % (50 %)", True)


def test_a_run_that_never_loses_the_level_is_late(outcomes):
    outcomes["thin"] = [
        replace(item, time_6700_lost=None if item.seed % 2 else "11:00:00") for item in outcomes["thin"]
    ]
    row = verdict(outcomes, "6700 is lost")
    assert (row.measured, row.holds) == ("11:00:00 (10 of 20 never)", True)


def test_a_group_that_does_nothing_does_not_matter():
    row = study.matters("", world("no ctas"), world("thin"))
    assert (row.measured, row.holds) == ("+0.00 [+0.00, +0.00] (20 pairs)", False)


def test_the_interval_is_about_the_mean_difference():
    thin = world("thin", range(100))
    same = [replace(item, f_pct=item.f_pct + 0.3 * (-1) ** item.seed) for item in thin]
    better = [replace(item, f_pct=item.f_pct + 0.1) for item in same]
    assert not study.matters("", same, thin).holds
    assert study.matters("", better, thin).holds


# The runs


def test_the_plan_has_every_world_and_the_frozen_ones_last():
    runs = plan(seeds=20, paired=100, first_seed=7)
    assert {name for name, _ in runs} == set(WORLDS)
    assert runs.count(("thin", 106)) == runs.count(("no ctas", 106)) == runs.count(("normal", 26)) == 1
    assert ("normal", 27) not in runs
    assert len(set(runs)) == len(runs)
    assert runs[-100:] == [("frozen", seed) for seed in range(7, 107)]


def test_the_frozen_world_freezes_at_the_high_of_the_thin_one():
    scenario, jobs = SimpleNamespace(session=days().session, to_toml=lambda: "x"), []

    def run(batch):
        jobs.extend(batch)
        return [replace(FALL, world=job.world, seed=job.seed, time_of_high=f"10:0{job.seed}:00") for job in batch]

    outcomes = run_all(scenario, [("thin", 1), ("thin", 2), ("frozen", 2)], run)
    assert jobs[-1] == Job("x", "frozen", 2, 10 * HOUR + 2 * MINUTE)
    assert [job.freeze_at_ns for job in jobs[:-1]] == [None, None]
    assert [len(outcomes[name]) for name in ("thin", "frozen", "normal")] == [2, 1, 0]


@pytest.fixture
def tape():
    tape = Tape()
    tape.bar(OPEN + MINUTE, open=1, high=1, low=1, close=1, mid=6750, vix=20)
    tape.bar(OPEN + 75 * MINUTE, open=1, high=1, low=1, close=1, mid=6700, vix=20)
    tape.bar(CLOSE, open=1, high=1, low=1, close=1, mid=6500, vix=20)
    tape.message(ETF, trade=(400, -7, 4), quote=(400, 401))
    tape.now += HOUR
    tape.message(ETF, trade=(399, -5, 4))
    tape.message(5, trade=(399, -9, 4))
    return tape


def test_an_outcome_keeps_what_is_sold_from_the_high_on(tape):
    summary = {
        name: value for name, value in vars(FALL).items() if name.startswith(("vix", "time", "high", "vol", "share"))
    }
    outcome = outcome_of(Job("x", "no ctas", 4), days(), tape.frames, summary | {"time_of_high": "09:31:00", "x": 1})
    assert outcome == replace(
        FALL,
        world="no ctas",
        seed=4,
        time_of_high="09:31:00",
        f_pct=pytest.approx(100 * np.log(6500 / 6700)),
        sold_contracts=5,
    )
    frozen = outcome_of(Job("x", "frozen", 4, OPEN), days(), tape.frames, summary)
    assert frozen.sold_contracts == 12


def test_f_starts_at_the_last_bar_before_its_time(tape):
    bars = tape.frames["bars"]
    assert change_pct(bars, OPEN + 2 * HOUR) == pytest.approx(100 * np.log(6500 / 6700))
    assert change_pct(bars, OPEN + 74 * MINUTE) == pytest.approx(100 * np.log(6500 / 6750))


@pytest.mark.parametrize("quote", [(0, 401), (400, 0)])
def test_a_run_with_an_empty_side_is_not_sound(tape, quote):
    assert is_sound(tape.frames)
    tape.message(4, quote=quote)
    assert not is_sound(tape.frames)


@pytest.mark.parametrize("price", [0.0, -1.0, np.nan, np.inf])
def test_a_run_with_an_insane_price_is_not_sound(tape, price):
    frames = tape.frames
    frames["bars"].loc[1, "vix"] = price
    assert not is_sound(frames)


# The command


def test_the_study_writes_its_verdicts(outcomes, tmp_path, monkeypatch):
    outcomes["thin"][0] = replace(outcomes["thin"][0], vix_prior_close=23.66, f_pct=-3.0, time_6700_lost=None)
    monkeypatch.setattr(study, "run_all", lambda *about: outcomes)
    out = tmp_path / "study.json"
    rows = study.main(SimpleNamespace(digest="d"), seeds=1, paired=2, first_seed=1, workers=1, out=out)
    content = json.loads(out.read_text())
    assert content["verdicts"] == [row._asdict() for row in rows]
    assert len(content["runs"]) == sum(map(len, outcomes.values()))
    assert set(content["runs"][0]) == set(vars(FALL))
