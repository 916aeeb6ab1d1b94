import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from dataclasses import replace
from itertools import compress
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from made_sweeps import made_sweep
from probes import QUIET

from sim.api import sweep
from sim.scenario import ScenarioError, load
from sim.sweep import faults, speed
from sim.sweep.command import Watch
from sim.sweep.compare import _row as _row_of_pairs
from sim.sweep.compare import compare
from sim.sweep.design import Design, SweepError, read_sweep, unit_points
from sim.sweep.loop import Pools, State, alone_in, pools, run_all, state_of
from sim.sweep.origin import labels, meaning, origin
from sim.sweep.parts import (
    PARTS,
    Job,
    _row,
    _write_part,
    code_digest,
    jobs_of,
    make,
    origin_of,
    planned,
    read_part,
    sweep_folder,
    table_of,
    write_plan,
    write_table,
)

CONFIGS = Path(__file__).parents[1] / "configs"

AGENTS = """import os
import signal

from sim.trader import Trader


class Faulty(Trader):
    def decide(self, view, ring):
        raise ValueError("made to fail\\nin two lines")


class Deadly(Trader):
    def decide(self, view, ring):
        os.kill(os.getpid(), signal.SIGKILL)
"""

CROWDS = """
[agents.faulty]
class = "saboteurs:Faulty"
count = 0

[agents.deadly]
class = "saboteurs:Deadly"
count = 0
"""

SWEEP = """title = "A small sweep"
scenario = "day.toml"
seeds = 2

[[factor]]
key = "depth_musd"
values = [3, 5.5]
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Write a sweep file beside a short day and agents that fail."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "saboteurs", raising=False)
    (tmp_path / "saboteurs.py").write_text(AGENTS)
    (tmp_path / "day.toml").write_text(QUIET + CROWDS)

    def written(text=SWEEP):
        path = tmp_path / "small.toml"
        path.write_text(text)
        return path

    return written


def factor(key, values):
    return f'\n[[factor]]\nkey = "{key}"\nvalues = {values}\n'


def part_files(folder):
    return sorted(folder.glob("parts/*/[!.]*.parquet"))


def made(path, folder, workers=2, cluster=None):
    """Make what a sweep has to do; runs made, runs set aside."""
    sweep, heard = read_sweep(path), []
    (folder / "aside").mkdir(parents=True, exist_ok=True)
    write_plan(jobs_of(sweep, folder), folder, sweep.tables.design)
    with pools(workers, cluster) as found:
        waiting = compress(planned(folder), state_of(planned(folder)).waits)
        aside = run_all(waiting, found, lambda *run: heard.append(run))
    return heard, aside


def made_here(path, folder):
    """The same in this process, run by run."""
    sweep = read_sweep(path)
    write_plan(jobs_of(sweep, folder), folder, sweep.tables.design)
    for job in planned(folder):
        make(job)


def made_folder(folder, results):
    """A sweep's folder with the given results by seed."""
    jobs = [Job(f"run{seed}", folder, "", (), "", (("depth_musd", 5.0),), 0, seed, ()) for seed in results]
    write_plan(jobs, folder, Design(kind="grid"))
    for job in jobs:
        _write_part(job.part, _row(job, "done", results[job.seed]))
    return folder


def state(path, folder, **more):
    return state_of(jobs_of(read_sweep(path), folder), **more)


# Designs


def test_a_grid_has_every_combination_in_the_order_of_the_file(file):
    text = SWEEP + factor("groups.noise", "[true, false]") + '\n[[factor]]\nkey = "agents.faulty.count"\nvalues = [0]\n'
    points = read_sweep(file(text)).points
    assert [list(point.values()) for point in points] == [[3, True, 0], [3, False, 0], [5.5, True, 0], [5.5, False, 0]]


def test_ranges_are_divided_evenly_or_by_equal_ratios(file):
    text = SWEEP.replace("values = [3, 5.5]", 'range = [2, 18]\nsteps = 3\nscale = "log"')
    text += '\n[[factor]]\nkey = "market.band_pct"\nrange = [20, 30]\nsteps = 3\n'
    points = read_sweep(file(text)).points
    assert [point["depth_musd"] for point in points[::3]] == pytest.approx([2, 6, 18])
    assert [point["market.band_pct"] for point in points[:3]] == [20, 25, 30]


@pytest.mark.parametrize(("kind", "points", "rows"), [("latin_hypercube", 10, 10), ("sobol", 8, 8)])
def test_stratified_designs_have_one_point_in_every_stratum(kind, points, rows):
    places = unit_points(Design(kind=kind, points=points, seed=3), 4)
    assert places.shape == (rows, 4)
    assert (np.arange(rows) == np.sort((places * rows).astype(int), axis=0).T).all()
    assert (places == unit_points(Design(kind=kind, points=points, seed=3), 4)).all()
    assert (places != unit_points(Design(kind=kind, points=points, seed=4), 4)).any()


