"""The report on a run: its last day in words, tables and figures, and how to make it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from sim.figures import save_figure
from sim.news import told
from sim.palette import name_of
from sim.report import figures, html
from sim.report.day import Day
from sim.report.dominoes import causes, largest
from sim.report.words import number, signed, the_day, who_and_why
from sim.scenario import run_command
from sim.units import POINT_USD, clock_text

if TYPE_CHECKING:
    from sim.records import Run

LONGEST_TABLE = 20
"""Dominoes in the table."""
LEAST_PERCENT = 5
"""Groups with less of the move that a decision answered are not named."""


class Shown(NamedTuple):
    """A figure as it stands in the report; the caption also describes it to those who cannot see it."""

    draw: Callable[..., Figure]
    title: str
    caption: str


FIGURES = {
    "price": Shown(
        figures.price,
        "Price, and who moved it",
        "The middle of the best quotes, in the colour of those whose messages moved it most from one bar to the "
        "next; the dashed line, where there is one, is the real day, and the numbers are the news. Below, how far each "
        "group moved it, up and down. Mechanical.",
    ),
    "points": Shown(
        figures.points,
        "Points moved, added up",
        "Every change of the mid counts for whoever sent the message that made it. The lines add up to the price. "
        "Mechanical.",
    ),
    "bought": Shown(
        figures.bought,
        "Position since the open",
        "What each group bought less what it sold. Every trade has two sides: the lines add up to zero.",
    ),
    "flow": Shown(figures.flow, "Flow", "Net purchases above the line, net sales below."),
    "volume": Shown(
        figures.volume, "Volume", "By the group that took what was on offer; as much was given by those who waited."
    ),
    "liquidity": Shown(
        figures.liquidity,
        "Top of the book and spread",
        "Means of each bar; dashed, what market makers want to show.",
    ),
    "depth": Shown(
        figures.depth,
        "The book over time",
        "What waited at every price at the end of each bar: offers above the middle of the best quotes, bids below. "
        "The fuller the colour, the more contracts.",
    ),
    "volatility": Shown(
        figures.volatility,
        "Implied volatility",
        "The model's VIX (solid) and VIX1D (dashed), and the volatility at the money of the next expiry (dotted); "
        "circles, where there are any, are the real VIX.",
    ),
    "dealers": Shown(
        figures.dealers,
        "Dealers' greeks over the day",
        "All dealers together. The delta of their options, and the futures held against it: what does not cancel is "
        "not hedged. Options of the day are settled at the close.",
    ),
    "against_spot": Shown(
        figures.against_spot,
        "Their starting book against the index",
        "The scenario's options that are alive on this day, at its open and at the volatility that the scenario starts "
        "with. What was traded later is not in it.",
    ),
    "dominoes": Shown(
        figures.dominoes,
        "Who set off whom",
        "The largest decisions, each with its time, and all others of a group as one, with the points they moved. "
        "Size: points moved. Arrows go to those who traded because of the move; dashed, against it.",
    ),
    "matrix": Shown(
        figures.matrix,
        "From group to group",
        "Thousand contracts that the group of the row traded in answer to moves by the group of the column. Hollow: "
        "traded against the move.",
    ),
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
    "seconds_one_sided": "Time with an empty side, seconds",
    "vix_prior_close": "VIX, close before",
    "vix_morning_low": "VIX, low of the first hour",
    "vix_high": "VIX, high",
    "vix_close": "VIX, close",
    "vix1d_prior_close": "VIX1D, close before",
    "vix1d_open": "VIX1D, open",
    "etf_share": "Taken by ETF traders, share of contracts",
    "triggers_fired": "Triggers of trend followers and stops",
    "fall_points": "From the high to the lowest trade after it",
}
UNITS = dict.fromkeys(("open", "high", "low", "close", "prior_close"), "index points")
NOT_SHOWN = ("tape_sha256", "wall_seconds")
WARNING = "Option books are assumptions and parameters calibrated or guessed: a simulated day explains no real one."
STAGES = {"1": "the first day", "2": "from the open to the high", "3": "from the loss of 6700 to the low"}


def write_report(run: Run) -> Path:
    """Write the report into the folder of a run, in place of an earlier one."""
    return html.write(report(run), run.folder)


def write_figures(run: Run) -> Path:
    """Write the figures of the report into the folder `figures` of a run, as SVG and PNG."""
    folder, day = run.folder / "figures", Day(run)
    folder.mkdir(exist_ok=True)
    for name in _drawn(day):
        save_figure(FIGURES[name].draw(day), folder / name)
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


def _pair(day: Day, *names: str) -> str:
    return html.pair(*(_figure(day, name) for name in names if name in _drawn(day)))


def _figure(day: Day, name: str, kind: str = "", **more: Any) -> str:
    shown = FIGURES[name]
    return html.figure(shown.draw(day, **more), shown.title, shown.caption, kind=kind)


# Sections


def _head(day: Day) -> str:
    run, scenario = day.run, day.run.scenario
    people = sum(crowd.count for crowd in scenario.crowds)
    settings = f"Simulated with seed {run.seed}: {people:,} agents, ${scenario.depth_musd:g}M wanted at each best quote"
    left_out = (run.provenance.get("settings") or {}).get("without")
    without = ", ".join(name_of(group.strip()) for group in left_out.split(",")) if left_out else ""
    return html.header(scenario.title, settings + (f", without {without}." if without else "."), the_day(day))


def _course(day: Day) -> str:
    opens = day.hours[0]
    news = [
        (f"{place} {clock_text(at)[:5]}{' overnight' if at < opens else ''}", told(item))
        for place, (at, item) in enumerate(day.news, start=1)
    ]
    return html.section(
        "The day",
        html.colour_key(name for name in day.groups if name in day.bought or name in day.points),
        _figure(day, "price", "broad"),
        _figure(day, "price", "narrow", size=figures.TALL),
        html.listing(news) if news else "",
    )


def _beside(day: Day) -> str:
    from sim.records import comparison

    rows = [
        (
            ", ".join(filter(None, (LABELS.get(key, key), UNITS.get(key, unit)))),
            shown.replace("-", "−") or "none",
            real.replace("-", "−"),
        )
        for key, shown, real, unit in comparison(day.run)
        if key not in NOT_SHOWN
    ]
    if not any(real for *_, real in rows):
        return html.section(
            "In numbers", html.table("The day in numbers.", ("", "simulated"), [row[:2] for row in rows])
        )
    caption = "Where the real value is missing, it is not known or has no counterpart."
    return html.section("Beside the real day", html.table(caption, ("", "simulated", "real day"), rows))


def _pushers(day: Day) -> str:
    summary = day.run.summary
    points, gross, net = (summary[f"{name}_by_group"] for name in ("price_points", "gross_contracts", "net_contracts"))
    credited = day.dominoes[0].groupby("group")["points"].sum().to_dict()
    columns = (points, credited, net, gross)
    groups = [group for group in dict.fromkeys([*points, *credited]) if any(column.get(group) for column in columns)]
    groups.sort(key=lambda group: -abs(points.get(group, 0)))
    rows = [_pusher(name_of(group), *(column.get(group, 0) for column in columns)) for group in groups]
    rows.append(_pusher("all", *(sum(column.values()) for column in columns)))
    caption = (
        "Mechanical: who moved the price, exactly, and not what would have happened without them. In the second column "
        "what makers did in answer to a decision counts for that decision."
    )
    head = ("group", "moved, points", "with answers, points", "bought net, contracts", "bought and sold, contracts")
    return html.section("Who pushed", _pair(day, "points", "bought", "flow", "volume"), html.table(caption, head, rows))


def _pusher(name: str, points: float, credited: float, net: int, gross: int) -> tuple[str, ...]:
    return name, signed(points, 3), signed(credited, 3), signed(net), number(gross)


def _liquidity(day: Day) -> str:
    return html.section(
        "Liquidity and volatility",
        _figure(day, "depth", "broad"),
        _figure(day, "depth", "narrow", size=figures.HALF),
        _pair(day, "liquidity", "volatility"),
    )


def _dealers(day: Day) -> str:
    if day.dealers.empty:
        return ""
    contracts, close = day.run.summary["dealers_contracts_by_stage"], day.run.summary["close"] or 0.0
    rows = [
        (stage, when, signed(contracts[stage]), signed(contracts[stage] * POINT_USD * close / 1e9, 2))
        for stage, when in STAGES.items()
    ]
    caption = "What dealers bought (+) or sold (−) net to hedge. Zero also stands for a stage that did not take place."
    table = html.table(caption, ("stage", "when", "contracts", "$bn at the close"), rows)
    return html.section("Dealers", _pair(day, "dealers", "against_spot"), table)


def _dominoes(day: Day) -> str:
    rows = largest(day, LONGEST_TABLE).sort_values("time_ns", kind="stable")
    if rows.empty:
        return html.section("Dominoes", html.paragraph("No decision moved the price."))
    caption = (
        f"The {len(rows)} decisions that moved the price most, in order of time; their points include what makers "
        "did in answer. Set off by: whose moves they answered, by share. Mechanical, and it overstates how much the "
        "price alone explains."
    )
    head = ("time", "who", "alarm", "bought, contracts", "moved, points", "set off by")
    table = html.table(caption, head, [_domino(day, domino, row) for domino, row in rows.iterrows()])
    return html.section("Dominoes", _pair(day, "dominoes", "matrix"), table)


def _domino(day: Day, domino: Any, row: pd.Series[Any]) -> tuple[str, ...]:
    shares = [(name_of(group), round(100 * share)) for group, share in causes(day, domino)[:3]]
    set_off_by = ", ".join(f"{name} {share} %" for name, share in shares if share >= LEAST_PERCENT)
    amounts = signed(row["traded"]), signed(row["points"], 3)
    return clock_text(int(row["time_ns"])), *who_and_why(row), *amounts, set_off_by or "no move of the price"


def _without(day: Day) -> str:
    text = (
        "Counterfactual: this report cannot say. All of its attributions are mechanical. What a group was good for "
        "is the difference between runs with and without it on the same seeds, and one seed is one draw; thinbook "
        "sweep and thinbook compare make such pairs."
    )
    return html.section("What would have happened without them", html.paragraph(text))


def _again(day: Day) -> str:
    run, facts = day.run, day.run.provenance
    told = [
        ("scenario digest", run.scenario.digest),
        ("tape digest", run.tape_sha256),
        *made_with(facts),
        ("finished", f"{facts.get('finished', '')}, after {run.summary.get('wall_seconds', 0):,.0f} s"),
    ]
    verify = (
        "Or from the folder of the run alone, which has the whole scenario: thinbook verify DIR runs it again and "
        "compares the tapes, to the byte."
    )
    return html.section(
        "How to make it again",
        html.code(_command(run)),
        html.paragraph(verify, "note"),
        html.listing(told),
        html.paragraph(WARNING, "note"),
    )


def made_with(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Commit, packages and machine, from what was noted when it was made."""
    versions = ", ".join(f"{name} {text}" for name, text in facts.get("versions", {}).items())
    commit = facts.get("commit") or "outside a repository"
    return [("commit", commit), ("versions", versions), ("machine", facts.get("machine", ""))]


def _command(run: Run) -> str:
    """What was typed."""
    settings = dict(run.provenance.get("settings") or {})
    without = settings.pop("without", "")
    return run_command(run.provenance.get("scenario") or "scenario.toml", run.seed, settings, without)
