"""Two sweeps beside each other, run by run: what changed, how surely, and what the common seeds were good for.

Runs of the same seed share all their underlying draws, so their difference varies less than that of runs with seeds of
their own (common random numbers; Glasserman and Yao 1992, Management Science 38, 884). How much less is measured: the
control pairs every run of the first sweep with the next seed of the second.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sim.sweep.design import SweepError
from sim.sweep.parts import DONE, factors_of, table_of

LEAST_PAIRS = 3
RESAMPLES = 4999
COLUMNS = ["outcome", "first", "second", "difference", "low", "high", "pairs", "fewer_runs"]


def compare(first: Path, second: Path) -> pd.DataFrame:
    """Paired differences, second less first, of all numbers in the summaries of two sweeps' runs.

    Runs are paired by seed and by the factors that both sweeps have.

    Returns
    -------
    pandas.DataFrame
        One row an outcome: its means, the mean `difference` with its 95 % bootstrap interval (`low`, `high`), `pairs`,
        and `fewer_runs`, the factor by which independent seeds would need more runs for an interval of this width
        (missing where the pairs do not differ).

    Raises
    ------
    SweepError
        If a folder is no sweep's, or fewer than three runs have a partner.
    """
    ours, theirs = factors_of(first), factors_of(second)
    keys = ["seed", *(key for key in ours if key in theirs)]
    done = [whole[whole["status"] == DONE] for whole in (table_of(first), table_of(second))]
    pairs = done[0].merge(done[1], on=keys, suffixes=("_first", "_second")).sort_values(keys)
    if len(pairs) < LEAST_PAIRS:
        raise SweepError(f"{first}, {second}: {len(pairs)} runs with the same {', '.join(keys)}; needs {LEAST_PAIRS}")
    used = {"run", "point", "status", "error", *ours, *theirs, "seed"}
    outcomes = [key for key in done[0].columns.intersection(done[1].columns, sort=False) if key not in used]
    numbers = [key for key in outcomes if all(pd.api.types.is_numeric_dtype(whole[key]) for whole in done)]
    rows = [_row(key, pairs[f"{key}_first"].to_numpy(), pairs[f"{key}_second"].to_numpy()) for key in numbers]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(outcome: str, first: np.ndarray, second: np.ndarray) -> tuple[object, ...]:
    there = np.isfinite(first) & np.isfinite(second)
    first, second = first[there], second[there]
    if len(first) < LEAST_PAIRS:
        return outcome, *[np.nan] * 5, len(first), np.nan
    difference, control = second - first, np.roll(second, 1) - first
    spread = difference.var()
    low, high = _interval(difference)
    fewer = control.var() / spread if spread else np.nan
    return outcome, first.mean(), second.mean(), difference.mean(), low, high, len(first), fewer


def _interval(values: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean, by percentiles: the default method needs values that differ."""
    from scipy.stats import bootstrap

    rng = np.random.default_rng(1)
    result = bootstrap((values,), np.mean, n_resamples=RESAMPLES, batch=500, method="percentile", rng=rng)
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
