"""What depth does to the day, and from which depth on, in numbers: from a sweep over depth and at most one more factor.

Everything is estimated from the runs that are there, with 95 % bands from seeds drawn again (`sim.sweep.resampling`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sim.analysis.impact import WINDOWS_NS
from sim.study import NO_FEEDBACK
from sim.sweep.critical import crash_responses, critical_of, gain_responses
from sim.sweep.design import SweepError
from sim.sweep.origin import labels
from sim.sweep.parts import DONE, FAILED, factors_of, read_plan, table_of
from sim.sweep.resampling import Floats, band, mean, quantile, ratio, weights_of

DEPTH = "depth_musd"
TAIL = 0.95


class Phase(NamedTuple):
    """A phase diagram in numbers.

    Attributes
    ----------
    points : DataFrame
        A row a point: the factors, how many runs are `done`, `failed` or `missing`, and estimates, each with the ends
        of its band, `_low` and `_high`: `crash_probability`; `fall_median_pct` and `fall_tail_pct`, the fall from
        high to close that half and 95 % of the days do not exceed; `amplification`, the median fall over that of
        `reference`; `hour_6700_lost`, hours after midnight, the median with never as infinity; `sold_per_point`,
        contracts that NO_FEEDBACK's groups sold net, per point of the fall from the high to the low; for each window
        `impact` in points a contract, and `loop_gain`, their product.
    critical : DataFrame
        A row for each value of the other factor and method ("fitted" or a window): `least_musd` to `most_musd` is the
        critical depth, one number but for separation; `low_musd` to `high_musd` its 95 % interval; `intercept` and
        `slope` are of the line through logits against the logarithm of depth, NaN where there is none.
    other : str or None
        Key of the other factor.
    other_label : str
        The same with its unit; empty without one.
    reference : str
        What amplification is measured against.
    crash_pct : float
        The fall that is called a crash.
    """

    points: pd.DataFrame
    critical: pd.DataFrame
    other: str | None
    other_label: str
    reference: str
    crash_pct: float


class Level(NamedTuple):
    """Outcomes of the runs at one value of the other factor: arrays (seeds, depths), NaN where there is no run."""

    value: Any
    depths: Floats
    outcomes: dict[str, Floats]


def phase(folder: Path, crash_pct: float) -> Phase:
    """Estimate what depth does at every value of the other factor of a sweep, finished or not.

    Raises
    ------
    SweepError
        If the sweep is not over depth and at most one more factor, or has no runs to use.
    """
    other = other_factor(factors_of(folder), str(folder))
    plan = read_plan(folder).to_pandas()
    plan["level"] = plan[other] if other else ""
    require_depths(plan, str(folder))
    made = table_of(folder)
    made["level"] = made[other] if other else ""
    done = made[made["status"] == DONE]
    if "fall_points" not in done or done["fall_points"].isna().all():
        raise SweepError(f"{folder}: no run has fall_points: all failed, or were made by an older version")
    seeds = np.sort(done["seed"].unique())
    levels = [level_of(value, rows, seeds) for value, rows in done.groupby("level")]
    off = next((level for level in levels if level.value in (False, 0)), None) if other else None
    weights, parts, critical = weights_of(len(seeds)), [], []
    for level in levels:
        samples = _samples(level, weights, crash_pct, off)
        factors = {other: level.value} if other else {}
        parts.append(_rows(samples, level.depths).assign(**factors))
        critical += [factors | row for row in _critical(level, samples, weights, crash_pct)]
    counts = _counts(plan, made).rename(columns={"level": other or "level"})
    keys = [key for key in (other, DEPTH) if key]
    whole = counts.merge(pd.concat(parts), on=keys, how="left").sort_values(keys, ignore_index=True)
    reference = f"{other} = {off.value}, same depth and seeds" if off else "the deepest book, same seeds"
    label = labels(folder)[other] if other else ""
    points = whole if other else whole.drop(columns="level")
    return Phase(points, pd.DataFrame(critical), other, label, reference, crash_pct)


def other_factor(factors: list[str], where: str) -> str | None:
    """The factor beside depth, None if there is none."""
    if DEPTH not in factors:
        raise SweepError(f"{where}: a phase diagram is over {DEPTH}; the factors are {', '.join(factors)}")
    if len(factors) > 2:
        raise SweepError(f"{where}: a phase diagram has {DEPTH} and one more factor; there are {', '.join(factors)}")
    return next((factor for factor in factors if factor != DEPTH), None)


def require_depths(plan: pd.DataFrame, where: str) -> None:
    """Refuse a sweep that has only one depth at some value of the other factor (`level`)."""
    if (plan.groupby("level")[DEPTH].nunique() < 2).any():
        raise SweepError(f"{where}: a phase diagram needs at least two values of {DEPTH} at each value of the other")


def level_of(value: Any, rows: pd.DataFrame, seeds: np.ndarray) -> Level:
    """Outcomes of the rows of a sweep's table that have one value of the other factor."""
    groups = [f"sold_in_fall_by_group.{group}" for group in NO_FEEDBACK]
    outcomes = pd.DataFrame(
        {
            "seed": rows["seed"],
            DEPTH: rows[DEPTH],
            "fall_pct": -rows["high_to_close_pct"],
            "hour_6700_lost": pd.to_timedelta(rows["time_6700_lost"]).dt.total_seconds().fillna(np.inf) / 3600,
            "fall_points": rows["fall_points"],
            "sold": rows.reindex(columns=groups).sum(axis=1),
            **{f"impact_{window}": rows[f"impact_points_per_contract.{window}"] for window in WINDOWS_NS},
        }
    ).set_index(["seed", DEPTH])
    outcomes = outcomes[~outcomes.index.duplicated()]
    tables = {name: column.unstack().reindex(seeds) for name, column in outcomes.items()}
    return Level(
        value, tables["fall_pct"].columns.to_numpy(), {name: table.to_numpy() for name, table in tables.items()}
    )


