"""Where a sweep comes from: what was asked for, and what it is made with; its report says so.

It is kept in the plan, and so it is that of the last start: what had been made by other code has other names.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from sim.describe import describe, unit_of
from sim.records import now_text, surroundings
from sim.scenario import load
from sim.sweep.design import SWITCH, Sweep
from sim.sweep.parts import factors_of, jobs_of, origin_of, sweep_folder


def origin(sweep: Sweep, folder: Path) -> dict[str, Any]:
    """Where a sweep comes from that is made in a folder, as JSON holds it.

    The scenario's digest is that of the first point, units and meanings of the factors are those of its keys.
    """
    tables, first = sweep.tables, next(jobs_of(sweep, folder))
    scenario = load(first.scenario)
    rows = {row.key: row for row in describe(scenario)}
    elsewhere = folder != sweep_folder(sweep.path).absolute()
    return {
        "title": tables.title,
        "command": shlex.join(["thinbook", "sweep", str(sweep.path), *(["--out", str(folder)] if elsewhere else [])]),
        "scenario": os.path.normpath(sweep.scenario_path),
        "set": tables.set,
        "seeds": [sweep.seeds[0], sweep.seeds[-1]],
        "added": len(sweep.added),
        "units": {factor.key: rows[factor.key].unit for factor in tables.factor if factor.key in rows},
        "meanings": {factor.key: rows[factor.key].meaning for factor in tables.factor if factor.key in rows},
        "scenario_digest": scenario.digest,
        "code_digest": first.code,
        **surroundings(),
        "started": now_text(),
    }


def labels(folder: Path) -> dict[str, str]:
    """The factors of a folder's sweep, each with its unit."""
    units = origin_of(folder).get("units", {})
    return {key: _label(key, units.get(key, unit_of(key))) for key in factors_of(folder)}


def _label(key: str, unit: str) -> str:
    return f"{key} ({'no unit' if unit == '1' else unit})" if unit else key


def meaning(folder: Path, factor: str) -> str:
    """What a factor of a folder's sweep is, as the scenario's tables say it; empty where they do not."""
    if factor.startswith(SWITCH):
        return f"whether the group {factor.removeprefix(SWITCH)} takes part"
    return str(origin_of(folder).get("meanings", {}).get(factor, ""))
