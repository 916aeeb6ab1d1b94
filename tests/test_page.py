import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
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
    shown.turn("Seed", 8)
    assert shown.number("Depth of the book, $M") == 5
    shown.click("Reset")
    assert (shown.number("Depth of the book, $M"), shown.number("Seed")) == (2, 8)
    shown.click("Step")
    assert shown.number("Price, index points") != first


def test_every_tab_has_its_own_model(tab):
    first, second = tab(), tab()
    first.click("Step")
    assert (first.time, second.time) == (1, 0)


def test_play_waits_for_a_page_that_is_slower_than_the_model(tab, monkeypatch):
    """Solara gives up on a page that is changed during each of a hundred drawings (the error would fail the test)."""

    def at_once(live, _model):
        live.drawn.clear()
        live.picture = replace(live.picture, times=(*live.picture.times, "11-20 10:37"))

    monkeypatch.setattr(page.LiveModel, "_step", at_once)
    monkeypatch.setattr(page, "_numbers", lambda picture: time.sleep(0.01) or [])
    shown = tab()
    shown.click("▶")
    time.sleep(3)
    shown.click("❚❚")


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
    def Plain():  # noqa: N802
        model = solara.use_memo(lambda: MarketModel(NOV20), [])
        SolaraViz(model, components=[make_plot_component("close")], model_params={"config": NOV20, "rng": 1})

    shown = tab(Plain)
    shown.click("Step")
    shown.click("Reset")
    shown.click("Step")
    assert shown.time == 1


# As a program


def serve(*arguments, before="pass"):
    """The command `thinbook serve` in a process of its own."""
    code = f"{before}; from sim.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "serve", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as door:
        return door.getsockname()[1]


@pytest.fixture(scope="module")
def served():
    """Address of a page, and the process that serves it."""
    port = free_port()
    with serve(NOV20, "--port", port) as process:
        line = process.stdout.readline()
        assert f"http://127.0.0.1:{port}" in line, process.stderr.read()
        yield f"http://127.0.0.1:{port}", process
        process.kill()


@pytest.mark.parametrize(
    ("arguments", "before", "said"),
    [
        (["nov20.toml"], "pass", "nov20.toml: there is no file 'nov20.toml' in '.'"),
        ([NOV20, "--port", "{taken}"], "pass", "Address already in use"),
        ([NOV20], "import sys; sys.modules['solara'] = None", "the page needs solara: uv sync --group page"),
    ],
)
def test_what_cannot_be_served_is_one_line(arguments, before, said):
    with socket.create_server(("127.0.0.1", 0)) as door:
        taken = str(door.getsockname()[1])
        process = serve(*(taken if argument == "{taken}" else argument for argument in arguments), before=before)
        out, err = process.communicate()
    lines = [line for line in err.splitlines() if line != "compiling the kernel, once"]
    assert (process.returncode, out, len(lines)) == (2, "", 1)
    assert lines[0].startswith("thinbook: ")
    assert said in lines[0]


@pytest.fixture(scope="module")
def chromium():
    if not CHROMIUM:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium wants no sandbox where the tests run as root, and is to ask no host of its own.
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield browser
        browser.close()


class Visit:
    """A visit to the page, with everything that goes wrong in the browser."""

    def __init__(self, chromium, url, scheme="light"):
        self.wrong = []
        self.page = chromium.new_page(viewport={"width": 1280, "height": 1500}, color_scheme=scheme)
        self.page.on("console", lambda message: message.type == "error" and self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", lambda request: self.wrong.append(f"failed: {request.url}"))
        self.page.on("response", lambda answer: answer.ok or self.wrong.append(f"{answer.status}: {answer.url}"))
        self.page.on("request", self._is_ours)
        self.page.goto(url)
        self.wait(0)

    def _is_ours(self, request):
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.wrong.append(f"another host: {request.url}")

    @property
    def time(self):
        return float(re.search(r"Time: ([\d.]+)", self.page.inner_text("body"))[1])

    def wait(self, bars):
        """Wait until so many bars are done."""
        done = f"Number((document.body.innerText.match(/Time: ([0-9.]+)/) || [0, -1])[1]) >= {bars}"
        self.page.wait_for_function(done, timeout=60_000)

    def click(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(chromium, served, tmp_path, scheme):
    visit = Visit(chromium, served[0], scheme)
    visit.click("▶")
    visit.wait(20)
    visit.page.screenshot(path=tmp_path / f"{scheme}.png")
    assert visit.page.locator("canvas").count() == len(page.VIEWS)
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 1280
    visit.click("❚❚")
    assert visit.wrong == []


def test_dials_and_reset_while_it_plays(chromium, served):
    visit, other = Visit(chromium, served[0]), Visit(chromium, served[0])
    visit.click("▶")
    visit.wait(3)
    for dial in visit.page.get_by_role("slider").all()[2:]:
        dial.focus()
        dial.press("ArrowRight")
    visit.wait(6)
    visit.click("Reset")
    visit.page.get_by_text("Time: 0.0").wait_for()
    visit.page.get_by_text("5.1").first.wait_for()
    visit.click("Step")
    visit.page.get_by_text("Time: 1.0").wait_for()
    assert other.time == 0
    assert visit.wrong + other.wrong == []


def test_ctrl_c_ends_it_while_it_plays(chromium, served):
    url, process = served
    visit = Visit(chromium, url)
    visit.click("▶")
    visit.wait(3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err in ("", "compiling the kernel, once\n")
