"""The page of a scenario in the browser: Mesa's own (SolaraViz), with charts of the market and its people.

Three laws:

1. Every tab of the browser has a model of its own.
2. Play runs the model in a thread while the page is drawn in another. So what is drawn is a `Picture`, which never
   changes: a step that is done puts a new one in its place.
3. Whatever goes wrong in a model is a message on the page. Mesa would leave it blank or wait for a step for ever.

The page needs nothing from the network. Charts are ECharts, which `solara-assets` brings; components that would ask
another host (Markdown for its formulas, Altair) are not used.
"""

# ruff: noqa: N802  (components of Solara are named like classes)

from __future__ import annotations

import html
import logging
import math
import os
import threading
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import solara
from mesa.visualization import Slider, SolaraViz
from mesa.visualization.utils import update_counter
from solara.components import echarts
from solara.components.echarts import EchartsWidget

from sim import DEFAULT_SEED
from sim.analysis.day import WATCHED_POINTS
from sim.model import MarketModel
from sim.page.app import SCENARIO
from sim.page.charts import strikes
from sim.page.settings import Dial
from sim.palette import GREY, VERMILION, colour_of, name_of
from sim.scenario import error_line, load, value_at
from sim.tables import Scenario
from sim.units import moment_text

PATIENCE_S = 1.0
"""How long a step waits for the page: one that is closed or asleep draws no more."""

log = logging.getLogger(__name__)

TEMPLATE = (
    Path(echarts.__file__).with_suffix(".vue").read_text().replace("option() {", "option() { if (!this.chart) return;")
)
"""Solara's ECharts, but without an error in the browser when Play is quicker than the loading of the script."""
STYLE = """
.v-tabs {display: none !important}  /* Mesa's tabs, of which there is one, called "Page 0" */
.v-input__slider .v-input__slot {flex-direction: column; align-items: stretch !important}
.v-slider {margin-bottom: 14px}
.v-slider__thumb-label-container {display: block !important; opacity: 1 !important; transform: none !important}
.v-slider .v-slider__thumb-label {
    background: none !important; border: 0 !important; color: inherit !important;
    transform: translate(-50%, 4px) !important
}
.v-slider .v-slider__thumb-label > * {transform: none !important}
@media (max-width: 700px) {
    .vue-grid-layout {display: flex; flex-direction: column; height: auto !important}
    .vue-grid-item {position: static !important; transform: none !important; width: 100% !important; margin-bottom: 8px}
}
"""
"""Looks that Mesa leaves no other way to set: the sliders' values always show."""

type Option = dict[str, Any]
"""What ECharts is to draw."""


DIALS = (
    Dial("depth_musd", "Depth of the book, $M", "$M a side", 0.5, 20.0, 0.1),
    Dial("options.scale", "Option book, times", "times", 0.0, 2.0, 0.05),
    Dial("agents.ctas.contracts", "Trend followers, contracts", "contracts", 0.0, 100_000.0, 1000.0),
    Dial("agents.hedgers.contracts_per_hour", "Put buyers, contracts an hour", "contracts an hour", 0.0, 3000.0, 50.0),
    Dial("agents.value.limit_contracts", "Value traders, contracts", "contracts", 0.0, 100_000.0, 1000.0),
    Dial("agents.stops.cluster_contracts", "Stops of a cluster, contracts", "contracts", 0.0, 3000.0, 50.0),
    Dial("rng", "Seed", "", 1, 999, 1),
)
"""What can be turned on the page, as far as the scenario has it. Mesa shows labels alone, so units stand in them."""


# A model as the page holds it


@dataclass(frozen=True)
class Picture:
    """What the page shows of a model.

    Attributes
    ----------
    settings
        The dials' values by key.
    strikes
        Contracts the dealers own (+) or have sold (-) at the strikes that hold most.
    times
        The ends of the bars, such as "11-20 10:37".
    bars
        Values of the bars by name, as in `Recorder.REPORTED`.
    bought
        Contracts bought (+) or sold (-) since the session's open, by group: a mapping for every bar.
    problem
        What went wrong, if anything did.
    """

    settings: dict[str, float] = field(default_factory=dict)
    strikes: dict[float, int] = field(default_factory=dict)
    times: tuple[str, ...] = ()
    bars: tuple[Mapping[str, float], ...] = ()
    bought: tuple[Mapping[str, int], ...] = ()
    problem: str = ""


