"""What stands behind the lab page: worlds and their frames, the engine, settings, charts, texts."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim import analysis
from sim.alarms import in_words
from sim.kernel.state import ASKS, BIDS
from sim.market import resting
from sim.model import MarketModel
from sim.page import app, charts, texts
from sim.page.engine import Engine
from sim.page.scales import share_scales
from sim.page.settings import DIALS, Choice, Settings, Shelf
from sim.page.world import Decision, World
from sim.recorder import DEPTH_REACH
from sim.scenario import ScenarioError, load
from sim.units import MINUTE

NOV20 = Path(__file__).parents[1] / "configs" / "nov20.toml"
BARS = 12
SHORT = {"session.days": ["2025-11-19"], "session.end": f"09:{30 + BARS}"}


@pytest.fixture(scope="module")
def world():
    """The first minutes of a day."""
    world = World(load(NOV20, SHORT), 7)
    while world.running:
        world.step()
    return world


@pytest.fixture(scope="module")
def tables(world):
    model = MarketModel(load(NOV20, SHORT), rng=7)
    model.run_model()
    return model.frames()


# Frames


def test_points_add_up_to_the_price_in_every_frame(world):
    for frame in world.frames:
        assert sum(frame.points.values()) == frame.mid - frame.base
        assert frame.pushed.sum() == frame.mid - frame.base


def test_what_all_groups_have_bought_adds_up_to_nothing(world):
    assert all(sum(frame.bought.values()) == 0 for frame in world.frames)
    assert any(frame.bought["etfs"] for frame in world.frames)


def test_frames_say_what_the_tables_say(world, tables):
    groups = analysis.owner_groups(tables["agents"])
    told = analysis.price_points_by_group(tables["quotes"], groups)
    shown = world.frames[-1].points
    assert {group: shown[group] for group in world.groups} == {group: told[group] for group in world.groups}
    assert [frame.mid for frame in world.frames] == tables["bars"]["mid"].tolist()
    assert world.frames[-1].volume == tables["trades"]["size"].sum()
    ordered = tables["decisions"].query("contracts != 0")["contracts"].tolist()
    assert [each.contracts for frame in world.frames for each in frame.decisions] == ordered


def test_dominoes_are_those_of_the_analysis(world, tables):
    """Chains of provocation end at a bar's start here, and the way from the prior close to the open counts."""
    told = analysis.group_matrix(analysis.domino_graph(tables, 0.0), normalised=False)
    shown = world.frames[-1].provoked
    for child, parent in (("dealers", "etfs"), ("dealers", "noise"), ("dealers", "open")):
        got = shown[world.groups.index(child), world.sources.index(parent)]
        assert got == pytest.approx(told.loc[child].get(parent, 0.0), rel=0.05, abs=20)
    assert told.loc["dealers", "open"] > 100


def test_the_ladder_is_the_book(world):
    market, frame = world._model.market, world.frames[-1]
    for side, levels in ((BIDS, frame.bids), (ASKS, frame.asks)):
        sizes = {}
        for order_side, price, _, size in resting(market.b, 0):
            if order_side == side:
                sizes[price] = sizes.get(price, 0) + size
        best = next(iter(sizes))
        assert levels.tolist() == [list(level) for level in sizes.items() if abs(level[0] - best) < DEPTH_REACH]
        assert len(levels) > 20


def test_dealers_greeks_are_the_models(world):
    frame, model = world.frames[-1], world._model
    each = [model.option_greeks(dealer.owner, frame.mid, model.quotes())[:3] for dealer in model.dealers]
    assert frame.dealers.greeks(frame.mid) == pytest.approx(np.sum(each, axis=0))


# Charts and texts


ALL = [chart for view in app.VIEWS for _, chart, _ in view.charts]


@pytest.mark.parametrize("place", range(len(ALL)))
def test_charts_are_small_plain_json(world, place):
    option = ALL[place](world, world.frames)
    assert len(json.dumps(option, allow_nan=False)) < 100_000
    assert all(len(series["data"]) <= max(500, 65 * 40) for series in option["series"])


