"""The command `thinbook`: what is typed, taken to the module that does it.

Modules are imported inside the commands, so that `thinbook --help` does not wait for the compiler.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from sim import DEFAULT_SEED

if TYPE_CHECKING:
    from sim.records import Run

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An agent-based simulator of market cascades in one thin limit order book.",
)
out = Console(markup=False, highlight=False)
err = Console(markup=False, highlight=False, stderr=True)
COMPILING_SECONDS = 4.0
"""What takes longer than this to start is waiting for the compiler."""

CRASH_PCT = 2.4
"""A fall from high to close that is called a crash: two standard deviations of a day at a VIX of 19.28, its low on the
morning of 20 Nov 2025 (Cboe): 2 x 19.28 / sqrt(252)."""

ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO", help="Scenario file, such as configs/nov20.toml.")]

CrashPct = Annotated[
    float, typer.Option("--crash-pct", min=0.01, max=100, help="A fall from high to close that is a crash, in percent.")
]


_UsageError: Any = typer.BadParameter.__mro__[1]
"""What Typer raises for arguments that a command cannot use; it does not export it."""


class InputError(ValueError):
    """Input that a command cannot use; its text is one line for the user."""


class Format(StrEnum):
    """Formats of a message file."""

    JSONL = "jsonl"
    LOBSTER = "lobster"


class Bench(StrEnum):
    """What can be measured."""

    KERNEL = "kernel"
    SWEEP = "sweep"


class SelfTrade(StrEnum):
    """Modes of self-trade prevention."""

    NONE = "none"
    CANCEL_NEWEST = "cancel_newest"
    CANCEL_OLDEST = "cancel_oldest"
    CANCEL_BOTH = "cancel_both"
    DECREMENT = "decrement"


@app.command()
def run(
    scenario: ScenarioFile,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Key of all randomness.")] = DEFAULT_SEED,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override, such as session.end=10:00.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="GROUP,...", help="Groups of agents to leave out.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The run folder.")] = None,
    lobster: Annotated[bool, typer.Option("--lobster", help="Write the messages as LOBSTER files too.")] = False,
) -> None:
    """Simulate a scenario and write its run folder."""
    from sim.records import default_folder, record
    from sim.scenario import load, parse_setting

    overrides = dict(map(parse_setting, settings or []))
    left_out = [group.strip() for groups in without or [] for group in groups.split(",") if group.strip()]
    loaded = load(scenario, overrides, left_out)
    with _progress(loaded.title) as progress:
        done = record(
            loaded,
            seed,
            folder or default_folder(loaded, seed),
            settings={**overrides, **({"without": ",".join(left_out)} if left_out else {})},
            lobster=lobster,
            progress=progress,
        )
    out.print(_day_table(done))
    print(done.folder)


@app.command()
def describe(scenario: ScenarioFile) -> None:
    """List a scenario's numbers with their units, ranges, meanings and sources."""
    from sim.describe import Row
    from sim.describe import describe as rows
    from sim.scenario import load

    loaded = load(scenario)
    if not out.is_terminal:
        print(*("\t".join(row) for row in [Row._fields, *rows(loaded)]), sep="\n")
        return
    table = Table(title=loaded.title, box=SIMPLE)
    for column in Row._fields:
        table.add_column(column, no_wrap=column == "key", overflow="fold")
    for row in rows(loaded):
        table.add_row(*row)
    out.print(table)


@app.command()
def verify(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]) -> None:
    """Run a folder's scenario and seed again and compare the tapes, to the byte."""
    from sim import records

    with _progress(f"again: {run}") as progress:
        verification = records.verify(run, progress)
    if verification.recorded != verification.computed:
        _complain(f"{run}: differs: recorded {verification.recorded}, now {verification.computed}")
    for name in verification.changed:
        _complain(f"{run}/{name}.parquet: is not what was simulated")
    if not verification.same:
        raise typer.Exit(1)
    print(f"{run}: the same tape, {verification.recorded}")


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines or a LOBSTER message file.")],
    form: Annotated[Format, typer.Option("--format", help="Format of the file.")] = Format.JSONL,
    stp: Annotated[SelfTrade, typer.Option(help="Self-trade prevention, for JSON Lines.")] = SelfTrade.NONE,
) -> None:
    """Play a file of messages through one fresh book and print the result as JSON."""
    from sim.lobster import replay_file
    from sim.replay import read_messages, replay_messages

    with _patience():
        try:
            result = replay_file(file) if form is Format.LOBSTER else replay_messages(read_messages(file), stp.value)
        except ValueError as error:
            raise InputError(str(error)) from None
    print(json.dumps(vars(result)))


