"""The report: it says what the tables say, adds up, and needs nothing but itself."""

import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from made_sweeps import day, made_sweep
from probes import CROWD, QUIET, WALLS

from sim.figures import INK, PAPER
from sim.news import since_last_close
from sim.palette import SOFT
from sim.records import comparison, load_run, record
from sim.report import figures, html, labels, pdf
from sim.report.day import MOST_POINTS, Day
from sim.report.run import FIGURES, LABELS, NOT_SHOWN
from sim.report.words import number, signed
from sim.scenario import ScenarioError, load
from sim.sweep import report as of_sweep
from sim.sweep.report import levels, median
from sim.sweep.resampling import weights_of

VOID = {"meta", "img", "br", "wbr"}
REAL = """
[real]
close = 6655.0
high_to_close_pct = -1.2

[real_course]
price_points = [["09:30", 6700.0], ["09:35", 6660.0]]
vix = [["09:30", 20.0]]
"""
OVERNIGHT = """
[[news]]
at = "2025-11-20 08:30"
name = "job_report"
"""


class Page(HTMLParser):
    """What a page holds: its text, elements and attributes, and whether all that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.text, self.tags, self.attributes, self.open = "", [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def made(text, folder, seed=3, **overrides):
    return record(load(text, overrides), seed, folder)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A run of ten minutes with everyone in it."""
    text = CROWD.replace("\n[agents.makers]", REAL + OVERNIGHT + "\n[agents.makers]", 1)
    return made(text, tmp_path_factory.mktemp("runs") / "crowd")


@pytest.fixture(scope="module")
def page(crowd):
    return Page((crowd.folder / "report.html").read_text())


# It needs nothing but itself


def test_it_is_one_small_file_without_scripts_or_anything_from_elsewhere(crowd, page):
    text = (crowd.folder / "report.html").read_text()
    assert len(text.encode()) < 3_000_000
    assert "://" not in text
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert set(page.tags).isdisjoint({"script", "link", "iframe", "object", "embed", "img", "base", "form"})
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "src"]
    assert page.open == []


def test_names_within_it_are_known_and_figures_are_described(page):
    known = {value for name, value in page.attributes if name == "id"}
    targets = {value for name, value in page.attributes if name == "href"}
    assert {target[1:] for target in targets if not target.startswith("data:image/png;base64,")} <= known
    assert (
        page.tags.count("svg")
        == page.tags.count("figure")
        == sum(name == "role" and value == "img" for name, value in page.attributes)
    )
    assert all(value for name, value in page.attributes if name == "aria-label")


def test_text_is_escaped(tmp_path):
    title = 'A <b>bold</b> & "quoted" day'
    run = made(WALLS.replace("Two orders and a probe", title.replace('"', '\\"')), tmp_path / "run")
    text = (run.folder / "report.html").read_text()
    assert "<b>" not in text
    assert title in Page(text).text


# It says what the tables say


def test_it_has_the_numbers_of_the_summary(crowd, page):
    summary = crowd.summary
    for key in ("open", "high", "low", "close", "prior_close", "vix_close"):
        assert f"{summary[key]:,.2f}" in page.text, key
    assert summary["time_of_high"] in page.text
    for group, points in summary["price_points_by_group"].items():
        assert signed(points, 3) in page.text, group
    for table in ("gross_contracts_by_group", "net_contracts_by_group", "dealers_contracts_by_stage"):
        assert all(f"{abs(contracts):,}" in page.text for contracts in summary[table].values())
    assert crowd.scenario.digest in page.text
    assert crowd.tape_sha256 in page.text
    assert crowd.provenance["versions"]["numpy"] in page.text


def test_the_real_day_stands_beside_it_where_it_is_known(crowd, page):
    assert "6,655.00" in page.text
    assert "real day closed 1.20 %" in page.text
    assert Day(crowd).real("price_points").to_dict() == {9.5: 6700.0, 9 + 35 / 60: 6660.0}
    assert Day(crowd).real("vix").tolist() == [20.0]


