"""Calibration: the numbers of a scenario with which its days come nearest to the laws of real ones, or to a real day.

The method of simulated moments (McFadden, Econometrica 57, 1989, p. 995; Franke and Westerhoff, J. Econ. Dyn. Control
36, 2012, p. 1193, for agent-based markets). The moments are the laws of the realism card, or the facts of the real day
that a scenario knows. Each is measured in units of its accepted range: 0 in the middle, -1 and 1 at the ends; the
distance is the mean of their squares, each cut off at `FARTHEST`, so that a law out of reach does not outweigh the
others. All points are run with the same seeds, the first of them the scenario as it is. The search is optuna's
tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011); its trials stand in a journal in the folder, with
which the same command goes on; a changed file or changed code begins anew.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import tomlkit
from joblib import Parallel, delayed
from numpy.typing import NDArray
from pydantic import Field, JsonValue, model_validator
from rich.box import SIMPLE
from rich.table import Table as Grid

from sim import ensemble
from sim.analysis.observed import Moments
from sim.analysis.realism import LAWS, THIN_BELOW_MUSD, Law, Range, jackknife
from sim.ensemble import Course, Ensemble, EnsembleError, Fact
from sim.files import aside, write_json
from sim.scenario import ScenarioError, did_you_mean, load, validate, value_at
from sim.sweep.design import Factor, require_distinct
from sim.sweep.parts import code_digest
from sim.tables import Scenario, Table
from sim.validate.worlds import observe

FARTHEST = 25.0
"""Most that a law or fact adds to the distance: it is five half ranges from the middle, or has no value."""
STEP = 0.1
"""Of a factor's range: what it is moved to either side to see what it does."""
NORMAL_95 = 1.96
RESAMPLES = 500
JOURNAL = "trials.journal"


class CalibrationError(ValueError):
    """A calibration that cannot be made; its text is one line for the user."""


class World(Table):
    """A variant of the scenario whose days are judged."""

    judged_by: Literal["card", "day"] = Field("card", description="the realism card's laws, or the real day's facts")
    set: dict[str, JsonValue] = Field({}, description="scenario keys")


class CalibrationTables(Table):
    """The tables of a calibration file."""

    title: str = Field(min_length=1, description="what is calibrated")
    scenario: str = Field(min_length=1, description="scenario file, from the calibration file's folder")
    seeds: int = Field(ge=2, le=1000, description="days of each world, on the same seeds at all points")
    first_seed: int = Field(1, ge=0, lt=2**62, description="seeds count up from here")
    set: dict[str, JsonValue] = Field({}, description="scenario keys that are the same at all points")
    leave_out: tuple[str, ...] = Field((), description="laws and facts that are not aimed at")
    world: tuple[World, ...] = Field((World.model_validate({}),), min_length=1, description="what is judged")
    factor: tuple[Factor, ...] = Field(min_length=1, max_length=100, description="scenario keys to be found")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if listed := next((factor.key for factor in self.factor if factor.range is None), None):
            raise ValueError(f"{listed}: a factor of a calibration has a range")
        require_distinct([factor.key for factor in self.factor])
        return self


type Days = Sequence[Moments] | Sequence[Course]
"""Of one world: moments for the card, courses for the real day."""
type Value = Callable[[Any], float]
"""A number of some days."""


@dataclass(frozen=True)
class Target:
    """A law or fact in one of the worlds, with the range it is to lie in; `value` is NaN or infinite where it has none.

    `error` is the standard error of a value over days.
    """

    world: int
    name: str
    value: Value
    accepted: Range
    error: Callable[[Value, Any], float]

    def off(self, days: Days) -> float:
        """Where it lies, in half ranges from the middle; NaN where it has no value."""
        low, high = self.accepted
        value = self.value(days)
        return (value - 0.5 * (low + high)) / (0.5 * (high - low)) if np.isfinite(value) else np.nan


def of_law(world: int, law: Law, accepted: Range) -> Target:
    """A law of the card, which has no value where no day tells it."""

    def value(days: Sequence[Moments]) -> float:
        used = law.told_by(days)
        return law.value(used) if used else np.nan

    return Target(world, law.name, value, accepted, jackknife)


