"""Sees to it that every run of a sweep gets its part, whatever dies in the meantime.

Processes are loky's, by way of joblib. What is here is the loop around them: a run is handed out if it has no part;
when a worker dies, the runs that were under way are made again one at a time, so that only the guilty one is set aside.
Starting the same sweep again goes on where it stopped, because all that is known of it lies in its folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from joblib.externals.loky import get_reusable_executor

from sim.files import write_json
from sim.sweep import worker
from sim.sweep.design import SweepError
from sim.sweep.parts import ASIDE, DONE, FAILED, PARTS, PLAN, Job, damaged_tables, make, read_part

LOCK = ".lock"
MOST_DEATHS = 3
"""A run that has killed so many workers, alone, is set aside."""
CONNECT_SECONDS = 15
IDLE_SECONDS = 300
"""Workers are kept so long for the next sweep of the same process: they take seconds to start."""
LOOK_AHEAD = 2
"""Runs handed out for each worker: the next one must not wait for the parent."""


@dataclass
class State:
    """How far a sweep is: its runs, how many have a part and how many of those failed, and what is wrong or waits."""

    runs: int = 0
    done: int = 0
    failed: int = 0
    damaged: list[Path] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    waits: bytearray = field(default_factory=bytearray)
    """For each run, whether it waits."""

    @property
    def waiting(self) -> int:
        """How many runs wait."""
        return sum(self.waits)


def state_of(jobs: Iterable[Job], *, retry_failed: bool = False) -> State:
    """Look at the parts of a sweep's runs; with `retry_failed`, runs that failed or were set aside wait again."""
    state = State()
    for job in jobs:
        part = read_part(job.part)
        failed = part is not None and part["status"] == FAILED
        damaged = damaged_tables(job) if part is not None and part["status"] == DONE else []
        made = part is not None and not damaged and not (retry_failed and failed)
        given_up = part is None and not job.part.exists() and not retry_failed and job.aside.exists()
        state.runs += 1
        state.done += made
        state.failed += made and failed
        state.waits.append(not made and not given_up)
        if given_up:
            state.aside.append(str(job))
        elif part is None and job.part.exists():
            state.damaged.append(job.part)
        state.damaged += damaged
    return state


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep a second sweep out of a folder; clear away what a sweep or worker that was killed has left half-written."""
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if found and not found & {LOCK, PARTS}:
        raise SweepError(f"{folder}: holds something other than a sweep; give another --out")
    try:
        for name in (PARTS, ASIDE):
            (folder / name).mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=0):
            _clear_drafts(folder)
            yield
            _clear_drafts(folder)
    except Timeout:
        raise SweepError(f"{folder}: another sweep is running here") from None


def _clear_drafts(folder: Path) -> None:
    # Patterns that match drafts (`sim.files.aside`) of plan, parts, tables and notes, and nothing of a user's own.
    for draft in chain(*map(folder.glob, (f".{PLAN}.*", "*/[0-9a-f][0-9a-f]/.*.parquet.*", f"{ASIDE}/.*.json.*"))):
        draft.unlink(missing_ok=True)


class Pools(NamedTuple):
    """How to get a pool of so many workers, how many there are, and how often a run may break one of its own."""

    of: Callable[[int], AbstractContextManager[Executor]]
    workers: int
    tries: int


def pools(workers: int, cluster: str | None = None) -> AbstractContextManager[Pools]:
    """Processes of this machine, or the workers of the Dask scheduler at an address; they must see the same folder.

    Raises
    ------
    SweepError
        If no scheduler answers.
    """
    return _dask(cluster) if cluster else nullcontext(Pools(_loky, workers, MOST_DEATHS))


def run_all(
    waiting: Iterable[Job],
    pools: Pools,
    finished: Callable[[Job, str, float], None] = lambda *_: None,
) -> list[Job]:
    """Make all runs; those that were set aside. `finished` hears of each run: its status and seconds, as it is done.

    Raises
    ------
    OSError
        If a part cannot be written.
    """
    jobs = iter(waiting)
    aside: list[Job] = []
    while suspects := _work(jobs, pools, pools.workers, finished):
        for job in suspects:
            if (part := read_part(job.part)) is not None:
                finished(job, part["status"], 0.0)
            elif not _survives(job, pools, finished):
                _set_aside(job)
                aside.append(job)
    return aside


def _work(jobs: Iterator[Job], pools: Pools, workers: int, finished: Callable[[Job, str, float], None]) -> list[Job]:
    """Make runs until none is left or the pool breaks; those that may have killed a worker."""
    suspects: list[Job] = []
    under_way: dict[Future[tuple[str, float]], Job] = {}
    with pools.of(workers) as pool:
        while True:
            for job in islice(jobs, LOOK_AHEAD * workers - len(under_way)):
                try:
                    under_way[pool.submit(make, job)] = job
                except BrokenExecutor:
                    return [*suspects, job, *under_way.values()]
            if not under_way:
                return suspects
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    answer = future.result()
                except BrokenExecutor:
                    return [*suspects, *under_way.values()]
                except Exception as error:
                    # A Dask worker that dies breaks no pool: the runs it had are tried elsewhere, then given up.
                    if type(error).__name__ != "KilledWorker":
                        raise
                    suspects.append(under_way.pop(future))
                else:
                    finished(under_way.pop(future), *answer)


def _survives(job: Job, pools: Pools, finished: Callable[[Job, str, float], None]) -> bool:
    """Whether a run comes to its end where no other runs."""
    return any(not _work(iter([job]), pools, 1, finished) for _ in range(pools.tries))


def _set_aside(job: Job) -> None:
    note = {"run": str(job), "error": f"killed its worker {MOST_DEATHS} times"}
    write_json(job.aside, note)


@contextmanager
def _loky(workers: int) -> Iterator[Executor]:
    """Processes of this machine."""
    pool = get_reusable_executor(workers, timeout=IDLE_SECONDS, initializer=worker.start, initargs=(os.getpid(),))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise


@contextmanager
def _dask(address: str) -> Iterator[Pools]:
    """The workers of a Dask scheduler; it counts deaths itself."""
    if "://" not in address:
        raise SweepError(f"{address}: no address of a scheduler; write it as tcp://HOST:PORT")
    try:
        from distributed import Client, WorkerPlugin
    except ModuleNotFoundError:
        raise SweepError("a cluster needs Dask: uv sync --extra cluster (or pip install distributed)") from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError):
        raise SweepError(f"{address}: no Dask scheduler answers there") from None

    class AtHome(WorkerPlugin):  # type: ignore[misc]
        """A worker finds the user's agents where this process does."""

        home = os.getcwd()

        def setup(self, worker: object) -> None:
            sys.path.append(self.home)

    with client:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        client.register_plugin(AtHome())
        pool = client.get_executor(pure=False)
        yield Pools(lambda _: nullcontext(pool), sum(client.nthreads().values()), 1)
