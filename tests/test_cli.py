import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from dummies import BOOK, DAY, FakeModel
from rich.console import Console

from sim import cli


@pytest.fixture
def thinbook(tmp_path, monkeypatch, command):
    """The command, run in a folder with day.toml: arguments in; exit code, stdout and stderr out."""
    monkeypatch.setattr("sim.records.MarketModel", FakeModel)
    monkeypatch.setattr("sim.report.run.report", lambda run: "<!doctype html>")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "book.csv").write_text(BOOK)
    (tmp_path / "day.toml").write_text(DAY)

    return command


# Runs


def test_run_prints_the_day_and_its_folder(thinbook):
    code, out, err = thinbook("run", "day.toml", "--seed", "3")
    folder = Path(out.splitlines()[-1])
    assert (code, err) == (0, "")
    assert folder.name.startswith("day-s3-")
    assert "6,540.50" in out
    assert "6,538.76" in out
    assert json.loads((folder / "provenance.json").read_text())["seed"] == 3


def test_run_takes_settings_and_groups(thinbook):
    code, _, _ = thinbook(
        "run", "day.toml", "--set", "session.end=10:00", "--set", "depth_musd=2", "--without", "sleepers", "--out", "o"
    )
    assert code == 0
    assert Path("o/scenario.toml").read_text().count("class") == 1
    settings = json.loads(Path("o/provenance.json").read_text())["settings"]
    assert settings == {"session.end": "10:00", "depth_musd": 2, "without": "sleepers"}


def test_run_tells_of_a_slow_start(thinbook, monkeypatch):
    monkeypatch.setattr(cli, "COMPILING_SECONDS", 0.01)
    step = FakeModel.step
    monkeypatch.setattr(FakeModel, "step", lambda self: (time.sleep(0.05), step(self)))
    _, _, err = thinbook("run", "day.toml")
    assert err == "starting; the first run compiles the kernel, once\n"


def test_verify_says_whether_the_tape_is_the_same(thinbook, monkeypatch):
    thinbook("run", "day.toml", "--out", "o")
    code, out, _ = thinbook("verify", "o")
    assert (code, out.startswith("o: the same tape, ")) == (0, True)
    monkeypatch.setattr(FakeModel, "tape_sha256", lambda self: "0" * 64)
    code, _, err = thinbook("verify", "o")
    assert (code, err.startswith("thinbook: o: differs: recorded "), err.count("\n")) == (1, True, 1)


def test_verify_notices_tables_that_were_changed(thinbook):
    thinbook("run", "day.toml", "--out", "o")
    trades = Path("o/trades.parquet")
    pd.read_parquet(trades).iloc[:0].to_parquet(trades, index=False)
    assert thinbook("verify", "o")[::2] == (1, "thinbook: o/trades.parquet: is not what was simulated\n")
    trades.write_bytes(b"not a table")
    code, _, err = thinbook("verify", "o")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("thinbook: o/trades.parquet: cannot be read as a table")


def test_describe_lists_the_sources(thinbook):
    code, out, _ = thinbook("describe", "day.toml")
    assert code == 0
    assert "depth_musd\t5.0\t$M\t0.001 <= x <= 10000\tnotional at each best quote\ta bank's desk note\n" in out


def test_describe_draws_a_table_on_a_terminal(thinbook, monkeypatch):
    monkeypatch.setattr(cli, "out", Console(force_terminal=True, width=160, markup=False))
    _, out, _ = thinbook("describe", "day.toml")
    assert "agents.late.quoting.levels" in out
    assert "\t" not in out


# Replay


def test_replay_prints_what_happened(thinbook):
    orders = [
        {"op": "limit", "id": 1, "side": "S", "px": 100, "qty": 5},
        {"op": "market", "id": 2, "side": "B", "qty": 3},
        {"op": "cancel", "id": 9},
    ]
    Path("orders.jsonl").write_text("".join(json.dumps(order) + "\n" for order in orders))
    code, out, _ = thinbook("replay", "orders.jsonl")
    assert code == 0
    assert json.loads(out) == {"trades": [[1, 2, 100, 3]], "bids": [], "asks": [[100, [[1, 2]]]], "rejects": [2]}


