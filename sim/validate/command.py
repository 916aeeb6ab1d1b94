"""What a user sees of `thinbook validate`: the card on the terminal, as a page and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from sim.analysis.observed import Moments, moments
from sim.analysis.readers import ReadError, day_of_run, read_bars, read_lobster
from sim.analysis.realism import THIN_BELOW_MUSD, Row, judge
from sim.files import write_json
from sim.lobster import PRICE, TICK_UNITS, read_events
from sim.records import Run, load_run
from sim.tables import Scenario
from sim.terminal import console
from sim.validate.card import page
from sim.validate.worlds import days_of


@dataclass(frozen=True)
class Source:
    """Where days come from: what it is called, and which ranges are for it."""

    title: str
    about: dict[str, object]
    thin: bool = False
    of_future: bool = True


def validate_scenario(
    scenario: Scenario,
    *,
    days: int,
    first_seed: int,
    experiments: int,
    workers: int,
    out: Path | None,
    show: Callable[[int, int], None],
) -> list[Row]:
    """Judge the days of a scenario; its rows. See `write_card`."""
    seeds = range(first_seed, first_seed + days)
    found = days_of(scenario, seeds, experiments, workers, show)
    about = {"scenario_digest": scenario.digest, "depth_musd": scenario.depth_musd, "seeds": list(seeds)}
    title = f"{scenario.title}, ${scenario.depth_musd:g}M, {days} days"
    stem = scenario.path.stem if scenario.path else "scenario"
    folder = out or Path("runs") / f"realism-{stem}-{scenario.digest[:8]}"
    return write_card(Source(title, about, scenario.depth_musd < THIN_BELOW_MUSD), found, folder)


def validate_records(paths: Sequence[Path], out: Path | None) -> list[Row]:
    """Judge recorded days: run folders, LOBSTER message files or bars as CSV; see `write_card`."""
    read = [_read(path) for path in paths]
    days = [day for _, found in read for day in found]
    runs = [run for run, _ in read if run]
    thin = bool(runs) and runs[0].scenario.depth_musd < THIN_BELOW_MUSD
    title = f"{paths[0].name}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}, {len(days)} days"
    source = Source(title, {"files": list(map(str, paths))}, thin, of_future=len(runs) == len(paths))
    return write_card(source, days, out or Path("runs") / f"realism-{paths[0].stem}")


def _read(path: Path) -> tuple[Run | None, list[Moments]]:
    if path.is_dir():
        run = load_run(path)
        return run, [moments(day_of_run(run.frames, run.scenario.session, _events(run)))]
    if not path.is_file():
        raise ReadError(f"{path}: no such file or folder")
    if "_message_" in path.name:
        return None, [moments(read_lobster(path))]
    if path.suffix == ".csv":
        return None, list(map(moments, read_bars(path)))
    raise ReadError(f"{path}: no scenario (.toml), run folder, LOBSTER message file or bars (.csv)")


def _events(run: Run) -> np.ndarray | None:
    """Order events of a run's last day, in ticks, if it was written with --lobster."""
    files = sorted((run.folder / "lobster").glob(f"*_{run.scenario.session.days[-1]}_*_message_*.csv"))
    if not files:
        return None
    events = read_events(files[0]).copy()
    events[:, PRICE] //= TICK_UNITS
    return events


def write_card(source: Source, days: Sequence[Moments], folder: Path) -> list[Row]:
    """Print the card and write `card.html` and `card.json`."""
    rows = judge(days, thin=source.thin, of_future=source.of_future)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "title": source.title,
        **source.about,
        "thin": source.thin,
        "laws": [asdict(row) for row in rows],
    }
    write_json(folder / "card.json", content)
    (folder / "card.html").write_text(page(source.title, rows, days), encoding="utf-8")
    console().print(_table(source.title, rows))
    print(folder / "card.html")
    return rows


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title, box=SIMPLE)
    for column in ("law", "measured", "s.e.", "accepted", "unit", "verdict"):
        table.add_column(column, justify="right" if column in ("measured", "s.e.", "accepted") else "left")
    for row in rows:
        verdict = row.verdict.upper() if row.verdict == "fails" else row.verdict
        table.add_row(row.law, row.measured, row.error, row.accepted, row.unit, verdict)
    return table