def test_a_day_is_thinned_to_what_a_screen_can_show(world):
    many = world.frames * 100
    thin = charts.thinned(many, 400)
    assert 300 <= len(thin) <= 400
    assert thin[-1] is many[-1]


def test_columns_of_time_stay_where_they_are_as_time_goes_on():
    early, late = charts._every(range(40), 6), charts._every(range(45), 6)
    assert early == [5, 11, 17, 23, 29, 35, 39]
    assert late[: len(early) - 1] == early[:-1]
    assert charts._every([], 6) == []


def test_names_on_charts_are_in_ink_which_can_be_read(world):
    lines = [series for chart in ALL for series in chart(world, world.frames)["series"] if "endLabel" in series]
    assert len(lines) > 10
    assert {line["endLabel"]["color"] for line in lines if line["endLabel"]["show"]} == {"INK"}


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (
            {"ctas": -8.0, "dealers": -4.0, "value": 1.0},
            "Down 11.0 points {}: most by trend followers -8.0 and dealers -4.0.",
        ),
        (
            {"ctas": -1.0, "dealers": -4.0, "value": 9.0},
            "Up 4.0 points {}: most by value traders +9.0, against dealers -4.0.",
        ),
        ({"ctas": 0.0, "dealers": 0.0, "value": 0.0}, "Up 0.0 points {}."),
    ],
)
def test_the_story_says_who_pushed_and_against_whom(world, points, said):
    assert texts.story([replace(world.frames[0], points=points)]) == said.format("since the prior close")


def test_price_chart_has_levels_news_and_the_real_day(world):
    limits = charts.price_limits([world], [world.frames])
    line = next(series for series in charts.price(world, world.frames, (6600, 6800))["series"] if "markLine" in series)
    assert limits[0] <= min(frame.mid for frame in world.frames) <= limits[1]
    assert {6650.0, 6700.0} <= {mark.get("yAxis") for mark in line["markLine"]["data"]}
    two_days, second = World(load(NOV20), 1), replace(world.frames[-1], session=1, first=0)
    assert charts.price_limits([two_days], [[second]]) == (6500, 6800)
    assert "real day" in [series["name"] for series in charts.price(two_days, [second], (6500, 6800))["series"]]


def test_news_since_the_last_close_has_one_number_in_chart_and_words(world):
    two_days = World(load(NOV20), 1)
    opens = two_days.scenario.session.hours_ns[1][0]
    now = [replace(world.frames[-1], session=1, first=0, time_ns=opens + 75 * MINUTE)]
    assert [item.name for _, item in two_days.news(now)] == ["nvidia", "payrolls", "followthrough", "cook"]
    line = next(series for series in charts.price(two_days, now, (6500, 6800))["series"] if "markLine" in series)
    marks = [mark["label"]["formatter"] for mark in line["markLine"]["data"] if "xAxis" in mark]
    assert marks == ["3", "4"], "what came before the open is told, but has no place in the chart"
    assert "<b>3</b> 10:15 Chip shares open up" in texts.news(two_days, now)
    assert "<span>" not in texts.news(two_days, [])


def test_the_waterfall_ends_at_the_price(world):
    *_, last, price = charts.waterfall(world, world.frames)["series"]
    assert price["data"][1][0] == pytest.approx(world.frames[-1].mid - world.frames[-1].base)
    assert last["data"][1][0] == pytest.approx(price["data"][1][0])


@pytest.mark.parametrize(
    ("alarm", "detail", "said"),
    [
        ("below", 6685.0, "price fell to 6,685.00"),
        ("news", "no_cut", "news: no cut"),
        ("vol", 21.5, "VIX moved to 21.50"),
        ("time", 0.0, "its own clock"),
        ("odd", 0.0, "odd"),
    ],
)
def test_reasons_in_words(alarm, detail, said):
    assert in_words(alarm, detail) == in_words(alarm, str(detail)) == said


def test_decisions_come_newest_first_and_escaped(world):
    text = texts.decisions(world.frames, 1)
    assert "ETF traders [" in text
    times = [line.split("<")[0] for line in text.split('<td class="number">')[1::3]]
    assert times == sorted(times, reverse=True)
    assert len(times) == texts.MOST_DECISIONS
    assert "the newest 40" in text
    assert "the newest" not in texts.decisions(world.frames, 10**9)
    assert "<script" not in texts._row(Decision(0, "<script>", "ctas", "<script>", 0.0, 1, 0.0))


