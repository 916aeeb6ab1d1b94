import dataclasses
import pickle
import shlex
import string
import tomllib

import pytest
import tomlkit
from dummies import BOOK, DAY, Sniper
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim.describe import describe
from sim.scenario import ScenarioError, load, parse_setting, run_command
from sim.tables import RealDay


@pytest.fixture
def day(tmp_path):
    (tmp_path / "book.csv").write_text(BOOK)
    path = tmp_path / "day.toml"
    path.write_text(DAY)
    return path


def edited(path, old, new):
    assert old in DAY
    path.write_text(DAY.replace(old, new, 1))
    return path


def complaint(*args, **kwargs):
    with pytest.raises(ScenarioError) as caught:
        load(*args, **kwargs)
    text = str(caught.value)
    assert "\n" not in text
    return text


# What a scenario holds


def test_a_scenario_has_its_tables_and_crowds(day):
    scenario = load(day)
    assert scenario.depth_musd == 5
    assert scenario.session.prior_close_points == 6617.32
    assert [item.name for item in scenario.news] == ["earnings", "speech"]
    snipers, late = scenario.crowds
    assert (snipers.name, snipers.cls, snipers.group, snipers.count) == ("snipers", Sniper, "snipers", 12)
    assert snipers.params == Sniper.Params(trigger_points=6700, quoting={"levels": 3})
    assert (late.group, late.count, late.params.quoting.levels) == ("sleepers", 1, 5)
    assert scenario.groups == ("snipers", "sleepers")
    assert scenario.path == day


def test_times_count_from_midnight_of_the_first_day(day):
    scenario = load(day, {"session.end": "10:00"})
    hour = 3_600_000_000_000
    assert scenario.session.hours_ns == ((9.5 * hour, 16 * hour), (33.5 * hour, 34 * hour))
    assert scenario.news[0].at_ns(scenario.session.first_day) == 16 * hour + hour // 3


def test_the_book_is_the_dealers_and_scaled(day):
    scenario = load(day)
    assert scenario.options.book[0][2:] == ("put", -8000)
    assert scenario.options.positions().contracts.tolist() == [-2400, 1500]


def test_a_scenario_is_frozen_and_can_travel_between_processes(day):
    scenario = load(day)
    with pytest.raises(ValidationError):
        scenario.depth_musd = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        scenario.crowds[0].count = 1
    assert pickle.loads(pickle.dumps(scenario)).digest == scenario.digest


# Text and digest


def test_the_complete_text_gives_the_same_scenario(day):
    scenario = load(day)
    again = load(scenario.to_toml())
    assert again.to_toml() == scenario.to_toml()
    assert again.digest == scenario.digest
    assert again.crowds == scenario.crowds


def test_the_complete_text_has_the_defaults(day):
    content = tomllib.loads(load(day).to_toml())
    assert content["session"]["end"] == "16:00"
    assert content["agents"]["late"]["quoting"] == {"levels": 5}


def test_the_digest_ignores_comments_spelling_and_place(day, tmp_path):
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "book.csv").write_text("# the same\n" + BOOK)
    (other / "other.toml").write_text("# the same\n" + DAY.replace("5.0", "5").replace("  #", " # not"))
    assert load(other / "other.toml").digest == load(day).digest


def test_the_digest_sees_the_book(day):
    before = load(day).digest
    (day.parent / "book.csv").write_text(BOOK.replace("8000", "8001"))
    assert load(day).digest != before


# Bases


@pytest.fixture
def other(day):
    """Another day in a folder of its own, over the first as its base."""
    path = day.parent / "other" / "day.toml"
    path.parent.mkdir()
    path.write_text("""base = "../day.toml"
title = "Another day"
[session]
prior_close_points = 5000.0 # here
[agents.snipers]
count = 2
""")
    return path


def test_a_base_counts_where_nothing_else_is_said_but_not_for_facts_of_its_day(day, other):
    scenario, base = load(other), load(day)
    assert (scenario.title, scenario.session.prior_close_points) == ("Another day", 5000)
    assert scenario.session.days == base.session.days
    assert scenario.options == base.options
    assert [crowd.count for crowd in scenario.crowds] == [2, 1]
    assert scenario.crowds[0].params == base.crowds[0].params
    assert base.news
    assert not scenario.news
    assert scenario.real == RealDay()
    assert load(scenario.to_toml()).digest == scenario.digest
    assert load(other, {"news": []}, ["sleepers"]).groups == ("snipers",)


