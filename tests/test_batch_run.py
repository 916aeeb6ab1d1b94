import multiprocessing
import pickle
from pathlib import Path

import mesa
import pandas as pd
import pytest

from agents.maker import MarketMaker
from sim.model import MarketModel
from sim.recorder import Recorder

NOV20 = str(Path(__file__).parents[1] / "configs" / "nov20.toml")
SHORT = """
title = "Ten minutes"
depth_musd = 5.0

[session]
days = ["2025-11-20"]
end = "09:40"
prior_close_points = 6642.0

[agents.makers]
class = "agents.maker:MarketMaker"
count = 4

[agents.latent]
class = "agents.latent:LatentTrader"
count = 2

[agents.noise]
class = "agents.noise:NoiseTrader"
count = 2
"""
PARAMETERS = {"config": SHORT, "depth_musd": [2, 5, 11.5]}


@pytest.fixture
def batch_run():
    """Mesa's own, without its lasting change of how processes start."""
    method = multiprocessing.get_start_method(allow_none=True)

    def run(parameters, **more):
        return pd.DataFrame(
            mesa.batch_run(MarketModel, parameters, rng=[1, 2], display_progress=False, **more)
        ).sort_values("RunId", ignore_index=True)

    yield run
    multiprocessing.set_start_method(method, force=True)


@pytest.fixture(scope="module")
def done():
    """A model that has run to its end."""
    model = MarketModel(SHORT)
    model.run_model()
    return model


def test_a_run_for_every_value_and_seed(batch_run):
    runs = batch_run(PARAMETERS)
    assert runs[["depth_musd", "rng"]].values.tolist() == [[2, 1], [5, 1], [11.5, 1], [2, 2], [5, 2], [11.5, 2]]
    assert set(runs) == {"RunId", "iteration", "Step", "config", "depth_musd", "rng", *Recorder.REPORTED}
    assert (runs["Step"] == 10).all()
    assert runs["close"].nunique() > 1
    assert runs.groupby("depth_musd")["top_of_book_musd"].mean().is_monotonic_increasing


def test_equal_seeds_give_equal_results_whatever_the_process_count(batch_run):
    pd.testing.assert_frame_equal(batch_run(PARAMETERS), batch_run(PARAMETERS, number_processes=2))


def test_a_row_for_every_bar(batch_run):
    runs = batch_run(PARAMETERS, data_collection_period=1, max_steps=4)
    assert runs.groupby("RunId")["Step"].apply(list).tolist() == [[1, 2, 3, 4]] * 6


def test_dotted_keys_are_parameters(batch_run):
    runs = batch_run({"config": NOV20, "options.scale": [0.0, 0.5], "agents.ctas.count": 3}, max_steps=2)
    assert runs[["options.scale", "agents.ctas.count"]].values.tolist() == [[0.0, 3], [0.5, 3]] * 2
    assert (runs["Step"] == 2).all()


def test_a_bad_value_is_refused(batch_run):
    with pytest.raises(ValueError, match=r"0\.001 <= depth_musd"):
        batch_run({"config": SHORT, "depth_musd": -1})


def test_the_data_collector_has_the_bars(done):
    collected = done.datacollector.get_model_vars_dataframe()
    bars = done.frames()["bars"][list(Recorder.REPORTED)]
    assert len(collected) == done.bars_total == 10
    pd.testing.assert_frame_equal(collected, bars)


def test_a_model_that_has_ended_stays_as_it_is(done):
    sha = done.tape_sha256()
    done.step()
    assert (done.tape_sha256(), len(done.datacollector.get_model_vars_dataframe())) == (sha, 10)


def test_agents_are_mesas(done):
    assert len(done.agents) == 8
    assert set(done.agents_by_type[MarketMaker]) == set(done.agents.select(agent_type=MarketMaker))
    assert done.agents.select(lambda trader: trader.crowd == "noise").get("name") == ["noise[0]", "noise[1]"]
    assert done.agents.groupby("group").count() == {"makers": 4, "latent": 2, "noise": 2}


def test_results_can_be_pickled(done):
    result = done.datacollector.get_model_vars_dataframe(), done.frames(), done.summary(), done.config
    again = pickle.loads(pickle.dumps(result))
    pd.testing.assert_frame_equal(again[1]["trades"], result[1]["trades"])
    assert again[3].digest == done.scenario_digest
