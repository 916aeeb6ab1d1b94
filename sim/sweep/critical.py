"""The critical depth: where a fitted response says that the day begins to crash, and where theory says so.

The response is a logistic regression of crash on the logarithm of depth; it is critical where half of the days crash.
Where outcomes do not overlap (complete separation: all days crash up to some depth and none beyond it) no regression
exists (Albert and Anderson 1984, Biometrika 71, 1), and all that is known is between which depths the change lies.

Theory: the loop gain, impact per contract times contracts sold per point of fall, is 1. Between the two depths where it
comes to that, the gain is taken as a power of depth; beyond the depths that were run nothing is said.

Both are estimated anew from every sample of seeds (`sim.sweep.resampling`), the first sample being the runs themselves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from sim.sweep.resampling import Floats, band


class Response(NamedTuple):
    """A falling response to log depth, and the log depths between which it is critical, mostly one and the same.

    `intercept` and `slope` are of a line in logits; NaN where there is none.
    """

    low: float
    high: float
    intercept: float = np.nan
    slope: float = np.nan

    @classmethod
    def of_line(cls, intercept: float, slope: float) -> Response:
        """Where a line crosses 0; a rising one says nothing."""
        root = -intercept / slope if slope < 0 else np.nan
        return cls(-np.inf, np.inf, intercept, slope) if np.isnan(root) else cls(root, root, intercept, slope)

    def probability(self, log_depth: Floats) -> Floats:
        """Crash probability by log depth; in a bracket one half."""
        if np.isnan(self.slope):
            return np.where(log_depth < self.low, 1.0, np.where(log_depth > self.high, 0.0, 0.5))
        return np.asarray(expit(self.intercept + self.slope * log_depth))


class Critical(NamedTuple):
    """Critical depth in $M: `least` to `most` is the estimate, `low` to `high` its 95 % interval.

    Ends of 0 and infinity mean that the depths, or the seeds, are too few to say. `intercept` and `slope` are the
    response's.
    """

    least_musd: float
    most_musd: float
    low_musd: float
    high_musd: float
    intercept: float
    slope: float


def crash_response(log_depth: Floats, crashes: Floats, runs: Floats) -> Response:
    """Logistic regression of crash on log depth, or the bracket that separation leaves.

    Parameters
    ----------
    log_depth, crashes, runs : array (depths,)
        Runs and those of them that crashed, at each depth.
    """
    made = runs > 0
    log_depth, crashes, runs = log_depth[made], crashes[made], runs[made]
    crashed, stood = log_depth[crashes > 0], log_depth[crashes < runs]
    if crashed.max(initial=-np.inf) <= stood.min(initial=np.inf):
        share = crashes / runs
        return Response(
            log_depth[share >= 0.5].max(initial=-np.inf),  # type: ignore[arg-type]
            log_depth[share <= 0.5].min(initial=np.inf),  # type: ignore[arg-type]
        )
    if stood.max() <= crashed.min():
        return Response(-np.inf, np.inf)
    return Response.of_line(*_logistic(log_depth, crashes, runs))


def _logistic(log_depth: Floats, crashes: Floats, runs: Floats) -> Floats:
    import statsmodels.api as sm

    outcome, terms = np.repeat([1.0, 0.0], len(runs)), sm.add_constant(np.tile(log_depth, 2))
    counts = np.concatenate([crashes, runs - crashes])
    model = sm.GLM(outcome, terms, family=sm.families.Binomial(), freq_weights=counts)
    return np.asarray(model.fit().params)


def gain_response(log_depth: Floats, gain: Floats) -> Response:
    """Where loop gains fall through 1 for good; a bracket where no power of depth leads from one depth to the next."""
    known = np.isfinite(gain)
    log_depth, gain = log_depth[known], gain[known]
    reached = np.flatnonzero(gain >= 1)
    beyond = reached[-1] + 1 if reached.size else 0
    low = log_depth[beyond - 1] if beyond else -np.inf
    high = log_depth[beyond] if beyond < len(gain) else np.inf
    if np.isfinite([low, high]).all() and gain[beyond] > 0:
        above, below = np.log(gain[beyond - 1]), np.log(gain[beyond])
        low = high = low + (high - low) * above / (above - below)
    return Response(low, high)


def crash_responses(depths: Floats, crashed: Floats, weights: Floats) -> list[Response]:
    """Response of every sample of seeds; `crashed` (seeds, depths) is 1, 0, or NaN where there is no run."""
    made = np.isfinite(crashed)
    crashes, runs = weights @ np.where(made, crashed, 0.0), weights @ made
    return [crash_response(np.log(depths), *counts) for counts in zip(crashes, runs, strict=True)]


def gain_responses(depths: Floats, gains: Floats) -> list[Response]:
    """Response of every sample of seeds; `gains` is (samples, depths)."""
    return [gain_response(np.log(depths), gain) for gain in gains]


def critical_of(responses: list[Response]) -> Critical:
    """The critical depth by the first response, its interval by the others.

    A sample that leaves only a bracket counts with its lower end for the lower end of the interval and with its upper
    end for the upper one, so the interval is never too sure.
    """
    brackets = np.exp([(response.low, response.high) for response in responses])
    low, high = band(brackets)
    (least, most), estimate = brackets[0].tolist(), responses[0]
    return Critical(least, most, float(low[0]), float(high[1]), estimate.intercept, estimate.slope)
