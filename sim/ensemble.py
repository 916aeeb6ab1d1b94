"""Whether a real day could have been one of the simulated: its course against an ensemble of runs.

The band of the ensemble holds nine tenths of it at each quarter of an hour. The score is the continuous ranked
probability score (Gneiting and Raftery, J. Am. Stat. Assoc. 102, 2007, p. 359), in points: the mean distance of what
was forecast from what came, less half the mean distance between two forecasts. The ensemble is to beat two others: the
same world without feedback, and a walk without drift that has the real day's own volatility.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from operator import methodcaller
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from scipy.stats import energy_distance, norm

from sim.figures import STYLE, save_figure
from sim.files import write_json
from sim.palette import BLUE, VERMILION
from sim.scenario import load
from sim.study import AWAKE, DEAF, MOST_BLIND, NO_FEEDBACK, Job, Verdict, World, in_processes, play, sold_contracts
from sim.tables import Scenario
from sim.units import HOUR, MINUTE, clock_ns, clock_text

WORLDS = {"whole": World(), "news only": World(DEAF | AWAKE, (*NO_FEEDBACK, "noise"))}
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
QUARTER = 15 * MINUTE
INSIDE = 23 / 26
"""Share of the marks at which the real day must lie in the band."""
WIDEST = 1.3
"""Of the real day's range: the mean width of a band that still says something."""
VOLUME_OFF = 0.35
NUMBERS_OFF = {"vix_morning_low": 3.0, "vix_high": 3.0, "vix1d_open": 5.0, "etf_share": 0.04}
LOST_POINTS, LOST_BETWEEN = 6700.0, ("10:45", "12:15")
LEVEL_OFF = 0.1
"""Of the real day's range: how near the median is to come at full hours. `study day` judges by its band instead."""
WALKS = 2001
"""Quantiles that stand for a walk's distribution."""


class EnsembleError(ValueError):
    """A scenario without the facts that are needed; its text is one line for the user."""


@dataclass(frozen=True)
class Course:
    """What is kept of a run's last day: a mid and a volume for every bar, and the numbers judged.

    `sold_contracts` net by all but liquidity from the high to the close; `sold_blind` the same with price and VIX
    frozen at the high, None where that was not run.
    """

    world: str
    seed: int
    clock_ns: list[int]
    mid: list[float]
    volume: list[int]
    vix_morning_low: float
    vix_high: float
    vix1d_open: float
    etf_share: float
    time_of_high: str | None
    sold_contracts: float
    sold_blind: float | None = None


class Fact(NamedTuple):
    """A number of the real day that an ensemble is held to.

    `value` is in hours of the day, points or shares and may be infinite; `said` makes words of it, `wanted` are those
    of the accepted range.
    """

    claim: str
    value: Callable[[Ensemble], float]
    accepted: tuple[float, float]
    said: Callable[[float], str] = "{:.2f}".format
    wanted: str = ""

    def verdict(self, full: Ensemble) -> Verdict:
        """Whether an ensemble's number is in the accepted range."""
        value, (low, high) = self.value(full), self.accepted
        return Verdict(self.claim, self.said(value), self.wanted, low <= value <= high)


@dataclass(frozen=True)
class Ensemble:
    """Runs of one world, side by side."""

    courses: Sequence[Course]

    @cached_property
    def mids(self) -> np.ndarray:
        """Mids in points, of shape (runs, bars)."""
        return np.array([course.mid for course in self.courses])

    @cached_property
    def clock_ns(self) -> np.ndarray:
        """Time of day at which each bar ends."""
        return np.array(self.courses[0].clock_ns)

    def at(self, clock_ns: int) -> np.ndarray:
        """All mids at a time of day."""
        return self.mids[:, max(int(np.searchsorted(self.clock_ns, clock_ns, side="right")) - 1, 0)]

    def volumes(self, start_ns: int, end_ns: int) -> np.ndarray:
        """Contracts of each run between two times of day."""
        inside = (self.clock_ns > start_ns) & (self.clock_ns <= end_ns)
        return np.array([course.volume for course in self.courses])[:, inside].sum(axis=1)

    def median(self, name: str) -> float:
        """Median of a number of the runs."""
        return float(np.nanmedian([getattr(course, name) for course in self.courses]))


# Running


def main(scenario: Scenario, *, seeds: int, first_seed: int, workers: int, out: Path) -> list[Verdict]:
    """Run the ensemble and the world without feedback, judge, and write JSON, CSV and a figure beside one another.

    Parameters
    ----------
    scenario : Scenario
        One with a [real_course], and open, high and low in [real].
    seeds, first_seed, workers : int
        Runs of each world; where the seeds start; processes.
    out : Path
        The JSON file; the band is put beside it as CSV, SVG and PNG.
    """
    check_real(scenario)
    out.parent.mkdir(parents=True, exist_ok=True)
    text = scenario.to_toml()
    jobs = [Job(text, world, seed) for world in WORLDS for seed in range(first_seed, first_seed + seeds)]
    courses = in_processes(measure, jobs, workers)
    full, alone = (Ensemble([item for item in courses if item.world == world]) for world in WORLDS)
    verdicts = judge(scenario, full, alone)
    table = band(scenario, full)
    table.to_csv(out.with_suffix(".csv"), index=False)
    with rc_context(STYLE):
        save_figure(figure(scenario, full), out.with_suffix(""))
    content = {
        "scenario_digest": scenario.digest,
        "verdicts": [row._asdict() for row in verdicts],
        "runs": [asdict(course) for course in courses],
    }
    write_json(out, content)
    return verdicts


