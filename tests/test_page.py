import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import ipyvuetify as vw
import pytest
import solara
from mesa.visualization import SolaraViz, make_plot_component

from sim import page
from sim.model import MarketModel

ROOT = Path(__file__).parents[1]
NOV20 = ROOT / "configs" / "nov20.toml"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Tab:
    """A page as a visitor has it, without a browser."""

    def __init__(self, root=page.Page):
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
    monkeypatch.setenv(page.SCENARIO, str(NOV20))
    opened = []

    def open_tab(*root):
        opened.append(Tab(*root))
        return opened[-1]

    yield open_tab
    for each in opened:
        each.rendered.close()


def test_step_moves_time_and_price(tab):
    shown = tab()
    assert shown.time == 0
    shown.click("Step")
    first = shown.number("Price, index points")
    shown.click("Step")
    assert shown.time == 2
    assert shown.number("Price, index points") != first
    assert "11-19 09:32" in shown.text


def test_reset_goes_back_to_the_same_start(tab):
    shown = tab()
    shown.click("Step")
    first = shown.number("Price, index points")
    shown.click("Reset")
    assert shown.time == 0
    assert "Price, index points" not in shown.text
    shown.click("Step")
    assert shown.number("Price, index points") == first


def test_a_dial_takes_effect_on_reset(tab):
    shown = tab()
    shown.click("Step")
    first = shown.number("Price, index points")
    shown.turn("Depth of the book, $M", 2.0)
    shown.turn("Seed", 7)
    assert shown.number("Depth of the book, $M") == 5
    shown.click("Reset")
    assert (shown.number("Depth of the book, $M"), shown.number("Seed")) == (2, 7)
    shown.click("Step")
    assert shown.number("Price, index points") != first


def test_every_tab_has_its_own_model(tab):
    first, second = tab(), tab()
    first.click("Step")
    assert (first.time, second.time) == (1, 0)


def test_an_error_in_a_step_is_a_message_that_reset_clears(tab, monkeypatch):
    def broken(self):
        raise RuntimeError("the tape is torn")

    shown = tab()
    with monkeypatch.context() as patch:
        patch.setattr(MarketModel, "_bar", broken)
        shown.click("Step")
    assert "RuntimeError: the tape is torn" in shown.text
    shown.click("Step")
    shown.click("Reset")
    shown.click("Step")
    assert "the tape is torn" not in shown.text
    assert shown.time == 1


def test_an_error_on_reset_is_a_message(tab):
    shown = tab()
    shown.turn("Depth of the book, $M", -1.0)
    shown.click("Reset")
    assert "ScenarioError: " in shown.text
    assert "0 &lt; depth_musd" in shown.text or "0 < depth_musd" in shown.text
    shown.turn("Depth of the book, $M", 3.0)
    shown.click("Reset")
    assert "ScenarioError" not in shown.text
    assert shown.number("Depth of the book, $M") == 3


def test_mesas_own_page_runs_the_model_unchanged(tab):
    @solara.component
    def Plain():
        model = solara.use_memo(lambda: MarketModel(NOV20), [])
        SolaraViz(model, components=[make_plot_component("close")], model_params={"config": NOV20, "rng": 1})

    shown = tab(Plain)
    shown.click("Step")
    shown.click("Reset")
    shown.click("Step")
    assert shown.time == 1
