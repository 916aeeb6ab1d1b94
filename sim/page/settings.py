"""What can be chosen on the page, within which bounds; and what becomes of it: a scenario and a seed.

The browser only ever names things: a scenario by its name, a book by its name, a slider by its key. Whatever it sends
is checked here, where the server is; what does not fit is put within bounds or left out.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sim import DEFAULT_SEED
from sim.scenario import load, run_command, value_at
from sim.tables import Scenario

SEEDS = (0, 9999)
FINEST_STEP = 1e-6
NORMAL_DEPTH_MUSD = 11.5
"""Depth of the second world at first: the one-year average of the top of book (Goldman Sachs desk, by the press)."""


@dataclass(frozen=True)
class Dial:
    """A slider: key of the scenario, label, unit, range and step."""

    key: str
    label: str
    unit: str
    low: float
    high: float
    step: float

    def widened(self, value: float) -> Dial:
        """The same with a range, and steps of it, that hold the scenario's own value."""
        step = self.step
        # A slider that cannot stand on a value moves it by itself.
        while step > FINEST_STEP and not math.isclose(round(value / step) * step, value):
            step /= 10
        return replace(self, low=min(self.low, value), high=max(self.high, value), step=step)

    def within(self, value: object, otherwise: float) -> float:
        """A value from the browser on the steps of the range; `otherwise` where it is no number."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return otherwise
        return min(max(round(round(value / self.step) * self.step, 6), self.low), self.high)


DIALS = (
    Dial("depth_musd", "Depth of the book", "$M a side", 0.5, 20.0, 0.1),
    Dial("options.scale", "Dealers' gamma: their option book", "times", 0.0, 2.0, 0.05),
    Dial("agents.ctas.contracts", "Trend followers' position", "contracts", 0.0, 100_000.0, 1000.0),
    Dial("agents.etfs.clip_contracts", "ETF share, by the size of their clips", "contracts", 1.0, 400.0, 1.0),
    Dial("agents.makers.withdrawal", "Market makers' withdrawal", "exponent of volatility", 0.0, 4.0, 0.05),
)


@dataclass(frozen=True)
class Choice:
    """What has been chosen for one world, by key; what is not named is as the scenario says.

    Attributes
    ----------
    values
        Values of dials.
    book
        Name of a book of options, "" for the scenario's own.
    without
        Groups that are left out.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    book: str = ""
    without: frozenset[str] = frozenset()

    def turned(self, dial: Dial, value: object, own: float) -> Choice:
        """The same with a dial at a value from the browser."""
        new = dial.within(value, self.values.get(dial.key, own))
        rest = {key: old for key, old in self.values.items() if key != dial.key}
        return replace(self, values=rest if new == own else rest | {dial.key: new})

    def switched(self, group: str, on: bool) -> Choice:
        """The same with a group in it or not."""
        return replace(self, without=self.without - {group} if on else self.without | {group})


@dataclass(frozen=True)
class Settings:
    """Everything that is chosen: a scenario by name, a seed, and one or two worlds."""

    scenario: str
    seed: int = DEFAULT_SEED
    worlds: tuple[Choice, ...] = (Choice(),)

    def seeded(self, seed: object) -> Settings:
        """The same with a seed from the browser; unchanged where it is no whole number within bounds."""
        text = str(seed)
        known = text.isascii() and text.isdigit() and len(text) <= len(str(SEEDS[1]))
        return replace(self, seed=int(text)) if known else self

    def compared(self, on: bool) -> Settings:
        """The same with a second world, of normal depth but otherwise like the first; or without."""
        if not on:
            return replace(self, worlds=self.worlds[:1])
        normal = replace(self.worlds[0], values=dict(self.worlds[0].values) | {"depth_musd": NORMAL_DEPTH_MUSD})
        return replace(self, worlds=(self.worlds[0], normal))

    def with_world(self, place: int, choice: Choice) -> Settings:
        """The same with another choice for one of the worlds."""
        return replace(self, worlds=(*self.worlds[:place], choice, *self.worlds[place + 1 :]))


class Shelf:
    """The scenarios of a folder and the books beside them, by name. Nothing else can be opened."""

    def __init__(self, path: Path) -> None:
        self.first = path.stem
        self._paths = {other.stem: other for other in sorted(path.parent.glob("*.toml"))} | {path.stem: path}
        self._books = {book.stem: book for book in sorted(path.parent.glob("books/*.csv"))}

    @property
    def scenarios(self) -> list[str]:
        """Names of the scenarios, the one that was asked for first."""
        return sorted(self._paths, key=lambda name: (name != self.first, name))

    @property
    def books(self) -> list[str]:
        """Names of the books of options."""
        return list(self._books)

    def path(self, name: str) -> Path:
        """File of a scenario; KeyError for a name that is not on the shelf."""
        return self._paths[name]

    def card(self, name: str) -> Card:
        """What can be chosen in a scenario."""
        return Card(load(self.path(name)))

    def overrides(self, choice: Choice) -> dict[str, Any]:
        """The choice as settings of `thinbook run`, without the groups left out."""
        book = {"options.book": f"books/{self._books[choice.book].name}"} if choice.book in self._books else {}
        return dict(choice.values) | book

    def build(self, name: str, choice: Choice) -> Scenario:
        """The scenario with what has been chosen; ScenarioError where that cannot be."""
        return load(self.path(name), self.overrides(choice), sorted(choice.without))

    def command(self, settings: Settings, place: int) -> str:
        """The command that makes the same run."""
        choice = settings.worlds[place]
        path, without = self.path(settings.scenario), ",".join(sorted(choice.without))
        return run_command(path, settings.seed, self.overrides(choice), without)


@dataclass(frozen=True)
class Card:
    """What a scenario leaves to choose."""

    scenario: Scenario

    @cached_property
    def own(self) -> dict[str, float]:
        """The scenario's own values of the dials it has."""
        content = tomllib.loads(self.scenario.to_toml())
        values = {dial.key: value_at(content, dial.key) for dial in DIALS}
        return {key: float(value) for key, value in values.items() if value is not None}

    @property
    def dials(self) -> list[Dial]:
        """The dials it has, wide enough for its own values."""
        return [dial.widened(self.own[dial.key]) for dial in DIALS if dial.key in self.own]