@pytest.mark.parametrize(("kind", "rows"), [("saltelli", 8 * (4 + 2)), ("morris", 8 * (4 + 1))])
def test_sensitivity_designs_have_the_size_of_their_definition(kind, rows):
    """Saltelli et al. 2010: N (k + 2) points; Morris 1991: r (k + 1)."""
    places = unit_points(Design(kind=kind, points=8, seed=3), 4)
    assert places.shape == (rows, 4)
    assert ((places >= 0) & (places <= 1)).all()
    assert (places == unit_points(Design(kind=kind, points=8, seed=3), 4)).all()


def test_a_design_over_listed_values_takes_all_of_them_as_often(file):
    text = SWEEP + '\n[design]\nkind = "latin_hypercube"\npoints = 10\n'
    depths = [point["depth_musd"] for point in read_sweep(file(text)).points]
    assert sorted(depths) == [3] * 5 + [5.5] * 5


def test_a_switch_takes_a_group_out_and_set_holds_for_all(file):
    sweep = read_sweep(file(SWEEP + factor("groups.noise", "[false]") + "\n[set]\n'agents.makers.count' = 1\n"))
    scenario = sweep.scenario(sweep.points[1])
    assert scenario.depth_musd == 5.5
    assert "noise" not in scenario.groups
    assert {crowd.name: crowd.count for crowd in scenario.crowds}["makers"] == 1


