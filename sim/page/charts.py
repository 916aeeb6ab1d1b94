"""From frames to what ECharts draws: pure functions.

Colours of groups are those of `sim.palette`. INK, SOFT, LINE, PAPER, COLD and HOT are names that `chart.vue` replaces
by the colours of the light or the dark page.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import networkx as nx
import numpy as np

from sim.analysis.day import WATCHED_POINTS
from sim.analysis.tape import ticks_from_mid
from sim.page.world import Frame, World
from sim.palette import colour_of, name_of
from sim.tables import Scenario
from sim.units import SECOND, TICK_POINTS, clock_ns, clock_text

type Option = dict[str, Any]
"""What ECharts is to draw."""
type Course = Sequence[tuple[float, float]]

MOST_POINTS = 400
"""Of a series."""
COLUMNS = 65
"""Columns of the heat map, and of the bars of flow: six minutes of a day each."""
REACH = 16
"""Ticks from the mid that the heat map shows."""
RUNGS = 10
"""Prices a side of the ladder."""
STRIKE_SHARE = 0.05
"""A strike is drawn if it holds at least this share of the book's contracts."""
SPOTS = np.linspace(0.93, 1.03, 51)
"""Prices at which the dealers' greeks are drawn, in prior closes."""
MOST_EDGES = 24
LABEL_ROOM = 0.1
"""Of the largest value, what two names at the ends of lines must be apart."""
SMALL = {"color": "SOFT", "fontSize": 11}
TINY = {"color": "SOFT", "fontSize": 10, "backgroundColor": "PAPER", "padding": [1, 2]}


# What charts of time have in common


def moment_ms(scenario: Scenario, time_ns: int) -> int:
    """A time as ECharts wants it: milliseconds, exchange time taken for UTC."""
    first = datetime.combine(scenario.session.first_day, datetime.min.time(), UTC)
    return round(first.timestamp() * 1000) + time_ns // 1_000_000


