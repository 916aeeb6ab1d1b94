"""One run of a sweep and the part that is left of it: a Parquet file of one row, named by what defines its content.

The name is a digest of the scenario, the seed, the tables to be kept and the sources of the code. What is changed gets
a new name, so that results of different code or scenarios never meet. A part is written under a hidden name and
renamed: under its own name it is whole. It carries a digest of its content, so that damage is seen. The plan says which
runs belong to a sweep, and the scenario of each. Plan and parts are read piece by piece: memory does not grow with the
number of runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import batched, chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sim.files import aside
from sim.scenario import error_line, load
from sim.sweep.design import Design, Sweep, SweepError
from sim.tables import Scenario

PARTS, ASIDE, PLAN = "parts", "aside", "plan.parquet"
"""In a sweep's folder: results, notes of runs that killed their workers, which runs belong to it."""
SOURCES = ("sim", "agents")
BATCH = 100
"""Runs that are read or written at a time."""
PIECES = 10
"""Such batches that are put into a table at a time."""
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
        status, result = FAILED, {"error": error_line(error)[:1000]}
    for name in job.keep if frames else ():
        _write(job.kept(name), pa.Table.from_pandas(frames[name], preserve_index=False))
    _write_part(job.part, _row(job, status, result))
    return status, time.perf_counter() - start


def _run(job: Job) -> tuple[Mapping[str, pd.DataFrame], dict[str, Any]]:
    from sim.records import simulate

    model = simulate(_scenario(job.scenario), job.seed)
    frames = model.frames()
    return frames, dict(_flat(model.summary(frames))) | {"tape_sha256": model.tape_sha256()}


@lru_cache(maxsize=1)
def _scenario(text: str) -> Scenario:
    """Runs of a point follow one another: their scenario is read once."""
    return load(text)


def _flat(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The summary with the keys of inner tables joined by dots."""
    for key, value in summary.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value.item() if isinstance(value, np.generic) else value


def _row(job: Job, status: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """A part: which run and what came out; what varied is the plan's, for sweeps may share a run."""
    about = {"run": job.name, "seed": job.seed, "status": status, "error": None}
    return about | {key: _plain(value) for key, value in result.items()}


def _plain(value: Any) -> bool | float | str | None:
    """A value for a column; numbers are doubles whatever they happen to be in one run, so that parts fit together."""
    if value is None or isinstance(value, bool):
        return value
    return float(value) if isinstance(value, int | float) else str(value)


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table; columns that only some of them have are empty in the others."""
    kinds = {"error": pa.string()}
    keys = dict.fromkeys(chain.from_iterable(rows))
    return pa.table({key: pa.array([row.get(key) for row in rows], kinds.get(key)) for key in keys})


def _write(path: Path, table: pa.Table) -> None:
    """Write a table whole or not at all."""
    with aside(path) as draft:
        pq.write_table(table, draft, write_page_checksum=True)


def _write_part(path: Path, row: Mapping[str, Any]) -> None:
    """Write a part. One row needs no statistics, dictionaries or second schema: they would take half of the file."""
    lean = {"write_statistics": False, "use_dictionary": False, "store_schema": False}
    table = _table([row])
    with aside(path) as draft, pq.ParquetWriter(draft, table.schema, write_page_checksum=True, **lean) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"content": _content_digest(row)})


def _content_digest(row: Mapping[str, Any]) -> str:
    """Digest of names and values: checksums of pages leave the names out."""
    return hashlib.sha256(json.dumps(row).encode()).hexdigest()


# Reading


def read_part(path: Path) -> dict[str, Any] | None:
    """A part, its values by name, or None if it is not there, damaged or not the one that its name says."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            (row,), metadata = file.read(use_threads=False).to_pylist(), file.metadata.metadata
        whole = metadata[b"content"].decode() == _content_digest(row)
    except Exception:
        # One wrong bit of a file may trip its reader anywhere.
        return None
    return row if whole and row["run"] == path.stem else None


def damaged_tables(job: Job) -> list[Path]:
    """The tables kept of a run that is done which are not there or damaged."""
    return [path for path in map(job.kept, job.keep) if not _is_whole(path)]


def _is_whole(path: Path) -> bool:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches(use_threads=False):
                pass
    except Exception:
        return False
    return True


# The plan


def write_plan(jobs: Iterable[Job], folder: Path, design: Design, origin: Mapping[str, Any] | None = None) -> None:
    """Write down which runs a folder's sweep is made of, its factors and design: it may hold parts of others, too.

    `origin` says where the sweep comes from (`sim.sweep.origin`).
    """
    batches = batched(jobs, BATCH)
    first = next(batches)
    about = {"factors": [key for key, _ in first[0].factors], "keep": first[0].keep, "origin": origin or {}}
    metadata = {key: json.dumps(value) for key, value in about.items()} | {"design": design.model_dump_json()}
    schema = _plan_rows(first).schema.with_metadata(metadata)
    with aside(folder / PLAN) as draft, pq.ParquetWriter(draft, schema, compression="zstd") as plan:
        for batch in chain([first], batches):
            plan.write_table(_plan_rows(batch).cast(schema))


def _plan_rows(jobs: Sequence[Job]) -> pa.Table:
    about = {key: [getattr(job, key) for job in jobs] for key in ("point", "seed", "scenario")}
    modules = pa.array([job.modules for job in jobs], pa.list_(pa.string()))
    factors = [dict(job.factors) for job in jobs]
    columns = {key: pa.array([_plain(values[key]) for values in factors]) for key in factors[0]}
    return pa.table({"run": [job.name for job in jobs]} | about | {"modules": modules} | columns)


def planned(folder: Path) -> Iterator[Job]:
    """The runs of a folder's sweep as its plan has them, whatever has become of the scenario's file since."""
    plan = _plan(folder)
    factors, keep = (json.loads(plan.schema_arrow.metadata[key]) for key in (b"factors", b"keep"))
    for batch in plan.iter_batches(BATCH):
        for row in batch.to_pylist():
            modules, values = tuple(row["modules"]), tuple((key, row[key]) for key in factors)
            code = code_digest(modules)
            yield Job(
                row["run"], folder, row["scenario"], modules, code, values, row["point"], row["seed"], tuple(keep)
            )


def read_plan(folder: Path) -> pa.Table:
    """The runs of a folder's sweep, their points and the values of the factors there."""
    return _plan(folder).read(["run", "point", *factors_of(folder)])


def sweep_folder(file: Path) -> Path:
    """Where a sweep file's runs go unless something else is said."""
    return Path("runs") / f"sweep-{file.stem}"


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (folder / PLAN).is_file()


def factors_of(folder: Path) -> list[str]:
    """The factors of a folder's sweep."""
    return list(json.loads(_plan(folder).schema_arrow.metadata[b"factors"]))


def design_of(folder: Path) -> Design:
    """The design of a folder's sweep."""
    return Design.model_validate_json(_plan(folder).schema_arrow.metadata[b"design"])


def origin_of(folder: Path) -> dict[str, Any]:
    """Where a folder's sweep comes from; nothing if its plan does not say."""
    return dict(json.loads(_plan(folder).schema_arrow.metadata.get(b"origin", b"{}")))


def _plan(folder: Path) -> pq.ParquetFile:
    try:
        plan = pq.ParquetFile(folder / PLAN)
    except (OSError, pa.ArrowException):
        raise SweepError(f"{folder}: no folder of a sweep") from None
    if not {b"factors", b"keep", b"design"} <= set(plan.schema_arrow.metadata or {}):
        raise SweepError(f"{folder / PLAN}: not the plan of a sweep")
    return plan


# The table


def table_of(folder: Path) -> pd.DataFrame:
    """One row a run of the folder's sweep that is made, by point and seed; `point` is its place in the design.

    Columns that only some runs have are empty in the others.

    Raises
    ------
    SweepError
        If no run is there.
    """
    return pa.concat_tables(_pieces(folder), promote_options="default").to_pandas()


def write_table(folder: Path, file: Path) -> None:
    """Write the table of a sweep, CSV or Parquet by the file's name; errors as of `table_of`.

    Pieces are written beside it first, into a file without a name, of which a kill leaves nothing: which columns there
    are is known when all parts are read.
    """
    check_table_name(file)
    found = _pieces(folder)
    first = next(found)
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=file.parent) as pieces:
        count, schema = 0, pa.schema([])
        for piece in chain([first], found):
            with pa.ipc.new_stream(pieces, piece.schema) as stream:
                stream.write_table(piece)
            count, schema = count + 1, pa.unify_schemas([schema, piece.schema], promote_options="default")
        pieces.seek(0)
        with aside(file) as draft, _table_writer(draft, schema, is_csv=file.suffix == ".csv") as write:
            for several in batched(range(count), PIECES):
                tables = [schema.empty_table(), *(pa.ipc.open_stream(pieces).read_all() for _ in several)]
                write(pa.concat_tables(tables, promote_options="default"))