def test_every_number_beside_the_real_day_has_a_plain_name(crowd, page):
    keys = {key for key, *_ in comparison(crowd)} - set(NOT_SHOWN)
    assert keys <= set(LABELS)
    assert not [key for key in keys if "_" in key and key in page.text]


def test_news_at_the_close_is_of_the_day_that_ends():
    scenario = load(
        WALLS.replace('["2025-11-20"]', '["2025-11-19", "2025-11-20"]')
        + '\n[[news]]\nat = "2025-11-19 16:00"\nname = "bell"\nsentiment = 0.1\n'
    )
    assert [[item.name for _, item in since_last_close(scenario, day)] for day in (0, 1)] == [["bell"], []]


def test_news_is_numbered_from_the_close_before_and_told_to_be_of_the_night(crowd, page):
    assert [item.name for _, item in Day(crowd).news] == ["job_report", "shock"]
    assert "News overnight: (1) job report." in page.text
    assert "1 08:30 overnightjob report2 09:33shock" in page.text
    marks = [text.get_text() for text in figures.price(Day(crowd)).axes[0].texts]
    assert "2" in marks
    assert "1" not in marks


def test_traders_are_called_as_on_the_page(page):
    assert re.search(r"(dealers|ETF traders|value traders|trend followers) \[\d\]", page.text)
    assert not re.search(r"\w\[\d", page.text)


def test_points_add_up_to_the_way_of_the_price(crowd):
    day = Day(crowd)
    mids = (day.quotes["bid_ticks"] + day.quotes["ask_ticks"])[lambda twice: twice.index.isin(day.quotes.index)] / 8
    way = mids.iloc[-1] - mids.iloc[0]
    assert day.points.iloc[-1].sum() == way == sum(crowd.summary["price_points_by_group"].values())
    assert day.dominoes[0]["points"].sum() == way
    assert (day.points.sum(axis=1) + mids.iloc[0]).to_numpy() == pytest.approx(day.bars["mid"].to_numpy())


def test_contracts_are_those_of_the_summary(crowd):
    day, summary = Day(crowd), crowd.summary
    assert day.bought.iloc[-1].to_dict() == {
        g: n for g, n in summary["net_contracts_by_group"].items() if g in day.bought
    }
    assert (day.bought.sum(axis=1) == 0).all()
    assert day.taken.iloc[-1].sum() == summary["volume_contracts"]
    slices = figures._slices(day, day.taken)
    assert slices.sum().sum() == summary["volume_contracts"]


def test_positions_are_those_of_the_agents(crowd):
    day, agents = Day(crowd), crowd.frame("agents")
    last = agents[agents["time_ns"] == agents["time_ns"].max()]
    etfs = last.loc[last["group"] == "etfs", "position"].sum()
    assert day.bought["etfs"].iloc[-1] == etfs
    assert day.dealers["gamma"].iloc[0] == pytest.approx(
        agents.loc[(agents["group"] == "dealers") & (agents["time_ns"] == agents["time_ns"].min()), "gamma"].sum()
    )


def test_the_depth_begins_at_the_best_quotes(crowd):
    depth, quotes = crowd.frame("depth"), crowd.frame("quotes")
    best = {
        "bid_ticks": depth[depth["side"] == "bid"].groupby("time_ns")["price_ticks"].max(),
        "ask_ticks": depth[depth["side"] == "ask"].groupby("time_ns")["price_ticks"].min(),
    }
    shown = pd.merge_asof(crowd.frame("bars")[["time_ns"]], quotes, on="time_ns").set_index("time_ns")
    for column, prices in best.items():
        assert prices.tolist() == shown[column].tolist()


def test_the_map_of_depth_has_every_contract_in_its_reach(crowd):
    day, depth = Day(crowd), crowd.frame("depth")
    away = depth["price_ticks"] / 4 - depth["time_ns"].map(crowd.frame("bars").set_index("time_ns")["mid"])
    within = depth[away.abs() <= 8.0].groupby(["time_ns", "side"], observed=True)["contracts"].sum()
    table = day.depth(32)
    assert table.index.tolist() == [*range(-32, 0), *range(1, 33)]
    assert table.loc[1:].sum().tolist() == within.xs("ask", level="side").tolist()
    assert table.loc[:-1].sum().tolist() == within.xs("bid", level="side").tolist()


