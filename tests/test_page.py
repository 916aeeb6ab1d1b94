"""The lab page: every control without a browser, the whole in a real one, and as a program."""

import gc
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import ipyvuetify as vw
import pytest
import solara

from sim.model import MarketModel
from sim.page import app

ROOT = Path(__file__).parents[1]
NOV20 = ROOT / "configs" / "nov20.toml"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Tab:
    """A page as a visitor has it, without a browser."""

    def __init__(self, monkeypatch):
        made = []
        lab = app.Lab
        with monkeypatch.context() as patch:
            patch.setattr(app, "Lab", lambda *arguments: made.append(lab(*arguments)) or made[-1])
            self.box, self.rendered = solara.render(app.Layout(children=[app.Page()]), handle_error=False)
        self.lab = made[0]
        self.wait(lambda state: state.worlds)

    @property
    def text(self):
        return str(self.box.children)

    @property
    def position(self):
        return self.slider("Time").value

    def number(self, label):
        """A number above the charts."""
        return float(re.search(rf"<dt>{label}</dt><dd>([^<]*)<", self.text)[1].replace(",", ""))

    def named(self, kind, label):
        """Widgets of a kind whose label, or that for screen readers, begins so."""
        for widget in self.rendered.find(kind).widgets:
            said = (widget.attributes or {}).get("aria-label") or getattr(widget, "label", None) or ""
            if said.startswith(label) or label in widget.children:
                return widget
        raise AssertionError(f"no {kind.__name__} {label!r}")

    def slider(self, label):
        return next(slider for slider in self.rendered.find(app.SliderView).widgets if slider.label.startswith(label))

    def turn(self, label, value):
        """Turn a slider as the browser does."""
        slider = self.slider(label)
        slider.turned = slider.answered + 1, value

    def click(self, label):
        self.named(vw.Btn, label).click()

    def set(self, kind, label, value):
        self.named(kind, label).v_model = value
        self.wait(lambda state: state.worlds)

    def open(self, view):
        """Turn to a view below the price."""
        names = [*(each.name for each in app.VIEWS), app.DECISIONS]
        self.rendered.find(vw.Tabs).widget.v_model = names.index(view)
        self.wait(lambda state: state.worlds)

    def wait(self, what):
        """Wait for something of the engine's state, and then for its drawing."""
        engine, end = self.lab.engine, time.monotonic() + 60
        # What was changed may be rendered by another thread that was rendering already.
        with self.rendered.thread_lock:
            pass
        while not what(engine.state) or engine._painted != engine._version:
            assert time.monotonic() < end, engine.state
            time.sleep(0.02)

    def step(self, bars=1):
        for _ in range(bars):
            before = self.position
            self.click("Step")
            self.wait(lambda state, before=before: state.position == before + 1)

    def reset(self):
        self.click("Reset")
        self.wait(lambda state: state.worlds)


@pytest.fixture
def tab(monkeypatch):
    """A function that opens a page, whose world is made."""
    monkeypatch.setenv(app.SCENARIO, str(NOV20))
    opened = []

    def open_tab():
        opened.append(Tab(monkeypatch))
        return opened[-1]

    yield open_tab
    for each in opened:
        each.rendered.close()


def test_step_scrub_and_reset(tab):
    shown, other = tab(), tab()
    shown.step(3)
    prices = shown.number("Price")
    shown.turn("Time", 1)
    shown.wait(lambda state: state.position == 1)
    first = shown.number("Price")
    assert "2025-11-19 09:31" in shown.text
    shown.step(2)
    assert (shown.position, shown.number("Price")) == (3, prices)
    shown.reset()
    assert "2025-11-19 09:30" in shown.text
    shown.step()
    assert shown.number("Price") == first
    assert other.position == 0


def test_no_drawing_answers_a_turn_with_a_value_from_before_it(tab, monkeypatch):
    shown = tab()
    shown.step(2)
    under_way, go_on, price = threading.Event(), threading.Event(), app.charts.price

    def slow(*arguments):
        under_way.set()
        assert go_on.wait(60)
        return price(*arguments)

    slider, answers = shown.slider("Time"), []
    slider.observe(lambda change: answers.append((change["new"], slider.value)), "answered")
    with monkeypatch.context() as patch:
        patch.setattr(app.charts, "price", slow)
        shown.click("Step")
        assert under_way.wait(60)
        while shown.lab.engine.state.position < 3:
            time.sleep(0.01)
        shown.turn("Time", 1)
        go_on.set()
        shown.wait(lambda state: state.position == 1)
    assert answers == [(1, 1)]
    assert (slider.value, slider.high) == (1, 3)


def test_time_passes_without_a_rendering_of_the_whole_page(tab):
    shown = tab()
    shown.step()
    rendered, price = shown.lab.rendered, shown.number("Price")
    rendered.clear()
    shown.step(3)
    assert not rendered.is_set()
    assert shown.number("Price") != price


