"""What a sweep survives, tried and counted: `thinbook study faults`.

A small sweep is made undisturbed. Then it is made many times more, disturbed each time, and resumed: its folder must
hold the same files and no draft, its table must be the same, and no process may be left. Where a sweep has to stop, it
says so in one line and exits with 2. Needs Linux (/proc); a full and a read-only disk need the right to mount.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import compress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track

from sim.sweep.loop import state_of
from sim.sweep.parts import PARTS, make, planned, table_of

SCENARIO = Path(__file__).parents[2] / "configs" / "calm.toml"
SWEEP = f"""title = "A small sweep to be disturbed"
scenario = "{SCENARIO}"
seeds = 6

[set]
"session.end" = "09:31"

[[factor]]
key = "depth_musd"
values = [3, 5.5]
"""
PATIENCE_SECONDS = 600
LINGER_SECONDS = 10
"""Longest that a process may outlive its parent."""


class TrialError(Exception):
    """What did not hold in a trial."""


class SkippedError(Exception):
    """Why a fault cannot be tried here."""


class Tally(NamedTuple):
    """A row of the answer: how many trials there were, how many met a sweep under way, how many it survived."""

    fault: str
    trials: int
    struck: int
    passed: int
    seconds: float
    remark: str


@dataclass(frozen=True)
class Lab:
    """The small sweep, how long it takes from its first file and its first worker on, and chance."""

    file: Path
    undisturbed: Path
    workers: int
    seconds: float
    working_seconds: float
    rng: np.random.Generator


def main(trials: int = 100, workers: int = 2, seed: int = 1) -> bool:
    """Try all faults and print the count of each as it is done; whether every trial was survived.

    Parameters
    ----------
    trials : int
        Kills of the parent, kills of a worker and torn parts; of the other faults a tenth as many.
    workers : int
        Processes of a sweep.
    seed : int
        Of the moments and places.
    """
    with TemporaryDirectory() as place:
        lab = _lab(Path(place), workers, seed)
        few = max(1, trials // 10)
        counts = {killed_parent: trials, killed_worker: trials, torn_part: trials}
        counts |= {full_disk: few, read_only_disk: few, two_at_once: few}
        tallies = [_told(_tally(fault, lab, count)) for fault, count in counts.items()]
    return all(tally.passed == tally.trials for tally in tallies)


def _lab(place: Path, workers: int, seed: int) -> Lab:
    """Make the sweep undisturbed, twice: the first time the kernel may have to be compiled."""
    file, folder = place / "small.toml", place / "undisturbed"
    file.write_text(SWEEP, encoding="utf-8")
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
        process = _start(file, folder, workers)
        _wait_for((folder / ".lock").exists)
        seen = time.perf_counter()
        _wait_for(partial(_workers, process.pid))
        working = time.perf_counter()
        _ends_well(process)
        end = time.perf_counter()
    return Lab(file, folder, workers, end - seen, end - working, np.random.default_rng(seed))


def _told(tally: Tally) -> Tally:
    count = f"{tally.passed} of {tally.trials} passed, {tally.struck} met a sweep under way, {tally.seconds:.0f} s"
    print(f"{tally.fault}: {count} {tally.remark}".rstrip(), flush=True)
    return tally


def _tally(fault: Callable[[Lab, Path], bool], lab: Lab, trials: int) -> Tally:
    name, struck, problems, start = fault.__name__.replace("_", " "), 0, [], time.perf_counter()
    console = Console(stderr=True)
    for number in track(range(trials), name, console=console, transient=True, disable=not console.is_terminal):
        folder = lab.file.parent / f"{fault.__name__}{number}"
        try:
            struck += fault(lab, folder)
        except TrialError as error:
            problems.append(f"trial {number}: {error}")
        except SkippedError as skipped:
            return Tally(name, 0, 0, 0, 0.0, f"skipped: {skipped}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return Tally(name, trials, struck, trials - len(problems), time.perf_counter() - start, "; ".join(problems[:3]))


# The faults: each disturbs a sweep, checks what is left, and says whether the sweep was still under way


def killed_parent(lab: Lab, folder: Path) -> bool:
    """`kill -9` of the sweep's own process at a random moment; its workers go with it."""
    process = _start(lab.file, folder, lab.workers)
    _wait_for((folder / ".lock").exists)
    time.sleep(lab.rng.uniform(0, lab.seconds))
    struck = process.poll() is None
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)
    _nobody_left(process.pid)
    _resumes(lab, folder)
    return struck


def killed_worker(lab: Lab, folder: Path) -> bool:
    """`kill -9` of one worker at a random moment; the sweep comes to its end all the same."""
    process = _start(lab.file, folder, lab.workers)
    _wait_for(lambda: _workers(process.pid))
    time.sleep(lab.rng.uniform(0, lab.working_seconds))
    victims = _workers(process.pid)
    if victims:
        os.kill(_pick(lab, victims), signal.SIGKILL)
    _ends_well(process)
    _same(lab, folder)
    return bool(victims)


