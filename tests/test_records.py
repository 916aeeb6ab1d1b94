import json
import os
from datetime import date

import numpy as np
import pandas as pd
import pytest
from dummies import BOOK, DAY, FakeModel

from sim import records
from sim.files import FileError
from sim.recorder import tape_sha256
from sim.records import RecordError, check_place, comparison, load_run, record, verify, write_run
from sim.report.html import REPORT
from sim.scenario import ScenarioError, load


@pytest.fixture
def scenario(tmp_path, monkeypatch):
    monkeypatch.setattr("sim.records.MarketModel", FakeModel)
    monkeypatch.setattr("sim.report.run.report", lambda run: "<!doctype html>")
    (tmp_path / "book.csv").write_text(BOOK)
    (tmp_path / "day.toml").write_text(DAY)
    return load(tmp_path / "day.toml")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "day"


def contents(folder):
    return sorted(os.listdir(folder))


# The digest of a tape


def test_the_tape_digest_is_of_values_not_of_memory():
    tape = np.array([(1, 2), (3, 4), (5, 6)], [("time_ns", np.int64), ("size", np.int32)])
    digest = tape_sha256(tape)
    assert tape_sha256(tape.astype([("time_ns", ">i8"), ("size", ">i4")])) == digest
    assert tape_sha256(np.repeat(tape, 2)[::2]) == digest
    assert tape_sha256(tape[["size", "time_ns"]]) != digest
    assert tape_sha256(tape[:1], tape[1:]) != digest


def test_the_tape_has_no_fractions():
    with pytest.raises(TypeError):
        tape_sha256(np.array([(0.5,)], [("price", np.float64)]))


# Writing and reading


def test_a_run_is_read_back_as_it_was_written(scenario, folder):
    run = record(scenario, 7, folder, settings={"depth_musd": 5})
    assert contents(folder) == sorted([*records.FILES, REPORT])
    assert contents(folder.parent) == ["day"]
    assert run.scenario.digest == scenario.digest
    assert run.seed == 7
    assert run.tape_sha256 == FakeModel(scenario, rng=7).tape_sha256() == run.summary["tape_sha256"]
    assert run.provenance["settings"] == {"depth_musd": 5}
    assert run.provenance["versions"]["mesa"]
    assert run.frame("bars")["time_ns"].tolist()[0] == 7
    assert set(run.frames) == set(records.FRAMES)


def test_the_summary_is_plain_json(scenario, folder):
    summary = record(scenario, 7, folder).summary
    assert (summary["close"], summary["trades"], summary["vix_high"], summary["stages"]) == (
        6540.5,
        1234,
        None,
        [1, 2, 3],
    )


def test_the_run_stands_beside_the_real_day(scenario, folder):
    rows = comparison(record(scenario, 7, folder))
    assert ("close", "6,540.50", "6,538.76", "") in rows
    assert ("trades", "1,234", "", "") in rows
    assert not [row for row in rows if row[0] == "stages"]


def test_the_default_folder_tells_scenario_seed_and_digest(scenario):
    assert str(records.default_folder(scenario, 3)) == f"runs/day-s3-{scenario.digest[:8]}"


def test_lobster_files_are_named_by_day_and_hours(scenario, folder):
    event = np.array([[34_200_000_000_000, 1, 1, 5, 26_000, 1]])
    frames = {name: pd.DataFrame() for name in records.FRAMES}
    about = {"summary": {}, "wall_seconds": 1.0, "tape_sha256": "0"}
    write_run(folder, scenario=scenario, seed=1, frames=frames, events={date(2025, 11, 20): event}, **about)
    assert contents(folder / "lobster") == [
        f"ES_2025-11-20_34200000_57600000_{kind}_10.csv" for kind in ("message", "orderbook")
    ]


# Never half a folder, never another's


def test_a_run_replaces_itself(scenario, folder):
    record(scenario, 7, folder)
    record(scenario, 7, folder)
    assert contents(folder) == sorted([*records.FILES, REPORT])
    assert contents(folder.parent) == ["day"]


def test_an_empty_folder_is_used(scenario, folder):
    folder.mkdir(parents=True)
    assert record(scenario, 7, folder).seed == 7


@pytest.mark.parametrize("seed", [1, 8])
def test_a_folder_of_something_else_stays(scenario, folder, seed):
    if seed == 1:
        folder.mkdir(parents=True)
        (folder / "thesis.tex").touch()
    else:
        record(scenario, seed, folder)
    before = contents(folder)
    with pytest.raises(RecordError, match="exists and is no run of this scenario and seed; give another --out"):
        record(scenario, 7, folder)
    assert contents(folder) == before


