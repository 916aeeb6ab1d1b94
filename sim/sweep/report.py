"""The report on a sweep: its phase diagram, outcomes over the factors with medians and intervals, the runs that failed.

A factor is looked at alone: all runs of one of its values count, whatever the other factors are there. Seeds are what
is independent: a median is over seeds, and so is its interval.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from scipy.stats import quantile_test

from sim.analysis.impact import WINDOWS_NS
from sim.figures import INK, STYLE, save_figure
from sim.files import read_json
from sim.report import html
from sim.report.run import WARNING, made_with
from sim.report.words import number
from sim.scenario import shorten
from sim.sweep.design import SweepError
from sim.sweep.origin import labels, meaning
from sim.sweep.parts import ASIDE, DONE, FAILED, design_of, origin_of, read_plan, table_of
from sim.sweep.phase import Phase
from sim.sweep.phase_command import critical_head, critical_rows, write_phase

MOST_LEVELS = 12
"""A factor with more values than this is cut into so many classes of equal size."""
MOST_FAILURES = 100
LEAST_RUNS = 6
"""Fewer runs have no 95 % interval of the median."""
NOTHING = "-"
"""In a table, what no run says."""
PHASE = "phase"
"""In a sweep's folder: its phase diagram."""
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


class Made(NamedTuple):
    """What there is of a sweep: its folder, the runs that are planned and those that are made, and its factors.

    `labels` are the factors with their units, by key.
    """

    folder: Path
    plan: pd.DataFrame
    runs: pd.DataFrame
    labels: dict[str, str]

    @property
    def done(self) -> pd.DataFrame:
        """The runs that came to their end."""
        return self.runs[self.runs["status"] == DONE]


def write_report(folder: Path, crash_pct: float) -> Path:
    """Write the report of a sweep into its folder, and its phase diagram where it has one."""
    return html.write(report(folder, _diagram(folder, crash_pct)), folder)


def write_figures(folder: Path) -> Path:
    """Write the figures of the factors into the folder `figures` of a sweep, as SVG and PNG."""
    made, place = _made(folder), folder / "figures"
    place.mkdir(exist_ok=True)
    for factor in made.labels if len(made.done) else ():
        save_figure(_drawing(_with_levels(made, factor), factor, made.labels[factor]), place / factor.replace(".", "-"))
    return place


def report(folder: Path, diagram: Phase | str) -> str:
    """The whole report as HTML, with a phase diagram that is in its folder, or the reason why there is none."""
    made, origin = _made(folder), origin_of(folder)
    title = origin.get("title") or f"Sweep: {folder.resolve().name.removeprefix('sweep-')}"
    factors = [_factor(made, factor) for factor in made.labels] if len(made.done) else []
    header = html.header(title, _under(made, origin), _in_words(made))
    again = _again(made, origin)
    return html.page(title, [header, _phase(made, diagram), *factors, _sensitivity(folder), _failures(made), again])


def _made(folder: Path) -> Made:
    return Made(folder, read_plan(folder).to_pandas(), table_of(folder), labels(folder))


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


def _under(made: Made, origin: dict[str, Any]) -> str:
    """What was run, and how far it is."""
    runs, failed = made.runs, len(made.runs) - len(made.done)
    count = f"{len(made.plan):,} runs are planned and {len(runs):,} made, {failed:,} of them failed."
    return f"{_base(origin)}, {_seeds(origin)}. {count}" if origin else count


def _base(origin: dict[str, Any]) -> str:
    with_ = f" with {_settings(origin)}" if origin["set"] else ""
    return f"Scenario {origin['scenario']}{with_}"


