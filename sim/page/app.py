"""The lab page: controls, a clock that goes both ways, and views of one world or of two.

Every tab of the browser has a `Lab` of its own. Only what is visible is drawn: the price always, and one view below it.
What shows the moment is `Moving`: it is drawn past Solara, which looks through the whole page for every change.
"""

# ruff: noqa: N802  (components of Solara are named like classes)

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import ipyvuetify
import reacton.ipyvuetify as vuetify
import solara
import solara.widgets
import traitlets

from sim.analysis.tape import AUCTION
from sim.page import charts, texts
from sim.page.charts import Option
from sim.page.engine import FASTEST, Engine, State
from sim.page.scales import share_scales
from sim.page.settings import SEEDS, Card, Choice, Dial, Settings, Shelf
from sim.page.world import Frame, World
from sim.palette import colour_of, name_of
from sim.scenario import ScenarioError

SCENARIO = "THINBOOK_SCENARIO"
"""Environment variable with the path of the page's scenario."""
STYLE = Path(__file__).with_name("app.css").read_text(encoding="utf-8")
SPEEDS = {"1 bar a second": 1.0, "3 bars a second": 3.0, "10 bars a second": 10.0, "Fastest": FASTEST}
LEAST = {"all": 1, "100 contracts and more": 100, "500 and more": 500, "1,000 and more": 1000}
OWN_BOOK = "the scenario's own"
NAMES = ("A", "B")
PATIENCE_S = 5.0
"""How long Solara is waited for: it draws no more for a page that has been closed."""

type Draw = Callable[[State], Mapping[str, object]]
"""What a widget's traits are in a state."""


class Chart(ipyvuetify.VuetifyTemplate):
    """An ECharts chart that follows the page's width and its light or dark theme.

    Its option is JSON text: in a dictionary Solara would look through every point for components, each time.
    """

    template_file = (__file__, "chart.vue")
    option = traitlets.Unicode("{}").tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(320).tag(sync=True)


class SliderView(ipyvuetify.VuetifyTemplate):
    """A slider that stays where the visitor has put it until the page has answered.

    A drawing may have begun before the page knew of the visitor's last turn; its value would set the slider back, and
    the next key would count from there.
    """

    template_file = (__file__, "slider.vue")
    label = traitlets.Unicode().tag(sync=True)
    value = traitlets.Float().tag(sync=True)
    low = traitlets.Float().tag(sync=True)
    high = traitlets.Float(1.0).tag(sync=True)
    step = traitlets.Float(1.0).tag(sync=True)
    disabled = traitlets.Bool().tag(sync=True)
    told = traitlets.Unicode().tag(sync=True)
    """What a screen reader says of the value, if not its number."""
    turned = traitlets.Tuple(traitlets.Int(), traitlets.Any(), default_value=(0, 0)).tag(sync=True)
    """Number and value of the visitor's last turn."""
    answered = traitlets.Int().tag(sync=True)
    """Number of the last turn that `value` knows of."""


class ThemeButton(ipyvuetify.VuetifyTemplate):
    """Turns the page light or dark; at first it is as the visitor's system."""

    template_file = (__file__, "theme.vue")


class Lab:
    """What a tab has: an engine, the settings of the worlds that run, and the widgets that show the moment.

    Parameters
    ----------
    shelf
        What can be opened.
    render
        Asks Solara for the page, of `outline`. Where that is done, `rendered` is to be set.
    """

    def __init__(self, shelf: Shelf, render: Callable[[], None]) -> None:
        self.shelf, self.engine = shelf, Engine(self._draw)
        self.applied = Settings(shelf.first)
        self.rendered = threading.Event()
        self.outline, self._render = State(), render
        self._moving: dict[ipyvuetify.VuetifyTemplate, Draw] = {}

    def close(self) -> None:
        """End the threads and let go of the worlds."""
        self.engine.close()
        self.outline = State()

    def follow(self, widget: ipyvuetify.VuetifyTemplate, draw: Draw) -> Callable[[], None]:
        """Have a widget show the moment from now on, until what is returned is called."""

        def leave() -> None:
            del self._moving[widget]

        self._moving[widget] = draw
        self.engine.refresh()
        return leave

    def _draw(self) -> None:
        """Draw the moment; the page around it only where that changes."""
        state = self.engine.state
        if state.outline != self.outline:
            self.outline = state.outline
            self.rendered.clear()
            self._render()
            self.rendered.wait(PATIENCE_S)
        for widget, draw in list(self._moving.items()):
            with widget.hold_sync():
                for name, value in draw(state).items():
                    setattr(widget, name, value)

    def reset(self, settings: Settings) -> None:
        """Make the worlds anew, of these settings."""
        self.applied, shelf = settings, self.shelf

        def make() -> tuple[World, ...]:
            name, seed = settings.scenario, settings.seed
            return tuple(World(shelf.build(name, choice), seed) for choice in settings.worlds)

        self.engine.reset(make)


