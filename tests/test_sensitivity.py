import sys

import numpy as np
import pandas as pd
import pytest
from made_sweeps import GRID, made_sweep

from sim import cli
from sim.sweep.design import Design, SweepError, unit_points
from sim.sweep.sensitivity import indices, indices_of

SALTELLI = Design(kind="saltelli", points=8, seed=1)
MORRIS = Design(kind="morris", points=6, seed=0)
FACTORS = ["depth_musd", "options.scale", "agents.ctas.contracts"]


def sweep_of(folder, design, outcome, seeds=2):
    """A sweep's folder over the unit cube; the outcome of a run from its three factors and seed."""
    points = [dict(zip(FACTORS, map(float, place), strict=True)) for place in unit_points(design, 3)]
    return made_sweep(folder, points, seeds, lambda point, seed: outcome(*point.values(), seed), design)


def linear(first, second, third, seed):
    return {"high_to_close_pct": 3 * first - 2 * second + 10 * seed, "text": "x", "holes": None}


# Known cases


def test_sobol_indices_of_the_ishigami_function():
    """Ishigami and Homma 1990, a = 7, b = .1: analytic indices as in Sobol and Levitan 1999; N = 1024, seed 1.

    The sequence is the same at every run, so the test cannot fail by chance.
    """
    design = Design(kind="saltelli", points=1024, seed=1)
    x = np.pi * (2 * unit_points(design, 3) - 1)
    found = indices_of(
        design, FACTORS, np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])
    )
    assert found["S1"].to_numpy() == pytest.approx([0.3139, 0.4424, 0.0], abs=0.03)
    assert found["ST"].to_numpy() == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.03)
    for index, truth in (("S1", [0.3139, 0.4424, 0.0]), ("ST", [0.5576, 0.4424, 0.2437])):
        assert (abs(found[index] - truth) < 1.5 * found[f"{index}_conf"] + 1e-3).all()


def test_morris_effects_of_a_linear_function_are_its_coefficients():
    places = unit_points(MORRIS, 3)
    found = indices_of(MORRIS, FACTORS, 3 * places[:, 0] - 2 * places[:, 1])
    assert found["mu"].to_numpy() == pytest.approx([3, -2, 0])
    assert found["mu_star"].to_numpy() == pytest.approx([3, 2, 0])
    assert found["sigma"].to_numpy() == pytest.approx([0, 0, 0], abs=1e-12)


def test_morris_sigma_tells_an_interaction():
    places = unit_points(MORRIS, 3)
    found = indices_of(MORRIS, FACTORS, places[:, 0] * places[:, 1] + places[:, 2]).set_index("factor")
    assert found.loc["depth_musd", "sigma"] > 0.1
    assert found.loc["agents.ctas.contracts", "sigma"] == pytest.approx(0, abs=1e-12)


# From a sweep


@pytest.mark.parametrize("design", [SALTELLI, MORRIS], ids=lambda design: design.kind)
def test_a_sweep_is_averaged_over_its_seeds_point_by_point(tmp_path, design):
    places = unit_points(design, 3)
    found = indices(sweep_of(tmp_path, design, linear), "high_to_close_pct")
    pd.testing.assert_frame_equal(found, indices_of(design, FACTORS, 3 * places[:, 0] - 2 * places[:, 1] + 15))


def test_missing_and_failed_runs_are_counted_and_refused(tmp_path):
    def holed(first, second, third, seed):
        if seed == 1 and first < 0.5:
            return None if second < 0.5 else "ValueError: no"
        return linear(first, second, third, seed)

    folder = sweep_of(tmp_path, MORRIS, holed)
    places = unit_points(MORRIS, 3)
    low = places[:, 0] < 0.5
    failed = (low & (places[:, 1] >= 0.5)).sum()
    with pytest.raises(
        SweepError, match=rf"{low.sum()} of 48 runs are missing, {failed} of them failed; .*thinbook swe"
    ):
        indices(folder, "high_to_close_pct")


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("high_to_close", "high_to_close: no number of a run's summary; did you mean 'high_to_close_pct'?"),
        ("text", "text: no number"),
        ("depth_musd", "depth_musd: no number"),
        ("flat", "flat: the same at all points"),
        ("gaps", "gaps: empty in 24 of 48 runs"),
    ],
)
def test_an_outcome_that_tells_nothing_is_refused(tmp_path, output, problem):
    def outcome(*point):
        return linear(*point) | {"flat": 1.0, "gaps": 2.0 if point[-1] == 1 else np.nan}

    with pytest.raises(SweepError) as caught:
        indices(sweep_of(tmp_path, MORRIS, outcome), output)
    assert problem in str(caught.value)


def test_a_grid_has_no_indices(tmp_path):
    folder = made_sweep(tmp_path, [{"depth_musd": 1.0}], 1, lambda *_: {"x": 1.0}, GRID)
    with pytest.raises(SweepError, match="design grid: indices of sensitivity need saltelli or morris"):
        indices(folder, "x")


@pytest.mark.parametrize("design", [SALTELLI, MORRIS], ids=lambda design: design.kind)
def test_the_command_writes_table_and_figure(tmp_path, monkeypatch, capsys, design):
    folder = sweep_of(tmp_path, design, lambda *run: {"by.group": linear(*run)["high_to_close_pct"]})
    monkeypatch.setattr(sys, "argv", ["thinbook", "sensitivity", str(folder), "--output", "by.group"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    assert "mean over the 2 seeds of each point" in capsys.readouterr().out
    assert {file.name for file in (folder / "sensitivity").iterdir()} == {
        f"by-group.{kind}" for kind in ("csv", "png", "svg")
    }
    assert pd.read_csv(folder / "sensitivity" / "by-group.csv")["factor"].tolist() == FACTORS