BAD = {
    "no steps": (SWEEP.replace("values = [3, 5.5]", "range = [2, 18]"), "factor depth_musd: steps: missing"),
    "nothing": (SWEEP.replace("values = [3, 5.5]", ""), "depth_musd: give either values or a range"),
    "both": (SWEEP + "range = [1, 2]", "depth_musd: give either values or a range"),
    "downwards": (SWEEP.replace("values = [3, 5.5]", "range = [9, 2]\nsteps = 2"), "the first must be the smaller"),
    "log of 0": (SWEEP.replace("values = [3, 5.5]", 'range = [0, 2]\nsteps = 2\nscale = "log"'), "above 0 on a log"),
    "nan": (SWEEP.replace("values = [3, 5.5]", "range = [nan, 2]\nsteps = 2"), "both ends must be finite"),
    "endless": (SWEEP.replace("values = [3, 5.5]", "range = [1, inf]\nsteps = 2"), "both ends must be finite"),
    "number twice": (SWEEP.replace("[3, 5.5]", "[3, 5.5, 3.0]"), "depth_musd: values: 3 is given twice"),
    "three ends": (
        SWEEP.replace("values = [3, 5.5]", "range = [2, 9, 18]"),
        "factor.0.range: [2, 9, 18]: must have at most 2 items, not 3",
    ),
    "huge grid": (
        SWEEP.replace("values = [3, 5.5]", "range = [2, 18]\nsteps = 100000")
        + '[[factor]]\nkey = "options.scale"\nrange = [0, 1]\nsteps = 100000\n',
        "20,000,000,000 runs; a sweep has at most 10,000,000",
    ),
    "huge design": (
        SWEEP.replace("values = [3, 5.5]", "range = [2, 18]") + '[design]\nkind = "morris"\npoints = 10_000_000\n',
        "40,000,000 runs; a sweep has at most",
    ),
    "value twice": (SWEEP.replace("[3, 5.5]", "[3, 5.5, 3]"), "depth_musd: values: 3 is given twice"),
    "two kinds": (
        SWEEP.replace("[3, 5.5]", '[3, "deep"]'),
        "depth_musd: values: numbers and texts; all must be of one",
    ),
    "not a switch": (SWEEP + factor("groups.noise", "[0, 1]"), "groups.noise: values: a group takes part or not"),
    "twice": (SWEEP + factor("depth_musd", "[1]"), "depth_musd: set twice"),
    "no power": (SWEEP + '[design]\nkind = "sobol"\npoints = 6', "design.points: 6 is no power of two"),
    "no points": (SWEEP + '[design]\nkind = "morris"', "points: a grid has none; the other designs need them"),
    "misspelt": (SWEEP.replace("seeds", "seed"), "seed: unknown key; did you mean 'seeds'?"),
    "unknown design": (SWEEP + '[design]\nkind = "gird"', "design.kind"),
    "not TOML": (SWEEP + "[[", "small.toml"),
    "too many": (
        SWEEP.replace("seeds = 2", "seeds = 1000000") + factor("market.band_pct", list(range(11))),
        "has at m",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_sweep_is_one_line_with_file_and_key(file, name):
    text, problem = BAD[name]
    with pytest.raises(SweepError) as caught:
        read_sweep(file(text))
    assert "small.toml" in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("addition", "problem"),
    [
        (factor("depht_musd", "[1]"), "small.toml: .*day.toml with depht_musd=1: .*did you mean 'depth_musd'"),
        ("[set]\nsesion = 1", "small.toml: .*sesion: unknown key; did you mean 'session'"),
        (factor("groups.noice", "[true]"), "small.toml: no group 'noice'; did you mean 'noise'"),
    ],
)
def test_a_point_that_is_no_scenario_stops_the_sweep_before_its_first_run(file, tmp_path, addition, problem):
    with pytest.raises(ScenarioError, match=problem):
        state(file(SWEEP + addition), tmp_path / "out")


@pytest.mark.parametrize("path", sorted((CONFIGS / "sweeps").glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_sweeps_are_made_of_scenarios(path):
    sweep = read_sweep(path)
    assert len({sweep.scenario(point).digest for point in sweep.points[:2]}) == min(len(sweep.points), 2)


# Parts


def test_a_part_is_named_by_what_defines_it(file, tmp_path, monkeypatch):
    def names(text=SWEEP, folder="out"):
        return {(job.point, job.seed): job.name for job in jobs_of(read_sweep(file(text)), tmp_path / folder)}

    before = names()
    assert len(set(before.values())) == 4
    assert names(folder="elsewhere") == before
    assert names(SWEEP.replace("[3, 5.5]", "[5.5, 3]")) == {
        (1 - point, seed): name for (point, seed), name in before.items()
    }
    assert set(names(SWEEP + "[set]\n'market.band_pct' = 25").values()).isdisjoint(before.values())
    assert set(names(SWEEP.replace("seeds = 2", 'seeds = 2\nkeep = ["bars"]')).values()).isdisjoint(before.values())
    (tmp_path / "saboteurs.py").write_text(AGENTS + "\n# edited\n")
    monkeypatch.setattr("sim.sweep.parts._digest", sys.modules["sim.sweep.parts"]._digest.__wrapped__)
    assert set(names().values()).isdisjoint(before.values()), "an agent's module was edited"


def test_a_part_is_the_same_bytes_whenever_it_is_made(file, tmp_path):
    job = next(jobs_of(read_sweep(file(SWEEP.replace("seeds = 2", 'seeds = 2\nkeep = ["bars"]'))), tmp_path / "out"))
    make(job)
    files = [job.part, job.kept("bars")]
    first = [path.read_bytes() for path in files]
    make(job)
    assert [path.read_bytes() for path in files] == first
    assert not list((tmp_path / "out").rglob(".*.parquet.*")), "no draft is left"
    row = read_part(job.part)
    assert row["seed"] == 1
    assert row["status"] == "done"
    assert np.isfinite(row["close"])
    assert len(pd.read_parquet(job.kept("bars"))) == 3


@pytest.mark.parametrize("place", [4, 400, -10])
def test_a_part_with_one_wrong_byte_is_no_part(file, tmp_path, place):
    job = next(jobs_of(read_sweep(file()), tmp_path / "out"))
    make(job)
    content = bytearray(job.part.read_bytes())
    content[place] ^= 0xFF
    job.part.write_bytes(content)
    assert read_part(job.part) is None


def test_no_torn_part_is_taken_for_another(file, tmp_path):
    """Cut short or a bit flipped at 400 random places: read as it was or not at all."""
    job = next(jobs_of(read_sweep(file()), tmp_path / "out"))
    _write_part(job.part, _row(job, "done", {"close": 6600.25, "lost": None, "at": "11:27:00", "same": True}))
    content, whole, rng = job.part.read_bytes(), read_part(job.part), np.random.default_rng(1)
    for place in rng.integers(len(content), size=400):
        job.part.write_bytes(content[:place])
        assert read_part(job.part) is None
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        job.part.write_bytes(flipped)
        part = read_part(job.part)
        assert part is None or part == whole


def test_the_plan_keeps_the_scenario_of_every_run(file, tmp_path):
    """Whatever is done to the file in the middle of a sweep; more runs than are written at a time."""
    sweep = read_sweep(file(SWEEP.replace("seeds = 2", 'seeds = 600\nkeep = ["bars"]')))
    jobs = list(jobs_of(sweep, tmp_path))
    write_plan(jobs, tmp_path, sweep.tables.design)
    (tmp_path / "day.toml").write_text("edited")
    assert list(planned(tmp_path)) == jobs


def test_the_plan_says_where_the_sweep_comes_from(file, tmp_path):
    text = SWEEP.replace("seeds = 2", 'seeds = 2\nset = { "session.end" = "09:31" }')
    path, out = file(text + factor("groups.faulty", "[true, false]")), tmp_path / "out"
    sweep = read_sweep(path)
    write_plan(jobs_of(sweep, out), out, sweep.tables.design, origin(sweep, out))
    found = origin_of(out)
    assert found["title"] == "A small sweep"
    assert found["command"] == f"thinbook sweep {path} --out {out}"
    assert origin(sweep, sweep_folder(path).absolute())["command"] == f"thinbook sweep {path}"
    assert (found["scenario"], found["set"]) == (str(tmp_path / "day.toml"), {"session.end": "09:31"})
    assert (found["seeds"], found["added"]) == ([1, 2], 0)
    assert (
        found["scenario_digest"] == load(path.with_name("day.toml"), {"session.end": "09:31", "depth_musd": 3}).digest
    )
    assert found["code_digest"] == code_digest(["saboteurs"]) != code_digest([])
    assert {"python", "thinbook", "mesa", "numba", "numpy"} <= set(found["versions"])
    assert labels(out) == {"depth_musd": "depth_musd ($M)", "groups.faulty": "groups.faulty"}
    assert meaning(out, "depth_musd") == "notional at each best quote"
    assert meaning(out, "groups.faulty") == "whether the group faulty takes part"


def test_a_plan_that_does_not_say_it_has_units_by_the_names_of_its_keys(tmp_path):
    folder = made_folder(tmp_path, {1: {"fall": 1.0}})
    assert origin_of(folder) == {}
    assert labels(folder) == {"depth_musd": "depth_musd ($M)"}
    assert meaning(folder, "depth_musd") == ""


def test_the_table_is_as_long_as_the_sweep(tmp_path):
    """Written piece by piece: columns that only a later run has are there, and empty in the others."""
    outcomes = {seed: {"fall": 1.0 * seed} | ({"late": "x"} if seed > 900 else {}) for seed in range(1000)}
    folder = made_folder(tmp_path / "long", outcomes)
    for name, read in (("a.csv", pd.read_csv), ("a.parquet", pd.read_parquet)):
        write_table(folder, tmp_path / name)
        table = read(tmp_path / name)
        assert table["seed"].tolist() == list(range(1000))
        assert table["late"].notna().sum() == 99
        assert table["fall"].tolist() == table_of(folder)["fall"].tolist()
    assert {path.name for path in tmp_path.iterdir()} == {"long", "a.csv", "a.parquet"}, "nothing half-made is left"


def test_a_table_that_is_killed_leaves_nothing_behind(tmp_path):
    """Killed while it reads its second piece."""
    folder = made_folder(tmp_path / "long", {seed: {"fall": 1.0} for seed in range(150)})
    code = f"""
import os
from pathlib import Path
from sim.sweep import parts
pieces = parts._pieces
def fatal(folder):
    yield next(pieces(folder))
    os.kill(os.getpid(), 9)
parts._pieces = fatal
parts.write_table(Path({str(folder)!r}), Path({str(tmp_path / "a.csv")!r}))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(CONFIGS.parent), *sys.path])}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["long"]


# The loop


@pytest.mark.parametrize("damage", ["torn", "gone", "one wrong byte"])
def test_a_kept_table_that_is_damaged_is_found_named_and_made_again(file, tmp_path, damage):
    text = SWEEP.replace("seeds = 2", 'seeds = 1\nkeep = ["bars"]').replace("[3, 5.5]", "[3]")
    path, out = file(text), tmp_path / "out"
    made_here(path, out)
    (job,) = planned(out)
    table, whole = job.kept("bars"), job.kept("bars").read_bytes()
    assert state_of([job]).done == 1
    if damage == "gone":
        table.unlink()
    else:
        table.write_bytes(whole[:-20] if damage == "torn" else whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    state = state_of([job])
    assert (state.done, state.waiting, state.damaged) == (0, 1, [table])
    make(job)
    assert table.read_bytes() == whole
    assert state_of([job]).done == 1


def test_a_sweep_makes_each_run_once(file, tmp_path):
    path, out = file(), tmp_path / "out"
    heard, aside = made(path, out)
    assert sorted((job.point, job.seed) for job, *_ in heard) == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert not aside
    table = table_of(out)
    assert table[["depth_musd", "seed"]].to_numpy().tolist() == [[3, 1], [3, 2], [5.5, 1], [5.5, 2]]
    assert made(path, out) == ([], [])
    # One more value: what is there stays, a damaged part is made again, and the table is of the new sweep alone.
    victim = part_files(out)[0]
    victim.write_bytes(victim.read_bytes()[:-20])
    more = file(SWEEP.replace("[3, 5.5]", "[5.5, 8, 3]"))
    assert state(more, out).damaged == [victim]
    assert len(made(more, out)[0]) == 3
    again = table_of(out)
    assert again["depth_musd"].tolist() == [5.5, 5.5, 8, 8, 3, 3]
    old = again[again["depth_musd"] != 8].sort_values(["depth_musd", "seed"], ignore_index=True)
    pd.testing.assert_frame_equal(old.drop(columns="point"), table.drop(columns="point"))


class Fragile(Executor):
    """A pool that breaks for good when it gets a deadly run; it works one run at a time, in this process."""

    def __init__(self, workers, deadly, tried):
        self.workers, self.deadly, self.tried, self.broken = workers, deadly, tried, False

    def submit(self, work, job):
        self.tried.append((self.workers, job.seed))
        if self.broken:
            raise BrokenExecutor
        future = Future()
        self.broken = job.seed in self.deadly
        future.set_exception(BrokenExecutor()) if self.broken else future.set_result(("done", 0.0))
        return future


def test_suspects_are_tried_alone_and_only_the_guilty_is_set_aside(tmp_path):
    """Two runs of twelve kill whoever has them: each is given three pools of its own, everything else is done once."""
    jobs = [Job(f"run{seed}", tmp_path, "", (), "", (), 0, seed, ()) for seed in range(12)]
    (tmp_path / "aside").mkdir()
    tried, heard = [], []
    of = contextmanager(lambda workers: iter([Fragile(workers, {3, 9}, tried)]))
    aside = run_all(jobs, Pools(of, 2, tries=3), lambda job, *_: heard.append(job.seed))
    assert [job.seed for job in aside] == [3, 9]
    assert sorted(heard) == [seed for seed in range(12) if seed not in (3, 9)]
    assert all(tried.count((1, seed)) == 3 for seed in (3, 9))
    assert max(tried.count((1, seed)) for seed in heard) <= 1
    assert sorted(path.stem for path in (tmp_path / "aside").iterdir()) == ["run3", "run9"]


def test_a_worker_imports_only_what_runs_need(file, tmp_path):
    """What reports, fits and the command line need would double the time that a worker takes to start."""
    sweep = read_sweep(file())
    write_plan(jobs_of(sweep, tmp_path), tmp_path, sweep.tables.design)
    code = f"""
import sys
from sim.sweep import worker
print(*sys.modules)
worker._import_once()
from pathlib import Path
from sim.sweep.parts import make, planned
assert make(next(planned(Path({str(tmp_path)!r}))))[0] == "done"
print(*sys.modules)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(CONFIGS.parent), *sys.path])}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    first, last = map(set, map(str.split, answer.stdout.splitlines()))
    assert not first & {"numpy", "pandas", "mesa", "numba", "joblib"}
    assert not last & {"scipy.stats", "statsmodels", "matplotlib", "typer", "rich", "distributed"}