def test_an_empty_book_is_drawn_empty(crowd):
    run = load_run(crowd.folder)
    run.frames["depth"] = run.frames["depth"].iloc[:0]
    assert not Day(run).depth(4).to_numpy().any()
    assert figures.depth(Day(run)).axes


def test_the_starting_book_has_the_greeks_that_the_dealers_start_with(crowd):
    """After one bar nothing was traded but what hedgers bought; at its spot and vol the two nearly agree."""
    day = Day(crowd)
    start = day.dealers.iloc[0]
    greeks = day.against_spot(np.array([day.bars["mid"].iloc[0]])).iloc[0]
    assert greeks["delta"] == pytest.approx(start["delta"], rel=0.2)
    assert greeks["gamma"] == pytest.approx(start["gamma"], rel=0.3)


def test_a_series_has_at_most_500_points(tmp_path):
    run = made(QUIET, tmp_path / "run", **{"session.bar_seconds": 1, "session.end": "09:40"})
    bars = Day(run).bars
    assert 250 <= len(bars) <= MOST_POINTS
    assert bars["time_ns"].iloc[-1] == run.frame("bars")["time_ns"].iloc[-1]


def test_numbers_have_signs_and_nothing_has_none():
    assert [signed(value) for value in (12345, -3, 0, -0.2)] == ["+12,345", "−3", "0", "0"]
    assert [number(value, 1) for value in (-1234.56, -0.01, None, float("nan"))] == ["−1,234.6", "0.0", "none", "none"]


# The same run, the same report


def test_a_report_is_remade_to_the_byte(crowd, command):
    file = crowd.folder / "report.html"
    before = file.read_bytes()
    file.unlink()
    code, out, err = command("report", crowd.folder)
    assert (code, out, err) == (0, f"{file}\n", "")
    assert file.read_bytes() == before


def test_only_times_differ_when_a_day_is_run_again(tmp_path):
    runs = [made(WALLS, tmp_path / name) for name in ("a", "b")]
    texts = [(run.folder / "report.html").read_text() for run in runs]
    first, second = (re.sub(r"<dt>finished</dt><dd>.*?</dd>", "", text) for text in texts)
    assert first == second


def test_figures_are_written_when_asked_for(crowd, command, monkeypatch):
    saved = []
    monkeypatch.setattr("sim.report.run.save_figure", lambda figure, stem: saved.append(stem))
    code, out, _ = command("report", crowd.folder, "--figures")
    assert (code, out.splitlines()[0]) == (0, str(crowd.folder / "figures"))
    assert saved == [crowd.folder / "figures" / name for name in FIGURES]


# Days on which little happens


@pytest.mark.parametrize(
    ("text", "end", "told"),
    [
        (QUIET, "09:31", "The day was quiet"),
        (WALLS, "09:31", "nothing was traded"),
        (CROWD, "09:30:30", "the index opened at"),
    ],
    ids=["one minute without options and decisions", "no trade", "half a minute of everyone"],
)
def test_a_dull_day_has_a_report_too(tmp_path, text, end, told):
    run = made(text, tmp_path / "run", **{"session.end": end})
    page = Page((run.folder / "report.html").read_text())
    assert told in page.text
    assert page.open == []
    assert "real day" not in page.text.replace("is the real day", "")


# Labels


def test_labels_keep_their_distance_and_their_order():
    rng = np.random.default_rng(5)
    for _ in range(200):
        values = sorted(rng.uniform(0, 10, rng.integers(1, 12)))
        places = figures._apart(values, 0.5, 0.0, 10.0)
        assert (np.diff(places) >= 0.5 - 1e-9).all()
    assert figures._apart([1.0, 5.0], 0.5, 0.0, 10.0) == [1.0, 5.0]


