"""Scenarios: a TOML file in, validated and frozen objects out, and back.

A scenario holds everything a run depends on except its seed. Three laws:

1. What is not understood is refused, in one line that names the file, the key and what would be right.
2. `to_toml` writes the scenario complete: all defaults, all overrides, the book of options itself. Loading that text
   gives the same scenario, with the same digest, wherever it lies.
3. The digest depends on content alone, not on comments, formatting or the place of a file.

Values pass through JSON on their way into pydantic's strict mode. That makes it as strict as TOML is: no number is
made from a text or a boolean, while an array may become a tuple and a text a date.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import json
import math
import pkgutil
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args, get_origin

import numpy as np
import tomlkit
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from sim.clock import is_trading_day
from sim.options import Contract, OptionBook
from sim.surface import SurfaceParams
from sim.units import clock_ns, moment_ns

INT64 = 2**63
LONGEST_OPTION_DAYS = 3600
UNITS = {
    "musd": "$M",
    "usd": "$",
    "cents": "cents",
    "points": "index points",
    "ticks": "ticks",
    "pct": "%",
    "contracts": "contracts",
    "ns": "ns",
    "seconds": "s",
    "minutes": "min",
    "hours": "h",
    "days": "days",
}
"""Unit of a key by the last word of its name."""


class ScenarioError(ValueError):
    """A scenario that cannot be used; its text is one line for the user."""


# The tables of a scenario file


class Table(BaseModel):
    """A table of a scenario file: frozen, and no key but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _clock(text: str) -> str:
    if not re.fullmatch("[0-9]{2}:[0-9]{2}(:[0-9]{2})?", text):
        raise ValueError(f"{text!r} is no clock time; write HH:MM or HH:MM:SS")
    clock_ns(text)
    return text


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if not moment or text not in (f"{moment:%Y-%m-%d %H:%M}", f"{moment:%Y-%m-%d %H:%M:%S}"):
        raise ValueError(f"{text!r} is no moment; write YYYY-MM-DD HH:MM or YYYY-MM-DD HH:MM:SS")
    return text


Clock = Annotated[str, AfterValidator(_clock)]
Moment = Annotated[str, AfterValidator(_moment)]
Percent = Annotated[float, Field(gt=0, lt=100)]


class Session(Table):
    """When the market trades, and from where it starts."""

    days: tuple[Annotated[date, Field(ge=date(1990, 1, 1), le=date(2100, 1, 1))], ...] = Field(
        min_length=1, max_length=366, description="the trading days, in order"
    )
    open: Clock = Field("09:30", description="exchange time", json_schema_extra={"source": "New York Stock Exchange"})
    close: Clock = Field("16:00", description="exchange time", json_schema_extra={"source": "New York Stock Exchange"})
    end: Clock = Field(
        default_factory=lambda data: data.get("close", "16:00"),
        description="the last day's last moment",
        json_schema_extra={"source": "the close"},
    )
    prior_close_points: float = Field(gt=0, le=1e6, description="the close before the first day")
    value_points: float = Field(
        default_factory=lambda data: data.get("prior_close_points", 1.0),
        gt=0,
        le=1e6,
        description="the level of value at the start",
        json_schema_extra={"source": "the prior close"},
    )
    bar_seconds: int = Field(
        60, ge=1, le=86_400, description="one step of the model", json_schema_extra={"source": "assumed, round"}
    )

    @field_validator("days")
    @classmethod
    def _in_order(cls, days: tuple[date, ...]) -> tuple[date, ...]:
        if list(days) != sorted(set(days)):
            raise ValueError("the days must be in order, each once")
        for day in days:
            if not is_trading_day(day):
                raise ValueError(f"{day}, a {day:%A}, is no trading day")
        return days

    @model_validator(mode="after")
    def _open_before_close(self) -> Self:
        if not clock_ns(self.open) < clock_ns(self.end) <= clock_ns(self.close):
            raise ValueError(f"needs open < end <= close, not {self.open}, {self.end}, {self.close}")
        return self

    @property
    def first_day(self) -> date:
        """The day whose midnight is time zero."""
        return self.days[0]

    @property
    def hours_ns(self) -> tuple[tuple[int, int], ...]:
        """First and last moment of every day's trading, in nanoseconds; `end` is the last moment of the last."""
        closes = [self.close] * (len(self.days) - 1) + [self.end]
        return tuple(
            (moment_ns(f"{day} {self.open}", self.first_day), moment_ns(f"{day} {close}", self.first_day))
            for day, close in zip(self.days, closes, strict=True)
        )


