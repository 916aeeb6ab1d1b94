"""A scenario described: every key with its value, unit, range, meaning and source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import tomlkit
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sim.scenario import name_of, one_line, range_text
from sim.tables import CrowdTable, Scenario, Tables

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

    The source is the comment behind the value in the file or its base; of a key left out that of its default.
    """
    comments = dict(pair for text in scenario.sources for pair in _comments(tomlkit.parse(text), ""))
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
                yield from _comments(table.value, f"{name}.{name_of(table, index)}.")
        elif isinstance(item, tomlkit.items.Table | tomlkit.items.InlineTable):
            yield from _comments(item.value, f"{name}.")
        else:
            yield name, item.trivia.comment.lstrip("# ")
