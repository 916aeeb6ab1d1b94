"""The figures of a run: each drawn from a `Day`, each with its units, labelled where it is rather than by a legend.

They are drawn for the width of half a page, or of a telephone; the price alone is drawn for the whole page, too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import wraps
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sim.analysis.day import WATCHED_POINTS
from sim.analysis.tape import UNKNOWN
from sim.figures import INK, PAPER, STYLE
from sim.palette import DEPTH_COLOUR, SOFT, colour_of, name_of
from sim.recorder import DEPTH_REACH
from sim.report.day import Day
from sim.report.dominoes import network, places, provoked
from sim.report.labels import beside
from sim.report.words import signed
from sim.units import DAY, HOUR, TICK_POINTS, clock_text

HALF, TALL, BROAD, WIDE = (4.8, 3.0), (4.8, 4.7), (11.2, 5.4), (11.2, 3.6)
"""Inches."""
STRIKE_SHARE = 0.05
"""A strike is drawn if it holds at least this share of the book's contracts."""
NEWS_ROOM = 0.08
"""Of the height of the price, above it."""
SLICE_MINUTES = 10
"""Pushes and flows are summed over so long."""
WIDTH = 1.3
DOMINO_MARGIN = np.array([0.13, 0.08])
"""Of the width and the height, around the dominoes."""
DEEP, SHADES = 0.98, 64
"""The darkest of the shades of depth stands for this quantile and more."""


class End(NamedTuple):
    """Where a line ends, and how it is drawn."""

    value: float
    colour: str
    style: str = "-"


