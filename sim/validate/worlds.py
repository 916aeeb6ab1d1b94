"""The worlds a scenario is judged by: its days, the same days with metaorders put in, and in other depths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tomlkit
from joblib import Parallel, delayed

from sim.analysis.observed import Moments, mids_at, moments, second_grid, two_sided
from sim.analysis.readers import day_of_run
from sim.analysis.realism import PROBE_TIMES
from sim.records import simulate
from sim.scenario import load
from sim.tables import Scenario
from sim.units import SECOND, TICK_POINTS

SHARES = (1e-4, 1e-3, 1e-2)
"""Sizes of metaorders over the day's volume."""
PARTICIPATION = 0.05
"""Of the volume while a metaorder is worked."""
INTERVAL = 2.4
"""From one to the next, in units of how long it is worked: as long again after its end must be free of others."""
START_MINUTES = 10
DEPTH_FACTORS = (0.5, 2.0)
PROBE = "metaorder_probe"

type Show = Callable[[int, int], None]


def days_of(scenario: Scenario, seeds: Sequence[int], experiments: int, workers: int, show: Show) -> list[Moments]:
    """Moments of the last day of a scenario, seed by seed.

    Parameters
    ----------
    scenario : Scenario
    seeds : sequence of int
        One for each day.
    experiments : int
        Of the first so many seeds, the moments "probe" (see `probe`) and "depths" (`halves` in books of all depths).
    workers : int
        Processes.
    show : callable
        Gets the runs done and in all.
    """
    text, first = scenario.to_toml(), seeds[:experiments]
    pairs = [(seed, sign * share) for seed in first for share in SHARES for sign in (1, -1)]
    depths = [(seed, factor * scenario.depth_musd) for seed in first for factor in DEPTH_FACTORS]
    total = len(seeds) + len(pairs) + len(depths)
    days = _all(workers, [delayed(observe)(text, seed) for seed in seeds], lambda done: show(done, total))
    plain = dict(zip(seeds, days, strict=True))
    tasks = [delayed(observe)(text, seed, depth) for seed, depth in depths]
    tasks += [delayed(probe)(text, seed, share, plain[seed]) for seed, share in pairs]
    results = _all(workers, tasks, lambda done: show(len(seeds) + done, total))
    for seed in first:
        deep = [day["halves"] for (other, _), day in zip(depths, results, strict=False) if other == seed]
        probes = [rows for (other, _), rows in zip(pairs, results[len(depths) :], strict=True) if other == seed]
        plain[seed] |= {"depths": np.concatenate([plain[seed]["halves"], *deep]), "probe": np.concatenate(probes)}
    return days


def _all(workers: int, tasks: Sequence[Any], show: Callable[[int], None]) -> list[Any]:
    results = []
    for result in Parallel(n_jobs=max(min(workers, len(tasks)), 1), return_as="generator")(tasks):
        results.append(result)
        show(len(results))
    return results


def observe(text: str, seed: int, depth_musd: float | None = None) -> Moments:
    """Run a scenario and reduce its last day to its moments."""
    scenario = load(text, {} if depth_musd is None else {"depth_musd": depth_musd})
    model = simulate(scenario, seed, log_events=True)
    events = model.lobster_events()[scenario.session.days[-1]]
    return moments(day_of_run(model.frames(), scenario.session, events))


def probe(text: str, seed: int, share: float, plain: Moments) -> np.ndarray:
    """Put metaorders into a world and compare it with the same seed without them.

    Parameters
    ----------
    text : str
        The scenario.
    seed : int
    share : float
        Size over the day's volume; a negative one turns all their signs round.
    plain : Moments
        The day without them.

    Returns
    -------
    float array (metaorders, 1 + PROBE_TIMES)
        Size over the day's volume, then the difference of the two mids in the order's direction (points), less that at
        its start. A row for every metaorder of the last day.
    """
    scenario = load(with_probe(text, share, float(plain["volume"]), int(plain["seconds"])))
    model = simulate(scenario, seed)
    opens, closes = scenario.session.hours_ns[-1]
    owner = next(trader.owner for trader in model.traders if trader.crowd == PROBE)
    frames = model.frames()
    trades = frames["trades"]
    mine = trades[(trades["taker"] == owner) & (trades["time_ns"] >= opens)]
    orders = mine.groupby("taker_decision").agg(
        start=("time_ns", "first"), end=("time_ns", "last"), contracts=("size", "sum"), side=("side", "first")
    )
    mids = TICK_POINTS * mids_at(two_sided(frames["quotes"]), second_grid(opens, closes))
    return impact_paths(
        (mids - plain["mids"]),
        (orders["start"].to_numpy() - opens) / SECOND,
        (orders["end"].to_numpy() - opens) / SECOND,
        orders["side"].to_numpy(),
        orders["contracts"].to_numpy() / float(plain["volume"]),
    )


def impact_paths(
    apart: np.ndarray, starts: np.ndarray, ends: np.ndarray, sides: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """Shares, and what two worlds went apart from the second before an order's start on, in its direction."""
    before = np.floor(starts).astype(int)
    times = np.ceil(starts[:, None] + PROBE_TIMES * (ends - starts)[:, None]).astype(int)
    paths = sides[:, None] * (apart[np.minimum(times, len(apart) - 1)] - apart[before, None])
    return np.column_stack([shares, paths])


def with_probe(text: str, share: float, volume: float, seconds: int) -> str:
    """The scenario with one trader who works metaorders."""
    contracts = max(round(abs(share) * volume), 1)
    worked_minutes = contracts / (PARTICIPATION * volume / (seconds / 60))
    content = tomlkit.parse(text)
    content["agents"][PROBE] = {  # type: ignore[index]
        "class": "agents.metaorder:MetaorderTrader",
        "contracts": contracts if share > 0 else -contracts,
        "participation": PARTICIPATION,
        "every_minutes": min(max(INTERVAL * worked_minutes, 0.1), 390.0),
        "start_minutes": float(START_MINUTES),
    }
    return tomlkit.dumps(content)