def test_retrying_forgets_who_was_set_aside(file, tmp_path, command):
    path, out = file(SWEEP.replace("seeds = 2", "seeds = 1")), tmp_path / "out"
    made_here(path, out)
    job = next(planned(out))
    job.part.unlink()
    job.aside.parent.mkdir()
    job.aside.write_text("{}")
    assert "set aside" in command("sweep", path, "--out", out)[1]
    assert command("sweep", path, "--out", out, "--retry-failed")[0] == 0
    assert (job.part.exists(), job.aside.exists()) == (True, False)


def test_whole_numbers_stay_whole_in_a_range(file, tmp_path):
    ranged = '[[factor]]\nkey = "agents.deadly.count"\nrange = [0, 2]\n'
    books = factor("options.book", '[[["2025-11-20", 6700.0, "put", 1]]]')
    grid = read_sweep(file(SWEEP + ranged + "steps = 5\n" + books))
    assert [tuple(point.values())[:2] for point in grid.points] == [(depth, n) for depth in (3, 5.5) for n in (0, 1, 2)]
    design = '[design]\nkind = "latin_hypercube"\npoints = 9\n'
    drawn = [point["agents.deadly.count"] for point in read_sweep(file(SWEEP + ranged + design)).points]
    assert set(drawn) == {0, 1, 2}
    assert all(isinstance(number, int) for number in drawn)
    assert {crowd.count for crowd in grid.scenario(grid.points[2]).crowds if crowd.name == "deadly"} == {2}


