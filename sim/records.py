"""The run folder: what a run leaves behind, written whole or not at all.

    scenario.toml   complete, see `sim.tables`     provenance.json  versions, commit, seed, SHA-256 of the tape
    summary.json    the day in numbers               bars, trades, quotes, decisions, agents, depth .parquet
    report.html     all of it to be read, see `sim.report`

A folder is written under a hidden name beside its place and then renamed, so that a folder under its own name is
always a finished one. It can be replaced by a run of the same scenario and seed, and by nothing else.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sim.describe import unit_of
from sim.files import read_json, write_json
from sim.lobster import write_pair
from sim.model import MarketModel
from sim.scenario import ScenarioError, did_you_mean, load
from sim.tables import Scenario
from sim.units import DAY

FRAMES = ("bars", "trades", "quotes", "decisions", "agents", "depth")
FILES = ("scenario.toml", "provenance.json", "summary.json", *(f"{name}.parquet" for name in FRAMES))
WRITTEN = {*FILES, "report.html", "report.pdf", "figures", "lobster"}
"""What a run folder may hold of ours; anything else is the user's, and stays where it is when a run is made again."""
PACKAGES = ("thinbook", "mesa", "numba", "numpy", "pandas", "pyarrow", "pydantic", "scipy")
CHECKOUT = Path(__file__).parents[1]


class RecordError(ValueError):
    """A run folder that cannot be written or read; its text is one line for the user."""


@dataclass(frozen=True)
class Run:
    """A run that was read back from its folder.

    Attributes
    ----------
    folder : Path
    scenario : Scenario
    provenance, summary : dict
        The contents of the JSON files.
    at_hand : mapping
        Tables by name that need not be read.
    """

    folder: Path
    scenario: Scenario
    provenance: dict[str, Any]
    summary: dict[str, Any]
    at_hand: Mapping[str, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.provenance["seed"])

    @property
    def tape_sha256(self) -> str:
        """The digest of the tape, as recorded."""
        return str(self.provenance["tape_sha256"])

    def frame(self, name: str) -> pd.DataFrame:
        """One of the tables: bars, trades, quotes, decisions, agents or depth."""
        if name not in FRAMES:
            raise RecordError(f"no table {name!r}{did_you_mean(name, FRAMES)} (tables: {', '.join(FRAMES)})")
        if name in self.at_hand:
            return self.at_hand[name]
        file = self.folder / f"{name}.parquet"
        try:
            return pd.read_parquet(file)
        except (OSError, TypeError, ValueError) as error:
            raise RecordError(f"{file}: cannot be read as a table, {str(error).splitlines()[0]}") from None

    @cached_property
    def frames(self) -> dict[str, pd.DataFrame]:
        """All tables by name, read once."""
        return {name: self.frame(name) for name in FRAMES}


# Running


def simulate(
    scenario: Scenario, seed: int, progress: Callable[[int, int], None] | None = None, *, log_events: bool = False
) -> MarketModel:
    """Run a scenario to its end; `progress` gets the bars done and the bars in total after each."""
    model = MarketModel(scenario, rng=seed, log_events=log_events)
    while model.running:
        model.step()
        if progress:
            progress(model.bars_done, model.bars_total)
    return model