@solara.component
def Layout(children: list[Any]) -> None:
    """The whole window is the page's own."""
    solara.Style(STYLE)
    solara.Div(children=children)


@solara.component
def Page() -> None:
    """The page of the scenario that `thinbook serve` was given."""
    drawing = solara.use_reactive(0)
    lab = solara.use_memo(lambda: Lab(Shelf(Path(os.environ[SCENARIO])), lambda: drawing.set(drawing.peek() + 1)), [])
    settings = solara.use_reactive(lab.applied)
    opened = solara.use_reactive(True)

    def run() -> Callable[[], None]:
        lab.engine.start()
        lab.reset(settings.peek())
        return lab.close

    solara.use_effect(run, [])
    solara.use_effect(lab.rendered.set, [drawing.value])
    state = lab.outline
    solara.Title("thinbook")
    with solara.Div(classes=["lab"]):
        Top(opened)
        with solara.Div(classes=["columns"] if opened.value else ["columns", "alone"]):
            with solara.Div(classes=["main"]):
                Transport(lab, state, settings)
                if state.problem:
                    solara.Error(state.problem)
                Views(lab, state)
            if opened.value:
                Controls(lab, settings, lab.applied)


@solara.component
def Top(opened: solara.Reactive[bool]) -> None:
    """The name of the page, and what changes its looks."""
    with solara.Div(classes=["top"]):
        _html("h1", "thinbook: one market, one thin book")
        told = {"aria-expanded": str(opened.value).lower()}
        _button("Settings", "mdi-tune", lambda: opened.set(not opened.value), told)
        ThemeButton.element()


@solara.component
def Transport(lab: Lab, state: State, settings: solara.Reactive[Settings]) -> None:
    """Play, pause, step, reset, speed, and the slider of time."""
    speed = solara.use_reactive(list(SPEEDS)[-1])
    engine = lab.engine

    def choose(name: str) -> None:
        speed.value = name
        engine.run_at(SPEEDS[name])

    def seek(turned: tuple[int, object]) -> None:
        number, position = turned
        engine.seek(position if isinstance(position, int) else engine.state.position, number)

    with solara.Div(classes=["card", "transport"]), solara.Div(classes=["line"]):
        if state.playing:
            _button("Pause", "mdi-pause", engine.pause)
        else:
            _button("Play", "mdi-play", engine.play, disabled=not state.worlds)
        _button("Step", "mdi-skip-next", engine.step, disabled=not state.worlds)
        waits = settings.value != lab.applied
        _button("Reset", "mdi-restart", lambda: lab.reset(settings.value), color="primary" if waits else None)
        _moving_html(lab, lambda now: escape(_clock(now)), "clock")
        with solara.Div(classes=["grow"]):
            Moving(lab, SliderView, _time, label="Time, bars passed", on_turned=seek)
        with solara.Div(classes=["speed"]):
            _select("Speed", speed.value, list(SPEEDS), choose)


def _time(state: State) -> Mapping[str, object]:
    return {
        "value": state.position,
        "high": max(state.done, 1),
        "disabled": not state.done,
        "answered": state.turn,
        "told": _clock(state),
    }


def _clock(state: State) -> str:
    if not state.worlds:
        return "No run" if state.problem else "Making the world"
    return texts.moment(state.worlds[0], state.frames(0))


# Settings