def torn_part(lab: Lab, folder: Path) -> bool:
    """A part cut short, or one bit of it flipped, at a random place: found and made again, or of no effect."""
    shutil.copytree(lab.undisturbed, folder)
    part = _pick(lab, sorted((folder / PARTS).rglob("*.parquet")))
    content = bytearray(part.read_bytes())
    place, cut = int(lab.rng.integers(len(content))), bool(lab.rng.integers(2))
    content[place] ^= 1 << int(lab.rng.integers(8))
    part.write_bytes(content[:place] if cut else content)
    state = state_of(planned(folder))
    _require(state.damaged == [part] or (not cut and not state.damaged), "a torn part was not found")
    for job in compress(planned(folder), state.waits):
        make(job)
    _same(lab, folder)
    return bool(state.damaged)


def full_disk(lab: Lab, folder: Path) -> bool:
    """A disk that is full after some parts; given more room, the sweep goes on."""
    with _disk(folder, f"size={lab.rng.integers(4, 25) * 4}k"):
        _stops(_start(lab.file, folder, lab.workers), "No space left on device")
        _mount(folder, "remount,size=16m")
        _resumes(lab, folder)
    return True


def read_only_disk(lab: Lab, folder: Path) -> bool:
    """A folder that cannot be written."""
    with _disk(folder, "size=16m"):
        _mount(folder, "remount,ro")
        _stops(_start(lab.file, folder, lab.workers), "Read-only file system")
        _mount(folder, "remount,rw")
        _resumes(lab, folder)
    return True


def two_at_once(lab: Lab, folder: Path) -> bool:
    """Two sweeps started on one folder: one makes it, the other keeps out."""
    processes = [_start(lab.file, folder, lab.workers) for _ in range(2)]
    complaints = [process.communicate(timeout=PATIENCE_SECONDS)[1] for process in processes]
    ends = sorted(zip((process.returncode for process in processes), complaints, strict=True))
    _require([code for code, _ in ends] == [0, 2], f"exit codes {[code for code, _ in ends]}")
    _require("another sweep is running here" in ends[1][1], ends[1][1])
    _same(lab, folder)
    return True


def _pick[Item](lab: Lab, items: Sequence[Item]) -> Item:
    return items[int(lab.rng.integers(len(items)))]


# What must hold


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise TrialError(otherwise.strip())


def _ends_well(process: subprocess.Popen[str]) -> None:
    _, complaint = process.communicate(timeout=PATIENCE_SECONDS)
    _require(process.returncode == 0, f"exit code {process.returncode}: {complaint}")
    _nobody_left(process.pid)


def _stops(process: subprocess.Popen[str], reason: str) -> None:
    _, complaint = process.communicate(timeout=PATIENCE_SECONDS)
    said = [line for line in complaint.splitlines() if line.startswith("thinbook: ")]
    _require(process.returncode == 2, f"exit code {process.returncode}: {complaint}")
    _require(len(said) == 1 and reason in said[0] and "Traceback" not in complaint, complaint)
    _nobody_left(process.pid)


def _resumes(lab: Lab, folder: Path) -> None:
    _ends_well(_start(lab.file, folder, lab.workers))
    _same(lab, folder)


def _same(lab: Lab, folder: Path) -> None:
    there, wanted = _files(folder), _files(lab.undisturbed)
    _require(there == wanted, f"{len(wanted - there)} files are missing, {len(there - wanted)} are strange")
    _require(table_of(folder).equals(table_of(lab.undisturbed)), "the table differs")


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def _nobody_left(group: int) -> None:
    until = time.monotonic() + LINGER_SECONDS
    while (members := _members(group)) and time.monotonic() < until:
        time.sleep(0.05)
    _require(not members, f"processes are left: {members}")


# Processes and disks


def _start(file: Path, folder: Path, workers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sim.cli", "sweep", str(file), "--out", str(folder), "--workers", str(workers)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def _wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        _require(time.monotonic() < until, "a sweep did not start")
        time.sleep(0.01)


def _members(group: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, _, its_group, *_ = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if state != "Z" and int(its_group) == group:
            found.append(int(place.name))
    return found


def _workers(group: int) -> list[int]:
    """Loky's workers of a sweep."""
    return [pid for pid in _members(group) if "popen_loky" in _command(pid)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@contextmanager
def _disk(folder: Path, options: str) -> Iterator[None]:
    """A small disk in memory."""
    folder.mkdir()
    _mount(folder, options)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _mount(folder: Path, options: str) -> None:
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise SkippedError("a disk cannot be mounted here (it needs root)") from None
