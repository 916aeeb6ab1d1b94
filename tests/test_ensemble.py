"""The real day against an ensemble: scores and bands against what is known of them, verdicts on made-up ensembles."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from sim import ensemble
from sim.ensemble import Course, Ensemble, EnsembleError, band, judge, marks, score, walk
from sim.scenario import load
from sim.units import DAY, HOUR, MINUTE, clock_ns

NOV20 = load(Path(__file__).parents[1] / "configs" / "nov20.toml")
REAL = marks(NOV20)
OPEN = clock_ns("09:30")
CLOCK = [OPEN + MINUTE * bar for bar in range(1, 391)]
HOURLY = dict(NOV20.real_course.volume_contracts)


def course(seed: int, shift: float = 0.0, world: str = "whole") -> Course:
    """The real day shifted by some points, with the real volumes."""
    mid = np.interp(CLOCK, [OPEN, *REAL], [6738.0, *REAL.values()]) + shift
    hour_end = [f"{(at + HOUR - 1) // HOUR:02d}:00" for at in CLOCK]
    volume = [HOURLY.get(end, 60_000) // 60 for end in hour_end]
    return Course(world, seed, CLOCK, mid.tolist(), volume, 19.3, 28.0, 14.0, 0.4, "10:37:00", 100.0)


def spread(low: float, high: float, world: str = "whole") -> Ensemble:
    return Ensemble([course(seed, shift, world) for seed, shift in enumerate(np.linspace(low, high, 41))])


def held(full: Ensemble, alone: Ensemble | None = None) -> dict[str, bool | None]:
    return {row.claim: row.holds for row in judge(NOV20, full, alone or spread(50, 400))}


# Laws


@pytest.mark.parametrize(("mean", "sd", "real"), [(0, 1, 0), (0, 1, 1.5), (6600, 40, 6550)])
def test_score_of_a_normal_forecast_is_the_closed_form(mean, sd, real):
    """Gneiting and Raftery 2007, eq. 21; by 20,001 quantiles to one in 1,000."""
    quantiles = mean + sd * norm.ppf((np.arange(20_001) + 0.5) / 20_001)
    z = (real - mean) / sd
    closed = sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert score([quantiles], [real]) == pytest.approx(closed, rel=1e-3)


def test_score_of_one_number_is_its_distance_and_marks_are_averaged():
    assert score([np.array([3.0]), np.array([5.0])], [4.0, 9.0]) == pytest.approx((1 + 4) / 2)


def test_a_walk_has_the_real_variance_and_no_drift():
    forecasts = walk({OPEN + HOUR: 103.0, OPEN + 2 * HOUR: 99.0}, OPEN, 100.0)
    assert [forecast.mean() for forecast in forecasts] == pytest.approx([100, 100])
    assert [forecast.var() for forecast in forecasts] == pytest.approx([12.5, 25], rel=2e-3)


def test_a_mid_is_that_of_the_last_bar_that_has_ended():
    full = Ensemble([replace(course(1), clock_ns=[MINUTE, 2 * MINUTE], mid=[1.0, 2.0], volume=[5, 7])])
    assert [full.at(at)[0] for at in (MINUTE, 2 * MINUTE - 1, 2 * MINUTE, HOUR)] == [1, 1, 2, 2]
    assert [full.volumes(*span)[0] for span in ((0, MINUTE), (MINUTE, HOUR), (0, HOUR))] == [5, 7, 12]


# Verdicts


def test_all_holds_where_the_real_day_is_in_the_middle():
    rows = held(spread(-100, 100))
    assert len(rows) == 15
    assert all(rows.values())
    assert len(REAL) == 26


@pytest.mark.parametrize(
    ("full", "claim"),
    [
        (spread(30, 200), "marks at which the real day lies in the 5 to 95 % band"),
        (spread(-400, 400), "mean width of the band, points"),
        (spread(160, 500), "CRPS, points, against news only"),
        (spread(300, 500), "CRPS, points, against a walk of the real volatility"),
        (spread(100, 300), "the median path loses 6700"),
        (Ensemble([replace(course(1), volume=[1] * 390)]), "volume of the hour to 12:00, of the real one"),
        (Ensemble([replace(course(1), vix_high=24.0)]), "median of vix_high"),
        (Ensemble([replace(course(1), vix1d_open=24.0)]), "median of vix1d_open"),
    ],
)
def test_each_verdict_can_fail(full, claim):
    assert held(full)[claim] is False


def test_facts_that_are_not_known_are_not_judged():
    claims = [
        row.claim for row in judge(replace_real(time_6700_lost=None, vix_high=None), spread(-9, 9), spread(9, 99))
    ]
    assert "the median path loses 6700" not in claims
    assert "median of vix_high" not in claims
    assert "median of vix1d_open" in claims


def replace_real(**facts):
    return NOV20.model_copy(update={"real": NOV20.real.model_copy(update=facts)})


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        (replace_real(high=None), "real.high: missing"),
        (NOV20.model_copy(update={"real_course": None}), "real_course.price_points: no quarter"),
    ],
)
def test_a_scenario_without_its_real_day_is_refused(scenario, said, tmp_path):
    with pytest.raises(EnsembleError, match=said):
        ensemble.main(scenario, seeds=1, first_seed=1, workers=1, out=tmp_path / "day.json")


def test_what_is_sold_blind_is_a_share_of_all_that_was_run_both_ways():
    (blind,) = [fact for fact in ensemble.aims(NOV20) if fact.claim.startswith("sold blind")]
    runs = [replace(course(1), sold_blind=30.0), replace(course(2), sold_contracts=300.0, sold_blind=10.0), course(3)]
    assert blind.value(Ensemble(runs)) == pytest.approx(40 / 400)
    assert np.isnan(blind.value(Ensemble([course(3)])))
    assert np.isnan(blind.value(Ensemble([replace(course(1), sold_contracts=-5.0, sold_blind=1.0)])))


def test_a_median_path_that_keeps_6700_says_so():
    (lost,) = [row for row in judge(NOV20, spread(300, 500), spread(50, 400)) if "6700" in row.claim]
    assert (lost.measured, lost.holds) == ("never", False)


# The command


def test_a_day_is_run_again_frozen_at_its_own_high(monkeypatch):
    jobs = []

    def measured(job):
        jobs.append(job)
        frozen = job.freeze_at_ns is not None
        return replace(course(job.seed), sold_contracts=20.0 if frozen else 100.0, time_of_high=high)

    monkeypatch.setattr(ensemble, "measure", measured)
    high = "10:37:00"
    found = ensemble.observe(NOV20.to_toml(), 3)
    assert (found.sold_contracts, found.sold_blind) == (100.0, 20.0)
    assert [(job.seed, job.freeze_at_ns) for job in jobs] == [(3, None), (3, DAY + clock_ns(high))]
    high = None
    assert ensemble.observe(NOV20.to_toml(), 3).sold_blind is None


def test_the_study_writes_band_figure_and_runs(tmp_path, monkeypatch):
    jobs = []

    def made(run, wanted, workers):
        jobs.extend(wanted)
        return [course(job.seed, 10.0 * job.seed, job.world) for job in wanted]

    monkeypatch.setattr(ensemble, "in_processes", made)
    rows = ensemble.main(NOV20, seeds=3, first_seed=5, workers=1, out=tmp_path / "day.json")
    assert [(job.world, job.seed) for job in jobs] == [(world, 5 + k) for world in ensemble.WORLDS for k in range(3)]
    content = json.loads((tmp_path / "day.json").read_text())
    assert content["verdicts"] == [row._asdict() for row in rows]
    assert len(content["runs"]) == 6
    table = pd.read_csv(tmp_path / "day.csv")
    assert list(table) == ["clock", "real", "q05", "q25", "q50", "q75", "q95"]
    assert (table["q50"] - table["real"]).tolist() == pytest.approx([60] * 26)
    assert table.equals(band(NOV20, Ensemble([course(seed, 10.0 * seed) for seed in (5, 6, 7)])).round(12))
    assert "<svg" in (tmp_path / "day.svg").read_text()
    assert (tmp_path / "day.png").stat().st_size > 10_000


def test_a_course_is_that_of_the_last_day():
    """One minute of the 20th, after a minute of the 19th."""
    short = load(NOV20.to_toml(), {"session.close": "09:33", "session.end": "09:32", "session.bar_seconds": 60})
    found = ensemble.measure(ensemble.Job(short.to_toml(), "whole", 3))
    assert found.clock_ns == [OPEN + MINUTE, OPEN + 2 * MINUTE]
    assert all(6600 < mid < 6900 for mid in found.mid)
    assert min(found.volume) > 0