@solara.component
def Controls(lab: Lab, settings: solara.Reactive[Settings], applied: Settings) -> None:
    """All that can be chosen for the next Reset; `applied` is what runs now."""
    place, set_place = solara.use_state(0)
    now = settings.value
    card = solara.use_memo(lambda: _card(lab.shelf, now.scenario), [now.scenario])
    place = min(place, len(now.worlds) - 1)
    with solara.Div(classes=["card", "controls"]):
        with solara.Div():
            _html("h2", "The next run")
            _html("p", "All of this applies on Reset. Play, time and speed apply at once.", "soft")
            if now != applied:
                _html("p", "Changed: press Reset to run it.", "changed")
        with solara.Div(classes=["group"]):
            names = lab.shelf.scenarios
            _select("Scenario", now.scenario, names, lambda name: settings.set(Settings(name, settings.value.seed)))
            Seed(settings)
            _switch("Compare two worlds on this seed", len(now.worlds) == 2, lambda on: settings.set(now.compared(on)))
        if isinstance(card, ScenarioError):
            solara.Error(str(card))
        else:
            if len(now.worlds) == 2:
                _worlds(place, set_place)
            WorldControls(lab, settings, card, place)
        _html("code", lab.shelf.command(now, place))


def _card(shelf: Shelf, name: str) -> Card | ScenarioError:
    try:
        return shelf.card(name)
    except ScenarioError as error:
        return error


@solara.component
def Seed(settings: solara.Reactive[Settings]) -> None:
    """The seed as it is typed, red while it is none."""
    text, set_text = solara.use_state(str(settings.value.seed))

    def type_in(new: object) -> None:
        set_text(str(new))
        settings.value = settings.value.seeded(new)

    vuetify.TextField(
        label=f"Seed, {SEEDS[0]} to {SEEDS[1]}",
        v_model=text,
        on_v_model=type_in,
        error=text != str(settings.value.seed),
        type="number",
        dense=True,
        outlined=True,
        hide_details=True,
    )
    if text != str(settings.value.seed):
        _html("p", f"No seed: Reset would take {settings.value.seed}.", "changed")


def _worlds(place: int, set_place: Callable[[int], None]) -> None:
    with solara.Div(classes=["line"]):
        for other, name in enumerate(NAMES):
            solara.Button(
                f"World {name}",
                on_click=lambda other=other: set_place(other),
                small=True,
                outlined=other != place,
                depressed=True,
                color="primary",
                attributes={"aria-pressed": str(other == place).lower()},
            )


type Change = Callable[[Callable[[Choice], Choice]], None]
"""Puts another choice in the place of that of a world."""


@solara.component
def WorldControls(lab: Lab, settings: solara.Reactive[Settings], card: Card, place: int) -> None:
    """Book, dials and switches of one world."""
    choice = settings.value.worlds[place]

    def change(make: Callable[[Choice], Choice]) -> None:
        now = settings.value
        settings.value = now.with_world(place, make(now.worlds[place]))

    with solara.Div(classes=["group"]):
        if card.scenario.options and lab.shelf.books:
            _books(lab.shelf, choice, change)
        for dial in card.dials:
            _dial(dial, choice, card.own[dial.key], change)
    with solara.Div(classes=["group"]):
        _html("h3", "Who takes part")
        with solara.Div(classes=["switches"]):
            for group in card.scenario.groups:
                _member(group, choice, change)


def _books(shelf: Shelf, choice: Choice, change: Change) -> None:
    def choose(name: str) -> None:
        change(lambda old: replace(old, book="" if name == OWN_BOOK else name))

    _select("Option book", choice.book or OWN_BOOK, [OWN_BOOK, *shelf.books], choose)


def _dial(dial: Dial, choice: Choice, own: float, change: Change) -> None:
    value = choice.values.get(dial.key, own)
    kind = "changed" if dial.key in choice.values else ""
    with solara.Div():
        solara.HTML(
            tag="div",
            classes=["dial"],
            unsafe_innerHTML=f"<span>{escape(dial.label)}</span>"
            f"<b class='{kind}'>{value:,g} <small>{escape(dial.unit)}</small></b>",
        )
        limits = (dial.low, dial.high, dial.step)
        Slider(f"{dial.label}, {dial.unit}", value, limits, lambda new: change(lambda old: old.turned(dial, new, own)))


def _member(group: str, choice: Choice, change: Change) -> None:
    def turn(on: bool) -> None:
        change(lambda old: old.switched(group, on))

    _switch(name_of(group), group not in choice.without, turn, colour_of(group))


# Views


class View(NamedTuple):
    """A view below the price: its name, what it says, and its charts with their titles and heights."""

    name: str
    note: str
    charts: tuple[tuple[str, Callable[[World, Sequence[Frame]], Option], int], ...]
    grid: str = "pair"


