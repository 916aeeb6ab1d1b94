"""The report on a run: its last day in words, tables and figures, and how to make it again."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from sim.describe import unit_of
from sim.figures import save_figure
from sim.files import aside
from sim.palette import name_of
from sim.report import figures, html
from sim.report.day import Day
from sim.report.dominoes import causes, largest
from sim.report.words import number, signed, the_day, who_and_why
from sim.units import HOUR, POINT_USD, clock_text

if TYPE_CHECKING:
    from sim.records import Run

REPORT = "report.html"
LONGEST_TABLE = 20
"""Dominoes in the table."""
FIGURES: dict[str, Callable[..., Figure]] = {
    "price": figures.price,
    "points": figures.points,
    "bought": figures.bought,
    "flow": figures.flow,
    "liquidity": figures.liquidity,
    "volatility": figures.volatility,
    "dealers": figures.dealers,
    "against_spot": figures.against_spot,
    "dominoes": figures.dominoes,
    "matrix": figures.matrix,
}
LABELS = {
    "open": "Open",
    "high": "High",
    "low": "Low",
    "close": "Close",
    "high_to_close_pct": "From the high to the close",
    "prior_close": "Close before",
    "time_of_high": "Time of the high",
    "time_6700_lost": "6700 lost at",
    "volume_contracts": "Volume",
    "messages": "Messages of the whole run",
    "trades": "Trades",
    "top_of_book_musd": "At each best quote, mean",
    "spread_ticks": "Spread, mean",
    "share_of_time_one_tick": "Share of time at one tick",
    "vix_prior_close": "VIX, close before",
    "vix_morning_low": "VIX, low of the first hour",
    "vix_high": "VIX, high",
    "vix_close": "VIX, close",
    "vix1d_prior_close": "VIX1D, close before",
    "vix1d_open": "VIX1D, open",
    "etf_share": "Taken by ETF traders, share of contracts",
    "triggers_fired": "Triggers of trend followers and stops",
}
UNITS = {"high_to_close_pct": "%"} | dict.fromkeys(("open", "high", "low", "close", "prior_close"), "index points")
NOT_SHOWN = ("tape_sha256", "wall_seconds")
STAGES = {"1": "the first day", "2": "from the open to the high", "3": "from the loss of 6700 to the low"}
MECHANICAL = (
    "Mechanical: who moved the price, exactly, and not what would have happened without them. The amounts add up to the "
    "way of the price."
)


def write_report(run: Run) -> Path:
    """Write the report into the folder of a run, in place of an earlier one."""
    with aside(run.folder / REPORT) as draft:
        draft.write_text(report(run), encoding="utf-8")
    return run.folder / REPORT


def write_figures(run: Run) -> Path:
    """Write the figures of the report into the folder `figures` of a run, as SVG and PNG."""
    folder, day = run.folder / "figures", Day(run)
    folder.mkdir(exist_ok=True)
    for name in _drawn(day):
        save_figure(FIGURES[name](day), folder / name)
    return folder


def report(run: Run) -> str:
    """The whole report as HTML."""
    day = Day(run)
    parts = [_head, _course, _beside, _pushers, _liquidity, _dealers, _dominoes, _without, _again]
    return html.page(run.scenario.title, [part(day) for part in parts])


def _drawn(day: Day) -> list[str]:
    """Names of the figures that have something to show."""
    left_out = {"dominoes", "matrix"} if day.dominoes[1].empty else set()
    if not len(day.book) or not day.bars["mid"].gt(0).any():
        left_out.add("against_spot")
    if day.dealers.empty:
        left_out.add("dealers")
    return [name for name in FIGURES if name not in left_out]


def _figure(day: Day, name: str, title: str, caption: str, kind: str = "", **more: object) -> str:
    return html.figure(FIGURES[name](day, **more), title, caption, kind=kind) if name in _drawn(day) else ""


# Sections


def _head(day: Day) -> str:
    run, scenario = day.run, day.run.scenario
    people = sum(crowd.count for crowd in scenario.crowds)
    settings = f"Simulated with seed {run.seed}: {people:,} agents, ${scenario.depth_musd:g}M wanted at each best quote"
    without = (run.provenance.get("settings") or {}).get("without")
    return html.header(scenario.title, settings + (f", without {without}." if without else "."), the_day(day))


def _course(day: Day) -> str:
    title = "The day"
    caption = (
        "The middle of the best quotes, in the colour of those whose messages moved it most from one bar to the next"
        + ("; grey, the real day" if len(day.real("price_points")) else "")
        + f". Below, how far each group moved it, up and down, every {figures.SLICE_MINUTES} minutes."
    )
    shown = [name for name in day.groups if name in day.bought or name in day.points]
    news = [(f"{at} {clock_text(round(hour * HOUR))[:5]}", item.text or item.name) for at, (hour, item) in enumerate(day.news, 1)]
    return html.section(
        title,
        html.colour_key(shown),
        _figure(day, "price", "Price, and who moved it", caption, "broad"),
        _figure(day, "price", "Price, and who moved it", caption, "narrow", size=figures.TALL),
        html.listing(news) if news else "",
    )


def _beside(day: Day) -> str:
    from sim.records import comparison

    rows = [
        (LABELS.get(key, key), simulated or "none", real, UNITS.get(key) or unit_of(key))
        for key, simulated, real, _ in comparison(day.run)
        if key not in NOT_SHOWN
    ]
    caption = "Where the real value is missing, it is not known or has no counterpart."
    known = any(real for _, _, real, _ in rows)
    columns = [0, 1, 2, 3] if known else [0, 1, 3]
    cells = [[row[column] for column in columns] for row in rows]
    head = [["", "simulated", "real day", "unit"][column] for column in columns]
    return html.section("Beside the real day" if known else "In numbers", html.table(caption if known else "The day in numbers.", head, cells))


def _pushers(day: Day) -> str:
    summary = day.run.summary
    points, gross, net = (summary[f"{name}_by_group"] for name in ("price_points", "gross_contracts", "net_contracts"))
    credited = day.dominoes[0].groupby("group")["points"].sum()
    groups = sorted({*points, *credited.index}, key=lambda group: -abs(points.get(group, 0.0)))
    rows = [
        (name_of(group), signed(points.get(group, 0.0), 2), signed(credited.get(group, 0.0), 2), signed(net.get(group, 0)), number(gross.get(group, 0)))
        for group in groups
        if gross.get(group) or points.get(group) or credited.get(group)
    ]
    rows.append(("all", signed(sum(points.values()), 2), signed(credited.sum(), 2), signed(sum(net.values())), number(sum(gross.values()))))
    table = html.table(
        MECHANICAL + " In the second column what makers did in answer to a decision counts for that decision, and what "
        "nobody provoked for the auction or for those who did it.",
        ("group", "moved, points", "with answers, points", "bought net, contracts", "traded, contracts"),
        rows,
    )
    pair = html.pair(
        _figure(day, "points", "Points moved, added up", "Mechanical: every change of the mid counts for whoever sent the message that made it. The lines add up to the price."),
        _figure(day, "bought", "Position since the open", "What each group bought less what it sold. All together hold nothing: the lines add up to zero."),
        _figure(day, "flow", "Flow", "Net purchases above the line, net sales below."),
    )
    return html.section("Who pushed", pair, table)


def _liquidity(day: Day) -> str:
    wanted = day.run.scenario.depth_musd
    pair = html.pair(
        _figure(
            day,
            "liquidity",
            "Top of the book and spread",
            f"Means of each bar; dashed, the ${wanted:g}M that market makers want to show. The folder of a run keeps the best "
            "quotes only: what stood behind them is in the messages that --lobster writes.",
        ),
        _figure(
            day,
            "volatility",
            "Implied volatility",
            "The model's VIX and VIX1D and the volatility at the money of the next expiry"
            + ("; dots, the real VIX." if len(day.real("vix")) else "."),
        ),
    )
    return html.section("Liquidity and volatility", pair)


def _dealers(day: Day) -> str:
    if day.dealers.empty:
        return ""
    pair = html.pair(
        _figure(day, "dealers", "Dealers' greeks over the day", "All dealers together. Their options' delta, and the futures held against it; what does not cancel is not hedged. Options of the day are settled at the close."),
        _figure(day, "against_spot", "Their starting book against the index", "The options of the scenario that are alive on this day, at its open and at the volatility the scenario starts with; what was traded later is not in it."),
    )
    rows = [
        (stage, what, signed(contracts), f"{signed(contracts * POINT_USD * day.run.summary['close'] / 1e9, 2)}")
        for stage, what in STAGES.items()
        if (contracts := day.run.summary["dealers_contracts_by_stage"].get(stage)) is not None
    ]
    caption = "What dealers bought (+) or sold (−) net to hedge. Zero also stands for a stage that did not take place."
    return html.section("Dealers", pair, html.table(caption, ("stage", "when", "contracts", "$bn at the close"), rows))


def _dominoes(day: Day) -> str:
    rows = largest(day, LONGEST_TABLE).sort_values("time_ns", kind="stable")
    if rows.empty:
        return html.section("Dominoes", html.paragraph("No decision moved the price."))
    lines = [
        (
            clock_text(int(row["time_ns"])),
            *who_and_why(row),
            signed(int(row["traded"])),
            signed(row["points"], 2),
            ", ".join(f"{name_of(group)} {share:.0%}" for group, share in causes(day, number)[:3] if share >= 0.05),
        )
        for number, row in rows.iterrows()
    ]
    caption = (
        f"The {len(lines)} decisions that moved the price most, in order of time. Their points include what makers did in "
        "answer; set off by: whose moves they answered, by share. Mechanical, and it overstates how much the price alone explains."
    )
    pair = html.pair(
        _figure(day, "dominoes", "Who set off whom", "The largest decisions, each with its time, and all others of each group as one, with the points moved. Size: points moved. An arrow goes to those who traded because of the move; dashed where they traded against it."),
        _figure(day, "matrix", "From group to group", "Thousand contracts traded by the group of the row in answer to moves by the group of the column. Hollow: traded against the move."),
    )
    head = ("time", "who", "alarm", "bought, contracts", "moved, points", "set off by")
    return html.section("Dominoes", pair, html.table(caption, head, lines))


def _without(day: Day) -> str:
    return html.section(
        "What would have happened without them",
        html.paragraph(
            "Counterfactual: this report cannot say. All of its attributions are mechanical. What a group was good for is the "
            "difference between runs with and without it on the same seeds, and one seed is one draw; thinbook sweep and "
            "thinbook compare make such pairs."
        ),
    )


def _again(day: Day) -> str:
    run, facts = day.run, day.run.provenance
    settings = dict(facts.get("settings") or {})
    without = settings.pop("without", "")
    words = ["thinbook", "run", facts.get("scenario") or "scenario.toml", "--seed", str(run.seed)]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    words += ["--without", without] if without else []
    told = [
        ("scenario digest", run.scenario.digest),
        ("tape digest", run.tape_sha256),
        ("commit", facts.get("commit") or "outside a repository"),
        ("versions", ", ".join(f"{name} {text}" for name, text in facts.get("versions", {}).items())),
        ("machine", facts.get("machine", "")),
        ("finished", f"{facts.get('finished', '')}, after {run.summary.get('wall_seconds', 0):,.0f} s"),
    ]
    return html.section(
        "How to make it again",
        html.code(shlex.join(words)),
        html.paragraph("Or from the folder of the run alone, which has the whole scenario: thinbook verify DIR compares the tapes, to the byte.", "note"),
        html.listing(told),
        html.paragraph("Option books are assumptions and agents' parameters are calibrated or guessed: a simulated day explains no real one.", "note"),
    )