def test_a_run_that_fails_is_a_row_and_one_that_kills_is_set_aside(file, tmp_path, monkeypatch):
    monkeypatch.setattr("sim.sweep.loop.MOST_DEATHS", 1)
    one = SWEEP.replace("seeds = 2", "seeds = 1").replace("[3, 5.5]", "[3]")
    text = one + factor("agents.faulty.count", "[0, 1]") + factor("agents.deadly.count", "[0, 1]")
    path, out = file(text), tmp_path / "out"
    heard, aside = made(path, out)
    assert [job.point for job in aside] == [1], "the faulty agent fails before"
    assert len(heard) == 3
    table = table_of(out)
    failed = table[table["status"] == "failed"]
    assert set(failed["agents.faulty.count"]) == {1.0}
    assert set(failed["error"]) == {"ValueError: made to fail in two lines (faulty[0], 2025-11-20 09:30:00)"}
    assert table["close"].notna().sum() == 1
    now = state(path, out)
    assert (now.runs, now.done, now.failed, len(now.aside), now.waiting) == (4, 3, 2, 1, 0)
    again = state(path, out, retry_failed=True)
    assert (again.done, again.waiting) == (1, 3)
    # A part that is there, made by hand or after a repair, counts more than the note, even where it is damaged.
    aside[0].part.parent.mkdir(exist_ok=True)
    aside[0].part.write_bytes(b"PAR1")
    now = state(path, out)
    assert (now.damaged, now.aside, now.waiting) == ([aside[0].part], [], 1)


