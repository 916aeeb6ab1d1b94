"""Studies of the project: many runs, a few claims, a verdict on each.

`emergence` asks whether the fall of the thin market comes out of its people's reactions to one another, or was put in.
F is the change of the log mid from 10:45 to the close of the last day, in percent; worlds are compared seed by seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import bootstrap

from sim.analysis import contracts_by_group, owner_groups
from sim.analysis.day import within
from sim.files import write_json
from sim.scenario import load
from sim.tables import Scenario
from sim.units import clock_ns, clock_text

if TYPE_CHECKING:
    import pandas as pd

TURN = clock_ns("10:45")
"""Where F starts: the market's high is behind it (minute bars of 20 Nov 2025)."""
LIQUIDITY = ("noise", "latent", "makers")
"""Groups that follow no news, trend or hedge, and trade both ways: what the others sell is bought by them."""
LEADERS = ("dealers", "ctas", "etfs")
NO_FEEDBACK = ("dealers", "ctas", "stops", "rebalancers")
DEAF: dict[str, object] = {
    "agents.etfs.momentum": 0.0,
    "agents.etfs.herding": 0.0,
    "agents.noise.surge": 0.0,
    "agents.latent.fear_power": 0.0,
    "agents.makers.fear_power": 0.0,
}
"""ETF traders follow news alone; noise comes and liquidity stands whatever the price and the VIX do."""
AWAKE: dict[str, object] = {"agents.etfs.attention_power": 0.0}
"""ETF traders that look even where nothing moves: without noise there is no volatility to wake them."""
MOST_BLIND = 0.4
"""Of what all but LIQUIDITY sell from the high on, the most that they may sell with price and VIX frozen there."""
DEPTHS_MUSD = (1.0, 2.0, 3.0, 8.0, 20.0, 40.0)
"""Beside those of the thin and the normal world."""


@dataclass(frozen=True)
class World:
    """The scenario with some values changed and some groups left out; frozen: traders see the high ever after."""

    overrides: Mapping[str, object] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    frozen: bool = False


THIN: dict[str, object] = {"depth_musd": 5.0}
WORLDS = {
    "thin": World(THIN),
    "normal": World({"depth_musd": 11.5}),
    "feedback off": World(THIN | DEAF, NO_FEEDBACK),
    "news only": World(THIN | DEAF | AWAKE, (*NO_FEEDBACK, "noise")),
    "noise only": World(THIN | DEAF | {"news": []}, NO_FEEDBACK),
    "frozen": World(THIN, frozen=True),
    **{f"no {group}": World(THIN, (group,)) for group in LEADERS},
    **{f"${depth:g}M": World({"depth_musd": depth}) for depth in DEPTHS_MUSD},
}


class Job(NamedTuple):
    """One run to be made; the scenario is text, so that nobody's edit of a file gets into the middle of a study."""

    scenario: str
    world: str
    seed: int
    freeze_at_ns: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What a study keeps of a run; `sold_contracts` net by all but LIQUIDITY, from the high (or freeze) to the close.

    A run is `sound` if both sides of the book stand at the end and every price is positive and finite.
    """

    world: str
    seed: int
    f_pct: float
    high_to_close_pct: float
    time_of_high: str | None
    time_6700_lost: str | None
    vix_prior_close: float
    vix_morning_low: float
    vix_close: float
    volume_contracts: float
    share_of_time_one_tick: float
    sold_contracts: float
    sound: bool


type Outcomes = Mapping[str, Sequence[Outcome]]


class Verdict(NamedTuple):
    """A row of the answer; `holds` is None for what is shown only."""

    claim: str
    measured: str
    target: str
    holds: bool | None = None


# Running


def main(scenario: Scenario, *, seeds: int, paired: int, first_seed: int, workers: int, out: Path) -> list[Verdict]:
    """Run all worlds, judge, and write the verdicts and all outcomes as JSON.

    Parameters
    ----------
    scenario : Scenario
        One with the groups of configs/nov20.toml.
    seeds : int
        Seeds of every world.
    paired : int
        Seeds of the comparisons with and without a group, and of the frozen world: the ratio of two sums over 20 seeds
        is known to a quarter only. The thin world is run for all of these.
    first_seed : int
        Seeds count up from here; judge on others than you tuned on.
    workers : int
        Processes.
    out : Path
        The JSON file.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    outcomes = run_all(scenario, plan(seeds, paired, first_seed), lambda jobs: in_processes(measure, jobs, workers))
    verdicts = judge(outcomes)
    _write(out, scenario, verdicts, outcomes)
    return verdicts