def drawn(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the project's style."""

    @wraps(draw)
    def in_style(*arguments: Any, **more: Any) -> Figure:
        with rc_context(STYLE):
            return draw(*arguments, **more)

    return in_style


# Price


@drawn
def price(day: Day, *, size: tuple[float, float] = BROAD) -> Figure:
    """The mid in the colours of those who pushed, the real day beside it, the levels; below, the points by group."""
    figure, (above, below) = _panels(day, 2, size, heights=(2.6, 1), right=0.91 if size == BROAD else 0.8)
    mid, real = day.bars["mid"], day.real("price_points")
    _clock(above, day, labelled=False)
    above.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
    above.plot(real.index, real, color=SOFT, linewidth=1.6, linestyle="--")
    _coloured_line(above, mid, _pushers(day))
    _news(above, day)
    ends = {"simulated": End(_last(mid), INK), "real day": End(_last(real), SOFT, "--")}
    _label_ends(above, _levels(above, day) | ends)
    _unit(above, "index points")
    _stacks(below, _slices(day, day.points))
    _unit(below, f"points moved in {SLICE_MINUTES} minutes, by who moved the price")
    return figure


def _pushers(day: Day) -> list[str]:
    """The group that pushed most the way each step of the mid went; where it went nowhere, that of the step before."""
    steps = day.points.diff().iloc[1:]
    toward = steps.mul(np.sign(day.bars["mid"].diff().iloc[1:].to_numpy()), axis=0)
    if not steps.size:
        return []
    moved = toward.idxmax(axis=1).where(toward.max(axis=1) > 0)
    return moved.ffill().bfill().fillna(UNKNOWN).tolist()


def _coloured_line(axes: Axes, line: pd.Series, groups: list[str]) -> None:
    x, y = line.index.to_numpy(), line.to_numpy()
    axes.plot(x, y, color=INK, alpha=0.5, linewidth=0.8)
    for group in dict.fromkeys(groups):
        steps = np.flatnonzero(np.array(groups) == group)
        # A step is a line of its own: from its point to the next one, and nothing to the step after.
        pieces = np.stack([steps, steps + 1, np.full(len(steps), len(x))], axis=1).ravel()
        axes.plot(np.append(x, np.nan)[pieces], np.append(y, np.nan)[pieces], color=colour_of(group), linewidth=2.0)


def _levels(axes: Axes, day: Day) -> dict[str, End]:
    """Strikes that hold much of the book, and the level that was watched, as far as price came near: their ends."""
    low, high = axes.get_ylim()
    book, contracts = day.book, abs(day.book.contracts)
    share = pd.Series(contracts, book.strike).groupby(level=0).sum() / max(contracts.sum(), 1)
    ends = {}
    for level in sorted({*share[share >= STRIKE_SHARE].index, WATCHED_POINTS}):
        if low < level < high:
            is_watched = level == WATCHED_POINTS
            end = End(level, SOFT, "-" if is_watched else ":")
            axes.axhline(level, color=end.colour, linewidth=0.9, linestyle=end.style)
            ends[f"{level:g}" if is_watched else f"strike {level:g}"] = end
    return ends


def _news(axes: Axes, day: Day) -> None:
    """Numbered marks, as in the report's list, with room above the price; what came before the open has none."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + NEWS_ROOM * (high - low))
    for number, (at, _) in enumerate(day.news, start=1):
        if at >= day.hours[0]:
            hour = at % DAY / HOUR
            axes.axvline(hour, color=INK, alpha=0.18, linewidth=0.8)
            axes.text(hour + 0.02, 0.995, str(number), transform=axes.get_xaxis_transform(), fontsize=8, va="top")


# Who moved it, who traded


@drawn
def points(day: Day) -> Figure:
    """Points by which each group has moved the price so far; they add up to the way of the price."""
    figure, (axes,) = _panels(day, 1, HALF)
    so_far = day.points.loc[:, (day.points != 0).any()]
    _lines(axes, so_far)
    total = so_far.sum(axis=1)
    axes.plot(total.index, total, color=INK, linewidth=2.2)
    _label_ends(axes, _ends(so_far) | {f"price {signed(_last(total))}": End(_last(total), INK)})
    _unit(axes, "index points since the first quote")
    return figure


@drawn
def bought(day: Day) -> Figure:
    """Contracts that each group has bought net since the open."""
    figure, (axes,) = _panels(day, 1, HALF)
    so_far = day.bought.loc[:, (day.bought != 0).any()] / 1000
    _lines(axes, so_far)
    _label_ends(axes, _ends(so_far))
    _unit(axes, "thousand contracts bought net since the open")
    return figure


@drawn
def flow(day: Day) -> Figure:
    """Contracts bought and sold net by group, slice by slice."""
    figure, (axes,) = _panels(day, 1, HALF)
    slices = _slices(day, day.bought) / 1000
    _stacks(axes, slices)
    _unit(axes, f"thousand contracts bought net in {SLICE_MINUTES} minutes")
    return figure


@drawn
def volume(day: Day) -> Figure:
    """Contracts traded, by the group that took them."""
    figure, (axes,) = _panels(day, 1, HALF)
    _stacks(axes, _slices(day, day.taken) / 1000)
    _unit(axes, f"thousand contracts taken in {SLICE_MINUTES} minutes")
    return figure


# Liquidity and volatility


@drawn
def liquidity(day: Day) -> Figure:
    """What stood at the best quotes, and the spread."""
    figure, (above, below) = _panels(day, 2, HALF)
    top, spread = day.bars["top_of_book_musd"], day.bars["spread_ticks"]
    above.plot(top.index, top, color=INK, linewidth=1.0)
    wanted = day.run.scenario.depth_musd
    above.axhline(wanted, color=SOFT, linewidth=WIDTH, linestyle="--")
    above.set_ylim(bottom=0)
    _label_ends(above, {"shown": End(_last(top), INK), "wanted": End(wanted, SOFT, "--")})
    _unit(above, "$M at each best quote")
    _clock(above, day, labelled=False)
    below.plot(spread.index, spread, color=INK, linewidth=1.0)
    _label_ends(below, {"spread": End(_last(spread), INK)})
    _unit(below, "ticks of 0.25 points")
    return figure


@drawn
def depth(day: Day, *, size: tuple[float, float] = WIDE) -> Figure:
    """Contracts in the book by distance from the mid, bar by bar."""
    figure, (axes,) = _panels(day, 1, size, right=0.96)
    contracts, reach = day.depth(DEPTH_REACH), DEPTH_REACH * TICK_POINTS
    shades = ListedColormap([to_rgba(DEPTH_COLOUR, share) for share in np.linspace(0, 1, SHADES)])
    most = max(float(np.quantile(contracts, DEEP)), 1.0)
    span = (day.hours[0] % DAY / HOUR, day.bars.index[-1], -reach, reach)
    style: Any = {"aspect": "auto", "origin": "lower", "interpolation": "none"}
    axes.imshow(contracts, shades, vmin=0, vmax=most, extent=span, **style)
    axes.axhline(0, color=INK, alpha=0.5, linewidth=0.8)
    axes.grid(visible=False)
    _clock(axes, day, labelled=True)
    _unit(axes, "index points from the mid")
    key = axes.inset_axes((0.84, 1.03, 0.16, 0.04))
    key.imshow(np.linspace(0, 1, SHADES)[None], shades, aspect="auto")
    key.set_axis_off()
    told = f"contracts, 0 to {most:,.0f} and more"
    key.text(-0.04, 0.4, told, transform=key.transAxes, fontsize=8, color=SOFT, ha="right", va="center")
    return figure


@drawn
def volatility(day: Day) -> Figure:
    """The model's VIX and VIX1D, the volatility at the money of the next expiry, and the real VIX."""
    figure, (axes,) = _panels(day, 1, HALF)
    lines = {"vix": ("VIX", "-"), "vix1d": ("VIX1D", "--"), "atm_iv": ("at the money", ":")}
    ends = {}
    for name, (label, style) in lines.items():
        line = day.bars[name]
        axes.plot(line.index, line, color=INK, linewidth=WIDTH, linestyle=style)
        ends[label] = End(_last(line), INK, style)
    real = day.real("vix")
    axes.plot(real.index, real, "o", color=SOFT, markersize=5, fillstyle="none", clip_on=False)
    _label_ends(axes, ends | {"real VIX, circles": End(_last(real), SOFT)})
    _unit(axes, "volatility points (% a year)")
    return figure


# Dealers


@drawn
def dealers(day: Day) -> Figure:
    """What dealers' options asked for and the futures they had; their gamma and vanna."""
    figure, panels = _panels(day, 3, TALL)
    held = day.dealers
    colour = colour_of("dealers")
    lines = {"options": held["delta"] / 1000, "futures": held["position"] / 1000}
    ends = {}
    for (label, line), style in zip(lines.items(), ("-", "--"), strict=True):
        panels[0].plot(line.index, line, color=colour, linewidth=WIDTH, linestyle=style)
        ends[label] = End(_last(line), colour, style)
    _label_ends(panels[0], ends)
    _unit(panels[0], "delta, thousand futures")
    for axes, name, unit in zip(
        panels[1:], ("gamma", "vanna"), ("futures a point", "futures a volatility point"), strict=True
    ):
        axes.plot(held.index, held[name], color=colour, linewidth=WIDTH)
        _unit(axes, f"{name}, {unit}")
    for axes in panels:
        axes.axhline(0, color=INK, alpha=0.5, linewidth=0.8)
        _clock(axes, day, labelled=axes is panels[-1])
    return figure


@drawn
def against_spot(day: Day) -> Figure:
    """The starting book's delta, gamma and vanna against the index level, and the range of the day."""
    figure = Figure(figsize=TALL)
    panels = figure.subplots(3, 1, sharex=True)
    figure.subplots_adjust(left=0.12, right=0.94, top=0.93, bottom=0.09, hspace=0.42)
    mids = day.bars["mid"]
    spots = np.linspace(0.985 * mids.min(), 1.015 * mids.max(), 81)
    values = day.against_spot(spots)
    units = {"delta": "thousand futures", "gamma": "futures a point", "vanna": "futures a volatility point"}
    for axes, (name, unit) in zip(panels, units.items(), strict=True):
        line = values[name] / (1000 if name == "delta" else 1)
        axes.axvspan(mids.min(), mids.max(), color=INK, alpha=0.06, linewidth=0)
        if axes is panels[0]:
            axes.text(
                mids.mean(),
                0.97,
                "range of the day",
                transform=axes.get_xaxis_transform(),
                fontsize=8,
                color=SOFT,
                ha="center",
                va="top",
            )
        axes.axhline(0, color=INK, alpha=0.5, linewidth=0.8)
        axes.plot(line.index, line, color=colour_of("dealers"), linewidth=WIDTH)
        _unit(axes, f"{name}, {unit}")
        _plain(axes)
    panels[-1].set_xlabel("index level, points", loc="right", color=SOFT)
    return figure


# Dominoes


@drawn
def dominoes(day: Day) -> Figure:
    """The largest decisions and all others of each group: who set off whom."""
    graph = network(day)
    figure = Figure(figsize=TALL)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    # The axes are in points, so that it is known what lies on what.
    size = 72 * np.array(TALL)
    axes.set_xlim(0, size[0])
    axes.set_ylim(0, size[1])
    spots = _spread(places(graph), size)
    radii = {node: 2.5 + 1.5 * abs(points) ** 0.5 for node, points in graph.nodes(data="points")}
    _arrows(axes, graph, spots, radii)
    for node, group in graph.nodes(data="group"):
        axes.plot(*spots[node], "o", markersize=2 * radii[node], color=colour_of(group), markeredgecolor=PAPER)
    labels = {node: _domino_label(node, data) for node, data in graph.nodes(data=True)}
    for node, (x, y) in beside(spots, radii, labels, size).items():
        text, letters = labels[node]
        axes.text(x, y, text, ha="center", va="center", fontsize=letters)
    return figure


def _spread(places: Mapping[Hashable, np.ndarray], size: np.ndarray) -> dict[Hashable, np.ndarray]:
    """Places in points, all over the figure but for a margin in which labels have room."""
    every = np.array(list(places.values()))
    low, span = every.min(axis=0), np.ptp(every, axis=0)
    margin = DOMINO_MARGIN * size
    shares = {node: (place - low) / np.where(span > 0, span, 1) for node, place in places.items()}
    return {node: margin + share * (size - 2 * margin) for node, share in shares.items()}


def _arrows(
    axes: Axes, graph: nx.DiGraph, spots: Mapping[Hashable, np.ndarray], radii: Mapping[Hashable, float]
) -> None:
    """From those who moved the price to those who traded because of it; dashed, against it."""
    largest = max((abs(contracts) for *_, contracts in graph.edges(data="contracts")), default=1.0)
    for parent, child, contracts in graph.edges(data="contracts"):
        if parent != child:
            axes.add_patch(
                FancyArrowPatch(
                    tuple(spots[parent]),
                    tuple(spots[child]),
                    connectionstyle="arc3,rad=0.12",
                    arrowstyle="-|>,head_length=3,head_width=1.5",
                    shrinkA=radii[parent],
                    shrinkB=radii[child],
                    linewidth=0.5 + 3 * (abs(contracts) / largest) ** 0.5,
                    linestyle="-" if contracts > 0 else (0, (2, 2)),
                    color=colour_of(graph.nodes[parent]["group"]),
                    alpha=0.7,
                )
            )


def _domino_label(node: Hashable, data: Mapping[str, Any]) -> tuple[str, float]:
    """Text and size of letters: a group with its points, a decision with its time."""
    if not isinstance(node, str):
        return clock_text(data["time_ns"])[:5], 6.5
    return name_of(node) + (f" {signed(data['points'])}" if data["points"] else ""), 8.5


@drawn
def matrix(day: Day) -> Figure:
    """Contracts by the group that traded them and the group whose moves they answered."""
    table = provoked(day) / 1000
    figure = Figure(figsize=TALL)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.25, right=0.9, top=0.73, bottom=0.03)
    row, column = np.nonzero(table.abs().to_numpy() >= 0.05)
    contracts = table.to_numpy()[row, column]
    # No circle is wider than its column.
    widest = 72 * TALL[0] * 0.65 / (len(table.columns) + 0.2)
    diameter = 3 + (min(widest, 33) - 4) * (abs(contracts) / abs(contracts).max(initial=1e-9)) ** 0.5
    colours = np.array([colour_of(name) for name in table.columns])[column]
    fill = np.where(contracts > 0, colours, PAPER)
    axes.scatter(column, row, diameter**2, fill, edgecolors=colours.tolist(), zorder=2, clip_on=False)
    for x, y, amount, size in zip(column, row, contracts, diameter, strict=True):
        below = (0, -size / 2 - 2)
        axes.annotate(signed(amount, 1), (x, y), below, textcoords="offset points", ha="center", va="top", fontsize=7)
    axes.set_xticks(range(len(table.columns)), [name_of(name) for name in table.columns], rotation=45, ha="left")
    axes.set_yticks(range(len(table.index)), [name_of(name) for name in table.index])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xlim(-0.6, len(table.columns) - 0.4)
    axes.set_ylim(len(table.index) - 0.4, -0.6)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


