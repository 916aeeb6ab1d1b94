"""What a sweep is made of: factors, a design over them, replicates on common seeds.

A factor is any scenario key, or `groups.NAME`, whether a group of agents takes part. Designs over ranges draw points of
the unit cube and map them: a grid and Latin hypercubes and Sobol sequences (scipy.stats.qmc), Saltelli's and Morris's
for indices of sensitivity (SALib). Every point is run with the same seeds: differences between points are then paired.
"""

from __future__ import annotations

import itertools
import json
import math
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue, model_validator

from sim.scenario import ScenarioError, leave_out, load, validate, value_at
from sim.tables import Scenario, Table

SWITCH = "groups."
"""Prefix of the factors that are groups of agents."""
MOST_RUNS = 10_000_000


class SweepError(ValueError):
    """A sweep that cannot be used; its text is one line for the user."""


def _kind(value: Any) -> str:
    """What a value of a factor is: a column of the table holds one kind."""
    if isinstance(value, bool):
        return "switches"
    return "numbers" if isinstance(value, int | float) else "texts" if isinstance(value, str) else "tables"


def _text(value: Any) -> str:
    """The same for equal values."""
    return f"{value:.17g}" if _kind(value) == "numbers" else json.dumps(value)


def require_distinct(keys: Sequence[str]) -> None:
    """Refuse a scenario key that is set twice."""
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise ValueError(f"{twice}: set twice")


class Factor(Table):
    """A scenario key and the values it takes: listed, or between the bounds of a range."""

    key: str = Field(min_length=1, description="scenario key, or groups.NAME")
    values: tuple[JsonValue, ...] | None = Field(None, min_length=1, max_length=100_000, description="its values")
    range: tuple[float, float] | None = Field(None, description="its least and largest value")
    steps: int | None = Field(None, ge=2, le=100_000, description="values of a range in a grid")
    scale: Literal["linear", "log"] = Field("linear", description="how a range is divided")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.values is None) == (self.range is None):
            raise ValueError(f"{self.key}: give either values or a range")
        if self.range and not np.isfinite(self.range).all():
            raise ValueError(f"{self.key}: range: {list(self.range)}: both ends must be finite numbers")
        if self.range and not (0 if self.scale == "log" else -np.inf) < self.range[0] < self.range[1]:
            positive = ", above 0 on a log scale" if self.scale == "log" else ""
            raise ValueError(f"{self.key}: range: {list(self.range)}: the first must be the smaller one{positive}")
        if len(kinds := sorted(set(map(_kind, self.values or ())))) > 1:
            raise ValueError(f"{self.key}: values: {' and '.join(kinds)}; all must be of one kind")
        if twice := next((text for text, times in Counter(map(_text, self.values or ())).items() if times > 1), ""):
            raise ValueError(f"{self.key}: values: {twice} is given twice")
        if self.key.startswith(SWITCH) and not all(isinstance(value, bool) for value in self.values or [0]):
            raise ValueError(f"{self.key}: values: a group takes part or not; write [true, false]")
        return self

    def levels(self) -> tuple[Any, ...]:
        """Its values in a grid."""
        if self.values is not None:
            return self.values
        if self.steps is None:
            raise SweepError(f"factor {self.key}: steps: missing; a grid needs the number of values of a range")
        return tuple(self.at(place / (self.steps - 1)) for place in range(self.steps))

    def at(self, place: float) -> Any:
        """The value at a place of [0, 1]."""
        if self.values is not None:
            return self.values[min(int(place * len(self.values)), len(self.values) - 1)]
        assert self.range is not None
        low, high = self.range
        return float(low * (high / low) ** place if self.scale == "log" else low + (high - low) * place)

    def place(self, value: float) -> float:
        """The place of a value in the range, 0 to 1; that of the nearer end where it lies outside."""
        assert self.range is not None
        low, high = self.range
        inside = min(max(value, low), high)
        return math.log(inside / low) / math.log(high / low) if self.scale == "log" else (inside - low) / (high - low)


class Design(Table):
    """Which combinations of the factors' values are run."""

    kind: Literal["grid", "latin_hypercube", "sobol", "saltelli", "morris"] = Field("grid", description="the design")
    points: int | None = Field(
        None, ge=1, le=10_000_000, description="points; base samples of saltelli, trajectories of morris"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="seed of a random design")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.points is None) != (self.kind == "grid"):
            raise ValueError("points: a grid has none; the other designs need them")
        return self


class SweepTables(Table):
    """The tables of a sweep file."""

    title: str = Field(min_length=1, description="what the sweep is about")
    scenario: str = Field(min_length=1, description="scenario file, from the sweep file's folder")
    seeds: int = Field(ge=1, le=1_000_000, description="replicates: seeds of every point, the same for all")
    first_seed: int = Field(1, ge=0, lt=2**62, description="seeds count up from here")
    keep: tuple[Literal["bars", "trades", "quotes", "decisions", "depth"], ...] = Field(
        (), description="tables kept beside the summary"
    )
    design: Design = Field(default_factory=lambda: Design.model_validate({}), description="which combinations")
    factor: tuple[Factor, ...] = Field(min_length=1, max_length=1000, description="the factors")
    set: dict[str, JsonValue] = Field({}, description="scenario keys that are the same in all runs")

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        require_distinct([factor.key for factor in self.factor] + list(self.set))
        return self