class LiveModel:
    """A `MarketModel` as SolaraViz drives it: made, stepped by Play or Step, made anew on Reset.

    Parameters
    ----------
    config, rng, **overrides
        As those of `MarketModel`.

    Attributes
    ----------
    picture
        What is to be shown; replaced, never changed.
    drawn
        Set when `picture` is on the page. Play waits for it: a page that is given pictures faster than it can draw
        them gives up.
    """

    def __init__(self, config: Scenario, rng: int = DEFAULT_SEED, **overrides: Any) -> None:
        self.picture = Picture()
        self.drawn = threading.Event()
        self._model: MarketModel | None = None
        # Pause and Play, or Pause and Step, can be quicker than the step under way.
        self._stepping = threading.Lock()
        with self._watched():
            wanted = overrides | bounded(config, overrides | {"rng": rng})
            self._model = MarketModel(config, **wanted)
            self.picture = Picture(settings(self._model.config, wanted["rng"]), strikes(self._model.config))
            self._at_open = self._positions(self._model)

    @property
    def time(self) -> float:
        """Bars done."""
        return self._model.time if self._model else 0.0

    @property
    def running(self) -> bool:
        """Whether there is a bar to come."""
        return self._model is not None and self._model.running

    def step(self) -> None:
        """Let one bar pass."""
        self.drawn.wait(PATIENCE_S)
        with self._stepping, self._watched():
            if self._model and self._model.running:
                self._step(self._model)

    def _step(self, model: MarketModel) -> None:
        before, hours = self._positions(model), model.hours
        model.step()
        if model.hours != hours:
            self._at_open = before
        bought = self._positions(model)
        bought.subtract(self._at_open)
        old, bar = self.picture, model.recorder.latest
        time = moment_text(model.market.now, model.config.session.first_day)[5:16]
        self.drawn.clear()
        self.picture = replace(old, times=(*old.times, time), bars=(*old.bars, bar), bought=(*old.bought, bought))

    @staticmethod
    def _positions(model: MarketModel) -> Counter[str]:
        positions: Counter[str] = Counter()
        for trader in model.traders:
            positions[trader.group] += model.market.position(trader.owner)
        return positions

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Turn whatever goes wrong into a message on the page; the traceback goes to the log."""
        try:
            yield
        except Exception as error:
            log.exception("the model of the page has failed")
            self.picture = replace(self.picture, problem=error_line(error))


def settings(scenario: Scenario, seed: int) -> dict[str, float]:
    """Values of the dials that a scenario has, by key."""
    content = tomllib.loads(scenario.to_toml()) | {"rng": seed}
    values = {dial.key: value_at(content, dial.key) for dial in DIALS}
    return {key: value for key, value in values.items() if value is not None}


def bounded(scenario: Scenario, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Values for dials from the browser within their ranges; the scenario's own where there is no number."""
    own = settings(scenario, DEFAULT_SEED)
    dials = [dial for dial in DIALS if dial.key in own and wanted.get(dial.key, own[dial.key]) != own[dial.key]]
    turned = {dial.key: dial.widened(own[dial.key]).within(wanted[dial.key], own[dial.key]) for dial in dials}
    return {"rng": DEFAULT_SEED} | turned


# Charts


def price_chart(picture: Picture) -> Option:
    """The mid, with the watched level and the strikes that lie in its range."""
    mids = _values(picture, "mid")
    low, high = 25 * math.floor(min(mids, default=0) / 25), 25 * math.ceil(max(mids, default=0) / 25)
    levels = [_level(points, held) for points, held in ({WATCHED_POINTS: 0} | picture.strikes).items()]
    shown = [level for level in levels if low <= level["yAxis"] <= high]
    chart = _chart(picture, "Price (index points)", {"mid": mids})
    chart["yAxis"] |= {"min": low, "max": high} if mids else {}
    chart["series"][0]["markLine"] = {"silent": True, "symbol": "none", "data": shown}
    return chart


def volatility_chart(picture: Picture) -> Option:
    """VIX and VIX1D."""
    lines = {"VIX": _values(picture, "vix"), "VIX1D": _values(picture, "vix1d")}
    chart = _chart(picture, "VIX and VIX1D (%)", lines)
    chart["series"][1]["lineStyle"]["type"] = "dotted"
    return chart


def volume_chart(picture: Picture) -> Option:
    """Contracts traded in every bar."""
    return _chart(picture, "Volume (contracts a bar)", {"volume": _values(picture, "volume")}, kind="bar")


def depth_chart(picture: Picture) -> Option:
    """Notional per side at the best quotes."""
    return _chart(picture, "Top of book ($M a side, mean of the bar)", {"depth": _values(picture, "top_of_book_musd")})


def spread_chart(picture: Picture) -> Option:
    """Distance of the best quotes."""
    return _chart(picture, "Spread (ticks, mean of the bar)", {"spread": _values(picture, "spread_ticks")})


def flow_chart(picture: Picture) -> Option:
    """What every group has bought since the open."""
    groups = picture.bought[-1] if picture.bought else ()
    lines: dict[str, list[float]] = {name_of(group): [bought[group] for bought in picture.bought] for group in groups}
    chart = _chart(picture, "Bought since the open (contracts), by group", lines)
    chart["color"] = [colour_of(group) for group in groups]
    chart["legend"] = {
        "orient": "vertical",
        "right": 4,
        "top": 40,
        "itemWidth": 14,
        "icon": "roundRect",
        "textStyle": {"color": GREY},
    }
    chart["grid"]["right"] = 136
    return chart