def test_a_description_has_sources_from_both(other):
    sources = {row.key: row.source for row in describe(load(other))}
    assert sources["session.prior_close_points"] == "here"
    assert (
        sources["session.days"]
        == {row.key: row.source for row in describe(load(other.parent.parent / "day.toml"))}["session.days"]
    )


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ('"../dya.toml"', "base: there is no file 'dya.toml' in"),
        ("7", "base: 7 is no file name"),
        ('"day.toml"', "nested too deeply"),
    ],
)
def test_a_base_that_is_none_is_one_line(other, base, said):
    other.write_text(f'base = {base}\ntitle = "Another day"\n')
    assert said in complaint(other)


# Overrides


@pytest.mark.parametrize(
    ("setting", "old", "new"),
    [
        ("depth_musd=2", "depth_musd = 5.0", "depth_musd = 2"),
        ("options.scale=1", "scale = 0.3", "scale = 1"),
        ("session.end=10:00", "[options]", 'end = "10:00"\n[options]'),
        ("agents.snipers.count=0", "count = 12", "count = 0"),
        ("agents.snipers.quoting.levels=4", "levels = 3", "levels = 4"),
        ("agents.late.quoting.levels=4", "[real]", "[agents.late.quoting]\nlevels = 4\n[real]"),
        ("agents.late.sizes=[3, 4]", "[real]", "sizes = [3, 4]\n[real]"),
        ("news.speech.at=2025-11-20 11:00", "10:40", "11:00"),
        ("news.1.at=2025-11-20 11:00:30", "10:40", "11:00:30"),
        ("session.days.0=2025-11-18", '"2025-11-19"', '"2025-11-18"'),
        ("title=A small crash", "day", "crash"),
        ("market.halt_minutes=5", "[options]", "[market]\nhalt_minutes = 5\n[options]"),
    ],
)
def test_an_override_equals_an_edit(day, setting, old, new):
    overridden = load(day, dict([parse_setting(setting)]))
    assert overridden.digest == load(edited(day, old, new)).digest
    day.write_text(DAY)
    assert overridden.digest != load(day).digest


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k=1", 1),
        ("k=1.5", 1.5),
        ("k=true", True),
        ('k="1"', "1"),
        ("k=[1, 2]", [1, 2]),
        ("k=10:00", "10:00"),
        ("k=a = b", "a = b"),
        ("k=", ""),
        ("k=1\nother = 2", "1\nother = 2"),
    ],
)
def test_a_setting_is_toml_or_plain_text(text, value):
    assert parse_setting(text) == ("k", value)


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.5,
        1e-7,
        True,
        "10:00",
        "10:00:00",
        "5",
        "a = b",
        'say "a"\n',
        "",
        [1, "x"],
        {"a b": {"skew": -0.1}},
        [{"on": True}],
    ],
)
def test_the_command_of_a_run_says_its_settings(value):
    *words, setting = shlex.split(run_command("day.toml", 7, {"k": value}))
    assert words == ["thinbook", "run", "day.toml", "--seed", "7", "--set"]
    assert parse_setting(setting) == ("k", value)
    assert shlex.split(run_command("a day.toml", 7, {}, "ctas,etfs"))[2:] == [
        "a day.toml",
        "--seed",
        "7",
        "--without",
        "ctas,etfs",
    ]


def test_overrides_stay_as_they_are(day):
    """What a sweep sets in all runs is overridden by its factors, run by run."""
    given = {"session.days": ["2025-11-19", "2025-11-20"]}
    load(day, given | {"session.days.0": "2025-11-18"})
    assert given == {"session.days": ["2025-11-19", "2025-11-20"]}


@pytest.mark.parametrize("text", ["depth_musd", "=3", ""])
def test_a_setting_needs_a_key_and_a_value(text):
    with pytest.raises(ScenarioError, match="write key=value"):
        parse_setting(text)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("depth_mus", "depth_mus: unknown key; did you mean 'depth_musd'?"),
        ("session.ende", "session.ende: unknown key; did you mean 'end'?"),
        ("agents.sniper.count", "no crowd 'sniper'; did you mean 'snipers'?"),
        ("agents.snipers.quoting.level", "unknown key; did you mean 'levels'?"),
        ("news.speach.at", "nothing here is called 'speach'; did you mean 'speech'?"),
        ("news.7.at", "nothing here is called '7'"),
        ("title.length", "'title' is a single value"),
    ],
)
def test_a_wrong_override_names_itself(day, key, hint):
    text = complaint(day, {key: 1})
    assert text.startswith(f"{day} with {key}=1: {key}: ")
    assert hint in text


# Leaving groups out


