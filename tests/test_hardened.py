"""What no user should ever see: long trials with strange input, far extremes and other circumstances.

All but the shortest are slow: `uv run pytest -m slow tests/test_hardened.py`.
"""

from __future__ import annotations

import math
import os
import random
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from invariants import assert_sound
from joblib import Parallel, delayed
from probes import CROWD, run

from sim.kernel.codes import (
    OK,
    OP_BAND,
    OP_CANCEL,
    OP_HALT,
    OP_LIMIT,
    OP_MODIFY,
    OP_RESUME,
    OP_STOPLIMIT,
    STP_DECREMENT,
    STP_NONE,
)
from sim.kernel.replay import M_PX, M_QTY, M_SIDE, M_STOP, replay
from sim.kernel.state import LEDGER, STP, new_books
from sim.market import grown
from sim.model import MarketModel
from sim.scenario import ScenarioError, load

WORKERS = 2

# Order messages

IDS, OWNERS = 120, 4
STRANGE = [0, -1, 1, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63)]


def strange_messages(rng: np.random.Generator, count: int) -> np.ndarray:
    """Rows for `sim.kernel.replay`: mostly orders around 1,000 that meet, one in ten with a number that none can be."""
    op = rng.choice([OP_LIMIT, *range(OP_LIMIT, OP_STOPLIMIT + 1), OP_CANCEL, OP_MODIFY, OP_MODIFY], count)
    rules = rng.random(count)
    op[rules < 0.03] = OP_RESUME
    op[rules < 0.004] = OP_HALT
    op[rules > 0.99] = OP_BAND
    rows = np.column_stack(
        [
            op,
            rng.integers(0, IDS, count),
            rng.integers(0, 2, count),
            1000 + rng.integers(-15, 16, count),
            rng.integers(1, 20, count),
            rng.integers(0, OWNERS + 1, count),
            1000 + rng.integers(-15, 16, count),
            np.zeros(count, np.int64),
        ]
    )
    bands = op == OP_BAND
    rows[bands, M_PX], rows[bands, M_QTY] = (
        980 + rng.integers(0, 20, bands.sum()),
        1000 + rng.integers(0, 20, bands.sum()),
    )
    broken = rng.random(count) < 0.1
    rows[broken, rng.choice([M_SIDE, M_PX, M_QTY, M_STOP], broken.sum())] = rng.choice(STRANGE, broken.sum())
    return rows


def play(seed: int, count: int) -> int:
    """Play messages, one at a time; how many were accepted."""
    b = new_books(1, OWNERS)
    b.counts[LEDGER] = 1
    b.books[0, STP] = STP_NONE + seed % (STP_DECREMENT - STP_NONE + 1)
    messages = strange_messages(np.random.default_rng(seed), count)
    codes, row_of = np.zeros(count, np.int64), np.zeros(IDS + 1, np.int64)
    for done in range(count):
        while replay(b, messages[: done + 1], row_of, codes, done) == done:
            b = grown(b)
        assert_sound(b)
    return int((codes == OK).sum())


def test_books_are_sound_after_every_message() -> None:
    assert play(1, 2_000) > 600


@pytest.mark.slow
def test_books_are_sound_after_each_of_a_million_messages() -> None:
    accepted = Parallel(n_jobs=WORKERS)(delayed(play)(seed, 10_000) for seed in range(2, 102))
    assert min(accepted) > 3_000


# Scenarios

WORDS = [
    "true",
    "-1",
    "0",
    "1e308",
    "nan",
    "inf",
    '""',
    '"x"',
    "[]",
    "{}",
    "9999999999999999999",
    "0.5",
    "-0.0",
    '"10:00"',
]


def mutated(text: str, rng: random.Random) -> str:
    """A scenario with one to three mistakes: values, keys, tables, characters and lines."""
    lines = text.splitlines()
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(lines))
        key, equals, value = lines[place].partition(" = ")
        match rng.randrange(8):
            case 0 | 1 | 2 if equals:
                lines[place] = f"{key} = {rng.choice(WORDS)}"
            case 3 if equals:
                number = re.sub(r"\d+", lambda found: str(rng.choice([0, 1, 7, 10**6])), value, count=1)
                lines[place] = f"{key} = {number}"
            case 4:
                lines[place] = lines[place].replace(rng.choice(lines[place] or " "), rng.choice("aZ_.[]=\"# '"), 1)
            case 5:
                lines.insert(place, lines[rng.randrange(len(lines))])
            case 6:
                lines[place] = lines[place][: rng.randrange(len(lines[place]) + 1)]
            case _:
                del lines[place]
    return "\n".join(lines)


def try_out(text: str, seed: int) -> str:
    """Load a mutated scenario and let a second of it pass: "refused" in one line, or "ran"."""
    broken = mutated(text, random.Random(seed))
    try:
        scenario = load(broken, {"session.end": "09:30:01", "session.days": ["2025-11-20"]})
    except ScenarioError as error:
        problem = str(error)
        assert len(problem) < 1000, problem
        assert problem.isprintable(), repr(problem)
        return "refused"
    run(MarketModel(scenario, rng=seed))
    return "ran"