def in_processes[Found](run: Callable[[Job], Found], jobs: Sequence[Job], workers: int) -> list[Found]:
    """Make all runs, in processes of their own, with progress on a terminal."""
    console = Console(stderr=True)
    with ProcessPoolExecutor(max(min(workers, len(jobs)), 1), mp_context=get_context("spawn")) as pool:
        done = pool.map(run, jobs)
        return list(track(done, "runs", len(jobs), console=console, transient=True, disable=not console.is_terminal))


def plan(seeds: int, paired: int, first_seed: int) -> list[tuple[str, int]]:
    """Worlds and seeds to be run, the frozen world's last; three seeds for every depth."""
    counts = dict.fromkeys(WORLDS, seeds)
    pairs = ["frozen", *(f"no {group}" for group in LEADERS)]
    counts |= {"thin": max(seeds, paired)} | dict.fromkeys(pairs, paired)
    counts |= {f"${depth:g}M": min(seeds, 3) for depth in DEPTHS_MUSD}
    ordered = sorted(WORLDS, key=lambda world: WORLDS[world].frozen)
    return [(world, first_seed + index) for world in ordered for index in range(counts[world])]


def run_all(
    scenario: Scenario, runs: Iterable[tuple[str, int]], run: Callable[[list[Job]], Iterable[Outcome]]
) -> dict[str, list[Outcome]]:
    """Run everything, the frozen worlds last: they need the time of the high of the thin one."""
    runs, text = list(runs), scenario.to_toml()
    open_jobs = [Job(text, world, seed) for world, seed in runs if not WORLDS[world].frozen]
    outcomes = list(run(open_jobs))
    midnight = scenario.session.last_midnight_ns
    highs = {item.seed: item.time_of_high for item in outcomes if item.world == "thin"}
    frozen_jobs = [
        Job(text, world, seed, midnight + clock_ns(high))
        for world, seed in runs
        if WORLDS[world].frozen and (high := highs[seed]) is not None
    ]
    outcomes += run(frozen_jobs)
    return {world: [item for item in outcomes if item.world == world] for world in WORLDS}


def measure(job: Job) -> Outcome:
    """Make one run and keep what the study needs."""
    return outcome_of(job, *play(job, WORLDS[job.world]))


def play(job: Job, world: World) -> tuple[Scenario, dict[str, pd.DataFrame], dict[str, Any]]:
    """Make the run of a job in its world; the scenario, the tables and the summary."""
    from sim.model import MarketModel

    scenario = load(job.scenario, world.overrides, world.without)
    model = MarketModel(scenario, rng=job.seed, freeze_at_ns=job.freeze_at_ns)
    model.run_model()
    frames = model.frames()
    return scenario, frames, model.summary(frames)


def outcome_of(job: Job, scenario: Scenario, frames: Mapping[str, pd.DataFrame], summary: Mapping[str, Any]) -> Outcome:
    """The outcome of a run from its tables and summary."""
    kept = Outcome.__dataclass_fields__.keys() & summary.keys()
    return Outcome(
        world=job.world,
        seed=job.seed,
        f_pct=change_pct(frames["bars"], scenario.session.last_midnight_ns + TURN),
        sold_contracts=sold_contracts(job, scenario, frames, summary),
        sound=is_sound(frames),
        **{name: summary[name] for name in kept},
    )