@app.command()
def bench(
    what: Annotated[Bench, typer.Argument(metavar="WHAT", help="kernel or sweep.")] = Bench.KERNEL,
    runs: Annotated[int, typer.Option(min=1, help="Short runs that a sweep and Mesa's batch runner both make.")] = 1000,
) -> None:
    """Measure speed on this machine: of the kernel and a running market, or of sweeps."""
    if what is Bench.SWEEP:
        from sim.sweep.speed import main as sweeps

        sweeps(runs)
    else:
        from sim.bench import main

        main()


@app.command()
def serve(
    scenario: ScenarioFile,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen at; another lets the network in.")] = "127.0.0.1",
    plain: Annotated[bool, typer.Option("--plain", help="Mesa's own page of the model.")] = False,
) -> None:
    """Open a scenario as a page in the browser."""
    with _patience():
        try:
            from sim.page import server
        except ModuleNotFoundError as error:
            missing = str(error.name).partition(".")[0]
            raise InputError(f"the page needs {missing}: uv sync --group page (or pip install --group page)") from None
        server.rehearse(scenario)
    server.serve(scenario, host=host, port=port, plain=plain)


@app.command()
def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the study: emergence, day or faults.")],
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Seeds of every world.", show_default="20; of day 200")
    ] = None,
    paired: Annotated[int, typer.Option(min=2, help="Of emergence: seeds with and without a group, and frozen.")] = 100,
    first_seed: Annotated[int, typer.Option(min=0, help="Seeds count up from here.")] = 1,
    trials: Annotated[int, typer.Option(min=1, help="Of faults: kills of each kind.")] = 100,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes.")] = 2,
    scenario: Annotated[Path, typer.Option(metavar="FILE", help="Of emergence and day: the scenario.")] = Path(
        "configs/nov20.toml"
    ),
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Of emergence and day: verdicts and runs, as JSON.")
    ] = None,
) -> None:
    """Run one of the studies of the project."""
    if name == "faults":
        from sim.sweep.faults import main as faults

        raise typer.Exit(not faults(trials, workers, first_seed))
    from sim import ensemble, study
    from sim.scenario import did_you_mean, load

    if name not in ("emergence", "day"):
        known = ["emergence", "day", "faults"]
        raise InputError(f"no study {name!r}{did_you_mean(name, known)} (studies: {', '.join(known)})")
    place = file or Path(f"runs/study-{name}-{scenario.stem}.json")
    if place.is_dir():
        raise InputError(f"{place}: a folder; give a file to --out")
    if place.suffix != ".json":
        raise InputError(f"{place}: --out names a .json file, beside which the others are put")
    loaded = load(scenario)
    if name == "day":
        verdicts = ensemble.main(loaded, seeds=seeds or 200, first_seed=first_seed, workers=workers, out=place)
    else:
        verdicts = study.main(
            loaded, seeds=seeds or 20, paired=paired, first_seed=first_seed, workers=workers, out=place
        )
    out.print(study.table_of(verdicts, loaded.title))
    print(place)


@app.command()
def validate(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="A scenario; or run folders, LOBSTER messages, bars (.csv)."),
    ],
    days: Annotated[int, typer.Option(min=1, help="Days of a scenario, each a seed.")] = 20,
    first_seed: Annotated[int, typer.Option(min=0, help="Seeds count up from here.")] = 1,
    experiments: Annotated[
        int, typer.Option(min=0, help="Days repeated with metaorders put in, and in other depths: eight runs each.")
    ] = 3,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes.")] = 1,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override, such as depth_musd=5.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where the card is put.")] = None,
) -> None:
    """Hold days of a market, simulated or real, to the laws of real ones."""
    from sim.scenario import load, parse_setting
    from sim.validate.command import validate_records, validate_scenario

    if len(sources) == 1 and sources[0].suffix == ".toml":
        loaded = load(sources[0], dict(map(parse_setting, settings or [])))
        with _progress(loaded.title) as show:
            rows = validate_scenario(
                loaded,
                days=days,
                first_seed=first_seed,
                experiments=min(experiments, days),
                workers=workers,
                out=folder,
                show=show,
            )
    else:
        if settings:
            raise InputError("--set: days that were recorded cannot be made with other numbers")
        rows = validate_records(sources, folder)
    if failed := [row.law for row in rows if row.verdict == "fails"]:
        _complain(f"fails: {'; '.join(failed)}")
        raise typer.Exit(1)