def whole(name: str) -> str:
    """A shipped scenario with all its numbers written out, so that all of them can go wrong."""
    return load(f"configs/{name}.toml").to_toml()


def try_all(seeds: range) -> list[str]:
    texts = [whole("calm"), Path("configs/nov20.toml").read_text(encoding="utf-8"), CROWD]
    return [try_out(texts[seed % 3], seed) for seed in seeds]


def test_mutated_scenarios_run_or_are_refused_in_a_line() -> None:
    assert set(try_all(range(60))) == {"ran", "refused"}


@pytest.mark.slow
def test_ten_thousand_mutated_scenarios_run_or_are_refused_in_a_line() -> None:
    parts = Parallel(n_jobs=WORKERS)(delayed(try_all)(range(start, start + 250)) for start in range(1000, 11_000, 250))
    found = [answer for part in parts for answer in part]
    assert len(found) == 10_000
    assert min(found.count("ran"), found.count("refused")) > 1_000


def test_more_latent_orders_than_memory_holds_are_refused_in_a_line() -> None:
    model = MarketModel("configs/calm.toml", **{"agents.latent.life_seconds": 1e6})
    with pytest.raises(ScenarioError, match=r"^agents\.latent: .* latent orders would rest .* at most 5,000,000 may"):
        model.step()


# Extremes

CROWDS = [crowd.name for crowd in load("configs/calm.toml").crowds]
BRIEF = {"session.end": "09:32"}
EXTREMES: dict[str, dict[str, Any]] = {
    "depth 0.1": {"depth_musd": 0.1, "session.end": "09:45"},
    "depth 100": {"depth_musd": 100.0, "session.end": "09:45"},
    "a second": {"session.end": "09:30:01"},
    "bars of a second": {"session.bar_seconds": 1, **BRIEF},
    "one bar": {"session.bar_seconds": 86_400, **BRIEF},
    **{f"{name} 0": {f"agents.{name}.count": 0, **BRIEF} for name in CROWDS},
}
FAR = {f"{name} 10000": {f"agents.{name}.count": 10_000, **BRIEF} for name in CROWDS}


def check_extreme(changes: dict[str, Any]) -> None:
    """A world runs to its end, adds up (the model checks it), and no record holds a number that is not finite."""
    model = run(MarketModel("configs/calm.toml", rng=3, **changes))
    frames = model.frames()
    for name, table in frames.items():
        numbers = table.select_dtypes("number").to_numpy(float)
        known = numbers[~np.isnan(numbers)] if name == "bars" else numbers
        assert np.isfinite(known).all(), name
    close = model.summary(frames)["close"]
    assert math.isfinite(close)
    assert close > 0


@pytest.mark.parametrize("changes", EXTREMES.values(), ids=EXTREMES.keys())
def test_extreme_worlds_run_to_their_end(changes: dict[str, Any]) -> None:
    check_extreme(changes)


@pytest.mark.slow
@pytest.mark.parametrize("changes", FAR.values(), ids=FAR.keys())
def test_worlds_of_ten_thousand_run_to_their_end(changes: dict[str, Any]) -> None:
    check_extreme(changes)


@pytest.mark.slow
def test_a_day_without_news_is_a_day() -> None:
    model = run(MarketModel("configs/nov20.toml", rng=3, news=[]))
    assert abs(model.summary()["high_to_close_pct"]) < 5


# Circumstances

HASHES = """
import sys
from joblib import Parallel, delayed
sys.path.insert(0, "tests")
from probes import CROWD, run
from sim.model import MarketModel
def tape(seed):
    return run(MarketModel(CROWD, rng=seed)).tape_sha256()
print(*Parallel(n_jobs=int(sys.argv[1]))(delayed(tape)(seed) for seed in range(1, 101)), sep="\\n")
"""


def hashes(workers: int, **environment: str) -> list[str]:
    """SHA-256 of the tapes of a hundred seeds, in a process of its own."""
    command = [sys.executable, "-c", HASHES, str(workers)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize("is_cold", [False, True], ids=["warm cache", "cold cache"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_hundred_tapes_are_the_same_in_all_circumstances(is_cold: bool, workers: int, tmp_path: Path) -> None:
    expected = hashes(1, PYTHONHASHSEED="0")
    assert len(set(expected)) == 100
    for hash_seed in ("1", "12345"):
        cache = {"NUMBA_CACHE_DIR": str(tmp_path / hash_seed)} if is_cold else {}
        assert hashes(workers, PYTHONHASHSEED=hash_seed, **cache) == expected


@pytest.mark.slow
def test_memory_of_a_thousand_runs_is_that_of_a_hundred() -> None:
    """Peak of the process, from the hundredth run on: below 5 % more."""

    def peak(seeds: range) -> int:
        for seed in seeds:
            run(MarketModel(CROWD, rng=seed, **{"session.end": "09:32"})).summary()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    early = peak(range(100))
    assert peak(range(100, 1000)) < 1.05 * early