# Settings


def test_a_dial_keeps_within_its_bounds():
    depth = DIALS[0]
    choice = Choice().turned(depth, 1e9, 5.0)
    assert choice.values == {"depth_musd": 20.0}
    for wrong in ("8", None, float("nan"), [1], True, float("inf")):
        assert choice.turned(depth, wrong, 5.0) == choice
    assert choice.turned(depth, 5.0, 5.0).values == {}
    assert choice.turned(depth, -3, 5.0).values == {"depth_musd": 0.5}


@pytest.mark.parametrize("own", [0.36, 0.4, 1 / 3, 2.5, 0.05001])
def test_a_dial_can_stand_on_the_scenarios_own_value(own):
    """To 1e-6: else the browser moves it by itself, and the page says that something was changed."""
    gamma = DIALS[1].widened(own)
    assert gamma.within(own, -1.0) == pytest.approx(own, abs=1e-6)
    assert gamma.low <= own <= gamma.high
    assert (DIALS[1].widened(0.4).step, gamma.step > 0) == (0.05, True)


@pytest.mark.parametrize("seed", ["-1", "10000", "1e3", "", "x", "٣", None, 2.5])
def test_a_seed_that_is_none_changes_nothing(seed):
    assert Settings("nov20", 4).seeded(seed).seed == 4


def test_only_what_is_on_the_shelf_can_be_opened():
    shelf = Shelf(NOV20)
    assert shelf.scenarios == [
        "nov20",
        "aug05",
        "calm",
        "gamma_positions",
        "lively",
        "nov19",
        "nov21",
        "oct10",
        "sep15",
    ]
    assert "article" in shelf.books
    with pytest.raises(KeyError):
        shelf.build("../nov20", Choice())
    assert shelf.build("nov20", Choice(book="../../etc/passwd")).digest == load(NOV20).digest


def test_the_command_shown_makes_the_same_scenario():
    choice = Choice({"depth_musd": 8.0}, "article", frozenset({"ctas"}))
    shelf, settings = Shelf(NOV20), Settings("nov20", 3, (choice,))
    said = f"thinbook run {NOV20} --seed 3 --set depth_musd=8.0 --set options.book=books/article.csv --without ctas"
    assert shelf.command(settings, 0) == said
    overrides = {"depth_musd": 8.0, "options.book": "books/article.csv"}
    assert shelf.build("nov20", choice).digest == load(NOV20, overrides, ["ctas"]).digest


def test_the_second_world_is_of_normal_depth():
    settings = Settings("nov20").compared(True)
    assert [choice.values for choice in settings.worlds] == [{}, {"depth_musd": 11.5}]
    assert settings.compared(False) == Settings("nov20")


# The engine, with worlds that cost nothing


class Toy:
    """A world of ten bars."""

    def __init__(self, breaks_at=99):
        self.frames, self.breaks_at = [], breaks_at

    @property
    def running(self):
        return len(self.frames) < 10

    def step(self):
        if len(self.frames) == self.breaks_at:
            raise RuntimeError("the tape is torn")
        self.frames.append(len(self.frames))


@pytest.fixture
def engine():
    made = Engine(lambda: None)
    made.start()
    yield made
    made.close()


def wait(engine, what):
    end = time.monotonic() + 20
    while not what(engine.state):
        assert time.monotonic() < end, engine.state
        time.sleep(0.005)
    return engine.state


def test_play_runs_to_the_end_and_time_goes_back(engine):
    engine.reset(lambda: (Toy(), Toy()))
    wait(engine, lambda state: state.worlds)
    engine.play()
    state = wait(engine, lambda state: state.position == 10 and not state.playing)
    assert [len(world.frames) for world in state.worlds] == [10, 10]
    engine.seek(3)
    assert engine.state.frames(0) == [0, 1, 2]
    engine.step()
    assert wait(engine, lambda state: state.position == 4).done == 10
    engine.seek(10**9)
    assert engine.state.position == 10
    engine.seek(-5)
    assert engine.state.position == 0
    engine.play()
    wait(engine, lambda state: state.position == 10 and not state.playing)