def test_labels_cover_no_circles_where_there_is_room_and_stay_within_the_figure():
    rng = np.random.default_rng(5)
    size = np.array([400.0, 400.0])
    grid = np.stack(np.meshgrid(np.linspace(5, 395, 5), np.linspace(5, 395, 6)), axis=-1).reshape(-1, 2)
    spots = dict(enumerate(grid + rng.uniform(-5, 5, grid.shape)))
    middles = labels.beside(spots, dict.fromkeys(spots, 5.0), dict.fromkeys(spots, ("11:30", 7.0)), size)
    apart = np.abs(np.array([middles[node] for node in spots])[:, None] - np.array(list(spots.values()))).max(axis=2)
    assert apart.min() >= 5.0
    assert all((middle > 0).all() and (middle < size).all() for middle in middles.values())


def test_a_label_goes_above_where_something_is_below():
    spots = {"upper": np.array([50.0, 50.0]), "lower": np.array([50.0, 32.0])}
    names = {"upper": ("first", 8.0), "lower": ("second", 8.0)}
    middles = labels.beside(spots, dict.fromkeys(spots, 5.0), names, np.array([100.0, 100.0]))
    assert middles["upper"][1] > 50
    assert middles["lower"][1] < 32


def test_the_volatilities_are_told_apart_by_style_and_so_are_their_names(crowd):
    lines = figures.volatility(Day(crowd)).axes[0].lines
    drawn = [(line.get_linestyle(), line.get_color()) for line in lines]
    assert len(set(drawn[:3])) == 3
    assert all(drawn.count(look) > 1 for look in drawn[:3]), "each line and what ties it to its name"


def test_ink_and_what_stands_back_are_the_colours_of_the_page(crowd):
    text = (crowd.folder / "report.html").read_text()
    body = text[text.index("<body>") :]
    assert not [colour for colour in (INK, PAPER, SOFT) if colour in body]
    assert "paint-order: stroke; stroke: var(--paper)" in body


# Broken folders