@pytest.fixture
def cluster(file, tmp_path):
    """A Dask scheduler with two workers, started as in the README, who do not know the user's agents; its address."""
    dask = [sys.executable, "-m", "dask"]
    fewer = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    elsewhere = [folder for folder in sys.path if Path(folder) != tmp_path]
    env = os.environ | fewer | {"PYTHONPATH": os.pathsep.join([str(CONFIGS.parent), *elsewhere])}
    options = {
        "env": env,
        "cwd": CONFIGS.parent,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "start_new_session": True,
    }
    place = tmp_path / "scheduler.json"
    started = [["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", place]]
    started += [["worker", "--scheduler-file", place, "--nthreads", "1", "--no-dashboard"]] * 2
    processes = [subprocess.Popen([*dask, *map(str, arguments)], **options) for arguments in started]
    until = time.monotonic() + 60
    while not place.exists() and time.monotonic() < until:
        time.sleep(0.1)
    yield json.loads(place.read_text())["address"]
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_cluster_makes_the_same_bytes(file, tmp_path, cluster):
    """Two workers of a scheduler on this machine; a run that kills its worker is set aside there, too."""
    small = SWEEP.replace("seeds = 2", "seeds = 1").replace("[3, 5.5]", "[3]")
    path, local, remote = file(small + factor("agents.deadly.count", "[0, 1]")), tmp_path / "local", tmp_path / "remote"
    assert [job.point for job in made(path, remote, cluster=cluster)[1]] == [1]
    made(file(), remote, cluster=cluster)
    made_here(file(), local)
    mine = {part.name: part.read_bytes() for part in part_files(local)}
    theirs = {part.name: part.read_bytes() for part in part_files(remote)}
    assert len(mine) == 4
    assert mine == theirs, "the run that both sweeps have is made once"


def test_other_code_than_the_sweeps_makes_no_part(file, tmp_path):
    job = replace(next(jobs_of(read_sweep(file()), tmp_path / "out")), code="other")
    with pytest.raises(SweepError, match="other code than that which the sweep was started with"):
        make(job)
    assert not job.part.exists()


def test_a_cluster_that_is_not_there_is_one_line(file, tmp_path, monkeypatch):
    monkeypatch.setattr("sim.sweep.loop.CONNECT_SECONDS", 0.5)
    with pytest.raises(SweepError, match=r"tcp://127.0.0.1:9: no Dask scheduler answers there"):
        made(file(), tmp_path / "out", cluster="tcp://127.0.0.1:9")
    with pytest.raises(SweepError, match=r"nonsense: no address of a scheduler; write it as tcp://HOST:PORT"):
        made(file(), tmp_path / "out", cluster="nonsense")


# Comparing


def folder_of(tmp_path, name, outcomes):
    """A sweep's folder with the given outcome by seed."""
    return made_folder(
        tmp_path / name, {seed: {"fall": value, "same": 1.0, "text": "x"} for seed, value in outcomes.items()}
    )


