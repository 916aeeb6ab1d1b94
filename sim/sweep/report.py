"""The report on a sweep: outcomes over the factors with medians and intervals, and the runs that failed.

A factor is looked at alone: all runs of one of its values count, whatever the other factors are there. Seeds are what
is independent: a median is over seeds, and so is its interval.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from scipy.stats import quantile_test

from sim.figures import INK, STYLE
from sim.report import html
from sim.report.words import number
from sim.sweep.parts import ASIDE, DONE, FAILED, factors_of, read_plan, table_of

MOST_LEVELS = 12
"""A factor with more values than this is cut into so many classes of equal size."""
MOST_FAILURES = 100
LEAST_RUNS = 6
"""Fewer runs have no 95 % interval of the median."""
FALL = "high_to_close_pct"
OUTCOMES = {
    FALL: ("high to close, %", 2),
    "low": ("low, points", 0),
    "vix_close": ("VIX at the close", 1),
    "volume_contracts": ("volume, contracts", 0),
    "top_of_book_musd": ("at each best quote, $M", 2),
}
"""Label and digits of the outcomes in the tables."""


class Median(NamedTuple):
    """A median and its 95 % interval, which is that of the binomial test; NaN for too few runs."""

    value: float
    low: float
    high: float


def write_report(folder: Path) -> Path:
    """Write the report of a sweep into its folder."""
    return html.write(report(folder), folder)


def report(folder: Path) -> str:
    """The whole report as HTML."""
    runs, factors, planned = table_of(folder), factors_of(folder), read_plan(folder).num_rows
    done = runs[runs["status"] == DONE]
    title = f"Sweep: {folder.resolve().name.removeprefix('sweep-')}"
    under = f"{planned:,} runs are planned and {len(runs):,} made, {len(runs) - len(done):,} of them failed."
    lead = _in_words(done, factors)
    factor_sections = [_factor(done, factor) for factor in factors] if len(done) else []
    return html.page(
        title, [html.header(title, under, lead), *factor_sections, _pictures(folder), _failures(folder, runs, factors)]
    )


def median(values: pd.Series) -> Median:
    """Median of the finite values with its interval."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Median(np.nan, np.nan, np.nan)
    interval = quantile_test(finite, p=0.5).confidence_interval(0.95) if len(finite) >= LEAST_RUNS else (np.nan, np.nan)
    return Median(float(np.median(finite)), *map(float, interval))


def over_seeds(done: pd.DataFrame, level: pd.Series, name: str) -> pd.Series:  # type: ignore[type-arg]
    """Median of an outcome at each level; runs of one seed share their draws, so they count as one, their median."""
    return done[name].groupby([level, done["seed"]]).median().groupby(level=0).apply(median)


def _in_words(done: pd.DataFrame, factors: list[str]) -> str:
    if done.empty:
        return "No run came to its end."
    fall = median(done[FALL].groupby(done["seed"]).median())
    seeds = done["seed"].nunique()
    return (
        f"{len(done):,} runs with {seeds:,} seeds, over {', '.join(factors)}. The median of all from the high to the "
        f"close is {number(fall.value, 2)} %; how it depends on each factor is below. Intervals are of the median, "
        "95 %, and say how sure it is, not how far single runs lie apart: those are the dots."
    )


# One factor


def levels(values: pd.Series) -> pd.Series:
    """The value of a factor in every run, or the middle of its class where there are many values."""
    if (
        not pd.api.types.is_numeric_dtype(values)
        or pd.api.types.is_bool_dtype(values)
        or values.nunique() <= MOST_LEVELS
    ):
        return values
    classes = pd.qcut(values, MOST_LEVELS, labels=False, duplicates="drop")
    return values.groupby(classes).transform("median")


def _factor(done: pd.DataFrame, factor: str) -> str:
    level = levels(done[factor])
    medians = {name: over_seeds(done, level, name) for name in OUTCOMES if name in done}
    rows = []
    for value, runs in done.groupby(level):
        cells = [_cell(medians[name][value], OUTCOMES[name][1]) for name in medians]
        lost = f"{100 * runs['time_6700_lost'].notna().mean():.0f} %" if "time_6700_lost" in runs else "none"
        rows.append((_value(value), str(len(runs)), *cells, lost))
    head = (factor, "runs", *(OUTCOMES[name][0] for name in medians), "lost 6700")
    caption = f"Medians [95 % intervals] by {factor}" + (
        "." if level.equals(done[factor]) else ", in classes of equal size, each named by its middle."
    )
    drawing = html.figure(
        curve(done, factor, medians[FALL]),
        f"From the high to the close against {factor}",
        "Dots are runs, the line goes through the medians, bars are their 95 % intervals.",
        kind="lone",
    )
    return html.section(factor, drawing, html.table(caption, head, rows))


def _cell(found: Median, digits: int) -> str:
    middle = number(found.value, digits)
    return middle if np.isnan(found.low) else f"{middle} [{number(found.low, digits)}, {number(found.high, digits)}]"


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def curve(done: pd.DataFrame, factor: str, medians: pd.Series) -> Figure:
    """The fall against one factor: every run, and the medians."""
    values = done[factor]
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    places = {value: value if is_number else place for place, value in enumerate(medians.index)}
    with rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.3))
        axes = figure.subplots()
        figure.subplots_adjust(left=0.12, right=0.97, top=0.9, bottom=0.15)
        at = values if is_number else values.map(places)
        axes.plot(at, done[FALL], "o", color=INK, alpha=0.2, markersize=3, markeredgewidth=0)
        x = [places[value] for value in medians.index]
        middle, low, high = (np.array([getattr(found, name) for found in medians]) for name in Median._fields)
        axes.vlines(x, low, high, color=INK, linewidth=1.2)
        axes.plot(x, middle, "o-" if is_number else "o", color=INK, markersize=5, linewidth=1.6)
        if is_number and min(x) > 0 and max(x) > 8 * min(x):
            axes.set_xscale("log")
            axes.set_xticks(x, [_value(value) for value in medians.index])
            axes.minorticks_off()
        elif not is_number:
            axes.set_xticks(x, [str(value) for value in medians.index])
        axes.set_title("% from the high to the close", fontsize=9, alpha=0.62)
        axes.set_xlabel(factor, loc="right", alpha=0.62)
        return figure


# Pictures and failures


def _pictures(folder: Path) -> str:
    """Figures that `thinbook phase` and `thinbook sensitivity` left in the folder."""
    paths = sorted(folder.glob("*/*.svg"))
    return html.section(
        "Phase diagrams and sensitivity", *(html.picture(path.read_bytes(), _caption(path)) for path in paths)
    )


def _caption(path: Path) -> str:
    return f"{path.parent.name}: {path.stem.replace('_', ' ')}"


def _failures(folder: Path, runs: pd.DataFrame, factors: list[str]) -> str:
    failed = runs[runs["status"] == FAILED]
    named = [(_name(row, factors), str(row["error"])) for _, row in failed.iterrows()]
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / ASIDE).glob("*.json"))]
    named += [(note["run"], note["error"]) for note in notes]
    if not named:
        return html.section("Failures", html.paragraph("No run failed."))
    caption = f"{len(named):,} runs failed" + (
        f"; the first {MOST_FAILURES} are:" if len(named) > MOST_FAILURES else "."
    )
    return html.section("Failures", html.table(caption, ("run", "error"), named[:MOST_FAILURES]))


def _name(row: pd.Series, factors: list[str]) -> str:  # type: ignore[type-arg]
    return " ".join(f"{key}={_value(row[key])}" for key in [*factors, "seed"])
