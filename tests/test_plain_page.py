"""Mesa's own page of the model."""

import re
import time
from dataclasses import replace
from pathlib import Path

import ipyvuetify as vw
import pytest
import solara
from mesa.visualization import SolaraViz, make_plot_component

from sim import DEFAULT_SEED
from sim.model import MarketModel
from sim.page import plain
from sim.scenario import load

NOV20 = Path(__file__).parents[1] / "configs" / "nov20.toml"


class Tab:
    """A page as a visitor has it, without a browser."""

    def __init__(self, root=plain.Page):
        self.box, self.rendered = solara.render(solara.AppLayout(children=[root()]), handle_error=False)

    @property
    def text(self):
        return str(self.box.children)

    @property
    def time(self):
        return float(re.search(r"Time: ([\d.]+)", self.text)[1])

    def number(self, label):
        """A number of the headline."""
        return float(re.search(rf">{re.escape(label)}</div><div[^>]*>([^<]*)<", self.text)[1].replace(",", ""))

    def click(self, label):
        next(button for button in self.rendered.find(vw.Btn).widgets if label in button.children).click()

    def turn(self, label, value):
        self.rendered.find(vw.Slider, label=label).widget.v_model = value


@pytest.fixture
def tab(monkeypatch):
    """A function that opens a page."""
    monkeypatch.setenv(plain.SCENARIO, str(NOV20))
    opened = []

    def open_tab(*root):
        opened.append(Tab(*root))
        return opened[-1]

    yield open_tab
    for each in opened:
        each.rendered.close()


def test_step_reset_and_dials(tab):
    shown, other = tab(), tab()

    def prices():
        """Two: one may be the same in two books."""
        found = []
        for _ in range(2):
            shown.click("Step")
            found.append(shown.number("Price, index points"))
        return found

    first = prices()
    shown.click("Reset")
    assert (shown.time, other.time) == (0, 0)
    assert prices() == first
    shown.turn("Depth of the book, $M", 2.0)
    assert shown.number("Depth of the book, $M") == 5
    shown.click("Reset")
    assert shown.number("Depth of the book, $M") == 2
    assert prices() != first


def test_the_day_of_the_default_seed_and_bounds_on_what_a_browser_sends():
    scenario = load(NOV20)
    shown = plain.LiveModel(scenario).picture.settings
    assert (shown["rng"], shown["depth_musd"]) == (DEFAULT_SEED, scenario.depth_musd)
    wild = {"depth_musd": 1e9, "agents.ctas.contracts": "all", "agents.value.limit_contracts": -1.0}
    held = plain.LiveModel(scenario, rng=10**12, **wild).picture
    assert held.problem == ""
    assert held.settings == shown | {"rng": 999, "depth_musd": 20, "agents.value.limit_contracts": 0}


def test_play_waits_for_a_page_that_is_slower_than_the_model(tab, monkeypatch):
    """Solara gives up on a page that is changed during each of a hundred drawings (the error would fail the test)."""

    def at_once(live, _model):
        live.drawn.clear()
        live.picture = replace(live.picture, times=(*live.picture.times, "11-20 10:37"))

    monkeypatch.setattr(plain.LiveModel, "_step", at_once)
    monkeypatch.setattr(plain, "_numbers", lambda picture: time.sleep(0.01) or [])
    shown = tab()
    shown.click("▶")
    time.sleep(2)
    shown.click("❚❚")


def test_an_error_is_a_message_that_reset_clears(tab, monkeypatch):
    def broken(self):
        raise RuntimeError("the tape is torn")

    shown = tab()
    with monkeypatch.context() as patch:
        patch.setattr(MarketModel, "_bar", broken)
        shown.click("Step")
    assert "RuntimeError: the tape is torn" in shown.text
    shown.click("Reset")
    shown.click("Step")
    assert "the tape is torn" not in shown.text
    assert shown.time == 1


def test_mesas_own_page_runs_the_model_unchanged(tab):
    @solara.component
    def Plain():  # noqa: N802
        model = solara.use_memo(lambda: MarketModel(NOV20), [])
        SolaraViz(model, components=[make_plot_component("close")], model_params={"config": NOV20, "rng": 1})

    shown = tab(Plain)
    shown.click("Step")
    shown.click("Reset")
    shown.click("Step")
    assert shown.time == 1