class MarketRules(Table):
    """The rules of the exchange."""

    halts_pct: tuple[Percent, ...] = Field(
        default=(7.0, 13.0, 20.0),
        description="falls from the prior close that halt trading; the last one ends the day",
        json_schema_extra={"source": "NYSE rule 7.12"},
    )
    halt_minutes: float = Field(
        default=15.0, gt=0, le=1440, description="length of a halt", json_schema_extra={"source": "NYSE rule 7.12"}
    )
    band_pct: float = Field(
        default=30.0,
        gt=0,
        lt=100,
        description="prices farther from the prior close are refused",
        json_schema_extra={"source": "assumed, round"},
    )

    @model_validator(mode="after")
    def _halts_rise(self) -> Self:
        if list(self.halts_pct) != sorted(set(self.halts_pct)):
            raise ValueError("halts_pct must rise from one to the next")
        if self.halts_pct and self.halts_pct[-1] >= self.band_pct:
            raise ValueError(f"band_pct = {self.band_pct:g} must be more than the last halt, {self.halts_pct[-1]:g}")
        return self


type Position = tuple[
    date, Annotated[float, Field(gt=0, le=1e6)], Literal["put", "call"], Annotated[int, Field(ge=-(10**9), le=10**9)]
]
"""Expiry, strike in index points, right, contracts the dealers own (+) or have sold (-)."""


class OptionMarket(Table):
    """The options that are open when the scenario starts."""

    book: tuple[Position, ...] = Field(description="CSV file, relative to the scenario, or its positions")
    scale: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="factor on the contracts of the book",
        json_schema_extra={"source": "the book as it stands"},
    )

    def positions(self) -> OptionBook:
        """The dealers' book, scaled."""
        holdings = [(Contract(expiry, strike, right == "call"), size) for expiry, strike, right, size in self.book]
        return OptionBook.of(holdings).scaled(self.scale)


class NewsItem(Table):
    """One piece of news: what it does to what agents know, never to the price."""

    at: Moment = Field(description="exchange time")
    name: str = Field(pattern="^[A-Za-z0-9_-]+$", description="short name, used in causes and overrides")
    text: str = Field("", description="what was said")
    value_pct: float | None = Field(None, gt=-100, le=1000, description="change of the level of value")
    value_points: float | None = Field(None, gt=0, le=1e6, description="new level of value")
    event_variance: float = Field(0.0, ge=0, le=1, description="variance of the log price that the event releases")
    sentiment: float = Field(0.0, ge=-1, le=1, description="tone, bad to good")
    bitcoin_pct: float = Field(0.0, gt=-100, le=1000, description="move of bitcoin")

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if self.value_pct is not None and self.value_points is not None:
            raise ValueError("give value_pct or value_points, not both")
        return self

    def at_ns(self, first_day: date) -> int:
        """Nanoseconds from midnight of `first_day` to the news."""
        return moment_ns(self.at, first_day)


class Tables(Table):
    """All of a scenario file but its crowds."""

    title: str
    depth_musd: float = Field(gt=0, le=10_000, description="notional at each best quote")
    session: Session
    market: MarketRules = MarketRules()
    options: OptionMarket | None = None
    surface: SurfaceParams = SurfaceParams()
    news: tuple[NewsItem, ...] = ()
    real: dict[str, JsonValue] = Field({}, description="the real day's numbers, under the keys of a run's summary")

    @model_validator(mode="after")
    def _options_alive(self) -> Self:
        first = self.session.first_day
        for expiry, *_ in self.options.book if self.options else ():
            if not first <= expiry < first + timedelta(days=LONGEST_OPTION_DAYS):
                raise ValueError(f"options.book: the expiry {expiry} is not in the ten years from {first}")
        return self

    @model_validator(mode="after")
    def _news_in_place(self) -> Self:
        names = [item.name for item in self.news]
        for item in self.news:
            if names.count(item.name) > 1:
                raise ValueError(f"news: the name {item.name!r} is given twice")
            if item.at_ns(self.session.first_day) < 0:
                raise ValueError(f"news.{item.name}.at: {item.at!r} is before the first day, {self.session.first_day}")
        return self