def test_without_leaves_a_group_out(day):
    scenario = load(day, without=["sleepers"])
    assert [crowd.name for crowd in scenario.crowds] == ["snipers"]
    assert "sleepers" not in scenario.to_toml()


def test_an_unknown_group_is_refused(day):
    text = complaint(day, without=["sniper"])
    assert text == f"{day}: no group 'sniper'; did you mean 'snipers'? (groups: snipers, sleepers)"


# Mistakes


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("depth_musd", "depth", "depth: unknown key; did you mean 'depth_musd'?"),
        (
            "5.0",
            "-5.0",
            "depth_musd: -5.0 should be greater than or equal to 0.001 (allowed: 0.001 <= depth_musd <= 10000)",
        ),
        ("5.0", '"5"', "depth_musd: '5' should be a valid number (allowed: 0.001 <= depth_musd <= 10000)"),
        ("5.0", "true", "depth_musd: True should be a valid number (allowed: 0.001 <= depth_musd <= 10000)"),
        ("5.0", "nan", "depth_musd: nan is not a finite number"),
        ("5.0", "-inf", "depth_musd: -inf is not a finite number"),
        ("5.0", "1e999", "depth_musd: inf is not a finite number"),
        ("12", str(2**63), "agents.snipers.count: 9223372036854775808 is too large"),
        ("12", "1" * 4000, "agents.snipers.count: a number of 13285 bits is too large"),
        ("12", "1" * 5000, "not TOML: Exceeds the limit (4300 digits)"),
        ("12", "1.5", "agents.snipers.count: 1.5 should be a valid integer"),
        ("12", "-1", "agents.snipers.count: -1 should be greater than or equal to 0 (allowed: 0 <= count <= 1000000)"),
        ("prior_close_points", "prior_points", "session.prior_points: unknown key; did you mean 'prior_close_points'?"),
        ("prior_close_points = 6617.32", "", "session.prior_close_points: missing (allowed: 100 <= prior_close_points"),
        ('"2025-11-19", ', '"2025-11-21", ', "session.days: the days must be in order, each once"),
        ('"2025-11-19", ', '"2025-02-30", ', "session.days.0: '2025-02-30' should be a valid date"),
        ("[options]", 'end = "25:00"\n[options]', "session.end: '25:00' is no clock time; write HH:MM"),
        ("[options]", 'end = "noon"\n[options]', "session.end: 'noon' is no clock time; write HH:MM"),
        ("[options]", 'end = "09:00"\n[options]', "session: needs open < end <= close, not 09:30, 09:00, 16:00"),
        ("[options]", "[market]\nhalts_pct = [7, 5]\n[options]", "market: halts_pct must rise"),
        ("[options]", "[market]\nhalts_pct = [7, 101]\n[options]", "market.halts_pct.1: 101 should be less than 100"),
        (
            "[options]",
            "[market]\nband_pct = 10\n[options]",
            "market: band_pct = 10 must be more than the last halt, 20",
        ),
        ("book.csv", "bok.csv", "options.book: there is no file 'bok.csv' in "),
        ("2025-11-20 10:40", "tomorrow", "news.speech.at: 'tomorrow' is no moment; write YYYY-MM-DD HH:MM"),
        ("2025-11-20 10:40", "9999-11-18 10:40", "news.speech.at: '9999-11-18 10:40' is not in the ten years from the"),
        (
            "2025-11-20 10:40",
            "2025-11-18 10:40",
            "news.speech.at: '2025-11-18 10:40' is not in the ten years from the first day",
        ),
        ("value_pct = 0.5", "value_pct = -99.99", "news.earnings: takes the level of value to 0.662, which is not"),
        ('"2025-11-20"]', '"2035-11-20"]', "session.days: the last day must be within 3500 days of the first"),
        ('"speech"', '"earnings"', "news: the name 'earnings' is given twice"),
        ("sentiment", "sentimant", "news.earnings.sentimant: unknown key; did you mean 'sentiment'?"),
        ("0.4", "4", "news.earnings.sentiment: 4 should be less than or equal to 1 (allowed: -1 <= sentiment <= 1)"),
        ("sentiment = 0.4", "value_points = 1", "news.earnings: give value_pct or value_points, not both"),
        (
            "trigger_points",
            "trigerr_points",
            "agents.snipers.trigerr_points: unknown key; did you mean 'trigger_points'",
        ),
        ("count", "cuont", "agents.snipers.cuont: unknown key; did you mean 'count'?"),
        ("levels", "level", "agents.snipers.quoting.level: unknown key; did you mean 'levels'?"),
        ("levels = 3", "levels = 30", "agents.snipers.quoting.levels: 30 should be less than or equal to 10"),
        (
            "[real]",
            'style = "wild"\n[real]',
            "agents.late.style: 'wild' should be 'calm' or 'eager' (allowed: calm | e",
        ),
        ("dummies:Sniper", "dummies:Snipr", "'dummies:Snipr' is not there; did you mean 'Sniper'?"),
        ("dummies:Sniper", "dummies:BOOK", "'dummies:BOOK' is no subclass of sim.trader:Trader"),
        ("dummies:Sniper", "dummies", "'dummies' is no import path; write 'package.module:Class'"),
        (
            "dummies:Sniper",
            "nowhere:Sniper",
            "agents.snipers.class: cannot import 'nowhere': No module named 'nowhere'",
        ),
        ("dummies:Sniper", "..:Sniper", "agents.snipers.class: cannot import '..'"),
        ('class = "dummies:Sniper"', "", "agents.snipers.class: missing"),
        ("[agents.late]", "[news.late]", "news.speech.late: unknown key"),
        ("[agents.late]", "[session]", "not TOML: Cannot declare ('session',) twice (at line"),
        ("[real]", "[real]\nclosse = 6538", "real.closse: unknown key; did you mean 'close'?"),
        ("[real]", '[real]\nhigh = "10:37"', "real.high: '10:37' should be a valid number"),
        ("[real]", '[real]\ntime_of_high = "25:00"', "real.time_of_high: '25:00' is no clock time; write HH:MM"),
        ("[real]", "[real]\ntime_of_high = 6770", "real.time_of_high: 6770 should be a valid string"),
        ("[real]", "[real", "not TOML: Expected ']' at the end of a table declaration (at line"),
        ('title = "A small day"', "title = 2", "title: 2 should be a valid string"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(day, old, new, said):
    text = complaint(edited(day, old, new))
    assert text.startswith(f"{day}: ")
    assert said in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = 1\nagents = 3\n", "agents: write one table"),
        ("[agents]\nctas = 3\n", "title: missing"),
        ('title = "x"\ndepth_musd = 1\nsession = 3\n', "session: 3 should be a table"),
        ("x = " + "[" * 5000 + "\n", "nested too deeply"),
        ("x = 1\x00\n", "not TOML"),
    ],
)
def test_a_text_is_called_a_text(text, said):
    assert complaint(text).startswith(f"scenario text: {said}")