def test_a_file_in_the_way_stays(scenario, tmp_path):
    with pytest.raises(RecordError, match=r"day\.toml: exists and is no run"):
        check_place(tmp_path / "day.toml", scenario, 1)


@pytest.mark.parametrize("earlier", [False, True])
def test_a_failure_leaves_things_as_they_were(scenario, folder, monkeypatch, earlier):
    if earlier:
        record(scenario, 7, folder)
    frames = {name: pd.DataFrame() for name in records.FRAMES} | {"agents": "no table"}
    monkeypatch.setattr(FakeModel, "frames", lambda self: frames)
    with pytest.raises(AttributeError):
        record(scenario, 7, folder)
    assert contents(folder.parent) == ["day"] * earlier
    assert not earlier or load_run(folder)


def test_a_failing_rename_brings_the_old_folder_back(scenario, folder, monkeypatch):
    record(scenario, 7, folder)

    original = type(folder).rename

    def rename(path, target):
        if path.name.endswith(".new"):
            raise OSError(28, "No space left on device")
        return original(path, target)

    monkeypatch.setattr(type(folder), "rename", rename)
    with pytest.raises(OSError, match="No space"):
        record(scenario, 7, folder)
    assert contents(folder.parent) == ["day"]
    assert load_run(folder).seed == 7


def test_what_the_user_has_put_into_a_run_folder_stays(scenario, folder):
    record(scenario, 7, folder)
    notes = folder / "notes" / "summary.json"
    notes.parent.mkdir()
    notes.write_text("mine")
    (folder / "figures").mkdir()
    record(scenario, 7, folder)
    assert notes.read_text() == "mine"
    assert not (folder / "figures").exists(), "they are of the old run"


def test_a_link_to_a_folder_is_followed(scenario, folder):
    target = folder.with_name("target")
    target.mkdir(parents=True)
    folder.symlink_to(target)
    record(scenario, 7, folder)
    assert folder.is_symlink()
    assert contents(folder.parent) == ["day", "target"]
    assert load_run(target).seed == 7


# Verification


def test_a_run_is_verified(scenario, folder):
    record(scenario, 7, folder)
    assert verify(folder).same


def test_another_tape_is_noticed(scenario, folder, monkeypatch):
    record(scenario, 7, folder)
    monkeypatch.setattr(FakeModel, "tape_sha256", lambda self: "0" * 64)
    verification = verify(folder)
    assert not verification.same
    assert verification.computed == "0" * 64


# Damaged folders


def damaged(folder, damage):
    damage()
    with pytest.raises((RecordError, ScenarioError, FileError)) as caught:
        load_run(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_damage_is_told_in_one_line(scenario, folder):
    record(scenario, 7, folder)
    provenance, resolved = folder / "provenance.json", folder / "scenario.toml"
    facts, text = json.loads(provenance.read_text()), resolved.read_text()
    assert "not the scenario of this run" in damaged(folder, lambda: resolved.write_text(text.replace("5.0", "6.0")))
    assert "scenario.toml: depth_musd: True should be" in damaged(
        folder, lambda: resolved.write_text(text.replace("5.0", "true", 1))
    )
    resolved.write_text(text)
    assert "seed: None is no int" in damaged(folder, lambda: provenance.write_text(json.dumps(facts | {"seed": None})))
    del facts["seed"]
    assert "provenance.json: seed: missing" in damaged(folder, lambda: provenance.write_text(json.dumps(facts)))
    assert "provenance.json: not JSON" in damaged(folder, lambda: provenance.write_text("{"))
    assert "not a JSON object" in damaged(folder, lambda: provenance.write_text("[]"))
    assert "trades.parquet is missing" in damaged(folder, (folder / "trades.parquet").unlink)


def test_a_number_that_the_summary_has_not_is_told_when_it_is_wanted(scenario, folder):
    record(scenario, 7, folder)
    (folder / "summary.json").write_text("{}")
    with pytest.raises(RecordError, match=r"day/summary\.json: close: missing"):
        load_run(folder).summary["close"]


def test_a_missing_folder_is_told_from_its_neighbours(scenario, folder):
    run = record(scenario, 7, folder)
    with pytest.raises(RecordError, match="no such folder; did you mean 'day'"):
        load_run(folder.with_name("dai"))
    with pytest.raises(RecordError, match="no table 'bar'; did you mean 'bars'"):
        run.frame("bar")
