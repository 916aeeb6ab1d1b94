"""How fast sweeps are, as ratios of things done in one run: `thinbook bench sweep`.

Runs started by hand are two processes that simulate one run after another and keep nothing. Made-up runs write a part
and nothing else: what they cost is the cost of store and scheduling, at any number.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from math import exp, log, sqrt
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import mesa
from joblib.externals.loky import get_reusable_executor
from rich.box import SIMPLE
from rich.table import Table

from sim.files import write_json
from sim.model import MarketModel
from sim.sweep.design import read_sweep
from sim.sweep.loop import Pools, alone_in, pools, run_all, state_of
from sim.sweep.parts import DONE, PLAN, Job, _row, _run, _write_part, jobs_of, make, planned, write_plan, write_table
from sim.terminal import console

CONFIGS = Path(__file__).parents[2] / "configs"
SHORT, DAY = CONFIGS / "calm.toml", CONFIGS / "nov20.toml"
WORKERS = 2
HAND_END, SHORT_END = "10:30", "09:40"
"""Ends of the sessions of runs of half a second or more, and of short ones."""
MADE_UP = (100, 10_000)
SMALL_RUN_SECONDS = 0.5
MANY = 1_000_000


class Figure(NamedTuple):
    """A row of the table."""

    name: str
    value: float
    unit: str
    wanted: str = ""


def main(runs: int, out: Path = Path("bench-sweep.json")) -> list[Figure]:
    """Measure, print the table, write the file; `runs` is the number of short runs that Mesa makes, too."""
    with TemporaryDirectory() as place:
        figures = measure(Path(place), runs)
    table = Table("", "measured", "", "wanted", box=SIMPLE)
    for figure in figures:
        table.add_row(
            figure.name, f"{figure.value:,.3g}" if figure.value < 1e4 else f"{figure.value:,.0f}", *figure[2:]
        )
    console().print(table)
    write_json(out, [figure._asdict() for figure in figures])
    return figures


def measure(place: Path, runs: int, made_up: tuple[int, int] = MADE_UP, rounds: int = 40) -> list[Figure]:
    """All figures; `rounds` is how often a sweep meets runs by hand, `made_up` two numbers of made-up runs."""
    few, many = (_alone(made_up_runs, place / f"made-up-{count}", count) for count in made_up)
    cost = many["ms a run"] * WORKERS
    day = _seconds(lambda: _run(next(planned(_planned(place / "day", "16:00", 1, DAY)))))
    by_hand, error = against_hand(place / "hand", rounds)
    return [
        Figure("two workers, of two runs by hand", by_hand, f"± {error:.2f}", "at least .95"),
        Figure("store and scheduling, a run", cost, "ms of a worker"),
        Figure("the same, of a run of half a second", cost / SMALL_RUN_SECONDS / 10, "%", "below 5"),
        Figure("start of a worker", worker_start(place / "start"), "s", "below 3"),
        Figure(f"mesa.batch_run's time for {runs:,} short runs, of ours", against_mesa(place / "mesa", runs), ""),
        Figure(f"peak memory, {made_up[0]:,} runs", few["peak MB"], "MB"),
        Figure(f"peak memory, {made_up[1]:,} runs", many["peak MB"], "MB", "the same"),
        *(Figure(name, many[name], "") for name in many if name not in ("peak MB", "ms a run")),
        Figure("a run of two whole days", day, "core-seconds"),
        Figure(f"{MANY:,} of them", day * MANY / 3600, "core-hours"),
    ]


def _seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _planned(folder: Path, end: str, seeds: int, scenario: Path = SHORT) -> Path:
    """A folder with the plan of a sweep over seeds alone."""
    folder.mkdir()
    text = f'title = "Runs"\nscenario = "{scenario}"\nseeds = {seeds}\nset = {{"session.end" = "{end}"}}\n'
    (folder / "runs.toml").write_text(text + '[[factor]]\nkey = "depth_musd"\nvalues = [5.0]\n', encoding="utf-8")
    sweep = read_sweep(folder / "runs.toml")
    with alone_in(folder):
        write_plan(jobs_of(sweep, folder), folder, sweep.tables.design)
    return folder


def against_hand(folder: Path, rounds: int, pairs: int = 4) -> tuple[float, float]:
    """Time of two processes that only simulate, of a sweep's with two workers, and the standard error.

    Rounds are short and which goes first alternates, so that both meet the same moods of the machine; the mean is
    geometric. Of a machine of two cores one round alone says little: they spread by 15 %.
    """
    jobs = list(planned(_planned(folder, HAND_END, rounds * WORKERS * pairs)))
    logs = []
    with pools(WORKERS) as found, found.of(WORKERS) as pool:
        _by_hand(pool, jobs[:WORKERS])
        for number in range(rounds):
            mine = jobs[number * WORKERS * pairs :][: WORKERS * pairs]
            by_hand, swept = partial(_by_hand, pool, mine), partial(run_all, mine, found)
            seconds = {action: _seconds(action) for action in ((by_hand, swept), (swept, by_hand))[number % 2]}
            logs.append(log(seconds[by_hand] / seconds[swept]))
    return exp(mean(logs)), exp(mean(logs)) * stdev(logs) / sqrt(rounds)


def _by_hand(pool: Executor, jobs: list[Job]) -> None:
    futures = [pool.submit(_plain, jobs[first::WORKERS]) for first in range(WORKERS)]
    for future in futures:
        future.result()


def _plain(jobs: list[Job]) -> None:
    for job in jobs:
        _run(job)


def worker_start(folder: Path) -> float:
    """Seconds until a new worker has made its first short run, less those of its second."""
    jobs = planned(_planned(folder, SHORT_END, 2))
    get_reusable_executor().shutdown(kill_workers=True)
    with pools(1) as found, found.of(1) as pool:
        first, second = (_seconds(pool.submit(make, job).result) for job in jobs)
    return first - second


def against_mesa(folder: Path, runs: int) -> float:
    """Time of mesa.batch_run for short runs, of a sweep's for the same; both start their processes."""
    jobs = list(planned(_planned(folder, SHORT_END, runs)))
    get_reusable_executor().shutdown(kill_workers=True)
    with pools(WORKERS) as found:
        ours = _seconds(lambda: run_all(jobs, found))
    parameters = {"config": jobs[0].scenario}
    seeds = [job.seed for job in jobs]
    theirs = _seconds(
        lambda: mesa.batch_run(MarketModel, parameters, rng=seeds, number_processes=WORKERS, display_progress=False)
    )
    return theirs / ours


