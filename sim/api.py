"""For notebooks: `run`, `sweep` and `load`, what the commands of these names do, with pandas frames for an answer."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress
from pathlib import Path
from typing import Any

import pandas as pd

from sim import DEFAULT_SEED
from sim.records import Run, default_folder, load_run, record
from sim.scenario import load as load_scenario
from sim.sweep.design import read_sweep
from sim.sweep.loop import alone_in, pools, run_all, state_of
from sim.sweep.origin import origin
from sim.sweep.parts import is_sweep, jobs_of, planned, sweep_folder, table_of, write_plan
from sim.sweep.refine import with_added


def run(
    scenario: str | Path,
    seed: int = DEFAULT_SEED,
    *,
    without: Iterable[str] = (),
    folder: str | Path | None = None,
    **settings: Any,
) -> Run:
    """Simulate a scenario and write its run folder.

    Parameters
    ----------
    scenario : str or Path
        A scenario file, or the text of one.
    seed : int
        Key of all randomness, not negative.
    without : iterable of str
        Groups of agents to leave out.
    folder : str or Path, optional
        The run folder.
    **settings
        Overrides by dotted key: `**{"session.end": "10:00"}`.

    Returns
    -------
    Run
        Its `summary` is a dict, its `frames` are DataFrames by name.
    """
    left_out = list(without)
    loaded = load_scenario(scenario, settings, left_out)
    place = Path(folder or default_folder(loaded, seed))
    return record(loaded, seed, place, settings=settings | ({"without": ",".join(left_out)} if left_out else {}))


def sweep(
    file: str | Path, *, workers: int = 2, folder: str | Path | None = None, cluster: str | None = None
) -> pd.DataFrame:
    """Make the runs of a sweep that are not made yet; all of them as a table, a row a run.

    Parameters
    ----------
    file : str or Path
        A sweep file.
    workers : int
        Processes of this machine.
    folder : str or Path, optional
        The sweep's folder.
    cluster : str, optional
        Address of a Dask scheduler, whose workers make the runs.
    """
    place = Path(folder or sweep_folder(Path(file))).absolute()
    whole = with_added(read_sweep(file), place)
    with alone_in(place), pools(workers, cluster) as found:
        write_plan(jobs_of(whole, place), place, whole.tables.design, origin(whole, place))
        run_all(compress(planned(place), state_of(planned(place)).waits), found)
    return table_of(place)


def load(folder: str | Path) -> Run | pd.DataFrame:
    """What a folder holds: a run, or the table of a sweep."""
    return table_of(Path(folder)) if is_sweep(Path(folder)) else load_run(folder)