@app.command()
def calibrate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Such as configs/calibrations/lively.toml.")],
    trials: Annotated[int, typer.Option(min=2, max=1_000_000, help="Points to be tried in all.")] = 200,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes.")] = 2,
    folder: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="For trials and result.")] = None,
) -> None:
    """Find the numbers of a scenario with which its days are nearest to the laws of real ones, or to a real day."""
    from sim.calibrate import calibrate, fit_tables, read_calibration
    from sim.terminal import console

    calibration, place = read_calibration(file), folder or Path("runs") / f"calibration-{file.stem}"
    with _progress(calibration.tables.title) as show:
        fit = calibrate(calibration, place, trials=trials, workers=workers, show=show)
    for table in fit_tables(fit):
        console().print(table)
    print(place / "optimum.toml")


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Sweep file, such as configs/sweeps/depth.toml.")],
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes.")] = 2,
    folder: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The sweep's folder.")] = None,
    status: Annotated[bool, typer.Option("--status", help="Say how far it is, and run nothing.")] = False,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler, such as tcp://127.0.0.1:8786.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Make failed runs again.")] = False,
    refine: Annotated[
        int,
        typer.Option(min=0, max=100, help="Depths to add, for each value of the other factor, where crashes begin."),
    ] = 0,
    crash_pct: CrashPct = CRASH_PCT,
) -> None:
    """Make the runs of a sweep that are not made yet."""
    from sim.sweep.command import main
    from sim.sweep.parts import sweep_folder

    place = (folder or sweep_folder(file)).absolute()
    main(
        file,
        place,
        workers,
        cluster=cluster,
        only_status=status,
        retry_failed=retry_failed,
        refine=refine,
        crash_pct=crash_pct,
    )


@app.command()
def table(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a sweep.")],
    file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="A .csv or .parquet file.")] = None,
) -> None:
    """Gather a sweep into one table, a row a run."""
    from sim.sweep.parts import write_table

    place = file or folder / "table.parquet"
    write_table(folder, place)
    print(place)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="The folder of a sweep.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="All outcomes, .csv or .parquet.")] = None,
) -> None:
    """Compare two sweeps run by run, on their common seeds."""
    from sim.sweep.command import show_comparison

    show_comparison(first, second, file)


@app.command()
def phase(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a sweep over depth_musd.")],
    crash_pct: CrashPct = CRASH_PCT,
    out_folder: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="For tables and figures.")] = None,
) -> None:
    """Draw a sweep's phase diagram and estimate its critical depth."""
    from sim.sweep.phase_command import main

    main(folder, crash_pct, out_folder or folder / "phase")


@app.command()
def sensitivity(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a saltelli or morris sweep.")],
    output: Annotated[str, typer.Option(metavar="KEY", help="A number of the summary.")] = "high_to_close_pct",
) -> None:
    """Work out which factors decide an outcome."""
    from sim.sweep.sensitivity import main

    main(folder, output)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run or of a sweep.")],
    pdf: Annotated[bool, typer.Option("--pdf", help="Print it to a PDF too; needs Chromium.")] = False,
    figures: Annotated[bool, typer.Option("--figures", help="Write the figures as SVG and PNG, too.")] = False,
) -> None:
    """Write a run's or a sweep's report anew."""
    from sim.records import load_run
    from sim.report import pdf as printer
    from sim.report import run as of_run
    from sim.sweep import report as of_sweep
    from sim.sweep.parts import is_sweep

    if is_sweep(folder):
        page = of_sweep.write_report(folder, CRASH_PCT)
        if figures:
            print(of_sweep.write_figures(folder))
    else:
        done = load_run(folder)
        page = of_run.write_report(done)
        if figures:
            print(of_run.write_figures(done))
    print(page)
    if pdf:
        print(printer.print_pdf(page))


def main() -> None:
    """Run the command; bad input is one line on stderr and exit code 2."""
    # As with `python -m`: a scenario may name agents of modules in the folder where the user stands.
    sys.path.append(os.getcwd())
    # numpy warns of days that are too short to tell a law; the card says so itself.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="numpy|sim")
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False))
    except _UsageError as error:
        _refuse(error.format_message())
    except ValueError as error:
        # Our own errors say what the user can change. Any other is a mistake of ours and keeps its traceback.
        if type(error).__module__.partition(".")[0] not in ("sim", "agents"):
            raise
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _refuse(text: str) -> None:
    _complain(text)
    sys.exit(2)


def _complain(text: str) -> None:
    print(f"thinbook: {text}", file=sys.stderr)


def _day_table(run: Run) -> Table:
    """The simulated day beside the real one, if the scenario knows it."""
    from sim.records import comparison

    table = Table("", title=run.scenario.title, box=SIMPLE)
    for column in ("simulated", "real"):
        table.add_column(column, justify="right")
    table.add_column("unit")
    for row in comparison(run):
        table.add_row(*row)
    return table


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A function that shows the bars done: a moving bar on a terminal, nothing in a pipe."""
    with _patience() as started, Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, total: int) -> None:
            started()
            bar.update(task, completed=done, total=total)

        yield show


@contextmanager
def _patience() -> Iterator[Callable[[], None]]:
    """Says why nothing happens, unless the function it gives is called in time."""
    slow = threading.Timer(COMPILING_SECONDS, err.print, ["starting; the first run compiles the kernel, once"])
    slow.daemon = True
    slow.start()
    try:
        yield slow.cancel
    finally:
        slow.cancel()


if __name__ == "__main__":
    main()