def record(
    scenario: Scenario,
    seed: int,
    folder: Path,
    *,
    settings: Mapping[str, object] | None = None,
    lobster: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Run a scenario and write its folder, with LOBSTER files if asked; a folder in the way is refused at once."""
    check_place(folder, scenario, seed)
    start = time.perf_counter()
    model = simulate(scenario, seed, progress, log_events=lobster)
    frames = model.frames()
    write_run(
        folder,
        scenario=scenario,
        seed=seed,
        settings=settings,
        events=model.lobster_events() if lobster else None,
        summary=model.summary(frames),
        frames=frames,
        wall_seconds=time.perf_counter() - start,
        tape_sha256=model.tape_sha256(),
    )
    return load_run(folder)


@dataclass(frozen=True)
class Verification:
    """SHA-256 of the tape as recorded, and as computed again; tables of the tape that are not what was simulated."""

    recorded: str
    computed: str
    changed: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether the run was repeated to the byte."""
        return self.recorded == self.computed and not self.changed


def verify(folder: str | Path, progress: Callable[[int, int], None] | None = None) -> Verification:
    """Run a folder's scenario and seed once more."""
    run = load_run(folder)
    recorded = {name: run.frame(name) for name in ("trades", "quotes")}
    model = simulate(run.scenario, run.seed, progress)
    again = model.frames()
    changed = tuple(name for name, table in recorded.items() if not table.equals(again[name]))
    return Verification(run.tape_sha256, model.tape_sha256(), changed)


# Writing


def default_folder(scenario: Scenario, seed: int) -> Path:
    """`runs/<name of the scenario file>-s<seed>-<start of the digest>`."""
    stem = scenario.path.stem if scenario.path else "scenario"
    return Path("runs") / f"{stem}-s{seed}-{scenario.digest[:8]}"


def check_place(folder: Path, scenario: Scenario, seed: int) -> None:
    """Refuse a place that cannot be written, or that holds anything but an earlier run of the same."""
    nearest = next((place for place in folder.absolute().parents if place.exists()), folder)
    if not (folder.name and nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise RecordError(f"{folder}: no folder can be made here; give another --out")
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not _is_run_of(folder, scenario.digest, seed):
        raise RecordError(f"{folder}: exists and is no run of this scenario and seed; give another --out")


def _is_run_of(folder: Path, digest: str, seed: int) -> bool:
    if not all((folder / name).is_file() for name in FILES):
        return False
    provenance = read_json(folder / "provenance.json", dict)
    return (provenance.get("scenario_digest"), provenance.get("seed")) == (digest, seed)


def write_run(
    folder: str | Path,
    *,
    scenario: Scenario,
    seed: int,
    summary: Mapping[str, object],
    frames: Mapping[str, pd.DataFrame],
    wall_seconds: float,
    tape_sha256: str,
    settings: Mapping[str, object] | None = None,
    events: Mapping[date, np.ndarray] | None = None,
) -> Path:
    """Write a run folder, whole or not at all.

    Parameters
    ----------
    folder : str or Path
        Its place; free, empty or an earlier run of the same scenario and seed.
    scenario : Scenario
    seed : int
    summary : mapping
        The day in numbers; NaN becomes null.
    frames : mapping
        A DataFrame for each of FRAMES.
    wall_seconds : float
        How long the run took.
    tape_sha256 : str
        See `sim.recorder.tape_sha256`.
    settings : mapping, optional
        Overrides that made the scenario differ from its file, for the record.
    events : mapping, optional
        Events of a day, as `sim.lobster.write_pair` takes them, to be written as LOBSTER files.
    """
    from sim.report.run import write_report  # matplotlib is not for every worker of a sweep

    folder = Path(folder).resolve()
    check_place(folder, scenario, seed)
    if missing := [name for name in FRAMES if name not in frames]:
        raise RecordError(f"{folder}: the table {missing[0]!r} is missing")
    about = {"tape_sha256": tape_sha256, "wall_seconds": round(wall_seconds, 3)}
    with _aside(folder) as draft:
        (draft / "scenario.toml").write_text(scenario.to_toml(), encoding="utf-8")
        write_json(draft / "summary.json", {**summary, **about})
        write_json(draft / "provenance.json", _provenance(scenario, seed, settings or {}) | about)
        for name in FRAMES:
            _write_table(draft / f"{name}.parquet", frames[name])
        for day, rows in (events or {}).items():
            write_pair(draft / "lobster", _stem(scenario, day), rows)
        write_report(replace(load_run(draft), at_hand=frames))
    return folder


def _stem(scenario: Scenario, day: date) -> str:
    """LOBSTER's name of a day: instrument, date, first and last millisecond after midnight."""
    start, end = scenario.session.hours_ns[scenario.session.days.index(day)]
    return f"ES_{day}_{start % DAY // 1_000_000}_{end % DAY // 1_000_000}"


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A hidden folder that takes the place of `folder` if all goes well, and vanishes if not."""
    draft, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    draft.mkdir(parents=True)
    try:
        yield draft
        if folder.exists():
            shutil.copytree(folder, draft, symlinks=True, dirs_exist_ok=True, ignore=_ours(folder))
            folder.rename(old)
        draft.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _ours(folder: Path) -> Callable[[str, list[str]], set[str]]:
    """Names in a run folder that are not the user's."""
    return lambda place, names: WRITTEN.intersection(names) if Path(place) == folder else set()


def _provenance(scenario: Scenario, seed: int, settings: Mapping[str, object]) -> dict[str, object]:
    return {
        "scenario": str(scenario.path) if scenario.path else None,
        "scenario_digest": scenario.digest,
        "seed": seed,
        "settings": dict(settings),
        **surroundings(),
        "finished": now_text(),
    }


def surroundings() -> dict[str, object]:
    """What a result depends on beside scenario and seed: the code, the packages and the machine."""
    return {
        "commit": _commit(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "machine": f"{platform.system()} {platform.machine()}",
    }


def now_text() -> str:
    """The moment, in universal time."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _commit() -> str | None:
    """The checkout's commit, with a "+" if files were edited since; None outside a repository."""
    git = ["git", "-C", str(CHECKOUT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        edited = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+" if edited.stdout.strip() else head


def _write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a table; integers as packed differences, which takes half the time and space of dictionaries."""
    integers = frame.select_dtypes("integer").columns
    packed = dict.fromkeys(integers, "DELTA_BINARY_PACKED")
    frame.to_parquet(path, index=False, use_dictionary=list(frame.columns.difference(integers)), column_encoding=packed)


# Reading


def load_run(folder: str | Path) -> Run:
    """Read a run folder; its tables are read when asked for."""
    folder = Path(folder)
    if not folder.is_dir():
        runs = [run.name for run in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise RecordError(f"{folder}: no such folder{did_you_mean(folder.name, runs)}")
    for name in FILES:
        if not (folder / name).is_file():
            raise RecordError(f"{folder}: no run folder, {name} is missing")
    provenance, summary = _Facts(folder / "provenance.json"), _Facts(folder / "summary.json")
    scenario = load(folder / "scenario.toml")
    if (digest := provenance.get("scenario_digest")) != scenario.digest:
        raise ScenarioError(
            f"{folder / 'scenario.toml'}: not the scenario of this run; its digest is {scenario.digest[:12]}, "
            f"recorded was {str(digest)[:12]}"
        )
    for key, kind in (("seed", int), ("tape_sha256", str)):
        if not isinstance(provenance[key], kind):
            raise RecordError(f"{folder / 'provenance.json'}: {key}: {provenance[key]!r} is no {kind.__name__}")
    return Run(folder, scenario, provenance, summary)


class _Facts(dict[str, Any]):
    """The contents of a JSON file of a run; asked for a key that it has not, it says so in one line."""

    def __init__(self, path: Path) -> None:
        super().__init__(read_json(path, dict))
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise RecordError(f"{self._path}: {key}: missing")


# Beside the real day


def comparison(run: Run) -> list[tuple[str, str, str, str]]:
    """Rows (key, simulated, real, unit) of the single values in the summary; "" where the real one is unknown."""
    real = dict(run.scenario.real)
    return [
        (key, _shown(value), _shown(real.get(key)), unit_of(key))
        for key, value in run.summary.items()
        if not isinstance(value, dict | list)
    ]


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
