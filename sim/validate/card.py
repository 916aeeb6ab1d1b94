"""The realism card as a page: a table, and for every section where each law stands in its range and the curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from sim.analysis import realism, stylised
from sim.analysis.observed import RECOVERY_S, RESPONSE_LAGS
from sim.analysis.realism import Days, Row
from sim.figures import INK, STYLE
from sim.palette import BLUE, GREEN, VERMILION
from sim.report import html

PANEL_INCHES = (3.6, 2.9)
HEAD = ("law", "measured", "s.e.", "accepted", "unit", "days", "verdict", "source")
WIDEST = 1.5
"""How far beyond its range, in widths of the range, a law is drawn; from there on it is an arrow."""
ABOUT = (
    "A law fails where what was measured lies outside the accepted range. Standard errors are the jackknife's over "
    'days; one day has none. "Left out": the source does not tell it, or too little. "Shown": no range is stated.'
)
CAPTION = "Dots are what was measured, bars two standard errors, arrows what lies beyond the panel; orange ones fail."


def page(title: str, rows: Sequence[Row], days: Days) -> str:
    """The card as one HTML page with inline SVG."""
    counts = Counter(row.verdict for row in rows)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("holds", "fails", "shown", "left out"))
    sections = [_section(name, list(group), days) for name, group in groupby(rows, key=lambda row: row.section)]
    return html.page(f"Realism: {title}", [html.header(f"Realism: {title}", f"Laws: {told}.", ABOUT), *sections])


def _section(name: str, rows: Sequence[Row], days: Days) -> str:
    lines = [
        (row.law, row.measured, row.error, row.accepted, row.unit, f"{row.days}", row.verdict, row.source)
        for row in rows
    ]
    is_known = any(row.verdict != "left out" for row in rows)
    drawing = html.figure(figure(rows, days), "Laws and curves", CAPTION) if is_known else ""
    return html.section(name, drawing, html.table(f"{name}: laws and verdicts.", HEAD, lines))


def figure(rows: Sequence[Row], days: Days) -> Figure:
    """A section's laws in their ranges, then its curves as far as the days have them."""
    panels = [(title, draw, _having(days, needs)) for title, needs, draw in PANELS.get(rows[0].section, [])]
    drawn = [panel for panel in panels if panel[2]]
    with rc_context(STYLE):
        made = Figure(figsize=(PANEL_INCHES[0] * (len(drawn) + 1.6), PANEL_INCHES[1]), layout="constrained")
        axes = made.subplots(1, len(drawn) + 1, width_ratios=[1.6] + [1] * len(drawn), squeeze=False)[0]
        _ranges(axes[0], rows)
        for axis, (title, draw, having) in zip(axes[1:], drawn, strict=True):
            draw(axis, having)
            axis.set_title(title)
            _plain_logs(axis)
    return made


def _plain_logs(axis: Axes) -> None:
    """Labels 1, 2, 5, 10 on a logarithmic axis of less than two decades, powers of ten on a longer one."""
    for side, (low, high) in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
        if side.get_scale() == "log":
            is_short = high / low < 100
            side.set_major_locator(LogLocator(subs=(1, 2, 3, 5) if is_short else (1,)))
            if is_short:
                side.set_major_formatter("{x:g}")
            side.set_minor_locator(NullLocator())


def _having(days: Days, needs: str) -> Days:
    return [day for day in days if all(name in day for name in needs.split())]


def _ranges(axis: Axes, rows: Sequence[Row]) -> None:
    """Every judged law on a scale on which its accepted range goes from 0 to 1, with two standard errors."""
    judged = [row for row in rows if row.low is not None and row.high is not None and np.isfinite(row.value)][::-1]
    axis.axvspan(0, 1, color=GREEN, alpha=0.15, lw=0)
    for place, row in enumerate(judged):
        width = row.high - row.low  # type: ignore[operator]
        at, error = (row.value - row.low) / width, np.nan_to_num(2 * row.se / width)  # type: ignore[operator]
        colour = INK if row.verdict == "holds" else VERMILION
        marker = "<" if at < -WIDEST else ">" if at > 1 + WIDEST else "o"
        axis.errorbar(np.clip(at, -WIDEST, 1 + WIDEST), place, xerr=error, fmt=marker, color=colour, ms=5)
    axis.set(xlim=(-WIDEST - 0.2, 1.2 + WIDEST), ylim=(-0.7, max(len(judged), 1) - 0.3), xticks=[0, 1])
    axis.set_xticklabels(["least", "most"])
    axis.set_yticks(range(len(judged)), [row.law for row in judged])
    axis.set_title("Laws in their accepted ranges")


