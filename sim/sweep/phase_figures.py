"""A phase diagram as drawings: every estimate against depth with its band, and maps over depth and the other factor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from scipy.special import expit

from sim.analysis.impact import WINDOWS_NS
from sim.figures import INK, STYLE, save_figure
from sim.palette import BLUE, GREY, VERMILION
from sim.sweep.phase import DEPTH, Phase
from sim.sweep.resampling import Floats

DEPTH_LABEL = "depth at each best quote ($M, log scale)"
LINES = dict(zip(WINDOWS_NS, ("--", ":"), strict=True))
METHODS = {"fitted": ("o", "half of the days crash", INK)} | {
    window: (mark, f"theory, impact over {window}", colour)
    for window, mark, colour in zip(WINDOWS_NS, "s^", (VERMILION, BLUE), strict=True)
}
"""Mark, name and colour of the ways to find a critical depth."""
NEVER_HOUR = 17.0
"""Where a time that never comes is drawn."""
SIZE = (7.1, 7.3)
"""In inches: as wide as the text of an A4 page, so that letters keep their size there."""
MOST_MARKS = 6
"""On an axis of depth."""
TITLE_LETTERS = 36
"""Of a line of a panel's title."""


class Panel(NamedTuple):
    """What a panel is about, and the unit of its values."""

    title: str
    unit: str


def draw(found: Phase, folder: Path) -> None:
    """Write the figures of a phase diagram into a folder, as SVG and PNG."""
    hours = [name for name in found.points if name.startswith("hour_")]
    shown = found._replace(points=found.points.replace({name: {np.inf: NEVER_HOUR} for name in hours}))
    with rc_context(STYLE | {"axes.titlesize": 9.0}):
        save_figure(_curves(shown), folder / "curves")
        if found.other:
            save_figure(_maps(shown), folder / "maps")


def _panels(found: Phase) -> dict[str, Panel]:
    """The panel of each estimate."""
    return {
        "crash_probability": Panel(
            f"Probability of a crash (fall of {found.crash_pct:g}\N{NO-BREAK SPACE}% or more)", "probability"
        ),
        "fall_median_pct": Panel("Fall, high to close: median", "%"),
        "fall_tail_pct": Panel("Fall, high to close: 95\N{NO-BREAK SPACE}% quantile", "%"),
        "amplification": Panel(f"Amplification: median fall over that of {found.reference}", "times"),
        "hour_6700_lost": Panel("Time at which 6700 is lost, median", "exchange time"),
    }


# Curves


def _curves(found: Phase) -> Figure:
    figure = Figure(figsize=SIZE, layout="constrained")
    *axes, gain = figure.subplots(3, 2).flat
    for ax, (name, panel) in zip(axes, _panels(found).items(), strict=True):
        for label, colour, rows in _levels(found):
            _curve(ax, rows, name, colour, label=label)
        _depth_axis(ax, found, panel.title)
        ax.set_ylabel(panel.unit)
        if name.startswith(("fall", "amplification")):
            _log_axis(ax)
    crash, *_, time = axes
    _fitted_curves(crash, found)
    time.set_yticks(*_clock(*time.get_ylim()))
    _gains(gain, found)
    if not found.other:
        _critical_spans(crash, found)
    key = found.other_label or "critical depth"
    figure.legend(*crash.get_legend_handles_labels(), title=key, loc="outside upper left", ncols=4)
    return figure


def _levels(found: Phase) -> Iterator[tuple[str, Any, pd.DataFrame]]:
    """Label, colour and rows of each value of the other factor."""
    if not found.other:
        yield "", GREY, found.points
        return
    groups = found.points.groupby(found.other)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(groups)))
    for (value, rows), colour in zip(groups, colours, strict=True):
        yield _text(value), colour, rows


def _text(value: Any) -> str:
    return f"{value:,g}" if isinstance(value, float) else str(value)


def _curve(ax: Axes, rows: pd.DataFrame, name: str, colour: Any, line: str = "-", label: str = "") -> None:
    rows = rows.dropna(subset=[name])
    ax.fill_between(rows[DEPTH], rows[f"{name}_low"], rows[f"{name}_high"], color=colour, alpha=0.15, lw=0)
    ax.plot(rows[DEPTH], rows[name], line, color=colour, marker=".", label=label)


