"""The command `phase`: tables and figures of a phase diagram, and the critical depths in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from sim.analysis.impact import WINDOWS_NS
from sim.sweep.parts import FAILED, save_table
from sim.sweep.phase import DEPTH, Phase, phase
from sim.sweep.phase_figures import draw
from sim.terminal import console


def main(folder: Path, crash_pct: float, out: Path) -> None:
    """Write a phase diagram and print the critical depths."""
    found = write_phase(folder, crash_pct, out)
    console().print(_critical_table(found))
    print(
        f"fitted: half of the days fall by {crash_pct:g} % or more; {', '.join(WINDOWS_NS)}: theory, impact over these"
    )
    for status, meaning in ((FAILED, "have failed"), ("missing", "are not made yet")):
        if count := int(found.points[status].sum()):
            print(f"{count:,} of {int(found.points[['done', FAILED, 'missing']].to_numpy().sum()):,} runs {meaning}")
    print(out)


def write_phase(folder: Path, crash_pct: float, out: Path) -> Phase:
    """Write points.csv, critical.csv and the figures of a sweep's phase diagram; errors as of `phase`."""
    found = phase(folder, crash_pct)
    for name, rows in (("points", found.points), ("critical", found.critical)):
        save_table(rows, out / f"{name}.csv")
    draw(found, out)
    return found


def _critical_table(found: Phase) -> Table:
    depths = found.points[DEPTH]
    table = Table(title=f"Critical depth in $M, run: {depths.min():g} to {depths.max():g}", box=SIMPLE)
    for column in critical_head(found):
        table.add_column(column)
    for row in critical_rows(found):
        table.add_row(*row)
    return table


def critical_head(found: Phase) -> tuple[str, ...]:
    """Heads of the columns of `critical_rows`."""
    return (*([found.other_label] if found.other else []), "by", "depth", "95 % interval", "note")


def critical_rows(found: Phase) -> Iterator[tuple[str, ...]]:
    """The critical depths in words, a row for each value of the other factor and method."""
    depths = found.points[DEPTH]
    for row in found.critical.to_dict("records"):
        level = [str(row[found.other])] if found.other else []
        interval = f"{row['low_musd']:.2f} to {row['high_musd']:.2f}"
        depth, note = _depth_and_note(row["least_musd"], row["most_musd"], depths.min(), depths.max())
        yield *level, row["method"], depth, interval, note


def _depth_and_note(least: float, most: float, shallowest: float, deepest: float) -> tuple[str, str]:
    if least == most:
        return f"{least:.2f}", "" if shallowest <= least <= deepest else "outside the depths run"
    if (least, most) == (0, np.inf):
        return "", "not to be told from these runs"
    if least == 0:
        return f"below {most:.2f}", ""
    if most == np.inf:
        return f"above {least:.2f}", ""
    return f"{least:.2f} to {most:.2f}", "outcomes do not overlap"
