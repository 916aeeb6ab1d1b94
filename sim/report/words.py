"""The day in words: plain sentences from the numbers of the summary and from the dominoes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from sim.alarms import in_words
from sim.news import told
from sim.palette import name_of, trader_name
from sim.report.day import Day
from sim.report.dominoes import causes, largest
from sim.units import clock_text

QUIET_PCT = 0.7
"""A day whose high and low are not farther apart is called quiet."""
MINOR_SHARE = 0.1
"""Groups that moved the price by less than this share of what the foremost one did are not named."""


def number(value: float | None, digits: int = 0) -> str:
    """A number with commas, or "none"; what is rounded to zero has no sign."""
    if value is None or value != value:
        return "none"
    text = f"{value:,.{digits}f}".replace("-", "−")
    return text if re.search("[1-9]", text) else text.removeprefix("−")


def signed(value: float, digits: int = 0) -> str:
    """A number with its sign; zero has none."""
    text = number(value, digits)
    return f"+{text}" if value > 0 and re.search("[1-9]", text) else text


def the_day(day: Day) -> str:
    """The last day of a run in one paragraph."""
    return " ".join(_sentences(day))


def _sentences(day: Day) -> Iterator[str]:
    summary = day.run.summary
    date = f"{day.run.scenario.session.days[-1]:%-d %B %Y}"
    if not summary["trades"] or summary["close"] is None:
        yield f"On {date} nothing was traded."
        return
    gap = 100 * (summary["open"] / summary["prior_close"] - 1)
    yield f"On {date} the index opened at {number(summary['open'], 2)}, {_percent(gap)} the close before."
    yield from _overnight(day)
    span = 100 * (summary["high"] / summary["low"] - 1)
    if span <= QUIET_PCT:
        yield f"The day was quiet: high and low are {span:.2f} % apart."
    yield (
        f"It was highest at {summary['time_of_high'][:5]}, at {number(summary['high'], 2)}, and closed at "
        f"{number(summary['close'], 2)}, {abs(summary['high_to_close_pct']):.2f} % below the high."
    )
    yield from _real(day)
    if summary["time_6700_lost"]:
        yield f"6700 was lost at {summary['time_6700_lost'][:5]}."
    yield from _pushes(summary["price_points_by_group"])
    yield from _foremost(day)
    stages = summary["dealers_contracts_by_stage"]
    if sold := stages.get("3"):
        yield f"Dealers {_deal(sold)} net from the loss of 6700 to the low."
    before = (
        f"was {number(summary['vix_prior_close'], 1)} at the close before and " if summary["vix_prior_close"] else ""
    )
    yield (
        f"The best quotes showed ${number(summary['top_of_book_musd'], 1)}M on average. "
        f"The VIX {before}ended at {number(summary['vix_close'], 1)}."
    )


def _overnight(day: Day) -> Iterator[str]:
    opens = day.hours[0]
    items = [f"({place}) {told(item)}" for place, (at, item) in enumerate(day.news, start=1) if at < opens]
    if items:
        yield f"News overnight: {'; '.join(items)}."


def _percent(change: float) -> str:
    return f"{abs(change):.2f} % {'above' if change >= 0 else 'below'}"


def _real(day: Day) -> Iterator[str]:
    real = day.run.scenario.real.high_to_close_pct
    if real is not None:
        yield f"The real day closed {abs(real):.2f} % below its high."


def _pushes(points: Mapping[str, float]) -> Iterator[str]:
    """Who moved the price, and who held against it."""
    way = sum(points.values())
    toward = sorted(((p, g) for g, p in points.items() if p * way > 0), key=lambda item: -abs(item[0]))
    against = sorted(((p, g) for g, p in points.items() if p * way < 0), key=lambda item: -abs(item[0]))
    if not toward:
        yield "From the first quote to the last the price came back to where it was."
        return
    least = MINOR_SHARE * abs(toward[0][0])
    yield f"From the first quote to the last the price moved by {signed(way, 2)} points: {_moved(toward, least)}"
    if told := _moved(against, least):
        yield f"Against it pushed {told}"


def _moved(movers: list[tuple[float, str]], least: float) -> str:
    told = [f"{name_of(group)} ({signed(points, 2)})" for points, group in movers[:3] if abs(points) >= least]
    return f"{', '.join(told[:-1])}{' and ' if len(told) > 1 else ''}{told[-1]}." if told else ""


def _foremost(day: Day) -> Iterator[str]:
    """The decision that moved the price most, and whom it answered."""
    for number_, row in largest(day, 1).iterrows():
        who, why = who_and_why(row)
        fell, moved = clock_text(int(row["time_ns"]))[:5], signed(row["points"], 2)
        yield (
            f"The largest single domino fell at {fell}: {who} {_deal(int(row['traded']))} (alarm: {why}) and moved "
            f"the price by {moved} points."
        )
        if found := causes(day, number_):
            group, share = found[0]
            yield f"Of the move it answered, {100 * share:.0f} % was due to {name_of(group)}."


def _deal(contracts: int) -> str:
    return f"{'sold' if contracts < 0 else 'bought'} {abs(contracts):,} contracts"


def who_and_why(row: pd.Series[Any]) -> tuple[str, str]:
    """Name of a domino's trader, and the alarm that rang; a stop has none but its price."""
    if not isinstance(row["name"], str):
        return f"{name_of(row['group'])}, agent {row['agent']}", "stop reached"
    return trader_name(row["name"], row["group"]), in_words(row["alarm"], row["detail"])