def test_a_broken_folder_is_one_line(crowd, command, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(crowd.folder, folder)
    (folder / "bars.parquet").unlink()
    assert command("report", folder) == (2, "", f"thinbook: {folder}: no run folder, bars.parquet is missing\n")
    code, _, err = command("report", tmp_path / "brocken")
    assert (code, "did you mean 'broken'" in err, err.count("\n")) == (2, True, 1)


# PDF


def test_it_is_printed(crowd, command):
    if not any(map(shutil.which, pdf.BROWSERS)):
        pytest.skip("no chromium on this machine: apt-get install chromium")
    code, out, err = command("report", crowd.folder, "--pdf")
    assert (code, err) == (0, "")
    file = crowd.folder / "report.pdf"
    assert out.splitlines()[-1] == str(file)
    assert file.read_bytes().startswith(b"%PDF")


def test_without_a_browser_it_says_what_is_missing(crowd, command, monkeypatch):
    monkeypatch.setattr(pdf, "BROWSERS", ("no-such-browser",))
    code, _, err = command("report", crowd.folder, "--pdf")
    assert code == 2
    assert err.startswith("thinbook: --pdf needs Chromium or Chrome, which is not here")
    assert err.count("\n") == 1


# Elements


def test_columns_of_numbers_stand_right():
    cells = html.table("caption", ("", "number", "word"), [("a", "−1.5", "x"), ("b", "12 %", "7")])
    assert cells.count('class="number"') == 3


def test_a_long_key_may_be_broken_at_the_head_of_its_column():
    table = html.table("caption", ("agents.makers.looks_per_s (1/s)",), [("0.5",)])
    assert "agents.<wbr>makers.<wbr>looks_<wbr>per_<wbr>s (1/s)</th>" in table
    assert "0.5</th>" in table


# Sweeps


def outcome(depth, seed):
    """Nine days at each of three depths, and a failure at a fourth."""
    if depth == 20.0:
        return "ValueError: <out> of hand" if seed == 1 else None
    fall = -20.0 / depth + seed / 10
    return {"high_to_close_pct": fall, "low": 6500.0, "time_6700_lost": "11:00:00" if fall < -2 else None}


def test_a_sweep_has_medians_and_failures_by_name(tmp_path, command):
    points = [{"depth_musd": depth} for depth in (2.0, 5.0, 11.5, 20.0)]
    folder = made_sweep(tmp_path / "sweep-depth", points, 9, lambda point, seed: outcome(point["depth_musd"], seed))
    (folder / "sensitivity").mkdir()
    (folder / "sensitivity" / "low.svg").write_text(
        "<svg xmlns='http://www.w3.org/2000/svg'><script>a(1)</script></svg>"
    )
    code, out, err = command("report", folder)
    assert (code, out, err) == (0, f"{folder / 'report.html'}\n", "")
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert "<script" not in text
    assert "Of low" in page.text
    assert page.open == []
    assert "−3.50 [" in page.text  # the median of -4 + seed / 10 over seeds 1 to 9
    assert "depth_musd=20 seed=1" in page.text
    assert "ValueError: <out> of hand" in page.text
    assert "36 runs are planned and 28 made, 1 of them failed" in page.text
    assert '<th scope="row">20</th><td class="number">0</td><td>-</td><td>-</td>' in text
    assert "An older version planned this sweep" in page.text


def test_a_sweep_of_which_nothing_came_to_its_end(tmp_path):
    folder = made_sweep(tmp_path / "sweep", [{"depth_musd": 2.0}], 1, lambda *_: "no")
    assert "No run came to its end" in of_sweep.report(folder, "no run")


GRID_POINTS = [{"depth_musd": depth, "options.scale": scale} for depth in (2.0, 8.0) for scale in (0.0, 0.4)]


@pytest.fixture
def few_samples(monkeypatch):
    """Bands from fewer samples, for speed."""
    monkeypatch.setattr(weights_of, "__defaults__", (9,))


def crashing(point, seed):
    return day(8.0 / point["depth_musd"] + seed / 10, lost="11:30:00", impact=0.04 / point["depth_musd"], sold=12000)


def test_a_sweep_over_depth_has_its_phase_diagram(tmp_path, command, few_samples):
    folder = made_sweep(tmp_path / "sweep", GRID_POINTS, 7, crashing)
    code, out, err = command("report", folder)
    assert (code, out, err) == (0, f"{folder / 'report.html'}\n", "")
    figures = {f"{name}.{kind}" for name in ("curves", "maps") for kind in ("svg", "png")}
    assert {file.name for file in (folder / "phase").iterdir()} == {"points.csv", "critical.csv"} | figures
    page = Page((folder / "report.html").read_text())
    assert page.tags.count("img") == 2
    assert page.open == []
    for told in ("Over depth and options.scale", "half of the days fall by 2.4 % or more", "bands are 95 %"):
        assert told in page.text
    assert "not to be trusted" not in page.text


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (
            [{"options.scale": 0.0}, {"options.scale": 0.4}],
            "a phase diagram is over depth_musd; the factors",
        ),
        ([{"depth_musd": 2.0}], "a phase diagram needs at least two values of depth_musd"),
    ],
)
def test_where_there_is_no_phase_diagram_the_report_says_why(tmp_path, command, points, reason):
    folder = made_sweep(tmp_path / "sweep", points, 2, lambda *_: day(3.0))
    assert command("report", folder)[0] == 0
    assert f"There is none: {reason}" in Page((folder / "report.html").read_text()).text
    assert not (folder / "phase").exists()


ORIGIN = {
    "title": "A <b>calm</b> morning against depth",
    "command": "thinbook sweep configs/sweeps/morning.toml --out elsewhere",
    "scenario": "configs/calm.toml",
    "set": {"session.end": "09:40"},
    "seeds": [1, 3],
    "added": 2,
    "units": {"options.scale": "1", "depth_musd": "$M"},
    "meanings": {"options.scale": "factor on the contracts of the book"},
    "scenario_digest": "2aafe727",
    "code_digest": "b2bd5002",
    "commit": "d01556e6",
    "versions": {"python": "3.12.1", "numpy": "2.5.5"},
    "machine": "Linux x86_64",
    "started": "2025-11-20T09:30:00Z",
}


