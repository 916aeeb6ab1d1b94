"""Reading scenarios: a TOML file in, a validated and frozen `Scenario` out.

A scenario holds everything a run depends on except its seed. Two laws:

1. What is not understood is refused, in one line that names the file, the key and what would be right.
2. Loading the text that `Scenario.to_toml` writes gives the same scenario, with the same digest, wherever it lies.

A file may name another one as its `base`: what it says itself counts, table by table and key by key; of the rest the
base counts, but not what it knows of its own day (OF_A_DAY).

Values pass through JSON on their way into pydantic's strict mode. That makes it as strict as TOML is: no number is
made from a text or a boolean, while an array may become a tuple and a text a date.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import math
import pkgutil
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from datetime import date, time
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import tomlkit
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from sim.options import OptionBook
from sim.tables import Crowd, CrowdTable, Scenario, Tables

INT64 = 2**63
OF_A_DAY = ("news", "real", "real_course")


class ScenarioError(ValueError):
    """A scenario that cannot be used; its text is one line for the user."""


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
    folder = path.parent if path else Path()
    data, sources = _content(text, folder)
    for key, value in overrides.items():
        _override(data, key, value)
    _check_values(data, "")
    _read_book(data, folder)
    crowd_tables = data.pop("agents", {})
    if not isinstance(crowd_tables, dict):
        raise ScenarioError("agents: write one table [agents.NAME] for each crowd")
    tables = validate(Tables, data)
    crowds = tuple(_crowd(name, table) for name, table in crowd_tables.items())
    return Scenario.model_construct(**dict(tables), crowds=leave_out(crowds, without), path=path, sources=sources)


def _content(text: str, folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a text says over what its base says, and all these texts, the lowest base first."""
    data = _parse(text)
    if "base" not in data:
        return data, (text,)
    base = data.pop("base")
    if not isinstance(base, str):
        raise ScenarioError(f"base: {shorten(base)} is no file name")
    try:
        inherited, sources = _content(_read(folder / base), (folder / base).parent)
        _read_book(inherited, (folder / base).parent)
    except ScenarioError as error:
        raise ScenarioError(f"base: {error}") from None
    kept = {key: value for key, value in inherited.items() if key not in OF_A_DAY}
    return _over(kept, data), (*sources, text)


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Tables one over the other: where both have a table these, too; else the upper one counts."""
    both = {
        key: _over(below[key], value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return below | above | both


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
    """Put the positions of a book in the place of its file name, and of the rule by which a quote table is read."""
    options = data.get("options")
    if not isinstance(options, dict) or not isinstance(name := options.get("book"), str):
        return
    rule = options.pop("rule", None)
    try:
        path = _existing(folder / name)
        book = OptionBook.from_csv(path) if rule is None else OptionBook.from_cboe(path, str(rule))
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


def leave_out(crowds: tuple[Crowd, ...], without: Iterable[str]) -> tuple[Crowd, ...]:
    """The crowds that are in none of the groups; a ScenarioError where there is no such group."""
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


def run_command(scenario: str | Path, seed: int, settings: Mapping[str, object], without: str = "") -> str:
    """The `thinbook run` that makes a run, for a shell."""
    words = ["thinbook", "run", str(scenario), "--seed", str(seed)]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={_written(value)}")]
    return shlex.join([*words, *(["--without", without] if without else [])])


def _written(value: object) -> str:
    """A value as `parse_setting` reads it: text as it is where that does, else TOML."""
    if isinstance(value, str) and parse_setting(f"key={value}")[1] == value:
        return value
    # In an inline table tomlkit keeps to one line whatever it is given.
    table = tomlkit.inline_table().append("key", value)
    return table.as_string().removeprefix("{key = ").removesuffix("}")


def _override(data: dict[str, Any], key: str, value: object) -> None:
    *path, last = key.split(".")
    node: Any = data
    for depth, part in enumerate(path):
        node = _inner(node, part, key, is_crowd=path[:depth] == ["agents"])
    if isinstance(node, list):
        node[_position(node, last, key)] = deepcopy(value)
    else:
        node[last] = deepcopy(value)


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
    names = [name_of(item, index) for index, item in enumerate(items)]
    if part in names:
        return names.index(part)
    if part.isdecimal() and int(part) < len(items):
        return int(part)
    raise ScenarioError(f"{key}: nothing here is called {part!r}{did_you_mean(part, names)}")


def name_of(item: object, index: int) -> str:
    """Name of an item of a list in a dotted key: its own, or else its number."""
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
    text = text.replace("Tuple should", "must").replace(" after validation", "")
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
        yield name_of(data, part) if isinstance(part, int) else part


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
    """Allowed values of a field, such as "0.001 <= depth_musd <= 10000"; empty where anything goes."""
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


def value_at(content: Mapping[str, Any], key: str) -> Any:
    """Value at a dotted key of a scenario's tables, None if it is not there."""
    head, _, rest = key.partition(".")
    value = content.get(head)
    return value_at(value if isinstance(value, Mapping) else {}, rest) if rest else value


def error_line(error: Exception) -> str:
    """An error in one line: its kind, what it says, and notes of where it was."""
    notes = "; ".join(getattr(error, "__notes__", ()))
    return one_line(f"{type(error).__name__}: {error}{f' ({notes})' if notes else ''}")


def one_line(text: str) -> str:
    """The text with its line breaks made into spaces."""
    return " ".join(text.split())


def shorten(value: object) -> str:
    """A value as one short piece of text for an error message."""
    if isinstance(value, int) and abs(value) > INT64:
        return f"a number of {value.bit_length()} bits"
    text = str(value) if isinstance(value, date | time) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
