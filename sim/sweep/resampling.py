"""Means and quantiles over seeds, and their bands: seeds are drawn again, jointly for all points that share them.

A sample is a row of weights, how often each seed was drawn. The first one has every seed once and gives the estimate
itself. Outcomes are arrays (seeds, points), NaN where there is no run; statistics are arrays (samples, points), NaN
where a sample has no run.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

type Floats = NDArray[np.float64]

RESAMPLES = 499
EDGES = (0.025, 0.975)
"""Of a 95 % band."""


def weights_of(seeds: int, resamples: int = RESAMPLES) -> Floats:
    """How often each seed was drawn: array (1 + resamples, seeds)."""
    drawn = np.random.default_rng(1).multinomial(seeds, np.full(seeds, 1 / seeds), resamples)
    return np.vstack([np.ones(seeds), drawn])


def mean(outcomes: Floats, weights: Floats) -> Floats:
    """Mean over the runs that are there."""
    known = np.isfinite(outcomes)
    return ratio(weights @ np.where(known, outcomes, 0.0), weights @ known)


def quantile(outcomes: Floats, weights: Floats, share: float) -> Floats:
    """The smallest outcome that at least this share of the runs that are there does not exceed."""
    columns = []
    for column in outcomes.T:
        order = np.argsort(column)[: np.count_nonzero(~np.isnan(column))]
        reached = np.cumsum(weights[:, order], axis=1)
        if not len(order):
            columns.append(np.full(len(weights), np.nan))
            continue
        place = (reached >= share * reached[:, -1:]).argmax(axis=1)
        columns.append(np.where(reached[:, -1] > 0, column[order][place], np.nan))
    return np.column_stack(columns)


def ratio(above: Floats, below: Floats) -> Floats:
    """Quotient; NaN where the divisor is not positive."""
    below = np.broadcast_to(below, above.shape)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def band(samples: Floats) -> tuple[Floats, Floats]:
    """Ends of the 95 % bands of statistics: values of samples, which may be infinite."""
    drawn = pd.DataFrame(samples[1:])
    low, high = drawn.quantile(EDGES[0], interpolation="lower"), drawn.quantile(EDGES[1], interpolation="higher")
    return low.to_numpy(), high.to_numpy()
