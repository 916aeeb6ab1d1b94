"""The benchmark: `thinbook bench` prints a table and writes bench.json.

A message is an order, cancel or modify that reached the book; candidates that are thinned out and looks after which a
quote stays as it is are paid for but not counted. Everything runs on one core, is measured in process time, and is
also given as a ratio to 10^9 dependent splitmix64 steps timed in the same run. The tape's memory is touched before the
clock of the stream and of the running market starts: fresh memory is the operating system's price, not the kernel's.
"""

from __future__ import annotations

import gc
import platform
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from sim.files import write_json
from sim.kernel.draws import hash_chain
from sim.kernel.replay import replay
from sim.kernel.state import MESSAGES, Books, new_books
from sim.kernel.stream import STANDING, write_stream
from sim.model import MarketModel
from sim.records import write_run
from sim.scenario import load
from sim.tables import Scenario
from sim.terminal import console
from sim.units import NEVER

CHAIN_STEPS = 100_000_000
KEY = 20_251_120
KERNEL_ONLY = {"makers", "latent", "noise"}
"""Groups of agents whose orders the kernel writes; what they decide in the course of the day is left out."""
TOUCHED = 1 << 20
"""Rows of the tapes touched before a running market is timed."""


class Figure(NamedTuple):
    """One line of the table: how many messages, in how many seconds."""

    name: str
    messages: int
    seconds: float


def timed(action: Callable[[], Any]) -> float:
    """Process time of an action, in seconds; the garbage of what ran before is collected first."""
    gc.collect()
    start = process_time()
    action()
    return process_time() - start


def chain_seconds(steps: int = CHAIN_STEPS) -> float:
    """Seconds of 10^9 steps of the yardstick, from fewer."""
    hash_chain(1)
    return timed(lambda: hash_chain(steps)) * 1e9 / steps


def stream(n: int) -> np.ndarray:
    """Messages of the benchmark's stream: `STANDING` adds, then `n` adds, cancels and market orders."""
    size = STANDING + n
    messages = np.zeros((size, 8), np.int64)
    row_of, live = np.zeros(size, np.int64), np.zeros(size, np.int64)
    written = write_stream(_books(size), messages, row_of, live, KEY)
    if written < size:
        raise RuntimeError(f"the stream's book is full after {written} messages")
    return messages


def replay_seconds(messages: np.ndarray) -> float:
    """Seconds for the stream without its first `STANDING` orders, trades and quote changes recorded."""
    b, codes, row_of = _books(len(messages)), np.empty(len(messages), np.int64), np.empty(len(messages), np.int64)
    for array in (codes, row_of):
        array.fill(0)
    replay(b, messages[:STANDING], row_of, codes, 0)
    seconds = timed(lambda: replay(b, messages, row_of, codes, STANDING))
    if codes.any():
        raise RuntimeError("the book refused a message of the stream")
    return seconds


def _books(messages: int) -> Books:
    """Books in which so many messages of the stream fit, their tape touched."""
    b = new_books(1, 0, pages=1 << 8, tape=messages + 4 * STANDING)
    _touch(b, messages)
    return b


def _touch(b: Books, rows: int) -> None:
    for tape in (b.trades, b.quotes):
        tape[:rows] = np.zeros(1, tape.dtype)


def running_market(scenario: Scenario) -> Figure:
    """One session of the groups that live in the kernel, from its second minute to the close, in one call."""
    deciding = {crowd.group for crowd in scenario.crowds} - KERNEL_ONLY
    model = MarketModel(scenario, without=sorted(deciding))
    model.step()
    market, close = model.market, model.hours[1]
    market.set_alarms(-1, NEVER)
    _touch(market.b, TOUCHED)
    before = market.count(MESSAGES)
    seconds = timed(lambda: market.advance(close))
    return Figure("running market", market.count(MESSAGES) - before, seconds)


def whole_run(scenario: Scenario, folder: Path) -> tuple[Figure, Figure]:
    """A whole run with all its agents, and beside it the writing of its folder."""
    model = MarketModel(scenario)

    def write() -> None:
        frames = model.frames()
        write_run(
            folder,
            scenario=scenario,
            seed=model.seed,
            summary=model.summary(frames),
            frames=frames,
            wall_seconds=seconds,
            tape_sha256=model.tape_sha256(),
        )

    seconds = timed(model.run_model)
    messages = model.market.count(MESSAGES)
    return Figure("whole run", messages, seconds), Figure("writing its folder", messages, timed(write))


def middle(figures: Sequence[Figure]) -> Figure:
    """The median of repeats."""
    return figures[0]._replace(seconds=median(figure.seconds for figure in figures))


def measure(scenario: Scenario, messages: int = 1_000_000, repeats: int = 5) -> list[dict[str, Any]]:
    """All figures, each with its rate and its ratios; the first round of everything compiles and is not counted."""
    prepared = stream(messages)
    rounds: list[list[Figure]] = []
    for _ in range(repeats + 1):
        with tempfile.TemporaryDirectory() as folder:
            write = Figure("writing the stream", len(prepared), timed(lambda: stream(messages)))
            runs = running_market(scenario), *whole_run(scenario, Path(folder) / "run")
            rounds.append([Figure("stream", messages, replay_seconds(prepared)), write, *runs])
    chain = median(chain_seconds() for _ in range(repeats))
    return [described(middle(figures), chain) for figures in zip(*rounds[1:], strict=True)]


def described(figure: Figure, chain: float) -> dict[str, Any]:
    """A figure with what follows from it; `chain` is the yardstick's time."""
    return figure._asdict() | {
        "million_messages_per_second": figure.messages / figure.seconds / 1e6,
        "ns_per_message": figure.seconds / figure.messages * 1e9,
        "chain_seconds": chain,
        "ratio_to_chain": figure.seconds / chain,
    }


def table(rows: Iterable[dict[str, Any]]) -> Table:
    """The figures for reading."""
    shown = Table(box=SIMPLE)
    for column in ("", "messages", "seconds", "M messages/s", "ns a message", "of 10^9 steps"):
        shown.add_column(column, justify="left" if not column else "right")
    for row in rows:
        shown.add_row(
            row["name"],
            f"{row['messages']:,}",
            f"{row['seconds']:.3f}",
            f"{row['million_messages_per_second']:.2f}",
            f"{row['ns_per_message']:.0f}",
            f"{row['ratio_to_chain']:.3f}",
        )
    return shown


def main(scenario: str | Path = "configs/nov20.toml", out: str | Path = "bench.json") -> None:
    """Measure, print the table, write the file."""
    rows = measure(load(scenario))
    console().print(table(rows))
    machine = {"machine": platform.processor() or platform.machine(), "python": platform.python_version()}
    write_json(Path(out), machine | {"figures": rows})
