"""The README: its examples run, its tables are complete, and what it names is there."""

import ast
import importlib
import inspect
import re
import shlex
import sys
from pathlib import Path

import mesa
import pandas as pd
import pytest

from sim.cli import app
from sim.model import MarketModel
from sim.records import FILES
from sim.report.html import REPORT
from sim.scenario import load, parse_setting

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (\S.*)$", re.sub(r"```.*?```", "", README, flags=re.DOTALL), flags=re.MULTILINE)
OF_THE_FOLDER = {"tape_sha256", "wall_seconds"}
"""What `summary.json` has beside the model's summary."""


def block(language: str, word: str) -> str:
    """The one code block of a language that holds a word."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL) if word in text]
    return found


def first_cells(header: str) -> set[str]:
    """Names in backticks in the first column of the table under a header."""
    table = README.partition(f"| {header} |")[2].partition("\n\n")[0]
    return set(re.findall("`([^`]+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:])))


@pytest.fixture
def checkout(monkeypatch):
    """Stand where the README tells its reader to stand."""
    monkeypatch.chdir(ROOT)


@pytest.fixture
def mylab(tmp_path, monkeypatch):
    """The reader's own package, with the README's agent in it."""
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "sniper.py").write_text(block("python", "class Sniper"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield
    for name in ("mylab.sniper", "mylab"):
        sys.modules.pop(name, None)


def test_the_agent_trades(mylab):
    text = load(ROOT / "configs" / "calm.toml").to_toml() + "\n" + block("toml", "[agents.snipers]")
    model = MarketModel(text, **{"session.end": "09:33"})
    model.run_model()
    summary, decisions = model.summary(), model.frames()["decisions"]
    assert summary["gross_contracts_by_group"]["snipers"] > 0
    assert {"below", "time"} <= set(decisions.loc[decisions["group"] == "snipers", "alarm"])


def test_the_example_ends_in_a_frame_and_the_summary_is_told_whole(checkout, capsys):
    *body, last = ast.parse(block("python", "datacollector")).body
    names: dict[str, object] = {}
    exec(compile(ast.Module(body, []), "README.md", "exec"), names)
    frame = eval(compile(ast.Expression(last.value), "README.md", "eval"), names)
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == 10
    assert capsys.readouterr().out
    assert first_cells("keys | meaning") == set(names["summary"]) | OF_THE_FOLDER


def test_the_sweep_is_one_that_mesa_takes(checkout, monkeypatch):
    signature, asked = inspect.signature(mesa.batch_run), []
    monkeypatch.setattr(mesa, "batch_run", lambda *args, **more: asked.append(signature.bind(*args, **more).arguments))
    exec(block("python", "batch_run"), {})
    model = asked[0]["model_cls"](rng=asked[0]["rng"][0], depth_musd=asked[0]["parameters"]["depth_musd"][0])
    assert model.config.depth_musd == 2


def test_the_two_commands_come_first():
    assert COMMANDS[:2] == ["pip install uv && uv run thinbook run configs/nov20.toml", "uv run pytest"]


def test_commands_exist():
    told = {name.split()[1] for name in first_cells("command | what it does") if name.startswith("thinbook ")}
    registered = {command.callback.__name__ for command in app.registered_commands}
    typed = {words[words.index("thinbook") + 1] for words in map(shlex.split, COMMANDS) if "thinbook" in words}
    assert told == registered
    assert typed <= registered


def test_settings_that_are_typed_are_understood():
    copied = {words[2]: words[1] for words in map(shlex.split, COMMANDS) if words[0] == "cp"}
    for words in map(shlex.split, COMMANDS):
        if "run" in words and "--set" in words:
            name = words[words.index("thinbook") + 2]
            load(ROOT / copied.get(name, name), dict([parse_setting(words[words.index("--set") + 1])]))


def test_the_run_folder_is_told_whole():
    assert first_cells("file | contents") == {*FILES, REPORT}


def test_files_exist():
    copies = {words[2] for words in map(shlex.split, COMMANDS) if words[0] == "cp"}
    named = set(re.findall(r"(?<![\w/-])(?:configs|agents|sim)/[\w/]*(?:\.\w+)?", README)) - copies
    linked = {target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target}
    assert "configs/calm.toml" in named
    assert [name for name in named | linked if not (ROOT / name).exists()] == []