def _greek(name: str) -> Callable[[World, Sequence[Frame]], Option]:
    return lambda world, frames: charts.dealers(world, frames, name)


VIEWS = (
    View(
        "Who moved it",
        "Mechanical attribution: every change of the mid belongs to the message that made it, so the lines add up to "
        "the price. It does not say what would have happened without them: for that, compare two worlds.",
        (("Points moved, by group", charts.points, 340), ("From the prior close to the price", charts.waterfall, 340)),
    ),
    View(
        "Book",
        "What waits in the book. The more a cell stands out from the paper, the more contracts are there.",
        (("Best prices", charts.ladder, 380), ("Depth over time", charts.depth_map, 380)),
    ),
    View(
        "Flow",
        "What each group buys (+) and sells (-). All groups together buy as much as they sell.",
        (("Flow", charts.flow, 340), ("Position", charts.position, 340)),
    ),
    View(
        "Dealers",
        "What the dealers' options would make them hold at other prices; the line is the price now. Where gamma is "
        "below 0, they sell when the price falls.",
        tuple((f"{greek.capitalize()}", _greek(greek), 280) for greek in charts.GREEKS),
        "three",
    ),
    View("Volatility", "What options cost, as the model's own VIX.", (("VIX and VIX1D", charts.volatility, 340),)),
    View(
        "Dominoes",
        "Who reacted to whom today. A circle grows with the points that a group moved together with what it made the "
        "makers do (without that they are under Who moved it), an arrow with the contracts that the move of one group "
        "provoked in another. Mechanical too: it credits all of a reaction to the price.",
        (("Provoker to provoked", charts.network, 440),),
    ),
)
DECISIONS = "Decisions"


@solara.component
def Views(lab: Lab, state: State) -> None:
    """The numbers and the price of every world, then one view of each."""
    shown, set_shown = solara.use_state(0)
    least = solara.use_reactive(list(LEAST)[1])
    worlds = state.worlds
    if not worlds:
        return
    two = ["worlds", "two"] if len(worlds) == 2 else ["worlds"]
    with solara.Div(classes=["card"]):
        with solara.Div(classes=two):
            for place, world in enumerate(worlds):
                _price(lab, world, place, NAMES[place] if len(worlds) == 2 else "")
        if len(worlds) == 2:
            _moving_html(lab, lambda now: escape(texts.counterfactual(_all_frames(now))), "story")
        _moving_html(lab, lambda now: texts.news(worlds[0], now.frames(0)))
        solara.HTML(tag="div", unsafe_innerHTML=texts.legend([*worlds[0].groups, AUCTION]))
    with solara.Div(classes=["card"]):
        names = [*(view.name for view in VIEWS), DECISIONS]
        with solara.lab.Tabs(value=shown, on_value=set_shown):
            for name in names:
                solara.lab.Tab(name)
        if names[shown] == DECISIONS:
            _decisions(lab, worlds, two, least)
        else:
            _view(lab, VIEWS[shown], state, two)


def _all_frames(state: State) -> list[list[Frame]]:
    return [state.frames(place) for place in range(len(state.worlds))]


def _price(lab: Lab, world: World, place: int, name: str) -> None:
    depth = f"World {name}, ${world.scenario.depth_musd:g}M a side: " if name else ""

    def draw(state: State) -> Mapping[str, object]:
        frames = state.frames(place)
        limits = charts.price_limits(state.worlds, _all_frames(state))
        return _drawn(charts.price(world, frames, limits), f"Price. {texts.story(frames)}")

    with solara.Div():
        _html("h2", depth + world.scenario.title)
        _moving_html(lab, lambda state: _told(state.frames(place)))
        Moving(lab, Chart, draw, height=340)
        _html("p", "Each dot is a bar, in the colour of the group that pushed the price most (mechanical).", "soft")


def _told(frames: list[Frame]) -> str:
    """Numbers of the moment, and its story."""
    numbers = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)} <small>{escape(unit)}</small></dd></div>"
        for label, value, unit in texts.numbers(frames)
    )
    return f'<dl class="numbers">{numbers}</dl><p class="story">{escape(texts.story(frames))}</p>'


