"""Which factors decide an outcome: indices of sensitivity from the runs of a Saltelli or Morris design.

Indices are SALib's. The outcome of a point is the mean over the sweep's seeds, which are the same at all points. So
indices are those of this mean as a function of the factors, and intervals are about the points that were drawn, not
about the seeds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from sim.describe import unit_of
from sim.figures import INK, STYLE, save_figure
from sim.palette import GREY
from sim.scenario import did_you_mean
from sim.sweep.design import Design, SweepError, unit_points
from sim.sweep.parts import DONE, FAILED, design_of, factors_of, read_plan, save_table, table_of

INDICES = {
    "saltelli": {"S1": "first order: alone", "ST": "total: alone and with others"},
    "morris": {"mu_star": "mu*: mean size of effects", "sigma": "sigma: their standard deviation"},
}
"""Of each design, with their meaning; all from 0, an effect being the change of the outcome over a factor's range."""
SEED = 1
"""Of the resampling behind the intervals."""


def main(folder: Path, output: str) -> None:
    """Print the indices of an outcome, and write them as table and figure into the sweep's folder."""
    kind, found = design_of(folder).kind, indices(folder, output)
    stem = folder / "sensitivity" / output.replace(".", "-")
    save_table(found, stem.with_suffix(".csv"))
    unit = "share of the variance" if kind == "saltelli" else unit_of(output) or "the outcome's unit"
    with rc_context(STYLE):
        save_figure(_figure(found, INDICES[kind], output, unit), stem)
    plan = read_plan(folder)
    seeds = plan.num_rows // len(plan["point"].unique())
    print(f"{output}, mean over the {seeds} seeds of each point; *_conf is half of a 95 % interval")
    print(found.to_string(index=False, float_format="{:.3f}".format))
    print(stem.with_suffix(".csv"))


def indices(folder: Path, output: str) -> pd.DataFrame:
    """Indices of sensitivity of an outcome of a sweep; see `indices_of`.

    Raises
    ------
    SweepError
        If the design is another one, a run is missing, or the outcome is unknown, empty somewhere or the same
        everywhere.
    """
    design = design_of(folder)
    if design.kind not in INDICES:
        raise SweepError(f"{folder}: design {design.kind}: indices of sensitivity need saltelli or morris")
    outcome = _outcome(folder, output)
    if not np.ptp(outcome):
        raise SweepError(f"{folder}: {output}: the same at all points")
    return indices_of(design, factors_of(folder), outcome)


def indices_of(design: Design, factors: list[str], outcome: np.ndarray) -> pd.DataFrame:
    """Indices of sensitivity, a row a factor.

    Parameters
    ----------
    design : Design
        Of kind "saltelli" or "morris".
    factors : list of str
    outcome : array (points,)
        In the order of the design.

    Returns
    -------
    DataFrame
        `factor`, then for a Saltelli design `S1` and `ST`, first-order and total indices (Sobol 2001, Saltelli et al.
        2010): shares of the variance over the points; for a Morris design `mu`, `mu_star` and `sigma` of the elementary
        effects (Morris 1991, Campolongo et al. 2007), in the outcome's unit, over the whole of the factor's range.
        `..._conf` is half of a 95 % interval.
    """
    cube = {"num_vars": len(factors), "names": factors, "bounds": [[0, 1]] * len(factors)}
    if design.kind == "saltelli":
        import SALib.analyze.sobol

        found = SALib.analyze.sobol.analyze(cube, outcome, calc_second_order=False, num_resamples=1000, seed=SEED)
        names = ["S1", "S1_conf", "ST", "ST_conf"]
    else:
        import SALib.analyze.morris

        places = unit_points(design, len(factors))
        found = SALib.analyze.morris.analyze(cube, places, outcome, num_resamples=1000, seed=SEED)
        names = ["mu", "mu_star", "mu_star_conf", "sigma"]
    return pd.DataFrame({"factor": factors, **{name: np.asarray(found[name]) for name in names}})


def _outcome(folder: Path, output: str) -> np.ndarray:
    """Mean of an outcome over the seeds, by point."""
    table, planned = table_of(folder), read_plan(folder).num_rows
    done = table[table["status"] == DONE]
    if len(done) < planned:
        failed = int((table["status"] == FAILED).sum())
        raise SweepError(
            f"{folder}: {planned - len(done)} of {planned} runs are missing, {failed} of them failed; indices need "
            "all: finish them with `thinbook sweep FILE`, failed ones with --retry-failed"
        )
    others = {"point", "seed", *factors_of(folder)}
    known = [key for key in done if pd.api.types.is_numeric_dtype(done[key]) and key not in others]
    if output not in known:
        raise SweepError(f"{folder}: {output}: no number of a run's summary{did_you_mean(output, known)}")
    if empty := int(done[output].isna().sum()):
        raise SweepError(f"{folder}: {output}: empty in {empty} of {planned} runs; indices need all")
    return done.groupby("point")[output].mean().to_numpy()


def _figure(found: pd.DataFrame, meanings: dict[str, str], output: str, unit: str) -> Figure:
    """A panel for each index, factors from the strongest down, with intervals where there are any."""
    first, second = meanings
    rows = found.sort_values(second if second == "ST" else first)
    figure = Figure(figsize=(7.1, 1.2 + 0.35 * len(rows)), layout="constrained")
    for ax, (index, meaning) in zip(figure.subplots(1, 2, sharey=True), meanings.items(), strict=True):
        ax.barh(rows["factor"], rows[index], xerr=rows.get(f"{index}_conf"), color=GREY, ecolor=INK, capsize=2)
        ax.set(title=meaning, xlabel=unit)
    figure.suptitle(f"Sensitivity of {output}")
    return figure