def _depth_axis(ax: Axes, found: Phase, title: str) -> None:
    ax.set(title=fill(title, TITLE_LETTERS), xscale="log", xlabel=DEPTH_LABEL)
    low, high = found.points[DEPTH].min(), found.points[DEPTH].max()
    marks = [
        depth for depth in (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 40, 60, 100) if low <= depth <= high
    ]
    marks = marks[:: 1 + len(marks) // (MOST_MARKS + 1)]
    ax.set_xticks(marks, [f"{depth:g}" for depth in marks])
    ax.xaxis.set_minor_locator(NullLocator())


def _estimates(ax: Axes) -> Floats:
    """All values of the curves of a panel, the bands left out: these may reach to where nothing is seen any more."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in ax.lines])
    return values[np.isfinite(values)]


def _log_axis(ax: Axes) -> None:
    """Make an axis logarithmic, if anything is positive."""
    values = _estimates(ax)
    if not (values > 0).any():
        return
    ax.set_yscale("log")
    ax.set_ylim(values[values > 0].min() / 2, values.max() * 2)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def _clock(low: float, high: float) -> tuple[list[float], list[str]]:
    """Ticks and labels of an axis of hours."""
    hours = [hour for hour in np.arange(9, NEVER_HOUR + 1) if low <= hour <= high]
    return hours, ["never" if hour == NEVER_HOUR else f"{hour:.0f}:00" for hour in hours]


def _fitted_curves(ax: Axes, found: Phase) -> None:
    """The logistic regressions, as thin lines through the shares of days that crashed."""
    depths = np.geomspace(found.points[DEPTH].min(), found.points[DEPTH].max(), 200)
    for row in found.critical[found.critical["method"] == "fitted"].itertuples():
        ax.plot(depths, expit(row.intercept + row.slope * np.log(depths)), color=INK, lw=0.8)
    ax.set_ylim(-0.03, 1.03)


def _critical_spans(ax: Axes, found: Phase) -> None:
    """Critical depths with their intervals, as bars across the foot of the panel."""
    limits = ax.get_xlim()
    for height, row in zip((0.08, 0.16, 0.24), found.critical.itertuples(), strict=True):
        _interval(ax, row, height, label=METHODS[row.method][1])
    ax.set_xlim(limits)


def _interval(ax: Axes, row: Any, height: float, label: str = "") -> None:
    """A critical depth, or its bracket, in its interval; ends beyond all bounds are cut off at the panel's edge."""
    mark, _, colour = METHODS[row.method]
    ends = [end for end in (row.least_musd, row.most_musd) if 0 < end < np.inf]
    if ends:
        ax.plot(np.clip([row.low_musd, row.high_musd], *ax.get_xlim()), [height, height], color=colour, lw=1.2)
    ax.plot(ends, [height] * len(ends), mark, color=colour, ms=5, lw=3, ls="-", label=label)


def _gains(ax: Axes, found: Phase) -> None:
    for label, colour, rows in _levels(found):
        for window, line in LINES.items():
            _curve(ax, rows, f"loop_gain_{window}", colour, line, label=label or f"impact over {window}")
    ax.axhline(1, color=INK, lw=0.8)
    _depth_axis(ax, found, "Loop gain: impact per contract times contracts sold per point of fall")
    ax.set_ylabel("no unit")
    values = _estimates(ax)
    margin = 0.1 * (values.max() - values.min()) or 0.1
    ax.set_ylim(values.min() - margin, values.max() + margin)
    if found.other:
        handles = [matplotlib.lines.Line2D([], [], color=GREY, ls=line) for line in LINES.values()]
        ax.legend(handles, [f"impact over {window}" for window in LINES])
    else:
        ax.legend()


# Maps


def _maps(found: Phase) -> Figure:
    figure = Figure(figsize=SIZE, layout="constrained")
    figure.supylabel(found.other_label, fontsize=9.0)
    *axes, legend = figure.subplots(3, 2).flat
    for ax, (name, panel) in zip(axes, _panels(found).items(), strict=True):
        cells = _map(ax, found, name)
        bar = figure.colorbar(cells, ax=ax, label=panel.unit)
        if name == "hour_6700_lost":
            hours, labels = _clock(*bar.ax.get_ylim())
            bar.set_ticks(hours, labels=labels)
        _depth_axis(ax, found, panel.title)
        ax.set_autoscalex_on(False)
        for height, (_, rows) in enumerate(found.critical.groupby(found.other)):
            for offset, row in zip((-0.25, 0.0, 0.25), rows.itertuples(), strict=True):
                _interval(ax, row, height + offset)
    legend.axis("off")
    for mark, name, colour in METHODS.values():
        legend.plot([], [], mark, ls="-", color=colour, label=name)
    legend.legend(title="Critical depth and its 95 % interval", loc="center")
    return figure


def _map(ax: Axes, found: Phase, name: str) -> Any:
    """A row of cells for every value of the other factor; their colours have one scale."""
    groups = list(found.points.groupby(found.other))
    colours = "YlOrRd_r" if name == "hour_6700_lost" else "YlOrRd"
    scale = matplotlib.colors.Normalize(*_scale(name, found.points[name]))
    for height, (_, rows) in enumerate(groups):
        middles = np.log(rows[DEPTH].to_numpy())
        between = (middles[1:] + middles[:-1]) / 2
        edges = np.exp([2 * middles[0] - between[0], *between, 2 * middles[-1] - between[-1]])
        cells = ax.pcolormesh(
            edges, [height - 0.5, height + 0.5], rows[[name]].T.to_numpy(), norm=scale, cmap=colours, rasterized=True
        )
    ax.set_yticks(range(len(groups)), [_text(value) for value, _ in groups])
    ax.grid(visible=False)
    return cells


def _scale(name: str, values: pd.Series) -> tuple[float, float]:  # type: ignore[type-arg]
    """Ends of a map's colours, so that one value alone has its place: 0 and 1 of a probability, never of a time."""
    if name == "crash_probability":
        return 0.0, 1.0
    if name == "hour_6700_lost":
        return np.floor(min(values.min(), NEVER_HOUR - 1)), NEVER_HOUR
    return 0.0, np.nanmax([0.0, *values]) or 1.0