def test_play_and_pause(tab):
    shown = tab()
    shown.set(vw.Select, "Speed", "10 bars a second")
    shown.click("Play")
    shown.wait(lambda state: state.position >= 2)
    shown.click("Pause")
    time.sleep(0.5)
    stopped = shown.position
    time.sleep(0.5)
    assert shown.position == stopped


def test_dials_book_seed_and_switches_wait_for_reset(tab):
    shown = tab()
    shown.step()
    first = shown.number("Price")
    for label, value in (
        ("Depth of the book", 8.0),
        ("Dealers' gamma", 0.6),
        ("Trend followers", 40_000.0),
        ("ETF share", 100.0),
        ("Market makers", 1.0),
    ):
        shown.turn(label, value)
    shown.set(vw.Select, "Option book", "article")
    shown.set(vw.TextField, "Seed", "99")
    shown.set(vw.Switch, "put buyers", False)
    assert shown.number("Price") == first
    assert "press Reset" in shown.text
    shown.reset()
    assert "press Reset" not in shown.text
    command = re.search(r"thinbook run [^'\"<]*", shown.text)[0]
    for part in (
        "--seed 99 --set depth_musd=8.0 --set options.scale=0.6 --set agents.ctas.contracts=40000.0",
        "--set agents.etfs.clip_contracts=100.0 --set agents.makers.withdrawal=1.0",
        "--set options.book=books/article.csv --without hedgers",
    ):
        assert part in command
    shown.step()
    assert shown.number("Price") != first


def test_what_no_browser_should_send_changes_nothing(tab):
    shown = tab()
    before = shown.text
    shown.turn("Depth of the book", "8")
    shown.set(vw.Select, "Option book", "../../secret")
    shown.set(vw.Select, "Scenario", "/etc/passwd")
    shown.set(vw.Select, "Speed", 5)
    shown.set(vw.TextField, "Seed", "1; rm")
    assert "No seed: Reset would take" in shown.text
    shown.turn("Time", "soon")
    assert "press Reset" not in shown.text
    assert "thinbook run" in before
    shown.turn("Depth of the book", 1e9)
    assert "depth_musd=20" in shown.text


def test_every_view_shows_what_has_happened(tab):
    shown = tab()
    for view in app.VIEWS:
        shown.open(view.name)
    shown.step(2)
    for view in app.VIEWS:
        shown.open(view.name)
        assert len(shown.rendered.find(app.Chart).widgets) == 1 + len(view.charts)
    shown.open(app.DECISIONS)
    shown.set(vw.Select, "Size", "all")
    assert "a look at the market" in shown.text


def test_two_worlds_of_one_seed(tab):
    shown = tab()
    shown.set(vw.Switch, "Compare", True)
    shown.click("World B")
    assert shown.slider("Depth of the book").value == 11.5
    shown.set(vw.Switch, "trend followers", False)
    shown.reset()
    shown.step()
    assert "Counterfactual" in shown.text
    assert "World B, $11.5M a side" in shown.text
    assert len(shown.rendered.find(app.Chart).widgets) == 6


def test_another_scenario(tab):
    shown = tab()
    shown.set(vw.Select, "Scenario", "calm")
    shown.reset()
    assert "A calm day" in shown.text


def test_an_error_is_a_message_that_reset_clears(tab, monkeypatch):
    def broken(self):
        raise RuntimeError("the tape is torn")

    shown = tab()
    with monkeypatch.context() as patch:
        patch.setattr(MarketModel, "_bar", broken)
        shown.click("Step")
        shown.wait(lambda state: state.problem)
    assert "RuntimeError: the tape is torn" in shown.text
    shown.reset()
    shown.step()
    assert "the tape is torn" not in shown.text


def test_a_closed_tab_frees_its_world(tab):
    shown = tab()
    shown.step(2)
    world = weakref.ref(shown.lab.engine.state.worlds[0])
    shown.rendered.close()
    for thread in shown.lab.engine._threads:
        thread.join(30)
    gc.collect()
    assert world() is None


# As a program


@contextmanager
def serve(*arguments, before="pass"):
    """The command `thinbook serve` in a process of its own, which does not outlive the test."""
    code = f"{before}; from sim.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


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
        told = (taken if argument == "{taken}" else argument for argument in arguments)
        with serve(*told, before=before) as process:
            out, err = process.communicate(timeout=600)
    lines = [line for line in err.splitlines() if line != "starting; the first run compiles the kernel, once"]
    assert (process.returncode, out, len(lines)) == (2, "", 1)
    assert lines[0].startswith("thinbook: ")
    assert said in lines[0]