def change_pct(bars: pd.DataFrame, start_ns: int) -> float:
    """Change of the log mid from a time to the end, in percent."""
    mid = bars["mid"].to_numpy()
    start = mid[bars["time_ns"].searchsorted(start_ns, side="right") - 1]
    return 100 * math.log(mid[-1] / start)


def sold_contracts(
    job: Job, scenario: Scenario, frames: Mapping[str, pd.DataFrame], summary: Mapping[str, Any]
) -> float:
    """Contracts sold net by all but LIQUIDITY, from the high (or freeze) of a run to its close."""
    opens, closes = scenario.session.hours_ns[-1]
    time_of_high = summary["time_of_high"]
    high = opens if time_of_high is None else scenario.session.last_midnight_ns + clock_ns(time_of_high)
    trades = within(frames["trades"], (job.freeze_at_ns or high, closes))
    net = contracts_by_group(trades, owner_groups(frames["agents"]))["net"]
    return -float(net.drop(labels=list(LIQUIDITY), errors="ignore").sum())


def is_sound(frames: Mapping[str, pd.DataFrame]) -> bool:
    """Whether both sides of the book stand at the end and every price is positive and finite."""
    last, bars, trades = frames["quotes"].iloc[-1], frames["bars"], frames["trades"]
    prices = bars[["open", "high", "low", "close", "mid", "vix"]].to_numpy()
    stands = last["bid_ticks"] > 0 and last["ask_ticks"] > last["bid_ticks"]
    return bool(stands and np.isfinite(prices).all() and (prices > 0).all() and (trades["price_ticks"] > 0).all())


# Judging


def judge(outcomes: Outcomes) -> list[Verdict]:
    """All verdicts, from the outcomes of every world."""
    thin, normal, off = (outcomes[world] for world in ("thin", "normal", "feedback off"))
    return [
        between("thin: high to close, %", [item.high_to_close_pct for item in thin], -4.5, -2.4),
        _time_lost(thin),
        at_most_of("normal depth: F against thin", normal, thin, 0.6),
        at_most_of("feedback off: F against thin", off, thin, 0.6),
        shown_of("news only: F against thin", outcomes["news only"], thin),
        shown_of("noise only: F against thin", outcomes["noise only"], thin),
        _frozen(outcomes["frozen"], thin),
        *(matters(f"{group} deepen the fall", outcomes[f"no {group}"], thin) for group in LEADERS),
        between("thin: VIX at its morning low, % of the prior close", [_morning(item) for item in thin], -20, -15),
        _vix_close(thin),
        between("thin: volume, million contracts", [item.volume_contracts / 1e6 for item in thin], 1.8, 3.0),
        between("thin: share of time at one tick", [item.share_of_time_one_tick for item in thin], 0.6, 0.95),
        between("normal: share of time at one tick", [item.share_of_time_one_tick for item in normal], 0.95, 1.0),
        _sound([item for items in outcomes.values() for item in items]),
    ]


def between(claim: str, values: Sequence[float], low: float, high: float) -> Verdict:
    """Whether the median lies between two bounds."""
    median = float(np.median(values))
    return Verdict(claim, f"{median:.2f} (median of {len(values)})", f"{low:g} to {high:g}", low <= median <= high)


def at_most_of(claim: str, without: Sequence[Outcome], full: Sequence[Outcome], share: float) -> Verdict:
    """Whether the median F is at most a share of the full world's, on the same seeds, and that one falls."""
    here, there = medians(without, full)
    holds = there < 0 and here >= share * there
    return Verdict(claim, _of(here, there), f"at most {100 * share:g} %", holds)


def shown_of(claim: str, without: Sequence[Outcome], full: Sequence[Outcome]) -> Verdict:
    """The same without a target."""
    return Verdict(claim, _of(*medians(without, full)), "")


def medians(one: Sequence[Outcome], other: Sequence[Outcome]) -> tuple[float, float]:
    """Median F of two worlds, over the seeds that both have."""
    pairs = np.array(_paired(one, other))
    return float(np.median(pairs[:, 0])), float(np.median(pairs[:, 1]))


