"""Two sweeps beside each other, run by run: what changed, how surely, and what the common seeds were good for.

Runs of the same seed share all their underlying draws, so their difference varies less than that of runs with seeds of
their own (common random numbers; Glasserman and Yao 1992, Management Science 38, 884). How much less is measured: the
control pairs every seed of the first sweep with the one before it of the second. Seeds are what is independent: of the
runs of a seed, at all points that both sweeps have, the mean counts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sim.sweep.design import SweepError
from sim.sweep.parts import DONE, factors_of, table_of

LEAST_SEEDS = 3
COLUMNS = ["outcome", "first", "second", "difference", "low", "high", "seeds", "fewer_runs"]


def compare(first: Path, second: Path) -> pd.DataFrame:
    """Paired differences, second less first, of all numbers in the summaries of two sweeps' runs.

    Runs are paired by seed and by the factors that both sweeps have.

    Returns
    -------
    pandas.DataFrame
        One row an outcome: its means, the mean `difference` with its 95 % interval (`low`, `high`; Student's), `seeds`,
        and `fewer_runs`, the factor by which independent seeds would need more runs for an interval of this width
        (missing where the seeds do not differ).

    Raises
    ------
    SweepError
        If a folder is no sweep's, or fewer than three seeds have a partner.
    """
    ours, theirs = factors_of(first), factors_of(second)
    keys = ["seed", *(key for key in ours if key in theirs)]
    done = [whole[whole["status"] == DONE] for whole in (table_of(first), table_of(second))]
    pairs = done[0].merge(done[1], on=keys, suffixes=("_first", "_second")).sort_values(keys)
    if (seeds := pairs["seed"].nunique()) < LEAST_SEEDS:
        raise SweepError(f"{first}, {second}: {seeds} seeds with the same {', '.join(keys)}; needs {LEAST_SEEDS}")
    used = {"run", "point", "status", "error", *ours, *theirs, "seed"}
    outcomes = [key for key in done[0].columns.intersection(done[1].columns, sort=False) if key not in used]
    numbers = [key for key in outcomes if all(pd.api.types.is_numeric_dtype(whole[key]) for whole in done)]
    rows = [_row(key, pairs[["seed", f"{key}_first", f"{key}_second"]]) for key in numbers]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(outcome: str, pairs: pd.DataFrame) -> tuple[object, ...]:
    known = pairs[np.isfinite(pairs.iloc[:, 1:]).all(axis=1)]
    first, second = known.groupby("seed").mean().to_numpy().T
    if len(first) < LEAST_SEEDS:
        return outcome, *[np.nan] * 5, len(first), np.nan
    difference, control = second - first, np.roll(second, 1) - first
    spread = difference.var()
    fewer = control.var() / spread if spread else np.nan
    middle, reach = difference.mean(), _reach(difference)
    return outcome, first.mean(), second.mean(), middle, middle - reach, middle + reach, len(first), fewer


def _reach(values: np.ndarray) -> float:
    """Half the 95 % interval of the mean, Student's."""
    from scipy.stats import sem, t

    return float(t.ppf(0.975, len(values) - 1) * sem(values))