@dataclass(frozen=True)
class Sweep:
    """A sweep file that was read."""

    path: Path
    tables: SweepTables
    added: tuple[Mapping[str, Any], ...] = ()
    """Points beside those of the design (`sim.sweep.refine`)."""

    @property
    def scenario_path(self) -> Path:
        """The scenario it varies."""
        return self.path.parent / self.tables.scenario

    @property
    def seeds(self) -> range:
        """The seeds of every point."""
        return range(self.tables.first_seed, self.tables.first_seed + self.tables.seeds)

    @cached_property
    def points(self) -> list[dict[str, Any]]:
        """The values of all factors at each point of the design, then at those added."""
        keys, whole = [factor.key for factor in self.tables.factor], self._whole()
        designed: Iterable[tuple[Any, ...]] = (
            tuple(round(value) if key in whole else value for key, value in zip(keys, values, strict=True))
            for values in _combinations(self.tables)
        )
        # Steps of a range of whole numbers may fall together.
        if whole and self.tables.design.kind == "grid":
            designed = {json.dumps(values): values for values in designed}.values()
        return [*(dict(zip(keys, values, strict=True)) for values in designed), *map(dict, self.added)]

    def _whole(self) -> set[str]:
        """Keys with a range whose values in the scenario are whole numbers."""
        ranged = [factor.key for factor in self.tables.factor if factor.range]
        if not ranged:
            return set()
        content = tomllib.loads(load(self.scenario_path, self.tables.set).to_toml())
        return {key for key in ranged if isinstance(value_at(content, key), int)}

    def scenario(self, point: Mapping[str, Any]) -> Scenario:
        """The scenario at a point."""
        without = [key.removeprefix(SWITCH) for key, value in point.items() if key.startswith(SWITCH) and not value]
        values = {key: value for key, value in point.items() if not key.startswith(SWITCH)}
        switched = {key.removeprefix(SWITCH) for key in point if key.startswith(SWITCH)}
        try:
            whole = load(self.scenario_path, self.tables.set | values)
            leave_out(whole.crowds, switched)  # refuses a misspelt group even where it takes part
        except ScenarioError as error:
            raise ScenarioError(f"{self.path}: {error}") from None
        return whole.model_copy(update={"crowds": leave_out(whole.crowds, without)})


def read_sweep(path: str | Path) -> Sweep:
    """Read and check a sweep file.

    Raises
    ------
    SweepError
        Whatever is wrong, in one line with the file and the key.
    """
    path = Path(path)
    try:
        tables = validate(SweepTables, tomllib.loads(path.read_text(encoding="utf-8")))
        if (runs := _count(tables) * tables.seeds) > MOST_RUNS:
            raise SweepError(f"{runs:,} runs; a sweep has at most {MOST_RUNS:,}")
        sweep = Sweep(path, tables)
        _ = sweep.points
    except (ScenarioError, SweepError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SweepError(f"{path}: {error}") from None
    return sweep


def _count(tables: SweepTables) -> int:
    """Points of a design."""
    design, factors = tables.design, len(tables.factor)
    if design.points is None:
        return math.prod(len(factor.values) if factor.values else factor.steps or 1 for factor in tables.factor)
    each = {"saltelli": factors + 2, "morris": factors + 1}
    return design.points * each.get(design.kind, 1)


def _combinations(tables: SweepTables) -> Iterator[tuple[Any, ...]]:
    if tables.design.kind == "grid":
        yield from itertools.product(*(factor.levels() for factor in tables.factor))
        return
    for places in unit_points(tables.design, len(tables.factor)):
        yield tuple(factor.at(place) for factor, place in zip(tables.factor, places, strict=True))


def unit_points(design: Design, factors: int) -> NDArray[np.float64]:
    """Points (n, factors) of a design in the unit cube."""
    from scipy.stats import qmc

    assert design.points is not None
    rng = np.random.default_rng(design.seed)
    if design.kind == "latin_hypercube":
        return qmc.LatinHypercube(factors, rng=rng).random(design.points)
    if design.kind == "sobol":
        _power_of_two(design)
        return qmc.Sobol(factors, rng=rng).random(design.points)
    return _sensitivity_points(design, factors)


def _sensitivity_points(design: Design, factors: int) -> NDArray[np.float64]:
    import SALib.sample.morris
    import SALib.sample.sobol

    cube = {"num_vars": factors, "names": [str(place) for place in range(factors)], "bounds": [[0, 1]] * factors}
    if design.kind == "saltelli":
        _power_of_two(design)
        return np.asarray(SALib.sample.sobol.sample(cube, design.points, calc_second_order=False, seed=design.seed))
    return np.asarray(SALib.sample.morris.sample(cube, design.points, seed=design.seed))


def _power_of_two(design: Design) -> None:
    if design.points and design.points & (design.points - 1):
        raise SweepError(f"design.points: {design.points} is no power of two, as {design.kind} needs")