# Parts of figures


def _panels(
    day: Day, count: int, size: tuple[float, float], *, heights: Iterable[float] = (), right: float = 0.7
) -> tuple[Figure, list[Axes]]:
    """Panels under one another with the time of the day below."""
    width, height = size
    figure = Figure(figsize=size)
    ratios = list(heights) or [1.0] * count
    panels = figure.subplots(count, 1, squeeze=False, height_ratios=ratios)[:, 0]
    left = 0.62 / width
    figure.subplots_adjust(
        left=left, right=right, top=1 - 0.34 / height, bottom=0.46 / height, hspace=0.42 if count > 2 else 0.34
    )
    for axes in panels:
        _plain(axes)
        _clock(axes, day, labelled=axes is panels[-1])
    return figure, list(panels)


def _plain(axes: Axes) -> None:
    axes.grid(visible=False, axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0, labelsize=9)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace("-", "−")))


def _clock(axes: Axes, day: Day, *, labelled: bool) -> None:
    """Hours of the session along the axis."""
    start, end = (moment % DAY / HOUR for moment in day.hours)
    axes.set_xlim(start, end)
    most = 8 if axes.figure.get_figure(root=True).get_figwidth() > HALF[0] else 4
    axes.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10] if end - start > 2 else [1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda hour, _: f"{int(hour):02d}:{round(hour % 1 * 60):02d}"))
    axes.tick_params(labelbottom=labelled)
    if labelled:
        axes.set_xlabel("exchange time", loc="right", color=SOFT)