def today(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Frames of the session that the last one is in."""
    return frames[frames[-1].first :] if frames else frames


def thinned(frames: Sequence[Frame], most: int = MOST_POINTS) -> list[Frame]:
    """At most so many frames, evenly, the last one always among them."""
    return _every(frames, -(-len(frames) // most))


def _every(frames: Sequence[Frame], stride: int) -> list[Frame]:
    """Frames at the ends of equal pieces of time, which stay the same as time goes on; the last one always."""
    return [*frames[stride - 1 : -1 : stride], *frames[-1:]] if frames else []


def _over_time(world: World, frames: Sequence[Frame], unit: str, **y_axis: Any) -> Option:
    """An empty chart from the open to the close of the day."""
    scenario, session = world.scenario, frames[-1].session if frames else 0
    opens, closes = (moment_ms(scenario, time) for time in scenario.session.hours_ns[session])
    return _chart(
        {"type": "time", "min": opens, "max": closes, "splitNumber": 3, "name": "exchange time"},
        {"name": unit, "scale": True} | y_axis,
    ) | {"useUTC": True}


def _chart(x_axis: Option, y_axis: Option, **grid: Any) -> Option:
    line = {"lineStyle": {"color": "LINE"}}
    name = {"nameTextStyle": {"color": "SOFT", "fontSize": 11, "align": "left"}, "nameGap": 12}
    x_name = {"nameLocation": "middle", "nameGap": 26, "nameTextStyle": SMALL}
    times = {"formatter": "{HH}:{mm}"} if x_axis.get("type") == "time" else {}
    return {
        "animation": False,
        "textStyle": {"fontFamily": "Roboto, sans-serif"},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "backgroundColor": "PAPER",
            "borderColor": "LINE",
            "textStyle": {"color": "INK", "fontSize": 12},
        },
        "grid": {"left": 52, "right": 16, "top": 30, "bottom": 44} | grid,
        "xAxis": {
            "axisLine": line,
            "axisTick": {"show": False},
            "splitLine": {"show": False},
            "axisLabel": SMALL | {"hideOverlap": True} | times,
        }
        | x_name
        | x_axis,
        "yAxis": {"type": "value", "axisLabel": SMALL, "splitLine": line} | name | y_axis,
        "series": [],
    }


def _line(name: str, course: Course, colour: str, **more: Any) -> Option:
    """A line with its name at its end, in ink: not all colours can be read on paper."""
    label = {"show": True, "formatter": "{dot|●} {a}", "color": "INK", "fontSize": 11, "distance": 2}
    label["rich"] = {"dot": {"color": colour, "fontSize": 12}}
    return {
        "type": "line",
        "name": name,
        "data": course,
        "symbol": "none",
        "color": colour,
        "lineStyle": {"width": 1.5, "color": colour},
        "endLabel": label,
        "emphasis": {"disabled": True},
    } | more


def _course(world: World, frames: Iterable[Frame], values: Iterable[float], digits: int = 2) -> Course:
    midnight = moment_ms(world.scenario, 0)
    times = [midnight + frame.time_ns // 1_000_000 for frame in frames]
    return [(time, round(value, digits)) for time, value in zip(times, values, strict=True)]


def _real(world: World, frames: Sequence[Frame], what: str) -> Course:
    """Course of the real day, where it is known: that of the scenario's last day."""
    real, session = world.scenario.real_course, world.scenario.session
    if not real or (frames[-1].session if frames else 0) != len(session.days) - 1:
        return []
    midnight = session.last_midnight_ns
    return [(moment_ms(world.scenario, midnight + clock_ns(clock)), value) for clock, value in getattr(real, what)]


def _ghost(name: str, course: Course) -> Option:
    """A dashed line with its name at its end, as a mark: ECharts loses the end of a line that does not change."""
    label = SMALL | {"show": True, "formatter": name, "position": "right", "distance": 2}
    mark = {"silent": True, "symbol": "circle", "symbolSize": 1, "data": [{"coord": course[-1], "label": label}]}
    dashed = {"type": [4, 4], "width": 1.2, "color": "SOFT"}
    return _line(name, course, "SOFT", silent=True, z=1, lineStyle=dashed, endLabel={"show": False}, markPoint=mark)


# Price


def price(world: World, frames: Sequence[Frame], limits: tuple[float, float]) -> Option:
    """The mid; each bar a dot in the colour of the group that pushed it most. Strikes, news, the real day."""
    day = thinned(today(frames))
    low, high = limits
    chart = _over_time(world, frames, "index points", min=low, max=high)
    real = _real(world, frames, "price_points")
    if real:
        chart["series"].append(_ghost("real day", real))
    mids = _course(world, day, [frame.mid for frame in day])
    marks = {"silent": True, "symbol": "none", "z": 1, "data": [*_levels(world, limits), *_news(world, frames)]}
    line = _line("price", mids, "INK", lineStyle={"width": 1, "color": "SOFT"}, markLine=marks)
    chart["series"].append(line | {"endLabel": {"show": False}})
    dots: dict[str, list[tuple[float, float]]] = {}
    for group, place in zip(pushers(world, day), mids, strict=True):
        dots.setdefault(group, []).append(place)
    for group, places in dots.items():
        chart["series"].append(_dots(group, places))
    chart["grid"]["right"] = 56 if real else 16
    return chart


def _dots(group: str, places: Course) -> Option:
    return {
        "type": "scatter",
        "name": name_of(group),
        "data": places,
        "symbolSize": 5,
        "large": True,
        "largeThreshold": 0,
        "color": colour_of(group),
        "tooltip": {"show": False},
    }


def price_limits(worlds: Sequence[World], frames: Sequence[Sequence[Frame]]) -> tuple[float, float]:
    """Range of the price axis: round, the same for all worlds, and wide enough for the real day."""
    values = [frame.mid for day in frames for frame in today(day)]
    values += [day[-1].base for day in frames if day] or [worlds[0].scenario.session.prior_close_points]
    values += [
        value for world, day in zip(worlds, frames, strict=True) for _, value in _real(world, day, "price_points")
    ]
    return 50.0 * math.floor(min(values) / 50), 50.0 * math.ceil(max(values) / 50)


def pushers(world: World, day: Sequence[Frame]) -> list[str]:
    """Who pushed the mid most in the direction in which each bar went, makers' answers counted; "noise" if it stood."""
    if not day:
        return []
    moved = np.diff([frame.pushed for frame in day], axis=0, prepend=0)
    best = np.argmax(moved * np.sign(moved.sum(axis=1, keepdims=True)), axis=1)
    stood = moved[np.arange(len(day)), best] == 0
    return ["noise" if still else world.sources[place] for place, still in zip(best, stood, strict=True)]


def strikes(scenario: Scenario) -> dict[float, int]:
    """Contracts the dealers own (+) or have sold (-) at the strikes that hold most of the book."""
    if not scenario.options:
        return {}
    book, held = scenario.options.positions(), Counter[float]()
    for strike, contracts in zip(book.strike.tolist(), book.contracts.tolist(), strict=True):
        held[strike] += contracts
    least = STRIKE_SHARE * abs(book.contracts).sum()
    return {strike: contracts for strike, contracts in held.items() if contracts and abs(contracts) >= least}


def _levels(world: World, limits: tuple[float, float]) -> list[Option]:
    held = {WATCHED_POINTS: 0} | strikes(world.scenario)
    return [_level(points, held[points]) for points in sorted(held) if limits[0] < points < limits[1]]


def _level(points: float, contracts: int) -> Option:
    """A line across the chart, with what the dealers hold there."""
    side = f" dealers {'long' if contracts > 0 else 'short'} {abs(contracts):,} options" if contracts else ""
    watched = points == WATCHED_POINTS
    line = {"color": "SOFT", "width": 1, "type": "solid" if watched else "dashed"}
    label = {"formatter": f"{points:g}{side}", "position": "insideStartTop", "rotate": 0} | TINY
    return {"yAxis": points, "lineStyle": line, "label": label}


def _news(world: World, frames: Sequence[Frame]) -> list[Option]:
    """A mark at every piece of news that came since the open, with its number."""
    opens = world.scenario.session.hours_ns[frames[-1].session][0] if frames else 0
    numbered = enumerate(world.news(frames), start=1)
    return [_mark(moment_ms(world.scenario, at), str(number)) for number, (at, _) in numbered if at >= opens]


def _mark(time_ms: int, name: str) -> Option:
    label = {"formatter": name, "position": "insideEnd", "rotate": 0} | TINY
    return {"xAxis": time_ms, "lineStyle": {"color": "LINE", "type": "solid"}, "label": label}


# The book


def ladder(world: World, frames: Sequence[Frame]) -> Option:
    """Contracts that wait at the best prices, offers above bids."""
    frame = frames[-1] if frames else None
    asks, bids = (frame.asks[:RUNGS][::-1].tolist(), frame.bids[:RUNGS].tolist()) if frame else ((), ())
    names = [f"{tick * TICK_POINTS:,.2f}" for tick, _ in (*asks, *bids)]
    chart = _chart(
        {"type": "value", "name": "contracts", "minInterval": 1, "splitNumber": 4},
        {"type": "category", "data": names, "inverse": True, "name": "index points", "nameLocation": "start"},
        left=64,
    )
    chart["yAxis"] |= {"axisTick": {"show": False}, "axisLine": {"show": False}}
    empty = [None] * len(asks)
    chart["series"] = [
        _bars("offers", [size for _, size in asks], "SOFT"),
        _bars("bids", [*empty, *(size for _, size in bids)], "INK"),
    ]
    chart["legend"] = {"right": 8, "top": 0, "itemWidth": 10, "itemHeight": 10, "textStyle": SMALL}
    return chart


def _bars(name: str, sizes: Sequence[Any], colour: str) -> Option:
    return {"type": "bar", "name": name, "data": sizes, "color": colour, "stack": "all", "barCategoryGap": "18%"}


def depth_map(world: World, frames: Sequence[Frame]) -> Option:
    """Contracts by time and distance from the mid: what thins out before a fall."""
    rows = [*range(-REACH, 0), *range(1, REACH + 1)]
    stride = -(-_bars_of_day(world, frames) // COLUMNS)
    shown = _every(today(frames), stride)
    cells = [
        (column, rows.index(row), size)
        for column, frame in enumerate(shown)
        for row, size in _distances(frame).items()
        if abs(row) <= REACH
    ]
    chart = _chart(
        {"type": "category", "data": _clocks(world, frames, stride), "name": "exchange time"},
        {
            "type": "category",
            "data": [f"{row:+d}" for row in rows],
            "name": "ticks from the mid",
            "axisLabel": SMALL | {"interval": 4},
        },
        bottom=84,
    )
    chart["yAxis"]["splitLine"] = {"show": False}
    chart["tooltip"]["trigger"] = "item"
    most = float(np.quantile([size for *_, size in cells] or [1], 0.98))
    chart["visualMap"] = {
        "min": 0,
        "max": most,
        "calculable": False,
        "orient": "horizontal",
        "left": "center",
        "bottom": 4,
        "itemHeight": 120,
        "itemWidth": 10,
        "text": [f"{most:,.0f} contracts and more", "0"],
        "textStyle": SMALL,
        "inRange": {"color": ["PAPER", "COLD", "HOT"]},
    }
    chart["series"] = [{"type": "heatmap", "name": "contracts", "data": cells, "emphasis": {"disabled": True}}]
    return chart


def _clocks(world: World, frames: Sequence[Frame], stride: int) -> list[str]:
    """Ends of the columns of a whole day."""
    session = world.scenario.session
    opens, closes = session.hours_ns[frames[-1].session if frames else 0]
    width = stride * session.bar_seconds * SECOND
    return [
        clock_text(min(opens + width * (column + 1), closes))[:5] for column in range(-(-(closes - opens) // width))
    ]


def _distances(frame: Frame) -> dict[int, int]:
    """Contracts by ticks from the mid."""
    book = np.concatenate([frame.asks, frame.bids])
    distances = ticks_from_mid(book[:, 0], frame.mid / TICK_POINTS, np.arange(len(book)) < len(frame.asks))
    return dict(zip(distances.tolist(), book[:, 1].tolist(), strict=True))


# Who traded


def flow(world: World, frames: Sequence[Frame]) -> Option:
    """Contracts bought less sold by each group, from one column of time to the next."""
    day, stride = today(frames), -(-_bars_of_day(world, frames) // COLUMNS)
    ends = _every(day, stride)
    chart = _over_time(world, frames, f"contracts in {stride} bars, bought (+) or sold (-)")
    for group in _acting(world, day):
        totals = [0, *(frame.bought[group] for frame in ends)]
        bars = _bars(name_of(group), _course(world, ends, np.diff(totals).tolist(), 0), colour_of(group))
        chart["series"].append(bars | {"barWidth": 3})
    return chart


def _bars_of_day(world: World, frames: Sequence[Frame]) -> int:
    session = world.scenario.session
    opens, closes = session.hours_ns[frames[-1].session if frames else 0]
    return -(-(closes - opens) // (session.bar_seconds * SECOND))


def position(world: World, frames: Sequence[Frame]) -> Option:
    """Contracts that each group has bought since the open."""
    day = thinned(today(frames))
    chart = _over_time(world, frames, "contracts since the open")
    chart["series"] = _group_lines(
        world, day, {group: [frame.bought[group] for frame in day] for group in _acting(world, day)}
    )
    chart["grid"]["right"] = 110
    return chart


def _acting(world: World, day: Sequence[Frame]) -> list[str]:
    """Groups that have traded today."""
    return [group for group in world.groups if any(frame.bought[group] for frame in day)]


# Who moved the price


def points(world: World, frames: Sequence[Frame]) -> Option:
    """Points by which each group has moved the mid since the prior close; the black line is their sum."""
    day = thinned(today(frames), MOST_POINTS // 2)
    chart = _over_time(world, frames, "points since the prior close")
    whole = _course(world, day, [frame.mid - frame.base for frame in day])
    chart["series"].append(_line("price", whole, "INK", lineStyle={"width": 2.5, "color": "INK"}))
    lines = {mover: [frame.points[mover] for frame in day] for mover in _movers(frames)}
    chart["series"] += _group_lines(world, day, lines, [value for _, value in whole[-1:]])
    chart["grid"]["right"] = 110
    return chart


def _group_lines(
    world: World, day: Sequence[Frame], lines: Mapping[str, Sequence[float]], taken: Sequence[float] = ()
) -> list[Option]:
    """A line for each group, named where it ends apart from the others and what is taken: the largest come first."""
    reach = max((abs(value) for values in lines.values() for value in values), default=1.0)
    named, drawn = list(taken), []
    for group in sorted(lines, key=lambda group: -abs(lines[group][-1])):
        end = lines[group][-1]
        show = all(abs(end - other) > LABEL_ROOM * reach for other in named)
        named += [end] if show else []
        line = _line(name_of(group), _course(world, day, lines[group]), colour_of(group))
        drawn.append(line | {"endLabel": line["endLabel"] | {"show": show}})
    return drawn


def _movers(frames: Sequence[Frame]) -> list[str]:
    """Who has moved the price today, from those who lowered it most to those who lifted it most."""
    last = frames[-1].points if frames else {}
    return sorted((mover for mover in last if last[mover]), key=lambda mover: last[mover])


def waterfall(world: World, frames: Sequence[Frame]) -> Option:
    """The same at the moment shown, one after the other: from the prior close to the price."""
    strokes, start = [], 0.0
    for mover in _movers(frames):
        end = start + frames[-1].points[mover]
        strokes.append((name_of(mover), start, end, colour_of(mover)))
        start = end
    strokes.append(("price", 0.0, start, "INK"))
    names = [f"{name} {end - start:+.1f}" for name, start, end, _ in strokes]
    chart = _chart(
        {"type": "value", "name": "points since the prior close", "minInterval": 1},
        {"type": "category", "data": names, "inverse": True},
        left=146,
    )
    chart["yAxis"] |= {"axisTick": {"show": False}, "axisLine": {"show": False}, "splitLine": {"show": False}}
    chart["xAxis"] |= {"splitLine": {"show": True, "lineStyle": {"color": "LINE"}}}
    # ECharts has no bars from one value to another: thick lines are some.
    chart["series"] = [
        {
            "type": "line",
            "name": name,
            "data": [[start, place], [end, place]],
            "lineStyle": {"width": 14, "color": colour, "cap": "butt"},
            "symbol": "none",
            "silent": True,
        }
        for place, (name, start, end, colour) in enumerate(strokes)
    ]
    return chart


# Options


def dealers(world: World, frames: Sequence[Frame], greek: str) -> Option:
    """Delta, gamma or vanna of the dealers' options against the price, as their book and the surface are now."""
    frame = frames[-1]
    assert frame.dealers
    spots = (frame.base * SPOTS).round(1).tolist()
    place = GREEKS.index(greek)
    values = [frame.dealers.greeks(spot)[place] for spot in spots]
    across = {"type": "value", "name": "index points", "min": spots[0], "max": spots[-1]}
    chart = _chart(across, {"name": UNITS[greek], "nameGap": 26}, top=46)
    chart["xAxis"]["axisLabel"] = SMALL | {"hideOverlap": True, "showMinLabel": False, "showMaxLabel": False}
    here = {"xAxis": frame.mid, "label": {"formatter": f"{frame.mid:,.2f}", "color": "INK", "fontSize": 11}}
    mark = {"silent": True, "symbol": "none", "lineStyle": {"color": "INK", "type": "solid"}, "data": [here]}
    curve = _line(
        greek, list(zip(spots, (round(value, 2) for value in values), strict=True)), colour_of("dealers"), markLine=mark
    )
    chart["series"] = [curve | {"endLabel": {"show": False}}]
    return chart


GREEKS = ("delta", "gamma", "vanna")
UNITS = {"delta": "futures", "gamma": "futures per index point", "vanna": "futures per volatility point"}


def volatility(world: World, frames: Sequence[Frame]) -> Option:
    """VIX, VIX1D, and volatility at the money of the nearest expiry; the real VIX behind."""
    day = thinned(today(frames))
    chart = _over_time(world, frames, "% a year")
    names = {
        "vix": ("VIX", "INK", "solid"),
        "vix1d": ("VIX1D", "INK", "dotted"),
        "atm_iv": ("at the money", "SOFT", "solid"),
    }
    if real := _real(world, frames, "vix"):
        chart["series"].append(_ghost("real VIX", real))
    for key, (name, colour, dashes) in names.items():
        style = {"width": 1.8, "color": colour, "type": dashes}
        course = _course(world, day, [frame.bar[key] for frame in day])
        chart["series"].append(_line(name, course, colour, lineStyle=style, endLabel={"show": False}))
    chart["legend"] = {
        "right": 8,
        "top": 0,
        "itemWidth": 30,
        "textStyle": SMALL,
        "data": [name for name, *_ in names.values()],
    }
    chart["grid"]["right"] = 60
    return chart


# Dominoes


def network(world: World, frames: Sequence[Frame]) -> Option:
    """Who set off whom today: size is points moved, an arrow is contracts provoked."""
    graph = domino_network(world, frames)
    places = nx.circular_layout(graph)  # the same from frame to frame, as long as nobody joins
    largest = max((data["contracts"] for *_, data in graph.edges(data=True)), default=1.0)
    return {
        "animation": False,
        "textStyle": {"fontFamily": "Roboto, sans-serif"},
        "tooltip": {"confine": True, "backgroundColor": "PAPER", "textStyle": {"color": "INK", "fontSize": 12}},
        "xAxis": {"type": "value", "min": -1, "max": 1, "show": False},
        "yAxis": {"type": "value", "min": -1, "max": 1, "show": False},
        "grid": {"left": 60, "right": 60, "top": 48, "bottom": 80},
        "series": [
            {
                "type": "graph",
                "layout": "none",
                "coordinateSystem": "cartesian2d",
                "edgeSymbol": ["none", "arrow"],
                "edgeSymbolSize": 9,
                "data": [_node(name, data, places[name]) for name, data in graph.nodes(data=True)],
                "links": [
                    _edge(source, target, amount, largest) for source, target, amount in graph.edges(data="contracts")
                ],
                "emphasis": {"focus": "adjacency"},
            }
        ],
    }


def domino_network(world: World, frames: Sequence[Frame]) -> nx.DiGraph:
    """Graph of groups: `points` moved with what they provoked makers to do, edges from provoker to provoked."""
    graph = nx.DiGraph()
    if not frames:
        return graph
    pushed, provoked = frames[-1].pushed, frames[-1].provoked
    amount = {
        (source, group): float(provoked[row, column])
        for row, group in enumerate(world.groups)
        for column, source in enumerate(world.sources)
        if provoked[row, column] >= 1
    }
    largest = sorted(amount, key=lambda pair: amount[pair], reverse=True)[:MOST_EDGES]
    active = {name for pair in largest for name in pair} | {
        source for source, moved in zip(world.sources, pushed, strict=True) if abs(moved) >= 1
    }
    for source, moved in zip(world.sources, pushed.tolist(), strict=True):
        if source in active:
            graph.add_node(source, points=moved)
    graph.add_edges_from((*pair, {"contracts": amount[pair]}) for pair in largest if pair[0] != pair[1])
    return graph


def _source_colour(name: str) -> str:
    return "SOFT" if name in ("open", "news") else colour_of(name)


def _node(name: str, data: Mapping[str, float], place: Sequence[float]) -> Option:
    points = f"{data['points']:+.1f} points" if data["points"] else ""
    label = f"{name_of(name)}\n{points}".strip()
    return {
        "name": name,
        "value": [float(place[0]), float(place[1])],
        "symbolSize": 14 + 4 * math.sqrt(abs(data["points"])),
        "itemStyle": {"color": _source_colour(name)},
        "label": {
            "show": True,
            "position": "bottom",
            "formatter": label,
            "color": "INK",
            "fontSize": 11,
            "lineHeight": 14,
            "textBorderColor": "PAPER",
            "textBorderWidth": 3,
        },
        "tooltip": {"formatter": escape(label).replace("\n", ": ")},
    }


def _edge(source: str, target: str, contracts: float, largest: float) -> Option:
    return {
        "source": source,
        "target": target,
        "lineStyle": {
            "width": 1 + 9 * math.sqrt(contracts / largest),
            "color": _source_colour(source),
            "opacity": 0.55,
            "curveness": 0.18,
        },
        "tooltip": {"formatter": escape(f"{name_of(source)} provoked {name_of(target)}: {contracts:,.0f} contracts")},
    }