def test_an_open_door_is_warned_of():
    with serve(NOV20, "--host", "0.0.0.0", "--port", free_port(), "--plain") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert "thinbook: 0.0.0.0 lets everybody on the network in, without a password" in err


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

    def __init__(self, chromium, url, *, scheme="light", width=1280):
        self.wrong = []
        self.page = chromium.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        self.page.on("console", lambda message: message.type == "error" and self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", lambda request: self.wrong.append(f"failed: {request.url}"))
        self.page.on("response", lambda answer: answer.ok or self.wrong.append(f"{answer.status}: {answer.url}"))
        self.page.on("request", self._is_ours)
        self.page.goto(url)
        self.until("!document.querySelector('[aria-label=Play]')?.disabled")
        self.until("document.querySelectorAll('canvas').length >= 3")

    def _is_ours(self, request):
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.wrong.append(f"another host: {request.url}")

    def until(self, what):
        self.page.wait_for_function(what, timeout=60_000)

    def slider(self, label):
        return self.page.locator(f"[role=slider][aria-label^='{label}']")

    def drag(self, label, pixels):
        thumb = self.slider(label)
        thumb.scroll_into_view_if_needed()
        place, mouse = thumb.bounding_box(), self.page.mouse
        mouse.move(place["x"], place["y"])
        mouse.down()
        mouse.move(place["x"] + pixels, place["y"], steps=5)
        mouse.up()

    @property
    def position(self):
        return int(self.slider("Time").get_attribute("aria-valuenow"))

    def wait(self, bars):
        """Wait until so many bars are shown."""
        self.until(f"document.querySelector('[role=slider][aria-label^=Time]').ariaValueNow >= {bars}")

    def seen_with_the_keyboard(self):
        """Whether the focus is seen on tabs, sliders and switches."""
        script = """element => { element.focus(); return getComputedStyle(element.closest('.v-input--switch') ||
            element.querySelector('.v-slider__thumb') || element).outlineStyle }"""
        kinds = ("[role=tab]", "[role=slider][aria-label^=Depth]", "[role=switch]")
        self.page.keyboard.press("Tab")
        return [self.page.locator(kind).first.evaluate(script) for kind in kinds] == ["solid"] * 3

    def click(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_page_in_a_browser(chromium, served, tmp_path, scheme, width):
    visit = Visit(chromium, served[0], scheme=scheme, width=width)
    other = Visit(chromium, served[0])
    visit.click("Play")
    visit.wait(8)
    visit.click("Pause")
    visit.slider("Time").focus()
    visit.page.keyboard.press("Home")
    visit.page.get_by_text("2025-11-19 09:30").wait_for()
    visit.page.keyboard.press("ArrowRight")
    visit.page.get_by_text("2025-11-19 09:31").wait_for()
    visit.drag("Depth of the book", 60)
    visit.page.get_by_text("Changed: press Reset").wait_for()
    assert "depth_musd=" in visit.page.locator("code").inner_text()
    visit.click("Reset")
    visit.page.get_by_text("2025-11-19 09:30").wait_for()
    visit.page.get_by_text("Changed: press Reset").wait_for(state="detached")
    visit.click("Step")
    visit.page.get_by_text("2025-11-19 09:31").wait_for()
    for view in (*(each.name for each in app.VIEWS), app.DECISIONS):
        visit.page.get_by_role("tab", name=view).click()
        visit.page.screenshot(path=tmp_path / f"{scheme}-{width}-{view}.png", full_page=True)
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    for tab in visit.page.get_by_role("tab").all():
        place = tab.bounding_box()
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= width
    assert visit.seen_with_the_keyboard()
    assert other.position == 0
    assert visit.wrong + other.wrong == []
    visit.page.close()
    other.page.close()


@pytest.mark.slow
@pytest.mark.parametrize("view", ["Who moved it", "Book"])
def test_ten_frames_a_second_while_the_model_runs_as_fast_as_it_can(chromium, served, view):
    """Frames that the browser has painted with another moment, in six seconds, on a machine with nothing else to do."""
    visit = Visit(chromium, served[0])
    visit.page.get_by_role("tab", name=view).click()
    visit.page.evaluate(
        """() => {
            const slider = document.querySelector('[role=slider][aria-label^=Time]');
            let last = slider.ariaValueNow;
            window.painted = 0;
            const look = () => {
                if (slider.ariaValueNow !== last) { last = slider.ariaValueNow; window.painted += 1; }
                requestAnimationFrame(look);
            };
            look();
        }"""
    )
    visit.click("Play")
    visit.wait(1)
    start, before = time.monotonic(), visit.page.evaluate("painted")
    time.sleep(6)
    frames = (visit.page.evaluate("painted") - before) / (time.monotonic() - start)
    visit.page.close()
    assert frames >= 10


def test_ctrl_c_ends_it_while_it_plays(chromium, served):
    url, process = served
    visit = Visit(chromium, url)
    visit.click("Play")
    visit.wait(3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err in ("", "starting; the first run compiles the kernel, once\n")