# The curves of a section


def _ladder(axis: Axes, days: Days) -> None:
    sizes = realism.mean_of(days, "ladder")
    axis.bar(np.arange(1, len(sizes) + 1), sizes, color=BLUE)
    axis.set(xlabel="level", ylabel="contracts")


def _profile(axis: Axes, days: Days) -> None:
    axis.bar(9.75 + 0.5 * np.arange(13), 100 * realism.mean_of(days, "profile"), 0.4, color=BLUE)
    axis.set(xlabel="hour", ylabel="% of the volume")


def _signature(axis: Axes, days: Days) -> None:
    axis.axhspan(0.8, 1.2, color=GREEN, alpha=0.15, lw=0)
    axis.semilogx(realism.HORIZONS_S, realism.signature(days), "o-", color=BLUE, ms=4)
    axis.set(xlabel="horizon, s", ylabel="variance per time, over that of 1 min", ylim=(0, None))


def _tails(axis: Axes, days: Days) -> None:
    for minutes, colour in ((1, BLUE), (5, VERMILION)):
        moves = np.concatenate(realism.returns(days, minutes))
        sizes = np.sort(np.abs(moves) / moves.std())[::-1]
        axis.loglog(sizes, np.arange(1, len(sizes) + 1) / len(sizes), color=colour, label=f"{minutes} min")
    sizes = np.geomspace(1.5, 8, 20)
    axis.loglog(sizes, 0.3 * sizes**-3.0, color=INK, ls=":", label="exponent 3")
    axis.set(xlabel="|return| / standard deviation", ylabel="share above", xlim=(0.3, None))
    axis.legend()


def _return_acf(axis: Axes, days: Days) -> None:
    axis.axhline(0, color=INK, lw=0.8)
    axis.plot(realism.absolute_acf(days)[1:], color=BLUE, label="of |return|")
    axis.plot(
        stylised.autocorrelation(realism.returns(days), realism.ABSOLUTE_LAGS)[1:], color=VERMILION, label="of return"
    )
    axis.set(xlabel="lag, min")
    axis.legend()


def _sign_acf(axis: Axes, days: Days) -> None:
    curve = realism.mean_of(days, "sign_acf")
    lags, means, _ = stylised.log_binned(curve, 1, len(curve) - 1)
    axis.loglog(lags[means > 0], means[means > 0], "o", color=BLUE, ms=4)
    axis.loglog(lags, 0.2 * lags**-0.5, color=INK, ls=":", label="exponent 0.5")
    axis.set(xlabel="lag, trades")
    axis.legend()


def _response(axis: Axes, days: Days) -> None:
    axis.semilogx(RESPONSE_LAGS, realism.mean_of(days, "response"), "o-", color=BLUE, ms=4)
    axis.set(xlabel="lag, trades", ylabel="ticks", ylim=(0, None))


def _lambda(axis: Axes, days: Days) -> None:
    axis.loglog(
        realism.LAMBDA_S, [realism.price_impact(days, horizon)[0] for horizon in realism.LAMBDA_S], "o-", color=BLUE
    )
    axis.set(xlabel="horizon, s", ylabel="price per 1,000 contracts")


def _half_hours(days: Days) -> np.ndarray:
    """Half hours in books of all depths, where there are such days."""
    deep = _having(days, "depths")
    return realism.stacked(deep, "depths") if deep else realism.stacked(days, "halves")


def _ofi(axis: Axes, days: Days) -> None:
    rows = _half_hours(days)
    depth = rows[:, realism.DEPTH]
    axis.loglog(depth, rows[:, realism.OFI_SLOPE], ".", color=BLUE)
    line = np.sort(depth)
    axis.loglog(line, 0.5 / line, color=INK, ls=":", label="1 / (2 depth)")
    axis.set(xlabel="contracts at the best price", ylabel="ticks a contract")
    axis.legend()