def test_replay_reads_lobster(thinbook):
    Path("messages.csv").write_text("34200.5,1,7,10,5000000,1\n34201.0,4,7,4,5000000,1\n")
    code, out, _ = thinbook("replay", "messages.csv", "--format", "lobster")
    assert (code, json.loads(out)["met_first"]) == (0, 1)


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "dey.toml"], "dey.toml: there is no file 'dey.toml' in '.'; did you mean 'day.toml'?"),
        (["run", "day.toml", "--set", "depth_musd"], "--set 'depth_musd': write key=value"),
        (["run", "day.toml", "--set", "depth_musd=no"], "day.toml with depth_musd='no': depth_musd: 'no' should be"),
        (["run", "day.toml", "--without", "sniper"], "day.toml: no group 'sniper'; did you mean 'snipers'?"),
        (["run", "day.toml", "--out", "day.toml"], "day.toml: exists and is no run of this scenario and seed"),
        (["run", "day.toml", "--out", "day.toml/run"], "day.toml/run: no folder can be made here; give"),
        (["run", "day.toml", "--out", "."], ".: no folder can be made here; give another --out"),
        (["describe", "book.csv"], "book.csv: not TOML"),
        (["verify", "o"], "o: no such folder"),
        (["replay", "o.jsonl"], "o.jsonl: No such file or directory"),
        (["replay", "book.csv"], "book.csv, line 1: not JSON"),
        (["replay", "book.csv", "--format", "lobster"], "book.csv, line 1: no LOBSTER message"),
        (["replay", "."], ".: Is a directory"),
        (["study", "emergance"], "no study 'emergance'; did you mean 'emergence'?"),
        (["study", "day", "--scenario", "day.toml"], "real.open: missing"),
        (["study", "day", "--scenario", "day.toml", "--out", "."], ".: a folder; give a file to --out"),
        (["study", "day", "--scenario", "day.toml", "--out", "x.csv"], "x.csv: --out names a .json file"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(thinbook, arguments, said):
    before = sorted(Path().iterdir())
    code, out, err = thinbook(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("thinbook: ")
    assert said in err
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rum"], "Did you mean 'run'?"),
        (["run", "day.toml", "--sed", "1"], "--seed"),
        (["run", "day.toml", "--seed", "-1"], "--seed"),
        (["run"], "SCENARIO"),
        (["replay", "x", "--stp", "all"], "cancel_newest"),
    ],
)
def test_bad_usage_is_explained(thinbook, arguments, said):
    code, out, err = thinbook(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("thinbook: ")
    assert said in err


def test_without_arguments_it_tells_what_there_is(thinbook):
    code, out, err = thinbook()
    assert (code, err) == (0, "")
    assert "describe" in out


def test_a_mistake_of_ours_keeps_its_traceback(thinbook, monkeypatch):
    def broken(self):
        raise ValueError("a bug")

    monkeypatch.setattr(FakeModel, "step", broken)
    monkeypatch.setattr(sys, "argv", ["thinbook", "run", "day.toml"])
    with pytest.raises(ValueError, match="a bug"):
        cli.main()
    assert not list(Path().glob("runs/*"))


# As a program


def test_the_command_finds_agents_where_the_user_stands(tmp_path):
    (tmp_path / "mylab.py").write_text((Path(__file__).parent / "dummies.py").read_text())
    (tmp_path / "book.csv").write_text(BOOK)
    (tmp_path / "day.toml").write_text(DAY.replace("dummies:", "mylab:"))
    code = "from sim.cli import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", code, "describe", "day.toml"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "mylab:Sniper" in shown.stdout


def test_help_does_not_wait_for_the_compiler():
    code = "import sys, sim.cli; print({'numba', 'mesa', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