class CrowdTable(Table):
    """The keys of an [agents.NAME] table that are not parameters of its class."""

    import_path: str = Field(alias="class", description="import path of the agent's class")
    group: str = Field(
        min_length=1, description="what it is counted in", json_schema_extra={"source": "the crowd's own name"}
    )
    count: int = Field(1, ge=0, le=1_000_000, description="number of agents")


@dataclass(frozen=True)
class Crowd:
    """A number of agents of one class with the same parameters."""

    name: str
    import_path: str
    cls: type
    group: str
    count: int
    params: BaseModel


class Scenario(Tables):
    """A complete scenario; made by `load`.

    Attributes
    ----------
    title, depth_musd, session, market, options, surface, news, real
        The tables of the file. `options` is None in a market without options.
    crowds : tuple of Crowd
        The [agents.NAME] tables, in the file's order.
    path : Path or None
        The file it came from.
    source : str
        The text it came from, with its comments.
    """

    crowds: tuple[Crowd, ...]
    path: Path | None
    source: str

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups of agents, in the file's order."""
        return tuple(dict.fromkeys(crowd.group for crowd in self.crowds))

    @property
    def digest(self) -> str:
        """SHA-256 of the scenario's content."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()

    def to_toml(self) -> str:
        """Text of a scenario file that says everything: defaults, overrides and the book of options."""
        content = self.model_dump(mode="json", exclude_none=True, exclude={"crowds", "path", "source"})
        content["agents"] = {crowd.name: _crowd_content(crowd) for crowd in self.crowds}
        if self.options:
            content["options"]["book"] = tomlkit.item(content["options"]["book"]).multiline(True)
        return tomlkit.dumps(content)


def _crowd_content(crowd: Crowd) -> dict[str, Any]:
    head = {"class": crowd.import_path, "group": crowd.group, "count": crowd.count}
    return head | crowd.params.model_dump(mode="json", exclude_none=True)


# Loading


def load(
    source: str | Path,
    overrides: Mapping[str, object] | None = None,
    without: Iterable[str] = (),
) -> Scenario:
    """Read and check a scenario.

    Parameters
    ----------
    source : str or Path
        A file, or the text of one (any string of more than one line).
    overrides : mapping, optional
        Values by dotted key, as if written in the file: `{"session.end": "10:00", "agents.ctas.count": 0}`.
        News is found by name or number: `news.cook.at`.
    without : iterable of str
        Groups of agents to leave out.

    Raises
    ------
    ScenarioError
        Whatever is wrong, in one line.
    """
    path = None if isinstance(source, str) and "\n" in source else Path(source)
    label = str(path or "scenario text")
    overrides = overrides or {}
    try:
        text = str(source) if path is None else _read(path)
        return _build(text, path, overrides, without)
    except RecursionError:
        raise ScenarioError(f"{label}: nested too deeply") from None
    except ScenarioError as error:
        culprits = [
            f" with {key}={shorten(value)}" for key, value in overrides.items() if str(error).startswith(f"{key}:")
        ]
        raise ScenarioError(f"{label}{''.join(culprits)}: {one_line(str(error))}") from None


def _build(text: str, path: Path | None, overrides: Mapping[str, object], without: Iterable[str]) -> Scenario:
    data = _parse(text)
    for key, value in overrides.items():
        _override(data, key, value)
    _check_values(data, "")
    _read_book(data, path.parent if path else Path())
    crowd_tables = data.pop("agents", {})
    if not isinstance(crowd_tables, dict):
        raise ScenarioError("agents: write one table [agents.NAME] for each crowd")
    tables = validate(Tables, data)
    crowds = tuple(_crowd(name, table) for name, table in crowd_tables.items())
    return Scenario.model_construct(**dict(tables), crowds=_leave_out(crowds, without), path=path, source=text)


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ScenarioError(f"not TOML: {error}") from None


def _read(path: Path) -> str:
    try:
        return _existing(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ScenarioError("not a text file in UTF-8") from None
    except OSError as error:
        raise ScenarioError(f"cannot be read: {error.strerror}") from None


def _existing(path: Path) -> Path:
    """The path; if nothing is there, a ScenarioError with the nearest name of its folder."""
    if path.exists():
        return path
    if not path.parent.is_dir():
        raise ScenarioError(f"there is no folder {str(path.parent)!r}")
    files = [file.name for file in path.parent.iterdir() if file.suffix == (path.suffix or ".toml")]
    raise ScenarioError(f"there is no file {path.name!r} in {str(path.parent)!r}{did_you_mean(path.name, files)}")


def _read_book(data: dict[str, Any], folder: Path) -> None:
    """Put the positions of a book in the place of its file name."""
    options = data.get("options")
    name = options.get("book") if isinstance(options, dict) else None
    if not isinstance(name, str):
        return
    try:
        book = OptionBook.from_csv(_existing(folder / name))
    except OSError as error:
        raise ScenarioError(f"options.book: {folder / name}: {error.strerror}") from None
    except (ValueError, OverflowError) as error:
        raise ScenarioError(f"options.book: {error}") from None
    columns = (book.expiry.tolist(), book.strike.tolist(), book.is_call.tolist(), book.contracts.tolist())
    data["options"]["book"] = [
        [expiry, strike, "call" if is_call else "put", contracts]
        for expiry, strike, is_call, contracts in zip(*columns, strict=True)
    ]


def _check_values(value: object, key: str) -> None:
    """Refuse the values that TOML or Python can write and a simulation cannot use."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_values(name, key)
            _check_values(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _check_values(inner, f"{key}.{index}")
    elif value is None:
        raise ScenarioError(f"{key}: None cannot be written in a scenario; leave the key out")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ScenarioError(f"{key}: {value} is not a finite number")
    elif isinstance(value, int) and not -INT64 <= value < INT64:
        raise ScenarioError(f"{key}: {shorten(value)} is too large; whole numbers have at most 64 bits")
    elif isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ScenarioError(f"{key}: {shorten(value)} is not proper text") from None


def _leave_out(crowds: tuple[Crowd, ...], without: Iterable[str]) -> tuple[Crowd, ...]:
    groups, absent = dict.fromkeys(crowd.group for crowd in crowds), list(without)
    for group in absent:
        if group not in groups:
            hint = did_you_mean(group, groups)
            raise ScenarioError(f"no group {group!r}{hint} (groups: {', '.join(groups) or 'none'})")
    return tuple(crowd for crowd in crowds if crowd.group not in absent)


# Overrides


def parse_setting(text: str) -> tuple[str, object]:
    """Key and value of a `key=value`; the value is read as TOML, or else taken as plain text."""
    key, equals, value = text.partition("=")
    if not (key.strip() and equals):
        raise ScenarioError(f"--set {text!r}: write key=value, for example session.end=10:00")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        parsed = {}
    return key.strip(), parsed["value"] if list(parsed) == ["value"] else value


def _override(data: dict[str, Any], key: str, value: object) -> None:
    *path, last = key.split(".")
    node: Any = data
    for depth, part in enumerate(path):
        node = _inner(node, part, key, is_crowd=path[:depth] == ["agents"])
    if isinstance(node, list):
        node[_position(node, last, key)] = value
    else:
        node[last] = value


def _inner(node: Any, part: str, key: str, *, is_crowd: bool) -> Any:
    if isinstance(node, list):
        inner = node[_position(node, part, key)]
    elif is_crowd and part not in node:
        raise ScenarioError(f"{key}: no crowd {part!r}{did_you_mean(part, node)}")
    else:
        inner = node.setdefault(part, {})
    if not isinstance(inner, dict | list):
        raise ScenarioError(f"{key}: {part!r} is a single value, with no keys in it")
    return inner


def _position(items: list[Any], part: str, key: str) -> int:
    names = [_name_of(item, index) for index, item in enumerate(items)]
    if part in names:
        return names.index(part)
    if part.isdecimal() and int(part) < len(items):
        return int(part)
    raise ScenarioError(f"{key}: nothing here is called {part!r}{did_you_mean(part, names)}")


def _name_of(item: object, index: int) -> str:
    name = item.get("name", index) if isinstance(item, dict) else index
    return str(name)


# Crowds


def _crowd(name: str, table: object) -> Crowd:
    key = f"agents.{name}"
    if not isinstance(table, dict):
        raise ScenarioError(f"{key}: write it as a table [agents.{name}]")
    heads = ["class", "group", "count"]
    head = validate(CrowdTable, {"group": name} | {head: table[head] for head in heads if head in table}, key)
    cls = resolve(head.import_path, f"{key}.class")
    rest = {inner: value for inner, value in table.items() if inner not in heads}
    params = validate(cls.Params, rest, key, also=heads)
    return Crowd(name, head.import_path, cls, head.group, head.count, params)


def resolve(import_path: str, key: str) -> Any:
    """The agent class at an import path "package.module:Class"."""
    from sim.trader import Trader

    module_name, _, class_name = import_path.partition(":")
    if not (module_name and class_name):
        raise ScenarioError(f"{key}: {import_path!r} is no import path; write 'package.module:Class'")
    module = _import(module_name, key)
    cls = getattr(module, class_name, None)
    if not (isinstance(cls, type) and issubclass(cls, Trader)):
        names = [name for name, item in vars(module).items() if isinstance(item, type) and issubclass(item, Trader)]
        problem = "is no subclass of sim.trader:Trader" if cls else "is not there"
        raise ScenarioError(f"{key}: {import_path!r} {problem}{did_you_mean(class_name, names)}")
    return cls


def _import(module_name: str, key: str) -> object:
    # A user's module may fail in any way it likes: all of them are one line here.
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        folders = getattr(importlib.util.find_spec("agents"), "submodule_search_locations", None)
        ours = [f"agents.{module.name}" for module in pkgutil.iter_modules(folders)]
        hint = did_you_mean(module_name, ours) if isinstance(error, ModuleNotFoundError) else ""
        raise ScenarioError(f"{key}: cannot import {module_name!r}: {error}{hint}") from None


# Validation and its messages


def validate[Model: BaseModel](model: type[Model], data: object, key: str = "", also: Iterable[str] = ()) -> Model:
    """A validated model; a ScenarioError that names the dotted key of the first mistake, an unknown key first.

    Parameters
    ----------
    model : type
        A pydantic model.
    data : object
        What stands in the file.
    key : str
        Dotted key of the table that holds it.
    also : iterable of str
        Further keys of that table, for did-you-mean.
    """
    try:
        return model.model_validate_json(json.dumps(data, default=_plain), strict=True)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        first = min(mistakes, key=lambda mistake: mistake["type"] != "extra_forbidden")
        raise ScenarioError(_message(model, first, data, key, also)) from None


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)