def _unit(axes: Axes, text: str) -> None:
    """What the axis measures, above it."""
    axes.set_title(text, fontsize=9, color=SOFT, y=1.0, pad=7)


def _lines(axes: Axes, table: pd.DataFrame) -> None:
    axes.axhline(0, color=INK, alpha=0.5, linewidth=0.8)
    for name in table:
        axes.plot(table.index, table[name], color=colour_of(str(name)), linewidth=WIDTH)


def _ends(table: pd.DataFrame) -> dict[str, End]:
    """Label and end of every column."""
    ends = {str(name): _last(table[name]) for name in table}
    return {f"{name_of(name)} {signed(end)}": End(end, colour_of(name)) for name, end in ends.items()}


def _last(column: pd.Series) -> float:
    return float(column.iloc[-1]) if len(column) else float("nan")


def _label_ends(axes: Axes, ends: Mapping[str, End]) -> None:
    """Labels at the right of lines, moved apart where they would overlap, each tied to its line's end and drawn so."""
    low, high = axes.get_ylim()
    width, height = axes.get_position().size * axes.figure.get_figure(root=True).get_size_inches()
    gap = (high - low) * 0.145 / max(height, 0.1)
    known = {text: end for text, end in ends.items() if np.isfinite(end.value)}
    order = sorted(known, key=lambda text: known[text].value)
    places = _apart([known[text].value for text in order], gap, low, high)
    # A line that is not solid needs some length to show it.
    reach = 6 if all(end.style == "-" for end in known.values()) else 18
    start, bend, stop, label = 1 + np.array([1, 6, reach, reach + 2]) / (72 * width)
    for text, place in zip(order, places, strict=True):
        value, colour, style = known[text]
        across = axes.get_yaxis_transform()
        way = [start, bend, stop], [value, place, place]
        axes.plot(*way, transform=across, color=colour, linewidth=1.4, linestyle=style, clip_on=False)
        axes.text(label, place, text, transform=across, va="center", fontsize=8)
    axes.set_ylim(low, high)