def crashed(level: Level, crash_pct: float) -> Floats:
    """1 where a run crashed, 0 where not, NaN where there is none: array (seeds, depths)."""
    fall = level.outcomes["fall_pct"]
    return np.where(np.isnan(fall), np.nan, fall >= crash_pct)


def _samples(level: Level, weights: Floats, crash_pct: float, off: Level | None) -> dict[str, Floats]:
    """Estimates from each sample of seeds: arrays (samples, depths)."""
    outcomes = level.outcomes
    impact = {window: mean(outcomes[f"impact_{window}"], weights) for window in WINDOWS_NS}
    per_point = ratio(mean(outcomes["sold"], weights), mean(outcomes["fall_points"], weights))
    median = quantile(outcomes["fall_pct"], weights, 0.5)
    return {
        "crash_probability": mean(crashed(level, crash_pct), weights),
        "fall_median_pct": median,
        "fall_tail_pct": quantile(outcomes["fall_pct"], weights, TAIL),
        "amplification": ratio(median, _reference(level, median, weights, off)),
        "hour_6700_lost": quantile(outcomes["hour_6700_lost"], weights, 0.5),
        "sold_per_point": per_point,
        **{f"impact_{window}": value for window, value in impact.items()},
        **{f"loop_gain_{window}": value * per_point for window, value in impact.items()},
    }


def _reference(level: Level, median: Floats, weights: Floats, off: Level | None) -> Floats:
    """Median falls that those of a level are measured against: those of `off`, or that in the deepest book."""
    if off is None:
        return median[:, -1:]
    of_off = pd.DataFrame(quantile(off.outcomes["fall_pct"], weights, 0.5), columns=off.depths)
    return of_off.reindex(columns=level.depths).to_numpy()


def _rows(samples: dict[str, Floats], depths: Floats) -> pd.DataFrame:
    columns: dict[str, Floats] = {DEPTH: depths}
    for name, values in samples.items():
        low, high = band(values)
        columns |= {name: values[0], f"{name}_low": low, f"{name}_high": high}
    return pd.DataFrame(columns)


def _critical(level: Level, samples: dict[str, Floats], weights: Floats, crash_pct: float) -> list[dict[str, Any]]:
    responses = {"fitted": crash_responses(level.depths, crashed(level, crash_pct), weights)}
    for window in WINDOWS_NS:
        responses[window] = gain_responses(level.depths, samples[f"loop_gain_{window}"])
    return [{"method": method, **critical_of(values)._asdict()} for method, values in responses.items()]


def _counts(plan: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """Runs of each point by what has become of them."""
    status = plan.merge(made[["run", "point", "status"]], on=["run", "point"], how="left")["status"].fillna("missing")
    counts = pd.crosstab([plan["level"], plan[DEPTH]], status.to_numpy())
    return counts.reindex(columns=[DONE, FAILED, "missing"], fill_value=0).reset_index()