def test_pause_stops_and_speed_holds(engine):
    engine.reset(lambda: (Toy(),))
    wait(engine, lambda state: state.worlds)
    engine.run_at(1.0)
    engine.play()
    wait(engine, lambda state: state.position == 1)
    engine.pause()
    time.sleep(0.2)
    assert engine.state.position == 1


def test_an_error_is_a_message_until_reset(engine):
    engine.reset(lambda: (Toy(breaks_at=2),))
    wait(engine, lambda state: state.worlds)
    engine.play()
    state = wait(engine, lambda state: state.problem)
    assert (state.problem, state.position, state.playing) == ("RuntimeError: the tape is torn", 2, False)
    engine.play()
    engine.step()
    assert not engine.state.playing
    engine.reset(lambda: (Toy(),))
    wait(engine, lambda state: state.worlds and not state.problem)


def test_a_world_that_cannot_be_made_is_a_message(engine):
    def none():
        raise ScenarioError("nov20.toml: depth_musd: too deep")

    engine.reset(none)
    assert wait(engine, lambda state: state.problem).problem == "nov20.toml: depth_musd: too deep"


def test_drawings_are_few_and_wait_for_one_another():
    times, slow, go_on = [], threading.Event(), threading.Event()

    def draw():
        times.append(time.monotonic())
        if len(times) == 3:
            slow.set()
            go_on.wait(20)

    engine = Engine(draw)
    engine.start()
    engine.reset(lambda: (Toy(),))
    for _ in range(60):
        engine.seek(0)
        time.sleep(0.01)
    assert slow.wait(5)
    assert min(np.diff(times)) > 0.05
    assert len(times) == 3
    engine.close()
    go_on.set()
    for thread in engine._threads:
        thread.join(10)
        assert not thread.is_alive()


def test_an_error_in_a_drawing_is_a_message_and_other_drawings_follow():
    drawn = []

    def draw():
        drawn.append(engine.state.problem)
        if len(drawn) in (2, 3):
            raise KeyError("dealers")

    engine = Engine(draw)
    engine.start()
    engine.refresh()
    end = time.monotonic() + 20
    while "KeyError: 'dealers'" not in drawn:
        assert time.monotonic() < end
        engine.refresh()
    engine.close()


# Scales


def chart_of(kind: str, *data: list[object]) -> dict[str, object]:
    series = [{"type": kind, "data": values} for values in data]
    return {"xAxis": {"type": "time"}, "yAxis": {"type": "value"}, "series": series}


def test_two_worlds_have_one_scale_that_holds_all_of_both() -> None:
    one, other = chart_of("line", [(0, -3.0), (1, 12.0)]), chart_of("line", [(0, 55.0)], [(0, 1.0)])
    share_scales([one, other])
    assert one["yAxis"] == other["yAxis"] == {"type": "value", "min": -10.0, "max": 60.0}
    assert one["xAxis"] == {"type": "time"}


def test_bars_of_one_place_are_stacked_by_sign() -> None:
    one, other = chart_of("bar", [(0, 30.0), (1, -5.0)], [(0, 40.0), (1, -20.0)]), chart_of("bar", [(0, None)])
    share_scales([one, other])
    assert one["yAxis"] == other["yAxis"] == {"type": "value", "min": -30.0, "max": 70.0}


def test_a_scale_that_is_set_stays_and_colours_are_shared() -> None:
    one, other = chart_of("line", [(0, 1.0)]), chart_of("line", [(0, 9.0)])
    for chart, most in ((one, 40.0), (other, 70.0)):
        chart["yAxis"] |= {"min": 0, "max": most}
        chart["visualMap"] = {"max": most, "text": [str(most), "0"]}
    share_scales([one, other])
    assert [chart["yAxis"]["max"] for chart in (one, other)] == [40.0, 70.0]
    assert one["visualMap"] == other["visualMap"] == {"max": 70.0, "text": ["70.0", "0"]}