def test_a_missing_file_is_told_from_its_neighbours(day):
    assert complaint(day.with_name("dey.toml")).endswith("did you mean 'day.toml'?")
    assert complaint(day.with_name("day")).endswith("did you mean 'day.toml'?")
    assert "there is no folder" in complaint(day.parent / "nowhere" / "day.toml")
    assert "cannot be read: Is a directory" in complaint(day.parent)


def test_a_file_of_bytes_is_refused(day):
    day.write_bytes(b"\xff\xfe")
    assert complaint(day) == f"{day}: not a text file in UTF-8"


def test_a_broken_book_is_told_by_file_and_row(day):
    (day.parent / "book.csv").write_text(BOOK.replace("put", "putt"))
    assert "options.book: " in complaint(day)
    assert "book.csv, row 2, column 'right': 'putt' is unknown; did you mean 'put'?" in complaint(day)


def test_a_book_of_bytes_is_told_by_file(day):
    (day.parent / "book.csv").write_bytes(b"\xff\xfe")
    assert "book.csv: not a text file in UTF-8" in complaint(day)


def test_a_quote_table_is_a_book_by_a_rule(day):
    header = "Expiration Date,Calls,Open Interest,Strike,Puts,Open Interest"
    (day.parent / "cboe.csv").write_text(f"{header}\nFri Nov 21 2025,C,50,6600,P,70\n")
    table = {"options.book": "cboe.csv"}
    positions = load(day, {**table, "options.rule": "customers long puts, short calls"}).options.book
    assert [(right, contracts) for *_, right, contracts in positions] == [("put", -70), ("call", 50)]
    assert "no rule is called 'calls'" in complaint(day, {**table, "options.rule": "calls"})
    assert "no rule is called '3'" in complaint(day, {**table, "options.rule": 3})