def check_table_name(file: Path) -> None:
    """Refuse a table file of a kind that is not written, and one that is a part of a sweep."""
    if file.suffix not in (".csv", ".parquet"):
        raise SweepError(f"{file}: write a file that ends in .csv or .parquet")
    place = file.resolve()
    sweeps = [above for above in place.parents if is_sweep(above)]
    if any(place.relative_to(above).parts[0] in (PARTS, ASIDE, PLAN) for above in sweeps):
        raise SweepError(f"{file}: is the sweep's own; give another --out")


def save_table(rows: pd.DataFrame, file: Path) -> None:
    """Write a table whole, CSV or Parquet by the file's name."""
    with aside(file) as draft:
        rows.to_csv(draft, index=False) if file.suffix == ".csv" else rows.to_parquet(draft, index=False)


@contextmanager
def _table_writer(draft: Path, schema: pa.Schema, *, is_csv: bool) -> Iterator[Callable[[pa.Table], None]]:
    if is_csv:
        with draft.open("w", encoding="utf-8", newline="") as text:
            schema.empty_table().to_pandas().to_csv(text, index=False)
            yield lambda piece: piece.to_pandas().to_csv(text, index=False, header=False)
    else:
        with pq.ParquetWriter(draft, schema) as writer:
            yield writer.write_table


def _pieces(folder: Path) -> Iterator[pa.Table]:
    """The table in pieces, none of them empty."""
    there = False
    for batch in _plan(folder).iter_batches(BATCH, columns=["run", "point", *factors_of(folder)]):
        parts = ((run, read_part(place(folder, PARTS, run["run"]))) for run in batch.to_pylist())
        if rows := [run | part for run, part in parts if part is not None]:
            there = True
            yield _table(rows)
    if not there:
        raise SweepError(f"{folder}: no run is made yet")