def _message(model: type[BaseModel], mistake: Any, data: object, key: str, also: Iterable[str]) -> str:
    *path, last = mistake["loc"] or ("",)
    table = _model_at(model, path)
    field = _field(table, last)
    where = ".".join(filter(None, [key, *_names(mistake["loc"], data)]))
    if mistake["type"] == "extra_forbidden":
        known = [info.alias or name for name, info in table.model_fields.items()]
        return f"{where}: unknown key{did_you_mean(str(last), [*known, *([] if path else also)])}"
    if mistake["type"] == "missing":
        return f"{where}: missing{_allowed(last, field)}"
    text = mistake["msg"].removeprefix("Value error, ").replace("an object", "a table")
    if mistake["type"] == "value_error":
        return f"{where}: {text}" if where else text
    got = shorten(mistake["input"])
    wrong = text.replace("Input", got, 1) if text.startswith("Input") else f"{got}: {text}"
    return f"{where}: {wrong}{_allowed(last, field)}"


def _names(location: Iterable[str | int], data: Any) -> Iterator[str]:
    """Parts of a dotted key, with the name of a news item instead of its number."""
    for part in location:
        try:
            data = data[part]
        except (LookupError, TypeError):
            data = {}
        yield _name_of(data, part) if isinstance(part, int) else part


