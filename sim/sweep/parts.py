"""One run of a sweep and the part that is left of it: a Parquet file of one row, named by what defines its content.

The name is a digest of the scenario, the seed, the tables to be kept and the sources of the code. What is changed gets
a new name, so that results of different code or scenarios never meet. A part is written under a hidden name and
renamed: under its own name it is whole. Its pages carry checksums, so that damage is seen.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sim.files import aside
from sim.scenario import load, one_line
from sim.sweep.design import Sweep, SweepError

PARTS, ASIDE, PLAN = "parts", "aside", "plan.parquet"
"""In a sweep's folder: results, notes of runs that killed their workers, which runs belong to it."""
SOURCES = ("sim", "agents")
DONE, FAILED = "done", "failed"


@dataclass(frozen=True)
class Job:
    """One run to be made: everything a worker needs to know."""

    name: str
    folder: Path
    scenario: str
    modules: tuple[str, ...]
    code: str
    factors: tuple[tuple[str, Any], ...]
    point: int
    seed: int
    keep: tuple[str, ...]

    @property
    def part(self) -> Path:
        """Where its result belongs."""
        return place(self.folder, PARTS, self.name)

    @property
    def aside(self) -> Path:
        """The note that it killed its workers."""
        return self.folder / ASIDE / f"{self.name}.json"

    def kept(self, table: str) -> Path:
        """Where one of its tables belongs."""
        return place(self.folder, table, self.name)

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in (*self.factors, ("seed", self.seed)))


def place(folder: Path, kind: str, name: str) -> Path:
    """Where a file of a run belongs, its part or a table; 256 folders of a kind, so that none grows without end."""
    return folder / kind / name[:2] / f"{name}.parquet"


def jobs_of(sweep: Sweep, folder: Path) -> Iterator[Job]:
    """All runs of a sweep, point by point; a scenario is read once for each point, not for each seed."""
    for number, point in enumerate(sweep.points):
        scenario = sweep.scenario(point)
        modules = tuple(crowd.import_path.partition(":")[0] for crowd in scenario.crowds)
        text, code = scenario.to_toml(), code_digest(modules)
        for seed in sweep.seeds:
            content = json.dumps([text, code, seed, sweep.tables.keep])
            name = hashlib.sha256(content.encode()).hexdigest()[:32]
            yield Job(name, folder, text, modules, code, tuple(point.items()), number, seed, sweep.tables.keep)


def code_digest(modules: Iterable[str]) -> str:
    """Digest of the sources of sim, agents and further modules, those of a user's agents."""
    return _digest(tuple(sorted(name for name in set(modules) if name.partition(".")[0] not in SOURCES)))


@cache
def _digest(modules: tuple[str, ...]) -> str:
    own = [file for source in SOURCES for file in sorted((Path(__file__).parents[2] / source).rglob("*.py"))]
    theirs = [Path(spec.origin) for name in modules if (spec := importlib.util.find_spec(name)) and spec.origin]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in [*own, *theirs])).hexdigest()


# Making


def make(job: Job) -> tuple[str, float]:
    """Make a run and write its part, a row with the error where the run failed; the status and how long it took.

    Only what is wrong with the run is a row. What is wrong with the disk or with the worker's code is raised.
    """
    start = time.perf_counter()
    if code_digest(job.modules) != job.code:
        raise SweepError(f"{platform.node()}: other code than that which the sweep was started with")
    frames: Mapping[str, pd.DataFrame] = {}
    try:
        frames, result = _run(job)
        status = DONE
    except Exception as error:
        status, result = FAILED, {"error": one_line(f"{type(error).__name__}: {error}")[:1000]}
    for name in job.keep if frames else ():
        _write(job.kept(name), pa.Table.from_pandas(frames[name], preserve_index=False))
    _write(job.part, _row(job, status, result))
    return status, time.perf_counter() - start


def _run(job: Job) -> tuple[Mapping[str, pd.DataFrame], dict[str, Any]]:
    from sim.records import simulate

    model = simulate(load(job.scenario), job.seed)
    frames = model.frames()
    return frames, dict(_flat(model.summary(frames))) | {"tape_sha256": model.tape_sha256()}


def _flat(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The summary with the keys of inner tables joined by dots."""
    for key, value in summary.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value.item() if isinstance(value, np.generic) else value


def _row(job: Job, status: str, result: Mapping[str, Any]) -> pa.Table:
    """A table of one row: which run and what came out; what varied is the plan's, for sweeps may share a run."""
    about = {"run": job.name, "seed": job.seed, "status": status}
    columns = {key: pa.array([value]) for key, value in about.items()}
    return pa.table(columns | {key: _column([value]) for key, value in ({"error": None} | dict(result)).items()})


def _column(values: list[Any]) -> pa.Array:
    """Values as a column; numbers are doubles whatever they happen to be in one run, so that parts fit together."""
    if all(isinstance(value, bool | None) for value in values):
        return pa.array(values)
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return pa.array([str(value) for value in values])
    return pa.array([float(value) for value in values])


def _write(path: Path, table: pa.Table) -> None:
    """Write a table whole or not at all."""
    with aside(path) as draft:
        pq.write_table(table, draft, write_page_checksum=True)


# Reading


def read_part(path: Path) -> pa.Table | None:
    """A part, or None if it is not there, damaged or not the one that its name says."""
    try:
        row = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException):
        return None
    return row if row.num_rows == 1 and row["run"][0].as_py() == path.stem else None


def status_of(row: pa.Table) -> str:
    """Whether the run of a part is done or failed."""
    return str(row["status"][0].as_py())


def write_plan(jobs: Sequence[Job], folder: Path) -> None:
    """Write down which runs a folder's sweep is made of, and its factors: it may hold parts of other sweeps, too."""
    factors = [dict(job.factors) for job in jobs]
    columns = {key: _column([values[key] for values in factors]) for key in factors[0]}
    about = {"run": [job.name for job in jobs], "point": [job.point for job in jobs]}
    _write(folder / PLAN, pa.table(about | columns).replace_schema_metadata({"factors": json.dumps(list(columns))}))


def read_plan(folder: Path) -> pa.Table:
    """The runs of a folder's sweep, their points and the values of the factors there."""
    try:
        return pq.read_table(folder / PLAN)
    except (OSError, pa.ArrowException):
        raise SweepError(f"{folder}: no folder of a sweep") from None


def factors_of(folder: Path) -> list[str]:
    """The factors of a folder's sweep."""
    return list(json.loads(read_plan(folder).schema.metadata[b"factors"]))


def table_of(folder: Path) -> pd.DataFrame:
    """One row a run of the folder's sweep that is made, by point and seed; `point` is its place in the design.

    Columns that only some runs have are empty in the others.

    Raises
    ------
    SweepError
        If no run is there.
    """
    plan = read_plan(folder).to_pandas()
    rows = [row for name in plan["run"].unique() if (row := read_part(place(folder, PARTS, name))) is not None]
    if not rows:
        raise SweepError(f"{folder}: no run is made yet")
    made = plan.merge(pa.concat_tables(rows, promote_options="default").to_pandas(), on="run")
    return made.sort_values(["point", "seed"], ignore_index=True)
