"""More depths where the boundary between calm and crash is least known.

A new depth lies in the middle (in log depth) between two that were run, where binary entropy times distance is
largest: the entropy of the crash probability there, averaged over samples of seeds, so that it is large where the
outcome is open and where the fits disagree; the distance, so that points do not crowd. Under separation this is
bisection. One depth at a time is added for each value of the other factor, then all is fitted anew.

Which points were added is kept in the sweep's folder, before any of them is run: a sweep that was stopped goes on with
the same ones.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import entropy

from sim.files import read_json, write_json
from sim.sweep.critical import crash_responses
from sim.sweep.design import Sweep, SweepError
from sim.sweep.parts import DONE, table_of
from sim.sweep.phase import DEPTH, crashed, level_of, other_factor, require_depths
from sim.sweep.resampling import weights_of

ADDED = "added.json"
"""In a sweep's folder: the points that its design does not have."""


def with_added(sweep: Sweep, folder: Path) -> Sweep:
    """The sweep with the points that were added in its folder, if any; those of other factors do not count."""
    file = folder / ADDED
    points = read_json(file, list) if file.exists() else []
    if odd := next((point for point in points if not isinstance(point, dict)), None):
        raise SweepError(f"{file}: {odd!r} is no point")
    keys = {factor.key for factor in sweep.tables.factor}
    return replace(sweep, added=tuple(point for point in points if set(point) == keys and point not in sweep.points))


def require_boundary(sweep: Sweep) -> None:
    """Refuse to refine a sweep that is not over depth and at most one more factor, or is for indices."""
    if sweep.tables.design.kind in ("saltelli", "morris"):
        raise SweepError(f"{sweep.path}: a {sweep.tables.design.kind} design takes no further points")
    other = other_factor([factor.key for factor in sweep.tables.factor], str(sweep.path))
    require_depths(_levels(sweep, other), str(sweep.path))


def refined(sweep: Sweep, folder: Path, count: int, crash_pct: float) -> Sweep:
    """The sweep with one more depth at every value of the other factor that has a boundary and less than `count` added.

    The same sweep if there is none.
    """
    other = other_factor([factor.key for factor in sweep.tables.factor], str(sweep.path))
    levels = _levels(sweep, other)
    made = table_of(folder)
    done = made[made["status"] == DONE]
    done = done.drop(columns=DEPTH).merge(levels, on="point")
    new = []
    for level, rows in done.groupby("level"):
        depth = best_depth(rows, crash_pct)
        if depth and (levels["level"].tail(len(sweep.added)) == level).sum() < count:
            new.append(sweep.points[rows["point"].iloc[0]] | {DEPTH: depth})
    if not new:
        return sweep
    write_json(folder / ADDED, [*sweep.added, *new])
    return replace(sweep, added=(*sweep.added, *new))


def _levels(sweep: Sweep, other: str | None) -> pd.DataFrame:
    """Depth of each point, and the value of the other factor as text."""
    values = [
        (number, point[DEPTH], json.dumps(point[other] if other else None)) for number, point in enumerate(sweep.points)
    ]
    return pd.DataFrame(values, columns=["point", DEPTH, "level"])


def best_depth(rows: pd.DataFrame, crash_pct: float) -> float | None:
    """The next depth to be run, in $M; None where no sample of seeds sees a boundary between the depths."""
    seeds = np.sort(rows["seed"].unique())
    level = level_of("", rows, seeds)
    depths = np.log(level.depths)
    middles = (depths[1:] + depths[:-1]) / 2
    responses = crash_responses(level.depths, crashed(level, crash_pct), weights_of(len(seeds)))
    probability = np.mean([response.probability(middles) for response in responses], axis=0)
    worth = entropy([probability, 1 - probability], base=2) * np.diff(depths)
    return float(f"{np.exp(middles[worth.argmax()]):.4g}") if len(worth) and worth.max() > 0 else None