def _paired(one: Sequence[Outcome], other: Sequence[Outcome], key: str = "f_pct") -> list[tuple[float, float]]:
    values = {item.seed: getattr(item, key) for item in other}
    return [(getattr(item, key), values[item.seed]) for item in one if item.seed in values]


def _of(here: float, there: float) -> str:
    return f"{here:.2f} of {there:.2f} %" + (f" ({100 * here / there:.0f} %)" if there else "")


def matters(claim: str, without: Sequence[Outcome], full: Sequence[Outcome]) -> Verdict:
    """Whether the fall is smaller without a group: 95 % bootstrap interval of the mean difference of F above zero."""
    difference = np.diff(_paired(full, without), axis=1)[:, 0]
    # Percentiles, since the default needs differences that differ: a group that did nothing has an interval of [0, 0].
    result = bootstrap((difference,), np.mean, method="percentile", rng=np.random.default_rng(1))
    low, high = result.confidence_interval
    measured = f"{difference.mean():+.2f} [{low:+.2f}, {high:+.2f}] ({len(difference)} pairs)"
    return Verdict(claim, measured, "interval above 0", bool(low > 0))


def _time_lost(thin: Sequence[Outcome]) -> Verdict:
    # A run that never loses the level counts as one that loses it after the close.
    times = [clock_ns(item.time_6700_lost) if item.time_6700_lost else math.inf for item in thin]
    median = float(np.percentile(times, 50, method="lower"))
    text = (
        f"{clock_text(int(median)) if median < math.inf else 'never'} ({times.count(math.inf)} of {len(times)} never)"
    )
    holds = clock_ns("10:45") <= median <= clock_ns("12:30")
    return Verdict("thin: 6700 is lost", text, "10:45 to 12:30", holds)


def _frozen(frozen: Sequence[Outcome], thin: Sequence[Outcome]) -> Verdict:
    blind, seeing = np.sum(_paired(frozen, thin, "sold_contracts"), axis=0)
    measured = f"{blind / len(frozen):,.0f} of {seeing / len(frozen):,.0f} contracts"
    return Verdict(
        "sold by all but liquidity, with price and VIX frozen at the high",
        f"{measured} ({100 * blind / seeing:.0f} %)" if seeing else measured,
        f"at most {100 * MOST_BLIND:g} %",
        bool(seeing > 0 and blind <= MOST_BLIND * seeing),
    )


def _morning(item: Outcome) -> float:
    return 100 * (item.vix_morning_low / item.vix_prior_close - 1)


def _vix_close(thin: Sequence[Outcome]) -> Verdict:
    change = float(np.median([100 * (item.vix_close / item.vix_prior_close - 1) for item in thin]))
    return Verdict("thin: VIX at the close, % of the prior close", f"{change:+.2f}", "above 0", change > 0)


def _sound(outcomes: Sequence[Outcome]) -> Verdict:
    broken = [f"{item.world} seed {item.seed}" for item in outcomes if not item.sound]
    measured = f"{len(outcomes) - len(broken)} of {len(outcomes)} runs" + (f"; not {broken[0]}" if broken else "")
    return Verdict("two-sided book and sane prices to the end, $1M to $40M", measured, "all", not broken)


# Showing


def table_of(verdicts: Iterable[Verdict], title: str) -> Table:
    """The verdicts as a table for a terminal."""
    table = Table("claim", "measured", "target", "holds", title=title, box=SIMPLE)
    for row in verdicts:
        table.add_row(row.claim, row.measured, row.target, {True: "yes", False: "NO", None: ""}[row.holds])
    return table


def _write(out: Path, scenario: Scenario, verdicts: Iterable[Verdict], outcomes: Outcomes) -> None:
    runs = [asdict(item) for items in outcomes.values() for item in items]
    content = {"scenario_digest": scenario.digest, "verdicts": [row._asdict() for row in verdicts], "runs": runs}
    write_json(out, content)
