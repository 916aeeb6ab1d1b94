"""The commands `sweep`, `table` and `compare`: what a user sees of a sweep."""

from __future__ import annotations

import shutil
import time
from itertools import compress
from pathlib import Path

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sim.sweep.compare import compare
from sim.sweep.design import Sweep, read_sweep
from sim.sweep.loop import Pools, State, alone_in, pools, run_all, state_of
from sim.sweep.origin import origin
from sim.sweep.parts import ASIDE, FAILED, Job, check_table_name, jobs_of, planned, save_table, write_plan
from sim.sweep.refine import refined, require_boundary, with_added
from sim.terminal import console
from sim.units import HOUR

err = Console(markup=False, highlight=False, stderr=True)
INTERRUPTED = 130
USUAL_SECONDS, USUAL_BYTES = 0.7, 12_300.0
"""Of a core for an hour of trading, and of a part on disk, on the machine of the README's plan."""
TENTHS = 10


def main(
    file: Path,
    folder: Path,
    workers: int,
    *,
    cluster: str | None,
    only_status: bool,
    retry_failed: bool,
    refine: int,
    crash_pct: float,
) -> None:
    """Say how far a sweep is, and make what is missing; the same command goes on where it was stopped."""
    sweep = with_added(read_sweep(file), folder)
    if refine:
        require_boundary(sweep)
    if only_status:
        _report(sweep, folder, state_of(jobs_of(sweep, folder)), workers)
        return
    with alone_in(folder), pools(workers, cluster) as found:
        _make(sweep, folder, found, retry_failed=retry_failed)
        while refine and (further := refined(sweep, folder, refine, crash_pct)) is not sweep:
            sweep = further
            _make(sweep, folder, found)


def _make(sweep: Sweep, folder: Path, found: Pools, *, retry_failed: bool = False) -> None:
    write_plan(jobs_of(sweep, folder), folder, sweep.tables.design, origin(sweep, folder))
    if retry_failed:
        shutil.rmtree(folder / ASIDE)
        (folder / ASIDE).mkdir()
    state = state_of(planned(folder), retry_failed=retry_failed)
    _report(sweep, folder, state, found.workers)
    try:
        with Watch(state, found.workers) as watch:
            given_up = run_all(compress(planned(folder), state.waits), found, watch.finished)
    except KeyboardInterrupt:
        err.print(f"stopped; the same command goes on from {watch.done:,} of {state.runs:,} runs")
        raise typer.Exit(INTERRUPTED) from None
    for job in given_up:
        err.print(f"set aside, it kills its worker: {job}")
    if state.waiting:
        print(f"{watch.done:,} of {state.runs:,} runs done, {watch.failed:,} of them failed: {folder}")


def _report(sweep: Sweep, folder: Path, state: State, workers: int) -> None:
    tables = sweep.tables
    print(f"{tables.title}: {len(sweep.points):,} points x {tables.seeds:,} seeds = {state.runs:,} runs")
    print(f"{state.done:,} done, {state.failed:,} of them failed, {state.waiting:,} to do: {folder}")
    if state.waiting:
        hours = sum(closes - opens for opens, closes in sweep.scenario(sweep.points[0]).session.hours_ns) / HOUR
        print(f"about {_cost(USUAL_SECONDS * hours, USUAL_BYTES, state.waiting, workers)}; more once it is measured")
    for path in state.damaged:
        print(f"damaged, to be made again: {path}")
    for name in state.aside:
        print(f"set aside, it killed its worker: {name}")


def _cost(seconds: float, size: float, runs: int, workers: int) -> str:
    """What so many runs take if one takes so many seconds and bytes."""
    hours, minutes = divmod(round(seconds * runs / workers / 60), 60)
    return f"{hours} h {minutes} min with {workers} workers, {size * runs / 1e6:,.1f} MB"


class Watch:
    """Counts runs: a bar on a terminal, a line for every tenth elsewhere.

    It says what all will take after as many as may have waited for the compiler.
    """

    def __init__(self, state: State, workers: int) -> None:
        self.done, self.failed = state.done, state.failed
        self._to_do, self._workers, self._told = state.waiting, workers, False
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self._task = self._bar.add_task("runs", total=state.runs, completed=self.done)
        self._start, self._made = time.perf_counter(), 0

    def __enter__(self) -> Watch:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def finished(self, job: Job, status: str, seconds: float) -> None:
        """Count a run that is done."""
        self.done, self.failed, self._made = self.done + 1, self.failed + (status == FAILED), self._made + 1
        if not self._told and status != FAILED and self._made > self._workers:
            self._tell(job, seconds)
        rate = self._made / (time.perf_counter() - self._start)
        self._bar.update(self._task, completed=self.done, description=f"runs ({rate:.2f}/s, {self.failed} failed)")
        if not err.is_terminal and self._made * TENTHS // self._to_do > (self._made - 1) * TENTHS // self._to_do:
            left = (self._to_do - self._made) / rate / 60
            err.print(f"{self.done:,} runs done, {self.failed:,} failed, {rate:.2f}/s, {left:,.0f} min left")

    def _tell(self, job: Job, seconds: float) -> None:
        self._told = True
        size = sum(path.stat().st_size for path in [job.part, *map(job.kept, job.keep)])
        cost = _cost(seconds, size, self._to_do, self._workers)
        err.print(f"a run takes {seconds:.1f} s and {size / 1e3:,.0f} kB: all about {cost}")


def show_comparison(first: Path, second: Path, file: Path | None) -> None:
    """Print the differences of two sweeps in the single numbers of their summaries; write all of them if asked."""
    if file:
        check_table_name(file)
    rows = compare(first, second)
    shown = rows[~rows["outcome"].str.contains(".", regex=False) & (rows["difference"].abs() > 0)]
    table = Table(title=f"{second} less {first}, 95 % intervals", box=SIMPLE)
    for column in ("outcome", "first", "second", "difference", "interval", "seeds", "fewer runs"):
        table.add_column(column, justify="left" if column == "outcome" else "right")
    for row in shown.itertuples():
        interval = f"[{row.low:+,.3g}, {row.high:+,.3g}]"
        values = (f"{row.first:,.5g}", f"{row.second:,.5g}", f"{row.difference:+,.3g}", interval, str(row.seeds))
        table.add_row(row.outcome, *values, f"x {row.fewer_runs:.1f}")
    console().print(table)
    if file:
        save_table(rows, file)
        print(file)