def of_fact(world: int, fact: Fact) -> Target:
    """A fact of the real day."""
    return Target(world, fact.claim, lambda days: fact.value(Ensemble(days)), fact.accepted, bootstrapped)


def bootstrapped(value: Value, days: Sequence[Any]) -> float:
    """Standard error by drawing the days again, over draws that have a value: facts are medians, no jackknife's thing.

    See Efron, Ann. Stat. 7, 1979, p. 1, sec. 3.
    """
    draws = np.random.default_rng(1).integers(0, len(days), (RESAMPLES, len(days)))
    values = np.array([value([days[day] for day in draw]) for draw in draws])
    known = values[np.isfinite(values)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else np.nan


@dataclass(frozen=True)
class Calibration:
    """A calibration file that was read."""

    path: Path
    tables: CalibrationTables

    @property
    def keys(self) -> list[str]:
        """The scenario keys to be found."""
        return [factor.key for factor in self.tables.factor]

    def scenario(self, world: World, places: Sequence[float]) -> Scenario:
        """A world with each factor at a place of its range, 0 to 1."""
        found = {factor.key: factor.at(place) for factor, place in zip(self.tables.factor, places, strict=True)}
        return load(self.path.parent / self.tables.scenario, self.tables.set | world.set | found)

    def own_places(self) -> list[float]:
        """Where the scenario's own values are."""
        content = tomllib.loads(load(self.path.parent / self.tables.scenario, self.tables.set).to_toml())
        values = {key: value_at(content, key) for key in self.keys}
        if odd := next((key for key, value in values.items() if not isinstance(value, int | float)), None):
            raise CalibrationError(f"{odd}: the scenario has no number there to begin with")
        return [factor.place(values[factor.key]) for factor in self.tables.factor]

    @cached_property
    def targets(self) -> list[Target]:
        """What is aimed at: facts, and laws with a range that a day can tell by itself."""
        return [target for target in self.all_targets if target.name not in self.tables.leave_out]

    @cached_property
    def all_targets(self) -> list[Target]:
        """What could be aimed at."""
        return [
            target
            for number, world in enumerate(self.tables.world)
            for target in _targets(number, world.judged_by, self.scenario(world, self.middle))
        ]

    def digest(self) -> str:
        """Digest of all that decides what a trial gives: the file, the scenario of each world, the code."""
        scenarios = [self.scenario(world, self.middle) for world in self.tables.world]
        modules = {crowd.import_path.partition(":")[0] for scenario in scenarios for crowd in scenario.crowds}
        parts = [self.tables.model_dump_json(), *(scenario.digest for scenario in scenarios), code_digest(modules)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def seeds(self) -> range:
        """The seeds that points are compared on."""
        return range(self.tables.first_seed, self.tables.first_seed + self.tables.seeds)

    @property
    def middle(self) -> list[float]:
        """All factors in the middle of their ranges."""
        return [0.5] * len(self.tables.factor)

    def days(self, points: Sequence[Sequence[float]], seeds: range, workers: int) -> list[list[Days]]:
        """The days of each world at each point."""
        worlds = self.tables.world
        texts = [self.scenario(world, point).to_toml() for point in points for world in worlds]
        observers = [observe if world.judged_by == "card" else ensemble.observe for world in worlds] * len(points)
        tasks = (delayed(see)(text, seed) for see, text in zip(observers, texts, strict=True) for seed in seeds)
        found = iter(Parallel(n_jobs=workers)(tasks))
        return [[[next(found) for _ in seeds] for _ in worlds] for _ in points]


def _targets(number: int, judged_by: str, scenario: Scenario) -> list[Target]:
    """All targets of one world."""
    if judged_by == "day":
        try:
            return [of_fact(number, fact) for fact in ensemble.aims(scenario)]
        except EnsembleError as error:
            raise CalibrationError(f"world.{number}.judged_by: the scenario does not know the day: {error}") from None
    thin = scenario.depth_musd < THIN_BELOW_MUSD
    return [
        of_law(number, law, accepted)
        for law in LAWS
        if (accepted := law.thin if thin else law.normal) and not {"probe", "depths"} & set(law.needs)
    ]


def read_calibration(path: Path) -> Calibration:
    """Read and check a calibration file.

    Raises
    ------
    CalibrationError
        Whatever is wrong, in one line with the file and the key.
    """
    try:
        calibration = Calibration(path, validate(CalibrationTables, tomllib.loads(path.read_text(encoding="utf-8"))))
        for world in calibration.tables.world:
            for place in (0.0, 1.0):
                calibration.scenario(world, [place] * len(calibration.keys))
        names = [*(law.name for law in LAWS), *(target.name for target in calibration.all_targets)]
        if unknown := next((name for name in calibration.tables.leave_out if name not in names), None):
            near = did_you_mean(unknown, names) or f"; there are {', '.join(dict.fromkeys(names))}"
            raise CalibrationError(f"leave_out: no law or fact is called {unknown!r}{near}")
        calibration.own_places()
        if not calibration.targets:
            raise CalibrationError("leave_out: no law or fact is left to aim at")
    except (CalibrationError, ScenarioError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path}: {error}") from None
    return calibration


def offs(targets: Sequence[Target], worlds: Sequence[Days]) -> NDArray[np.float64]:
    """Where all targets lie, in half ranges from the middle of what is accepted."""
    return np.array([target.off(worlds[target.world]) for target in targets])


def distance(off: NDArray[np.float64]) -> float:
    """Mean squared distance of the targets, each cut off."""
    return float(np.minimum(np.nan_to_num(off**2, nan=FARTHEST, posinf=FARTHEST), FARTHEST).mean())


def search(
    calibration: Calibration, folder: Path, trials: int, workers: int, show: Callable[[int, int], None]
) -> pd.DataFrame:
    """Try points until the folder has so many; all of them, a row each.

    Parameters
    ----------
    calibration : Calibration
    folder : Path
        Keeps the journal of trials.
    trials : int
    workers : int
        Processes.
    show : callable
        Gets the trials done and in all.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _cut_torn_line(folder / JOURNAL)
    try:
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
        study = optuna.create_study(storage=storage, study_name=calibration.digest(), load_if_exists=True)
    except (ValueError, LookupError, TypeError):
        raise CalibrationError(f"{folder / JOURNAL}: damaged; take it away, or give another --out") from None
    done = [trial for trial in study.trials if trial.state.is_finished()]
    study.sampler = optuna.samplers.TPESampler(seed=len(done), n_startup_trials=len(calibration.keys))
    if not done:
        study.enqueue_trial(dict(zip(calibration.keys, calibration.own_places(), strict=True)))
    targets = calibration.targets
    for number in range(len(done), trials):
        show(number, trials)
        trial = study.ask()
        point = [trial.suggest_float(key, 0.0, 1.0) for key in calibration.keys]
        (worlds,) = calibration.days([point], calibration.seeds, workers)
        study.tell(trial, distance(offs(targets, worlds)))
    rows = [trial.params | {"distance": trial.value} for trial in study.trials if trial.state.is_finished()]
    return pd.DataFrame(rows)


def _cut_torn_line(journal: Path) -> None:
    """Take off a last line that a kill has left without its end."""
    if journal.exists():
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)


def intervals(
    calibration: Calibration, best: Sequence[float], worlds: Sequence[Days], workers: int
) -> NDArray[np.float64]:
    """Half widths of the factors' 95 % intervals, in units of their ranges.

    The sandwich (J'J)^-1 J'SJ (J'J)^-1 of the method of moments: J are the targets' changes with the factors, by
    central differences on the same seeds; S has the targets' variances: that of the simulated days and that of the
    target itself, whose accepted range is taken as two standard errors to either side. A factor that moves no
    target has an interval as wide as its range.
    """
    targets = calibration.targets
    low = np.clip(np.asarray(best) - STEP, 0, 1)
    high = np.clip(np.asarray(best) + STEP, 0, 1)
    points = [[*best[:place], end[place], *best[place + 1 :]] for place in range(len(best)) for end in (low, high)]
    moved = np.array([offs(targets, days) for days in calibration.days(points, calibration.seeds, workers)])
    slopes = ((moved[1::2] - moved[::2]) / (high - low)[:, None]).T
    errors = np.array([target.error(target.off, worlds[target.world]) for target in targets])
    known = np.isfinite(slopes).all(axis=1) & np.isfinite(errors)
    inverse = np.linalg.pinv(slopes[known])
    variances = np.einsum("ij,j,ij->i", inverse, errors[known] ** 2 + 0.25, inverse)
    moves = (np.abs(slopes[known]) > 0).any(axis=0)
    return np.where(moves, np.minimum(NORMAL_95 * np.sqrt(variances), 1.0), 1.0)


def calibrate(
    calibration: Calibration, folder: Path, *, trials: int, workers: int, show: Callable[[int, int], None]
) -> Mapping[str, Any]:
    """Search, and write what was found: `trials.csv`, `fit.json` and the optimum as `optimum.toml`; the content of fit.

    The distance is given on the seeds of the search and on as many others, for the best of many points is best by luck,
    too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tried = search(calibration, folder, trials, workers, show)
    best = tried.loc[tried["distance"].idxmin(), calibration.keys].tolist()
    seeds = calibration.seeds
    fresh = range(seeds.stop, seeds.stop + len(seeds))
    (there,), (judged,) = (calibration.days([best], chosen, workers) for chosen in (seeds, fresh))
    widths = intervals(calibration, best, there, workers)
    targets = calibration.targets
    fit = {
        "title": calibration.tables.title,
        "trials": len(tried),
        "seeds": list(seeds),
        "distance": distance(offs(targets, there)),
        "distance_fresh_seeds": distance(offs(targets, judged)),
        "factors": [
            {"key": factor.key, "optimum": factor.at(place), "low": factor.at(max(place - width, 0.0))}
            | {"high": factor.at(min(place + width, 1.0)), "range": factor.range, "scale": factor.scale}
            for factor, place, width in zip(calibration.tables.factor, best, widths, strict=True)
        ],
        "targets": [
            calibration.tables.world[target.world].model_dump()
            | {"target": target.name, "accepted": target.accepted}
            | {"measured": target.value(there[target.world])}
            | {"fresh_seeds": target.value(judged[target.world])}
            for target in targets
        ],
    }
    for factor in calibration.tables.factor:
        tried[factor.key] = tried[factor.key].map(factor.at)
    _write(folder, tried, fit)
    return fit


def _write(folder: Path, tried: pd.DataFrame, fit: Mapping[str, Any]) -> None:
    optimum = {row["key"]: row["optimum"] for row in fit["factors"]}
    with aside(folder / "trials.csv") as draft:
        tried.to_csv(draft, index=False)
    with aside(folder / "optimum.toml") as draft:
        draft.write_text(tomlkit.dumps(optimum), encoding="utf-8")
    write_json(folder / "fit.json", fit)


def fit_tables(fit: Mapping[str, Any]) -> list[Grid]:
    """What was found, for reading: the factors with their intervals, the targets (times in hours) on both seeds."""
    title = f"{fit['title']}: distance {fit['distance']:.2f}, on fresh seeds {fit['distance_fresh_seeds']:.2f}"
    factors = Grid("", "optimum", "95 %", "searched", title=title, box=SIMPLE)
    for row in fit["factors"]:
        ends = (f"{_short(row['low'])} to {_short(row['high'])}", f"{row['range'][0]:g} to {row['range'][1]:g}")
        factors.add_row(row["key"], _short(row["optimum"]), *ends)
    targets = Grid("", "with", "measured", "fresh seeds", "accepted", box=SIMPLE)
    for row in fit["targets"]:
        low, high = row["accepted"]
        world = ", ".join(f"{key}={value}" for key, value in row["set"].items())
        numbers = [_short(row[name]) if np.isfinite(row[name]) else "" for name in ("measured", "fresh_seeds")]
        targets.add_row(row["target"], world, *numbers, f"{_short(low)} to {_short(high)}")
    return [factors, targets]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