def test_a_broken_module_of_the_user_is_one_line(day, tmp_path, monkeypatch):
    (tmp_path / "broken_lab.py").write_text("raise RuntimeError('two\\nlines')")
    monkeypatch.syspath_prepend(tmp_path)
    text = complaint(edited(day, "dummies:Sniper", "broken_lab:Sniper"))
    assert text == f"{day}: agents.snipers.class: cannot import 'broken_lab': two lines"


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["\udc80", "\x00", "10:00", "2025-11-20 10:00", "os:path", 10**30]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
keys = st.sampled_from(
    [
        "title",
        "depth_musd",
        "session",
        "session.days",
        "session.open",
        "session.end",
        "session.bar_seconds",
        "market.halts_pct",
        "options",
        "options.book",
        "options.scale",
        "surface",
        "news",
        "news.0",
        "news.0.at",
        "news.speech.name",
        "news.speech.value_pct",
        "real",
        "real.close",
        "agents",
        "agents.snipers",
        "agents.snipers.class",
        "agents.snipers.count",
        "agents.snipers.group",
        "agents.snipers.sizes",
        "agents.snipers.quoting",
        "agents.late.quoting.levels",
        "agents.late.style",
    ]
)


def loads_or_complains(*args):
    try:
        scenario = load(*args)
    except ScenarioError as error:
        lines = str(error).splitlines()
    else:
        assert load(scenario.to_toml()).digest == scenario.digest
        assert describe(scenario)
        return
    assert len(lines) == 1


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(overrides=st.dictionaries(keys, values, min_size=1, max_size=3))
def test_any_change_is_a_scenario_or_one_line(day, overrides):
    loads_or_complains(day, overrides)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_slip_of_the_keyboard_is_a_scenario_or_one_line(day, data):
    place = data.draw(st.integers(0, len(DAY) - 1))
    length = data.draw(st.integers(0, 3))
    typed = data.draw(st.text(string.printable + "é\u2028", max_size=3))
    day.write_text(DAY[:place] + typed + DAY[place + length :])
    loads_or_complains(day)


# Description


def test_a_description_has_value_unit_range_and_source(day):
    rows = {row.key: row[1:] for row in describe(load(day))}
    displayed, before = "notional at each best quote", "the close before the first day"
    assert rows["depth_musd"] == ("5.0", "$M", "0.001 <= x <= 10000", displayed, "a bank's desk note")
    assert rows["session.prior_close_points"] == ("6617.32", "index points", "100 <= x <= 1000000", before, "exchange")
    assert rows["news.earnings.value_pct"][4] == "a guess"
    assert rows["news.earnings.sentiment"][4] == ""
    assert rows["agents.snipers.class"][0] == "dummies:Sniper"
    assert rows["agents.snipers.count"][4] == "counted by hand"
    assert rows["agents.snipers.speed"] == ("1.0", "orders/s", "0 < x", "as fast as that", "default: no source given")
    assert rows["agents.snipers.style"] == ("calm", "", "calm | eager", "", "default: no source given")
    assert rows["agents.late.quoting.levels"] == ("5", "", "1 <= x <= 10", "", "default: a textbook")
    assert rows["real.close"] == ("6538.76", "", "0 < x <= 1000000", "", "exchange")


def test_a_table_of_a_users_own_agent_is_described_key_by_key(day):
    edited(day, "[agents.late]", "[agents.snipers.rates]\nopen_pct = 2.0  # felt\n[agents.late]")
    rows = {row.key: row[1:] for row in describe(load(day))}
    assert rows["agents.snipers.rates.open_pct"] == ("2.0", "%", "", "", "felt")


def test_numbers_of_a_tuple_have_a_range_each_and_a_source(day):
    dealers = '\n[agents.dealers]\nclass = "agents.dealer:OptionDealer"\n'
    text = day.read_text().replace('"book.csv"', "[]") + dealers
    with pytest.raises(ScenarioError, match=r"agents\.dealers\.fast_minutes: 900 is not from 0.01 to 390"):
        load(text + "fast_minutes = [1.0, 900.0]\n")
    with pytest.raises(ScenarioError, match=r"agents\.dealers\.fast_minutes"):
        load(text + "fast_minutes = [1.0]\n")
    rows = {row.key: row for row in describe(load(text))}
    assert rows["agents.dealers.slow_minutes"][1:] == (
        "15.0, 30.0",
        "min",
        "0.01 <= x <= 390",
        "of the others",
        "default: guess",
    )


def test_a_description_names_every_key_of_the_complete_text(day):
    def leaves(item, prefix):
        for key, value in item.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{prefix}{key}.")
            elif key == "news":
                for entry in value:
                    yield from leaves(entry, f"news.{entry['name']}.")
            else:
                yield prefix + key

    scenario = load(day)
    assert {row.key for row in describe(scenario)} == set(leaves(tomlkit.parse(scenario.to_toml()), ""))