def _values(picture: Picture, name: str) -> list[float]:
    return [round(bar[name], 3) for bar in picture.bars]


def _level(points: float, contracts: int) -> Option:
    """A line across the price chart: solid for the watched level, with what the dealers hold at a strike."""
    colour = VERMILION if contracts else GREY
    side = f" dealers {'long' if contracts > 0 else 'short'} {abs(contracts):,}" if contracts else ""
    line = {"color": colour, "width": 1, "type": "solid" if points == WATCHED_POINTS else "dashed"}
    label = {"formatter": f"{points:g}{side}", "position": "insideStartTop", "color": colour, "fontSize": 10}
    return {"yAxis": points, "lineStyle": line, "label": label}


def _chart(picture: Picture, title: str, lines: Mapping[str, list[float]], kind: str = "line") -> Option:
    """A chart of one or more lines over the bars."""
    text = {"color": GREY}
    return {
        "animation": False,
        "color": [GREY],
        "title": {"text": title, "left": 8, "top": 4, "textStyle": text | {"fontSize": 13}},
        "legend": {"show": len(lines) > 1, "right": 8, "top": 24, "itemWidth": 30, "textStyle": text},
        "grid": {"left": 60, "right": 40, "top": 44, "bottom": 36},
        "tooltip": {"trigger": "axis", "confine": True},
        "xAxis": {"type": "category", "data": list(picture.times), "axisLabel": text | {"margin": 12}},
        "yAxis": {
            "type": "value",
            "scale": kind == "line",
            "axisLabel": text,
            "splitLine": {"lineStyle": {"color": GREY, "opacity": 0.2}},
        },
        "series": [
            {"name": name, "type": kind, "data": values, "showSymbol": len(values) == 1, "lineStyle": {"width": 1.5}}
            for name, values in lines.items()
        ],
    }


def _view(chart: Callable[[Picture], Option]) -> Callable[[LiveModel], Any]:
    """A component of SolaraViz that shows a chart."""

    @solara.component
    def View(model: LiveModel) -> None:
        update_counter.get()
        EchartsWidget.element(
            option=chart(model.picture),
            template=TEMPLATE,
            responsive=True,
            attributes={"style": "height:380px;width:100%"},
        )

    return View


VIEWS = [_view(chart) for chart in (price_chart, volatility_chart, volume_chart, flow_chart, depth_chart, spread_chart)]


# The page


@solara.component
def Headline(live: solara.Reactive[LiveModel]) -> None:
    """The moment, its numbers and the dials of the run that is shown; what went wrong, if anything did."""
    update_counter.get()
    picture = live.value.picture
    solara.use_effect(live.value.drawn.set, [live.value, picture])
    if picture.problem:
        solara.Error(picture.problem)
    with solara.Div(style={"display": "flex", "flex-wrap": "wrap", "gap": "8px 24px", "padding": "8px 12px"}):
        for label, value in _numbers(picture):
            solara.HTML(
                unsafe_innerHTML=f"<div style='font-size:12px;opacity:.7'>{html.escape(label)}</div>"
                f"<div style='font-size:18px;font-variant-numeric:tabular-nums'>{html.escape(value)}</div>"
            )


def _numbers(picture: Picture) -> list[tuple[str, str]]:
    """What the headline says."""
    dials = [(dial.label, f"{picture.settings[dial.key]:,g}") for dial in DIALS if dial.key in picture.settings]
    if not picture.bars:
        return dials
    bar = picture.bars[-1]
    return [
        ("Exchange time", picture.times[-1]),
        ("Price, index points", f"{bar['mid']:,.2f}"),
        ("VIX", f"{bar['vix']:.2f}"),
        ("VIX1D", f"{bar['vix1d']:.2f}"),
        *dials,
    ]


@solara.component
def Page() -> None:
    """The page of the scenario that `thinbook serve` was given."""
    scenario = solara.use_memo(lambda: load(os.environ[SCENARIO]), [])
    live = solara.use_reactive(solara.use_memo(lambda: LiveModel(scenario), []))
    solara.Style(STYLE)
    Headline(live)
    SolaraViz(
        live,
        components=VIEWS,
        model_params={"config": scenario, **_sliders(scenario)},
        play_interval=1,
        name=scenario.title,
    )


def _sliders(scenario: Scenario) -> dict[str, Slider]:
    """Mesa's sliders for the dials a scenario has; a value beyond a dial's range widens it."""
    values = settings(scenario, DEFAULT_SEED)
    return {
        dial.key: Slider(dial.label, values[dial.key], dial.low, dial.high, dial.step, dtype=type(values[dial.key]))
        for dial in (dial.widened(values[dial.key]) for dial in DIALS if dial.key in values)
    }