def test_a_sweep_says_where_it_comes_from_and_how_to_make_it_again(tmp_path):
    folder = made_sweep(tmp_path / "sweep", GRID_POINTS, 3, crashing, origin=ORIGIN)
    page = Page(of_sweep.report(folder, "no phase diagram is drawn here"))
    for told in (
        ORIGIN["title"],
        "Scenario configs/calm.toml with session.end = '09:40', seeds 1 to 3.",
        ORIGIN["command"],
        "grid, 4 points, 2 of them added by --refine",
        "2aafe727, of the first point: depth_musd=2 options.scale=0",
        "b2bd5002",
        "d01556e6",
        "python 3.12.1, numpy 2.5.5",
        "depth_musd ($M)",
        "options.scale (no unit)",
        "Factor on the contracts of the book.",
    ):
        assert told in page.text, told


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        (lambda depth: 3, "There are no intervals: they need 6 seeds, and here are 3 at most."),
        (lambda depth: 3 if depth == 2 else 8, "are of the median, 95 %; with fewer than 6 seeds there is none."),
        (lambda depth: 8, "are of the median, 95 %."),
    ],
    ids=["nowhere", "somewhere", "everywhere"],
)
def test_intervals_are_promised_only_where_there_are_any(tmp_path, seeds, told):
    points = [{"depth_musd": 2.0}, {"depth_musd": 8.0}]
    folder = made_sweep(
        tmp_path, points, 8, lambda point, seed: day(seed) if seed <= seeds(point["depth_musd"]) else "ValueError: no"
    )
    text = Page(of_sweep.report(folder, "none")).text
    assert text.count(told) == 2, "below the figure and above the table"


def test_the_figures_of_a_sweep_are_written_when_asked_for(tmp_path, command):
    points = [{"depth_musd": 2.0, "options.scale": scale} for scale in (0.0, 0.4)]
    folder = made_sweep(tmp_path / "sweep", points, 2, crashing)
    code, out, _ = command("report", folder, "--figures")
    assert (code, out) == (0, f"{folder / 'figures'}\n{folder / 'report.html'}\n")
    names = {f"{name}.{kind}" for name in ("depth_musd", "options-scale") for kind in ("svg", "png")}
    assert {file.name for file in (folder / "figures").iterdir()} == names
    assert "depth_musd ($M)" in (folder / "figures" / "depth_musd.svg").read_text()


def test_runs_of_one_seed_count_as_one():
    """A second factor that does nothing makes neither the median nor its interval any surer."""
    rng = np.random.default_rng(2)
    once = pd.DataFrame({"depth_musd": 5.0, "seed": np.arange(20), "low": rng.normal(size=20)})
    thrice = pd.concat([once] * 3, ignore_index=True)
    assert of_sweep.over_seeds(once, once["depth_musd"], "low").tolist() == (
        of_sweep.over_seeds(thrice, thrice["depth_musd"], "low").tolist()
    )


def test_the_interval_of_a_median_holds_it_as_often_as_it_says():
    """200 samples of 25 normal draws, seed 8: an interval of 95 % misses more than 25 times with p < 1e-4."""
    rng = np.random.default_rng(8)
    missed = sum(
        not found.low <= 0 <= found.high for found in (median(pd.Series(rng.normal(size=25))) for _ in range(200))
    )
    assert missed <= 25
    assert np.isnan(median(pd.Series([1.0, 2.0])).low)
    assert median(pd.Series([1.0, np.nan, 3.0])).value == 2.0


def test_many_values_of_a_factor_are_put_into_classes():
    values = pd.Series(np.arange(120.0))
    classes = levels(values)
    assert classes.nunique() == 12
    assert (classes.groupby(classes).size() == 10).all()
    assert levels(pd.Series([True, False])).tolist() == [True, False]


# The real day's course in a scenario


def test_a_course_that_cannot_be_read_is_refused():
    with pytest.raises(ScenarioError, match="real_course"):
        load(QUIET + REAL.replace('"09:35"', '"9.35"'))
    course = load(QUIET + REAL)
    assert load(course.to_toml()).real_course == course.real_course
    assert load(QUIET).real_course is None
