"""The benchmark at tiny sizes: what it measures and writes, not how fast it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sim import bench
from sim.kernel.codes import OP_CANCEL, OP_LIMIT, OP_MARKET
from sim.kernel.replay import M_ID, M_OP, M_QTY
from sim.kernel.stream import LARGEST, STANDING
from sim.scenario import load
from sim.tables import Scenario

SHORT = {"session.close": "09:33", "news": [], "session.days": ["2025-11-20"]}


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load("configs/nov20.toml", SHORT)


def test_stream_has_the_mix_it_says() -> None:
    """Shares of 20,000 messages within five standard errors; every cancel is of an order that was added before."""
    messages = bench.stream(20_000)
    assert (messages[:STANDING, M_OP] == OP_LIMIT).all()
    later = messages[STANDING:]
    assert abs((later[:, M_OP] == OP_MARKET).mean() - 0.10) < 0.011
    assert 0.38 - 0.018 < (later[:, M_OP] == OP_CANCEL).mean() < 0.40 + 0.018
    sent = messages[messages[:, M_OP] != OP_CANCEL]
    assert (sent[:, M_QTY].min(), sent[:, M_QTY].max()) == (1, LARGEST)
    cancelled = messages[messages[:, M_OP] == OP_CANCEL, M_ID]
    assert len(set(cancelled.tolist())) == len(cancelled)
    assert set(cancelled.tolist()) <= set(np.flatnonzero(messages[:, M_OP] == OP_LIMIT).tolist())


def test_stream_is_the_same_every_time() -> None:
    assert np.array_equal(bench.stream(2_000), bench.stream(2_000))
    assert np.array_equal(bench.stream(2_000), bench.stream(4_000)[: STANDING + 2_000])


def test_figures(scenario: Scenario) -> None:
    rows = bench.measure(scenario, messages=1_000, repeats=2)
    assert [row["name"] for row in rows] == [
        "stream",
        "writing the stream",
        "running market",
        "whole run",
        "writing its folder",
    ]
    for row in rows:
        assert row["messages"] >= 1_000
        assert row["ratio_to_chain"] == pytest.approx(row["seconds"] / row["chain_seconds"])
    assert bench.table(rows).row_count == len(rows)


def test_main_prints_a_table_and_writes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = bench.described(bench.Figure("stream", 1_000, 0.5), 4.0)
    monkeypatch.setattr(bench, "measure", lambda _: [row])
    bench.main(out=tmp_path / "bench.json")
    assert "stream" in capsys.readouterr().out
    assert json.loads((tmp_path / "bench.json").read_text())["figures"] == [row]