def measure(job: Job) -> Course:
    """Make one run and keep its last day."""
    scenario, frames, kept = play(job, WORLDS[job.world])
    session = scenario.session
    bars = frames["bars"][frames["bars"]["time_ns"] > session.hours_ns[-1][0]]
    return Course(
        world=job.world,
        seed=job.seed,
        clock_ns=(bars["time_ns"] - session.last_midnight_ns).tolist(),
        mid=bars["mid"].tolist(),
        volume=bars["volume"].tolist(),
        time_of_high=kept["time_of_high"],
        sold_contracts=sold_contracts(job, scenario, frames, kept),
        **{name: float(kept[name]) for name in NUMBERS_OFF},
    )


def observe(text: str, seed: int) -> Course:
    """Make a run of a scenario (TOML), and where it has a high the same one with price and VIX frozen from there."""
    job = Job(text, "whole", seed)
    course = measure(job)
    if course.time_of_high is None:
        return course
    high = load(text).session.last_midnight_ns + clock_ns(course.time_of_high)
    frozen = measure(job._replace(freeze_at_ns=high))
    return replace(course, sold_blind=frozen.sold_contracts)


# Judging


def check_real(scenario: Scenario) -> None:
    """Raise EnsembleError where the scenario does not know enough of its real day."""
    if missing := [name for name in ("open", "high", "low") if getattr(scenario.real, name) is None]:
        raise EnsembleError(f"real.{missing[0]}: missing; there is no real day to judge the others by")
    if not marks(scenario):
        raise EnsembleError("real_course.price_points: no quarter of an hour of the real day is known")


def marks(scenario: Scenario) -> dict[int, float]:
    """The real day at every quarter of an hour after the open for which it is known: points by time of day."""
    course = scenario.real_course
    known = {clock_ns(clock): points for clock, points in course.price_points} if course else {}
    return {at: points for at, points in known.items() if at % QUARTER == 0 and at > clock_ns(scenario.session.open)}


def band(scenario: Scenario, ensemble: Ensemble) -> pd.DataFrame:
    """Quantiles of the ensemble at every mark, beside the real day."""
    rows = [[clock_text(at), real, *np.quantile(ensemble.at(at), LEVELS)] for at, real in marks(scenario).items()]
    return pd.DataFrame(rows, columns=["clock", "real", *(f"q{100 * level:02.0f}" for level in LEVELS)])


def score(forecasts: Sequence[np.ndarray], real: Sequence[float]) -> float:
    """Mean over the marks of the continuous ranked probability score, in points."""
    # It is half the square of the energy distance between the forecasts and the one value that came.
    pairs = zip(forecasts, real, strict=True)
    return float(np.mean([energy_distance(forecast, [value]) ** 2 / 2 for forecast, value in pairs]))


def walk(real: Mapping[int, float], open_ns: int, open_points: float) -> list[np.ndarray]:
    """Distributions at the marks of a driftless Gaussian walk from the open with the real day's volatility."""
    times, points = np.array([open_ns, *real]), np.array([open_points, *real.values()])
    variance = float((np.diff(points) ** 2).sum() / (times[-1] - times[0]))
    quantiles = norm.ppf((np.arange(WALKS) + 0.5) / WALKS)
    return [open_points + math.sqrt(variance * (at - open_ns)) * quantiles for at in times[1:]]


def judge(scenario: Scenario, full: Ensemble, alone: Ensemble) -> list[Verdict]:
    """All verdicts; those that need a fact that the scenario does not know are left out."""
    real, open_ns = marks(scenario), clock_ns(scenario.session.open)
    open_points = _fact(scenario, "open")
    table = band(scenario, full)
    inside = table["real"].between(table["q05"], table["q95"])
    width, day_range = float((table["q95"] - table["q05"]).mean()), _fact(scenario, "high") - _fact(scenario, "low")
    scores = [
        score(forecasts, list(real.values()))
        for forecasts in ([full.at(at) for at in real], [alone.at(at) for at in real], walk(real, open_ns, open_points))
    ]
    return [
        Verdict(
            "marks at which the real day lies in the 5 to 95 % band",
            f"{inside.sum()} of {len(inside)}" + _where(table["clock"][~inside]),
            f"at least {math.ceil(INSIDE * len(inside))}",
            bool(inside.sum() >= INSIDE * len(inside)),
        ),
        Verdict(
            "mean width of the band, points",
            f"{width:.0f} ({width / day_range:.2f} of the real range)",
            f"at most {WIDEST:g} of {day_range:.0f}",
            width <= WIDEST * day_range,
        ),
        Verdict(
            "CRPS, points, against news only",
            f"{scores[0]:.1f} and {scores[1]:.1f}",
            "smaller",
            scores[0] < scores[1],
        ),
        Verdict(
            "CRPS, points, against a walk of the real volatility",
            f"{scores[0]:.1f} and {scores[2]:.1f}",
            "smaller",
            scores[0] < scores[2],
        ),
        *(fact.verdict(full) for fact in facts(scenario)),
    ]