def _model_at(model: type[BaseModel], path: Iterable[str | int]) -> type[BaseModel]:
    for part in path:
        field = _field(model, part)
        model = (field and _inner_model(field.annotation)) or model
    return model


def _field(model: type[BaseModel], name: str | int) -> FieldInfo | None:
    return next((info for key, info in model.model_fields.items() if name in (key, info.alias)), None)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _inner_model(inner))), None)


def _allowed(name: str | int, field: FieldInfo | None) -> str:
    text = range_text(field, str(name)) if field else ""
    return f" (allowed: {text})" if text else ""


def range_text(field: FieldInfo, name: str = "x") -> str:
    """Allowed values of a field, such as "0 < depth_musd <= 10000"; empty where anything goes."""
    choices = [choice for annotation in _annotations(field.annotation) for choice in _choices(annotation)]
    if choices:
        return " | ".join(map(str, choices))
    bounds = dict(_bounds(field))
    low = f"{bounds['gt']:.12g} < " if "gt" in bounds else f"{bounds['ge']:.12g} <= " if "ge" in bounds else ""
    high = f" < {bounds['lt']:.12g}" if "lt" in bounds else f" <= {bounds['le']:.12g}" if "le" in bounds else ""
    return f"{low}{name}{high}" if low or high else ""