def _apart(values: list[float], gap: float, low: float, high: float) -> list[float]:
    """Rising values at least `gap` from one another, as near to their places as pushing up, then down, leaves them."""
    places = list(values)
    for place in range(1, len(places)):
        places[place] = max(places[place], places[place - 1] + gap)
    if places and places[-1] > high:
        places[-1] = max(high, values[-1])
    for place in range(len(places) - 2, -1, -1):
        places[place] = min(places[place], places[place + 1] - gap)
    return places


def _slices(day: Day, so_far: pd.DataFrame) -> pd.DataFrame:
    """Sums of equal slices of time of what `so_far` adds up; the index is where each begins."""
    start = day.hours[0] % DAY / HOUR
    number = np.ceil((so_far.index.to_numpy() - start) * 60 / SLICE_MINUTES - 1e-9).astype(int).clip(min=1)
    last = so_far.groupby(number).last()
    sums = last.diff().fillna(last)
    return sums.set_index(start + (sums.index.to_numpy() - 1) * SLICE_MINUTES / 60)


def _stacks(axes: Axes, slices: pd.DataFrame) -> None:
    """What is above zero stacked up, what is below stacked down."""
    edges = np.append(slices.index, slices.index[-1:] + SLICE_MINUTES / 60)
    for sign in (1, -1):
        base = np.zeros(len(slices))
        for name in slices:
            part = np.where(sign * slices[name] > 0, slices[name], 0.0)
            if part.any():
                lower, upper = np.append(base, base[-1:]), np.append(base + part, (base + part)[-1:])
                axes.fill_between(edges, lower, upper, step="post", color=colour_of(str(name)), linewidth=0)
            base = base + part
    axes.axhline(0, color=INK, alpha=0.6, linewidth=0.8)