def _settings(origin: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {shorten(value)}" for key, value in origin["set"].items())


def _seeds(origin: dict[str, Any]) -> str:
    first, last = origin["seeds"]
    return f"seeds {first} to {last}" if last > first else f"seed {first}"


def _in_words(made: Made) -> str:
    done = made.done
    if done.empty:
        return "No run came to its end."
    fall = median(done[FALL].groupby(done["seed"]).median())
    seeds = done["seed"].nunique()
    return (
        f"{len(done):,} runs with {seeds:,} seeds, over {', '.join(made.labels.values())}. The median of all from the "
        f"high to the close is {number(fall.value, 2)} %; how it depends on each factor is below. "
    ) + (
        "Intervals are of the median, 95 %, and say how sure it is, not how far single runs lie apart: those are the "
        "dots."
        if seeds >= LEAST_RUNS
        else f"Fewer than {LEAST_RUNS} seeds are too few for a 95 % interval of a median."
    )


# The phase diagram


def _diagram(folder: Path, crash_pct: float) -> Phase | str:
    """Write the phase diagram as the command `phase` does; the reason why not where it would refuse."""
    try:
        return write_phase(folder, crash_pct, folder / PHASE)
    except SweepError as error:
        return str(error).removeprefix(f"{folder}: ")


def _phase(made: Made, diagram: Phase | str) -> str:
    title = "Phase diagram"
    if isinstance(diagram, str):
        return html.section(title, html.paragraph(f"There is none: {diagram}."))
    seeds = made.done["seed"].nunique()
    few = f"; with fewer than {LEAST_RUNS} seeds they are not to be trusted" if seeds < LEAST_RUNS else ""
    captions = {"curves": f"Each point is estimated from all its seeds; bands are 95 %, from seeds drawn again{few}."}
    if diagram.other:
        captions["maps"] = f"A cell is a point of the sweep; the intervals are 95 %, from seeds drawn again{few}."
    over = {"curves": "Against depth", "maps": f"Over depth and {diagram.other_label}"}
    pictures = [
        html.picture((made.folder / PHASE / f"{name}.svg").read_bytes(), over[name], caption)
        for name, caption in captions.items()
    ]
    told = (
        f"The critical depth, in $M. Fitted: half of the days fall by {diagram.crash_pct:g} % or more from high to "
        f"close. {', '.join(WINDOWS_NS)}: theory, the loop gain is 1, with the impact over these windows."
    )
    return html.section(title, *pictures, html.table(told, critical_head(diagram), critical_rows(diagram)))


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


def _with_levels(made: Made, factor: str) -> pd.DataFrame:
    """The runs that came to their end, with their `level` of a factor."""
    return made.done.merge(_planned_levels(made, factor), on=["run", "point"])


def _planned_levels(made: Made, factor: str) -> pd.DataFrame:
    return made.plan[["run", "point"]].assign(level=levels(made.plan[factor]))


def _factor(made: Made, factor: str) -> str:
    done, planned, label = _with_levels(made, factor), _planned_levels(made, factor)["level"], made.labels[factor]
    medians = {name: over_seeds(done, done["level"], name) for name in OUTCOMES if name in done}
    rows = [_row(value, done[done["level"] == value], medians) for value in np.sort(planned.unique())]
    head = (label, "runs", *(OUTCOMES[name][0] for name in medians), "lost 6700")
    classes = "" if planned.equals(made.plan[factor]) else ", in classes of equal size, each named by its middle"
    intervals = _on_intervals(done["seed"].groupby(done["level"]).nunique())
    drawing = html.figure(
        _drawing(done, factor, label),
        f"From the high to the close against {label}",
        f"Dots are runs, the line goes through the medians. {intervals}",
        kind="lone",
    )
    table = html.table(f"Medians by {label}{classes}. {intervals}", head, rows)
    what = meaning(made.folder, factor)
    return html.section(label, html.paragraph(f"{what[0].upper()}{what[1:]}.") if what else "", drawing, table)


def _row(value: object, runs: pd.DataFrame, medians: dict[str, pd.Series]) -> tuple[str, ...]:  # type: ignore[type-arg]
    if runs.empty:
        return (_value(value), "0", *[NOTHING] * (len(medians) + 1))
    cells = [_cell(medians[name][value], OUTCOMES[name][1]) for name in medians]
    lost = f"{100 * runs['time_6700_lost'].notna().mean():.0f} %" if "time_6700_lost" in runs else "none"
    return (_value(value), str(len(runs)), *cells, lost)


def _on_intervals(seeds: pd.Series) -> str:  # type: ignore[type-arg]
    """Which intervals there are, by the numbers of seeds at the values of a factor."""
    if (seeds < LEAST_RUNS).all():
        return f"There are no intervals: they need {LEAST_RUNS} seeds, and here are {seeds.max()} at most."
    few = f"; with fewer than {LEAST_RUNS} seeds there is none" if (seeds < LEAST_RUNS).any() else ""
    return f"Intervals, in brackets and as bars, are of the median, 95 %{few}."


def _drawing(done: pd.DataFrame, factor: str, label: str) -> Figure:
    return curve(done, factor, label, over_seeds(done, done["level"], FALL))


def _cell(found: Median, digits: int) -> str:
    middle = number(found.value, digits)
    return (
        middle
        if np.isnan(found.low)
        else f"{middle} [{number(found.low, digits)},\N{NO-BREAK SPACE}{number(found.high, digits)}]"
    )


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def curve(done: pd.DataFrame, factor: str, label: str, medians: pd.Series) -> Figure:
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
        axes.set_xlabel(label, loc="right", alpha=0.62)
        return figure


# Indices and failures


def _sensitivity(folder: Path) -> str:
    """Figures that `thinbook sensitivity` left in the folder."""
    told = "Intervals are 95 %, about the points that were drawn, not about the seeds."
    paths = sorted((folder / "sensitivity").glob("*.svg"))
    pictures = (html.picture(path.read_bytes(), f"Of {path.stem.replace('_', ' ')}", told) for path in paths)
    return html.section("Sensitivity", *pictures)


def _failures(made: Made) -> str:
    failed = made.runs[made.runs["status"] == FAILED]
    named = [(_name(row, made.labels), str(row["error"])) for _, row in failed.iterrows()]
    notes = [read_json(path, dict) for path in sorted((made.folder / ASIDE).glob("*.json"))]
    named += [(note["run"], note["error"]) for note in notes]
    if not named:
        return html.section("Failures", html.paragraph("No run failed."))
    caption = f"{len(named):,} runs failed" + (
        f"; the first {MOST_FAILURES} are:" if len(named) > MOST_FAILURES else "."
    )
    return html.section("Failures", html.table(caption, ("run", "error"), named[:MOST_FAILURES]))


def _name(row: pd.Series, factors: Iterable[str]) -> str:  # type: ignore[type-arg]
    return _values(row, [*factors, "seed"])


def _values(row: pd.Series, keys: Iterable[str]) -> str:  # type: ignore[type-arg]
    return " ".join(f"{key}={_value(row[key])}" for key in keys)


# How to make it again


def _again(made: Made, origin: dict[str, Any]) -> str:
    title = "How to make it again"
    if not origin:
        return html.section(title, html.paragraph("An older version planned this sweep and did not note its origin."))
    first, points = made.plan.iloc[0], made.plan["point"].nunique()
    added = f", {origin['added']:,} of them added by --refine" if origin["added"] else ""
    told = [
        ("scenario", origin["scenario"]),
        ("set in all runs", _settings(origin) or "nothing"),
        ("seeds", f"{_seeds(origin)}, the same at every point"),
        ("design", f"{design_of(made.folder).kind}, {points:,} points{added}"),
        ("scenario digest", f"{origin['scenario_digest']}, of the first point: {_values(first, made.labels)}"),
        ("code digest", origin["code_digest"]),
        *made_with(origin),
        ("last started", origin["started"]),
    ]
    note = (
        "The command makes what is missing in the folder; with another --out it makes all runs again. Points that "
        "--refine added stand in added.json. The folder's plan.parquet has the whole scenario of every run."
    )
    return html.section(
        title,
        html.code(origin["command"]),
        html.paragraph(note, "note"),
        html.listing(told),
        html.paragraph(WARNING, "note"),
    )
