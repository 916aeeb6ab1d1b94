"""Made-up sweeps for the tests of what is made of them: a plan and parts, without any run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sim.sweep.design import Design
from sim.sweep.parts import Job, _row, _write_part, write_plan

GRID = Design.model_validate({})


def made_sweep(
    folder: Path,
    points: Sequence[dict[str, Any]],
    seeds: int,
    outcome: Callable[[dict[str, Any], int], dict[str, Any] | str | None],
    design: Design = GRID,
    origin: dict[str, Any] | None = None,
) -> Path:
    """A sweep's folder in which every run came out as said: a summary, an error, or nothing where it is not made."""
    jobs = [
        Job(f"p{number}s{seed}", folder, "", (), "", tuple(point.items()), number, seed, ())
        for number, point in enumerate(points)
        for seed in range(1, seeds + 1)
    ]
    write_plan(jobs, folder, design, origin)
    for job in jobs:
        result = outcome(dict(job.factors), job.seed)
        if isinstance(result, str):
            _write_part(job.part, _row(job, "failed", {"error": result}))
        elif result is not None:
            _write_part(job.part, _row(job, "done", result))
    return folder


def day(
    fall_pct: float, *, lost: str | None = None, impact: float = 1e-3, sold: float = 0.0, points: float = 100.0
) -> dict[str, Any]:
    """What a phase diagram reads of a run; in a fall of so many points dealers and stops each sold half of `sold`."""
    return {
        "high_to_close_pct": -fall_pct,
        "time_6700_lost": lost,
        "fall_points": points,
        "sold_in_fall_by_group.dealers": sold / 2,
        "sold_in_fall_by_group.stops": sold / 2,
        "sold_in_fall_by_group.noise": -sold,
        "impact_points_per_contract.60s": impact,
        "impact_points_per_contract.30min": impact / 2,
    }