def _annotations(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _annotations(inner)


def _choices(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _bounds(field: FieldInfo) -> Iterator[tuple[str, float]]:
    inner = [part for part in _annotations(field.annotation) if isinstance(part, FieldInfo)]
    for constraint in [*field.metadata, *(item for part in inner for item in part.metadata)]:
        for kind in ("gt", "ge", "lt", "le"):
            if isinstance(bound := getattr(constraint, kind, None), int | float):
                yield kind, bound


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A "; did you mean 'x'?" for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def one_line(text: str) -> str:
    """The text with its line breaks made into spaces."""
    return " ".join(text.split())


def shorten(value: object) -> str:
    """A value as one short piece of text for an error message."""
    if isinstance(value, int) and abs(value) > INT64:
        return f"a number of {value.bit_length()} bits"
    text = str(value) if isinstance(value, date | time) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# Description


class Row(NamedTuple):
    """One key of a scenario, described."""

    key: str
    value: str
    unit: str
    range: str
    meaning: str
    source: str


def describe(scenario: Scenario) -> list[Row]:
    """Every key of a scenario with its value, unit, allowed range, meaning and source.

    The source is the comment behind the value in the file; for a key that the file leaves out that of its default.
    """
    comments = dict(_comments(tomlkit.parse(scenario.source), ""))
    shown = Tables.model_construct(**{name: getattr(scenario, name) for name in Tables.model_fields})
    rows = list(_rows(shown, "", comments))
    for crowd in scenario.crowds:
        key = f"agents.{crowd.name}."
        head = CrowdTable.model_construct(import_path=crowd.import_path, group=crowd.group, count=crowd.count)
        rows += [*_rows(head, key, comments), *_rows(crowd.params, key, comments)]
    return rows


def _rows(table: BaseModel, prefix: str, comments: Mapping[str, str]) -> Iterator[Row]:
    for name, field in type(table).model_fields.items():
        value, key = getattr(table, name), prefix + (field.alias or name)
        if isinstance(value, BaseModel):
            yield from _rows(value, f"{key}.", comments)
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            for index, item in enumerate(value):
                yield from _rows(item, f"{key}.{getattr(item, 'name', index)}.", comments)
        elif isinstance(value, dict):
            for inner, fact in value.items():
                yield Row(
                    f"{key}.{inner}", _value_text(fact), unit_of(inner), "", "", comments.get(f"{key}.{inner}", "")
                )
        elif value is not None:
            meaning = one_line(field.description or "")
            source = comments.get(key, f"default: {_extra(field).get('source') or 'no source given'}")
            yield Row(key, _value_text(value), _unit(name, field), range_text(field), meaning, source)


def _value_text(value: object) -> str:
    if isinstance(value, tuple):
        is_plain = len(value) < 10 and not any(isinstance(item, tuple) for item in value)
        return ", ".join(map(str, value)) if is_plain else f"{len(value)} entries"
    return one_line(str(value))


def _unit(name: str, field: FieldInfo) -> str:
    return str(_extra(field).get("unit", unit_of(name)))


def unit_of(name: str) -> str:
    """Unit of a key by the last word of its name, or nothing."""
    return UNITS.get(name.rpartition("_")[2], "") if "_" in name else ""


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _comments(container: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """The comment behind every value of a TOML document, by dotted key; empty where there is none."""
    for key, item in container.body:
        if key is None:
            continue
        name = f"{prefix}{key.key}"
        if isinstance(item, tomlkit.items.AoT):
            for index, table in enumerate(item.body):
                yield from _comments(table.value, f"{name}.{_name_of(table, index)}.")
        elif isinstance(item, tomlkit.items.Table | tomlkit.items.InlineTable):
            yield from _comments(item.value, f"{name}.")
        else:
            yield name, item.trivia.comment.lstrip("# ")