def facts(scenario: Scenario) -> list[Fact]:
    """The hours' volumes and the numbers that the scenario knows of its real day."""
    found = []
    if scenario.real.time_6700_lost:
        first, last = (clock_ns(clock) / HOUR for clock in LOST_BETWEEN)
        found.append(Fact("the median path loses 6700", _hour_lost, (first, last), _clock, " to ".join(LOST_BETWEEN)))
    for clock, real in scenario.real_course.volume_contracts if scenario.real_course else ():
        claim, share = f"volume of the hour to {clock}, of the real one", partial(_volume_share, clock_ns(clock), real)
        low, high = 1 - VOLUME_OFF, 1 + VOLUME_OFF
        found.append(Fact(claim, share, (low, high), wanted=f"{low:g} to {high:g}"))
    for name, off in NUMBERS_OFF.items():
        number = getattr(scenario.real, name)
        if number is not None:
            said, accepted = f"{{:.3g}} (real {number:.3g})".format, (number - off, number + off)
            median = methodcaller("median", name)
            found.append(Fact(f"median of {name}", median, accepted, said, f"within {off:g}"))
    return found


def aims(scenario: Scenario) -> list[Fact]:
    """What a calibration of the day aims at: its facts, its course at full hours, and that falls feed on themselves.

    Raises
    ------
    EnsembleError
        Where the scenario does not know the real day.
    """
    check_real(scenario)
    off = LEVEL_OFF * (_fact(scenario, "high") - _fact(scenario, "low"))
    course = [
        Fact(f"median at {clock_text(at)[:5]}", partial(_median_at, at), (real - off, real + off))
        for at, real in marks(scenario).items()
        if at % HOUR == 0
    ]
    # None of it sold blind is best.
    blind = Fact("sold blind, of what is sold", _blind_share, (-MOST_BLIND, MOST_BLIND))
    return [*facts(scenario), *course, blind]


def _hour_lost(full: Ensemble) -> float:
    below = np.median(full.mids, axis=0) < LOST_POINTS
    return float(full.clock_ns[below.argmax()]) / HOUR if below.any() else math.inf


def _clock(hour: float) -> str:
    return clock_text(round(hour * HOUR)) if hour < math.inf else "never"


def _volume_share(end: int, real: int, full: Ensemble) -> float:
    return float(np.median(full.volumes(end - HOUR, end))) / real


def _median_at(at: int, full: Ensemble) -> float:
    return float(np.median(full.at(at)))


def _blind_share(full: Ensemble) -> float:
    pairs = [(course.sold_blind, course.sold_contracts) for course in full.courses if course.sold_blind is not None]
    blind, seeing = np.sum(pairs, axis=0) if pairs else (0.0, 0.0)
    return float(blind / seeing) if seeing > 0 else math.nan


def _fact(scenario: Scenario, name: str) -> float:
    return float(getattr(scenario.real, name))


def _where(clocks: pd.Series) -> str:
    return f"; not {', '.join(clock[:5] for clock in clocks)}" if len(clocks) else ""


# Showing


def figure(scenario: Scenario, full: Ensemble) -> Figure:
    """The band and the median of the ensemble, and the real day."""
    drawn = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = drawn.add_subplot()
    hours = full.clock_ns / HOUR
    low, lower, middle, upper, high = np.quantile(full.mids, LEVELS, axis=0)
    axes.fill_between(hours, low, high, color=BLUE, alpha=0.15, linewidth=0, label="nine runs of ten")
    axes.fill_between(hours, lower, upper, color=BLUE, alpha=0.25, linewidth=0, label="half of the runs")
    axes.plot(hours, middle, color=BLUE, linewidth=1.5, label="median")
    real = marks(scenario)
    axes.plot(np.array(list(real)) / HOUR, list(real.values()), "o-", color=VERMILION, markersize=3, label="real day")
    ticks = np.arange(math.ceil(hours[0]), math.floor(hours[-1]) + 1)
    axes.set_xticks(ticks, [f"{tick:02d}:00" for tick in ticks])
    axes.set_title(f"{scenario.title}: {len(full.courses)} runs (index points)")
    axes.legend(loc="lower left")
    return drawn