def _depth_volatility(axis: Axes, days: Days) -> None:
    rows = _half_hours(days)
    axis.loglog(rows[:, realism.VOLATILITY], rows[:, realism.DEPTH], ".", color=BLUE)
    axis.set(xlabel="volatility, per root minute", ylabel="contracts at the best price")


def _root(axis: Axes, days: Days) -> None:
    range_of = np.geomspace(*realism.SHARES, 30)
    axis.loglog(range_of, np.sqrt(range_of), color=INK, ls=":", label="square root, Y = 1")
    if probed := _having(days, "probe"):
        rows = realism.stacked(probed, "probe")
        impacts = realism.probe_impacts(probed)
        _binned(axis, rows[:, 0], impacts, BLUE, "put in")
    if own := _having(days, "metaorders volume"):
        shares, impacts = realism.own_orders(own).T
        _binned(axis, shares, impacts, VERMILION, "the market's own")
    axis.set(xlabel="size over the day's volume", ylabel="impact over daily volatility")
    axis.legend()


def _binned(axis: Axes, shares: np.ndarray, impacts: np.ndarray, colour: str, label: str) -> None:
    place = np.digitize(np.log10(shares), np.arange(-5.125, -1.75, 0.25))
    groups = [place == number for number in np.unique(place) if (place == number).sum() > 3]
    middle = [np.exp(np.log(shares[group]).mean()) for group in groups]
    errors = [2 * impacts[group].std() / np.sqrt(group.sum()) for group in groups]
    axis.errorbar(middle, [impacts[group].mean() for group in groups], errors, fmt="o", color=colour, ms=4, label=label)


def _path(axis: Axes, days: Days) -> None:
    axis.axvline(1, color=INK, lw=0.8)
    axis.plot(realism.PROBE_TIMES, realism.probe_path(days), "o-", color=BLUE, ms=4)
    axis.set(xlabel="time over how long it was worked", ylabel="impact over the square root", ylim=(0, None))


def _branching(axis: Axes, days: Days) -> None:
    found = realism.stacked(days, "branching")
    axis.hist(found[np.isfinite(found)], bins=np.linspace(0, 1.2, 25).tolist(), color=BLUE)
    axis.set(xlabel="branching ratio", ylabel="windows of ten minutes")


def _recovery(axis: Axes, days: Days) -> None:
    axis.axhline(0, color=INK, lw=0.8)
    for name, colour, label in (
        ("spread_excess", VERMILION, "spread, ticks"),
        ("depth_missing", BLUE, "depth, share missing"),
    ):
        if having := _having(days, name):
            usual = np.mean([day["depth"].mean() for day in having]) if name == "depth_missing" else 1
            axis.plot(
                np.maximum(RECOVERY_S, 0.05),
                realism.mean_of(having, name) / usual,
                "o-",
                color=colour,
                ms=4,
                label=label,
            )
    axis.set(xscale="log", xlabel="seconds after the trade")
    axis.legend()


def _inventory(axis: Axes, days: Days) -> None:
    positions = [day["inventory"].astype(float) for day in days]
    axis.axhline(0, color=INK, lw=0.8)
    axis.plot(stylised.autocorrelation(positions, 30), color=BLUE)
    axis.set(xlabel="lag, min", ylabel="autocorrelation")


PANELS: dict[str, list[tuple[str, str, Callable[[Axes, Days], None]]]] = {
    "Size": [("The ladder", "ladder", _ladder)],
    "Profile": [("The day's volume", "profile", _profile)],
    "Diffusion": [("Signature plot", "mids", _signature)],
    "Returns": [("Tails", "mids", _tails), ("Autocorrelation", "mids", _return_acf)],
    "Signs": [("Memory of signs", "sign_acf", _sign_acf), ("Response", "response", _response)],
    "Flow": [
        ("Impact of the flow", "flow mids", _lambda),
        ("Slope of the imbalance", "ofi halves", _ofi),
        ("Depth and volatility", "halves", _depth_volatility),
    ],
    "Metaorders": [("Impact at the end", "metaorders volume mids", _root), ("Impact in time", "probe mids", _path)],
    "Recovery": [
        ("After a large trade", "spread_excess", _recovery),
        ("Moves of the mid", "branching", _branching),
        ("Makers' inventory", "inventory", _inventory),
    ],
}
"""By section: title, moments that are needed, how it is drawn."""