def test_compared_sweeps_are_paired_by_seed(tmp_path):
    """A difference of two that all pairs share is found exactly, however far the seeds lie apart."""
    noise = dict(enumerate(np.random.default_rng(5).normal(size=40)))
    first = folder_of(tmp_path, "a", noise)
    changed = {seed: value + 2 + 0.1 * noise[39 - seed] for seed, value in noise.items() if seed > 3}
    second = folder_of(tmp_path, "b", changed)
    rows = compare(first, second).set_index("outcome")
    fall = rows.loc["fall"]
    assert fall["seeds"] == 36
    assert fall["low"] < 2 < fall["high"]
    assert fall["high"] - fall["low"] < 0.1
    # Independent draws differ with variance 1 + 1 + .01, the pairs with .01: some 200 times as many runs.
    assert 100 < fall["fewer_runs"] < 400
    assert rows.loc["same"][["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert "text" not in rows.index


def test_too_few_pairs_are_no_comparison(tmp_path):
    first = folder_of(tmp_path, "a", {1: 1.0, 2: 2.0, 3: 3.0})
    with pytest.raises(SweepError, match="1 seeds with the same seed, depth_musd; needs 3"):
        compare(first, folder_of(tmp_path, "b", {3: 1.0, 4: 2.0, 5: 3.0}))


def test_runs_of_one_seed_count_as_one(tmp_path):
    """A hundred points are no more seeds, and the control takes the next seed, not the next point."""
    draws = np.random.default_rng(7).normal(size=(2, 20))
    points = [{"market.band_pct": 20 + 0.1 * number} for number in range(100)]
    folders = [
        made_sweep(
            tmp_path / f"{many}{after}",
            points[:many],
            20,
            lambda _, seed, a=after: {"fall": sum(draws[: a + 1, seed - 1])},
        )
        for many in (1, 100)
        for after in (0, 1)
    ]
    columns = ["difference", "low", "high", "seeds", "fewer_runs"]
    one, hundred = (compare(*pair)[columns].to_numpy() for pair in (folders[:2], folders[2:]))
    assert one == pytest.approx(hundred)


def test_an_interval_holds_the_difference_as_often_as_it_says():
    """1,000 made-up comparisons of 6 seeds; of true coverage .95 fewer than 927 or more than 971 once in 1,000."""
    seeds, rng, held = np.arange(6), np.random.default_rng(1), 0
    for common, change in rng.normal(size=(1000, 2, 6)):
        pairs = pd.DataFrame({"seed": seeds, "fall_first": common, "fall_second": common + change + 3})
        _, _, _, _, low, high, *_ = _row_of_pairs("fall", pairs)
        held += low <= 3 <= high
    assert 927 <= held <= 971


# The command


def thinbook(*arguments, **options):
    command = [sys.executable, "-m", "sim.cli", *map(str, arguments)]
    places = [str(CONFIGS.parent), *sys.path]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
        start_new_session=True,
        **options,
    )


def wait_for_parts(folder, count, seconds=120):
    until = time.monotonic() + seconds
    while len(part_files(folder)) < count and time.monotonic() < until:
        time.sleep(0.05)
    assert len(part_files(folder)) >= count


def test_what_a_killed_worker_has_left_half_written_goes_with_the_sweep(tmp_path):
    with alone_in(tmp_path):
        draft = tmp_path / PARTS / "ab" / ".ab12.parquet.host.1"
        draft.parent.mkdir(parents=True)
        draft.write_bytes(b"half")
    assert not draft.exists()


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(tmp_path):
    own = tmp_path / "app" / "conf" / ".env"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(SweepError, match="something other than a sweep"), alone_in(tmp_path):
        pass
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [own]


def test_hidden_files_of_a_user_in_a_sweep_are_kept(tmp_path):
    own = [tmp_path / PARTS / "ab" / ".env", tmp_path / "app" / "conf" / ".x.parquet.y"]
    for path in own:
        path.parent.mkdir(parents=True)
        path.write_text("mine")
    with alone_in(tmp_path):
        pass
    assert all(path.exists() for path in own)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_a_sweep_that_is_stopped_goes_on(file, tmp_path, command, number):
    path = file(SWEEP.replace("seeds = 2", "seeds = 20"))
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    made_here(path, undisturbed)
    first = thinbook("sweep", path, "--out", out)
    wait_for_parts(out, 3)
    os.killpg(first.pid, number)
    printed, complaint = first.communicate(timeout=60)
    assert "2 points x 20 seeds = 40 runs\n0 done" in printed
    if number == signal.SIGINT:
        assert first.returncode == 130
        assert complaint.splitlines()[-1].startswith("stopped; the same command goes on from")
        assert "Traceback" not in complaint
    assert len(part_files(out)) < 40
    code, printed, complaint = command("sweep", path, "--out", out)
    assert code == 0, complaint
    assert printed.splitlines()[-1] == f"40 of 40 runs done, 0 of them failed: {out}"
    assert origin_of(out)["title"] == "A small sweep"
    pd.testing.assert_frame_equal(table_of(out), table_of(undisturbed))


@pytest.mark.parametrize(("workers", "told"), [(4, "0 h 15 min with 4 workers"), (30, "0 h 2 min with 30 workers")])
def test_the_time_is_told_for_the_workers_that_there_are(tmp_path, capsys, workers, told):
    """A hundred runs of 36 s, whatever --workers said: a cluster counts its own. First runs may have compiled."""
    made_folder(tmp_path, {1: {"close": 1.0}})
    with Watch(State(runs=100, waits=bytearray([1] * 100)), workers) as watch:
        for _ in range(workers):
            watch.finished(next(planned(tmp_path)), "done", 500.0)
        assert "a run takes" not in capsys.readouterr().err
        watch.finished(next(planned(tmp_path)), "done", 36.0)
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_second_sweep_keeps_out_of_a_folder(file, tmp_path, command):
    path, out = file(), tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"):
        code, _, complaint = command("sweep", path, "--out", out)
    assert (code, complaint) == (2, f"thinbook: {out}: another sweep is running here\n")


def test_status_runs_nothing_and_a_table_needs_a_sweep(file, tmp_path, command):
    path, out = file(), tmp_path / "out"
    code, printed, _ = command("sweep", path, "--out", out, "--status")
    assert code == 0
    assert "0 done, 0 of them failed, 4 to do" in printed
    assert not out.exists()
    assert command("table", out) == (2, "", f"thinbook: {out}: no folder of a sweep\n")
    assert not out.exists()


def test_a_damaged_folder_of_a_sweep_is_one_line(file, tmp_path, command):
    path, out = file(SWEEP.replace("[3, 5.5]", "[3]")), tmp_path / "out"
    made_here(path, out)
    (out / "added.json").write_text("[5]")
    assert command("sweep", path, "--out", out, "--status")[2] == f"thinbook: {out / 'added.json'}: 5 is no point\n"
    (out / "added.json").write_text("{")
    code, _, complaint = command("sweep", path, "--out", out, "--status")
    assert code == 2
    assert complaint.startswith(f"thinbook: {out / 'added.json'}: not JSON: ")
    pd.DataFrame({"x": [1]}).to_parquet(out / "plan.parquet")
    assert command("table", out) == (2, "", f"thinbook: {out / 'plan.parquet'}: not the plan of a sweep\n")


def test_the_table_is_written_as_csv_or_parquet(file, tmp_path, command):
    path, out = file(SWEEP.replace("[3, 5.5]", "[3]")), tmp_path / "out"
    made_here(path, out)
    for name, read in (("a.csv", pd.read_csv), ("a.parquet", pd.read_parquet)):
        assert command("table", out, "--out", tmp_path / name)[0] == 0
        assert read(tmp_path / name)["seed"].tolist() == [1, 2]
    code, _, complaint = command("table", out, "--out", tmp_path / "a.txt")
    assert (code, complaint) == (2, f"thinbook: {tmp_path / 'a.txt'}: write a file that ends in .csv or .parquet\n")
    code, _, complaint = command("table", out, "--out", out / "plan.parquet")
    assert (code, complaint) == (2, f"thinbook: {out / 'plan.parquet'}: is the sweep's own; give another --out\n")


# From Python, and from SQL


def test_duckdb_reads_the_parts(tmp_path, monkeypatch):
    """The query of the README, over parts of different columns."""
    made_folder(tmp_path / "runs/sweep-depth", {1: {"high_to_close_pct": -1.0}, 2: {"high_to_close_pct": -3.0, "a": 1}})
    monkeypatch.chdir(tmp_path)
    readme = (CONFIGS.parent / "README.md").read_text(encoding="utf-8")
    query = re.search(r"```sql\n(.*?)```", readme, flags=re.DOTALL)[1]
    assert duckdb.sql(query).fetchall() == [(5.0, 2, -2.0)]


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "configs").symlink_to(CONFIGS)
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(Path(__file__).parent / "example_depth.py"))
    assert names["by_depth"]["top_of_book_musd"].is_monotonic_increasing
    assert len(names["by_depth"]) == 3
    pd.testing.assert_frame_equal(names["runs"], names["again"])
    assert len(names["bars"]) == len(names["one"].frames["bars"])
    assert sweep("configs/sweeps/opening.toml").equals(names["runs"]), "all of it was there"
    assert origin_of(Path("runs/sweep-opening"))["command"] == "thinbook sweep configs/sweeps/opening.toml"


# What a sweep survives, and what it costs


@pytest.mark.slow
def test_sweeps_survive_what_is_tried(capsys):
    assert faults.main(trials=3), capsys.readouterr().out


def test_a_fault_that_is_not_survived_is_counted(tmp_path):
    def fails(lab, folder):
        raise faults.TrialError("the table differs")

    def survived(lab, folder):
        return True

    lab = faults.Lab(tmp_path / "a.toml", tmp_path, 2, 1.0, 1.0, np.random.default_rng(1))
    assert faults._tally(fails, lab, 2)[:4] == ("fails", 2, 0, 0)
    assert faults._tally(survived, lab, 2)[:4] == ("survived", 2, 2, 2)


@pytest.mark.slow
def test_figures_of_sweeps(tmp_path):
    figures = {figure.name: figure.value for figure in speed.measure(tmp_path, runs=2, made_up=(2, 20), rounds=2)}
    assert all(np.isfinite(value) and value > 0 for value in figures.values())
    assert 0.1 < figures["two workers, of two runs by hand"] < 10
