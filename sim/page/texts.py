"""From frames to words and tables: pure functions that return plain text, or HTML in which all text is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import islice

from sim.alarms import in_words
from sim.news import told
from sim.page.world import Decision, Frame, World
from sim.palette import colour_of, name_of, trader_name
from sim.units import MINUTE, clock_text, moment_text

MOST_DECISIONS = 40
LATELY_MINUTES = 15


def moment(world: World, frames: Sequence[Frame]) -> str:
    """Day and clock of the moment shown."""
    session = world.scenario.session
    time_ns = frames[-1].time_ns if frames else session.hours_ns[0][0]
    return moment_text(time_ns, session.first_day)[:16]


def numbers(frames: Sequence[Frame]) -> list[tuple[str, str, str]]:
    """Label, value and unit of what stands above the charts."""
    if not frames:
        return [(label, "–", unit) for label, unit in zip(LABELS, UNITS, strict=True)]
    frame = frames[-1]
    bar, change = frame.bar, frame.mid - frame.base
    values = (
        f"{frame.mid:,.2f}",
        f"{change:+,.2f}",
        f"{bar['vix']:.2f}",
        f"{bar['vix1d']:.2f}",
        f"{bar['top_of_book_musd']:.1f}",
        f"{bar['spread_ticks']:.2f}",
        f"{frame.volume:,.0f}",
    )
    return list(zip(LABELS, values, UNITS, strict=True))


LABELS = ("Price", "Since the prior close", "VIX", "VIX1D", "Top of book", "Spread", "Volume today")
UNITS = ("points", "points", "%", "%", "$M a side", "ticks", "contracts")


def story(frames: Sequence[Frame]) -> str:
    """One sentence: what the price has done lately, and who pushed it."""
    if not frames:
        return "Press Play: the day begins with the opening auction."
    now = frames[-1]
    since = now.time_ns - LATELY_MINUTES * MINUTE
    start = next((frame for frame in reversed(frames[now.first :]) if frame.time_ns <= since), None)
    before = start.points if start else dict.fromkeys(now.points, 0.0)
    moved = {group: points - before[group] for group, points in now.points.items()}
    change = sum(moved.values())
    span = f"in {LATELY_MINUTES} minutes" if start else "since the prior close"
    way = 1 if change >= 0 else -1
    said = f"{'Up' if way > 0 else 'Down'} {abs(change):.1f} points {span}"
    first, *others = sorted(moved, key=lambda group: -way * moved[group])
    if way * moved[first] <= 0:
        return f"{said}."
    second = max(others, key=lambda group: abs(moved[group]))
    joined = " and" if way * moved[second] > 0 else ", against"
    who = [f"{name_of(group)} {moved[group]:+.1f}" for group in (first, second)]
    return f"{said}: most by {who[0]}{joined} {who[1]}."


def counterfactual(worlds: Sequence[Sequence[Frame]]) -> str:
    """How far two worlds of one seed are apart; nothing before they have begun."""
    if not all(worlds):
        return ""
    first, second = (frames[-1] for frames in worlds)
    gap = second.mid - first.mid
    side = "above" if gap >= 0 else "below"
    return f"Counterfactual: on the same seed and news, B stands {abs(gap):,.2f} points {side} A."


def news(world: World, frames: Sequence[Frame]) -> str:
    """What has come out since the last close, with the numbers that mark it in the chart of the price."""
    items = (
        f"<span><b>{number}</b> {clock_text(at)[:5]} {escape(told(item))}</span>"
        for number, (at, item) in enumerate(world.news(frames), start=1)
    )
    return f'<div class="legend news">{"".join(items)}</div>'


def decisions(frames: Sequence[Frame], least: int) -> str:
    """A table of decisions over at least so many contracts, the newest first; it says so where there are older ones."""
    newest = list(islice(_newest(frames, least), MOST_DECISIONS + 1))
    rows = "".join(_row(decision) for decision in newest[:MOST_DECISIONS])
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Time", "Who", "Why", "Contracts", "Worked over"))
    older = f"<p>These are the newest {MOST_DECISIONS}.</p>" if len(newest) > MOST_DECISIONS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{older}"


def _newest(frames: Sequence[Frame], least: int) -> Iterator[Decision]:
    for frame in reversed(frames):
        yield from (decision for decision in reversed(frame.decisions) if abs(decision.contracts) >= least)


def _row(decision: Decision) -> str:
    dot = f'<i style="background:{colour_of(decision.group)}"></i>'
    cells = (
        f'<td class="number">{clock_text(decision.time_ns)}</td>',
        f"<td>{dot}{escape(trader_name(decision.name, decision.group))}</td>",
        f"<td>{escape(in_words(decision.alarm, decision.detail))}</td>",
        f'<td class="number">{"buys" if decision.contracts > 0 else "sells"} {abs(decision.contracts):,}</td>',
        f'<td class="number">{_span(decision.seconds)}</td>',
    )
    return f"<tr>{''.join(cells)}</tr>"


def _span(seconds: float) -> str:
    return "at once" if not seconds else f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def legend(groups: Sequence[str]) -> str:
    """The colours of the groups."""
    items = (f'<span><i style="background:{colour_of(group)}"></i>{escape(name_of(group))}</span>' for group in groups)
    return f'<div class="legend">{"".join(items)}</div>'