def _view(lab: Lab, view: View, state: State, two: list[str]) -> None:
    _html("p", view.note, "note soft")
    with solara.Div(classes=two):
        for place in range(len(state.worlds)):
            frames = state.frames(place)
            if not _can_show(view, frames):
                _html("p", "There are no options to show." if frames else "Nothing has happened yet.", "soft")
                continue
            with solara.Div(classes=[view.grid]):
                for title, chart, height in view.charts:
                    with solara.Div():
                        _html("h3", title)
                        draw = _drawing(view, chart, place, f"{title}. {view.note}")
                        Moving(lab, Chart, draw, height=height).key(title)


def _can_show(view: View, frames: Sequence[Frame]) -> bool:
    return view.grid != "three" or bool(frames and frames[-1].dealers)


def _drawing(view: View, chart: Callable[[World, Sequence[Frame]], Option], place: int, label: str) -> Draw:
    """Draws a chart of one world, on the scale of the same chart of both."""

    def draw(state: State) -> Mapping[str, object]:
        worlds = dict(enumerate(zip(state.worlds, _all_frames(state), strict=True)))
        options = {other: chart(*world) for other, world in worlds.items() if _can_show(view, world[1])}
        if len(options) > 1:
            share_scales(list(options.values()))
        return _drawn(options.get(place, {}), label)

    return draw


def _drawn(option: Option, label: str) -> Mapping[str, object]:
    return {"option": json.dumps(option), "label": label}


def _decisions(lab: Lab, worlds: tuple[World, ...], two: list[str], least: solara.Reactive[str]) -> None:
    with solara.Div(classes=["line", "note"]), solara.Div(style={"width": "260px"}):
        _select("Size", least.value, list(LEAST), least.set)
    contracts = LEAST[least.value]

    def table(place: int) -> Callable[[State], str]:
        return lambda state: texts.decisions(state.frames(place), contracts)

    told = {"tabindex": "0", "role": "region", "aria-label": "Decisions, newest first"}
    with solara.Div(classes=two):
        for place in range(len(worlds)):
            with solara.Div(classes=["scroll"], attributes=told):
                _moving_html(lab, table(place))


# Small parts


@solara.component
def Moving(lab: Lab, kind: type[ipyvuetify.VuetifyTemplate], draw: Draw, **fixed: Any) -> None:
    """A widget that shows the moment: `draw` says its traits, but for those that are fixed."""
    element = kind.element(**fixed)
    solara.use_effect(lambda: lab.follow(solara.get_widget(element), draw))


def _moving_html(lab: Lab, draw: Callable[[State], str], kind: str = "") -> None:
    attributes = {"class": kind}
    Moving(lab, solara.widgets.HTML, lambda state: {"unsafe_innerHTML": draw(state)}, attributes=attributes)


def _html(tag: str, text: str, kind: str = "") -> None:
    solara.HTML(tag=tag, unsafe_innerHTML=escape(text), classes=kind.split())


def _button(
    label: str, icon: str, click: Callable[[], None], told: Mapping[str, str] = MappingProxyType({}), **looks: Any
) -> None:
    about = {"aria-label": label, "title": label, **told}
    solara.Button(icon_name=icon, on_click=click, icon=True, attributes=about, **looks)


def _select(label: str, value: str, names: list[str], choose: Callable[[str], None]) -> None:
    """A choice of names; any other that a browser may send is passed over."""

    def check(name: object) -> None:
        if isinstance(name, str) and name in names:
            choose(name)

    vuetify.Select(
        label=label, v_model=value, items=names, on_v_model=check, dense=True, outlined=True, hide_details=True
    )


def _switch(label: str, on: bool, turn: Callable[[bool], None], colour: str = "primary") -> None:
    vuetify.Switch(
        label=label, v_model=on, on_v_model=lambda new: turn(new is True), dense=True, color=colour, inset=False
    )


@solara.component
def Slider(
    label: str,
    value: float,
    limits: tuple[float, float, float],
    turn: Callable[[object], None],
) -> None:
    """A slider; `limits` are its least and largest value and its step.

    `turn` must change a state of whoever gave the `value`: then no drawing answers a turn with a value from before it.
    """
    answered, set_answered = solara.use_state(0)

    def take(turned: tuple[int, object]) -> None:
        number, wanted = turned
        turn(wanted)
        set_answered(number)

    low, high, step = limits
    SliderView.element(
        label=label,
        low=low,
        high=high,
        step=step,
        value=value,
        answered=answered,
        on_turned=take,
    )