# Made-up runs


def _alone(action: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """What an action says in a process of its own, so that its peak of memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(action, *arguments).result()


def made_up_runs(folder: Path, count: int) -> dict[str, float]:
    """Make so many instant runs, look at them and write their table; what each of it costs."""
    plan = _seconds(lambda: _planned(folder, SHORT_END, count))
    found = Pools(_making_up, WORKERS, 1)
    run_all([next(planned(folder))], found)
    making = _seconds(lambda: run_all(planned(folder), found))
    looking = _seconds(lambda: state_of(planned(folder)))
    table = folder / "table.parquet"
    writing = _seconds(lambda: write_table(folder, table))
    # The process of this function waits for its children at its end, and they for more to do.
    get_reusable_executor().shutdown(kill_workers=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sizes = [path.stat() for path in folder.glob("parts/*/*.parquet")]
    return {
        "peak MB": peak / 1e3,
        "ms a run": making / count * 1e3,
        "a part, kB": sum(size.st_size for size in sizes) / count / 1e3,
        "a part on disk, kB": sum(512 * size.st_blocks for size in sizes) / count / 1e3,
        "a run in the plan, bytes": (folder / PLAN).stat().st_size / count,
        "a run in the table, bytes": table.stat().st_size / count,
        "to plan a run, ms": plan / count * 1e3,
        "to look at a part, ms": looking / count * 1e3,
        "to put a part into the table, ms": writing / count * 1e3,
    }


class MadeUp(Executor):
    """A pool whose workers make their results up."""

    def __init__(self, pool: Executor) -> None:
        self.pool = pool

    def submit(self, _: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Have a run made up."""
        return self.pool.submit(_made_up, *args)


@contextmanager
def _making_up(workers: int) -> Iterator[Executor]:
    with pools(workers) as found, found.of(workers) as pool:
        yield MadeUp(pool)


def _made_up(job: Job) -> tuple[str, float]:
    """Write a part as long as that of a run."""
    _write_part(job.part, _row(job, DONE, {f"agents.number_{number}": 1.1 * job.seed for number in range(80)}))
    return DONE, 0.0
