"""The last day of a run in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sim.analysis.impact import WINDOWS_NS, impact_points_per_contract, sold_in_fall
from sim.analysis.tape import HALF_TICK_POINTS, contracts_by_group, etf_share, mid2, owner_groups, price_points_by_group
from sim.units import HOUR, SECOND, TICK_POINTS, clock_text

if TYPE_CHECKING:
    from sim.tables import Scenario

WATCHED_POINTS = 6700.0
"""The level below which trend followers were said to sell, one after another (press reports of 21 Nov 2025)."""

type Frames = Mapping[str, pd.DataFrame]
type Hours = tuple[int, int]


def summary(frames: Frames, scenario: Scenario, messages: int) -> dict[str, object]:
    """The last day in numbers: percents are signed, shares fractions, times "HH:MM:SS" or None, missing numbers NaN.

    Parameters
    ----------
    frames : mapping
        The tables of a run (`sim.records.FRAMES`).
    scenario : Scenario
        For the hours of its sessions.
    messages : int
        Messages of the whole run, which no table tells.

    Returns
    -------
    dict
        `open` is the first trade, which is the opening auction's if anything crossed there; `high` and `low` are
        trades; `close` and `prior_close` are last mids; `time_6700_lost` is when the mid is first below that level
        after it was above. Depth, spread and its share of one tick are means over the bars that had a quote on both
        sides (those of a halt have none). `vix...` and `vix1d...` are of ends of minutes. `etf_share` is what groups
        "etfs" took, of all contracts; for `seconds_one_sided` see the function. Tables by group:
        `dealers_contracts_by_stage` is what dealers bought net on the first day ("1"), from the open to the high ("2")
        and from losing 6700 to the low ("3"); for the others see `sold_in_fall`, `contracts_by_group` and
        `price_points_by_group`. `impact_points_per_contract` is by window of time.
    """
    hours = scenario.session.hours_ns
    today = {name: within(frames[name], hours[-1]) for name in ("trades", "quotes", "decisions")}
    owner_group = owner_groups(frames["agents"])
    contracts = contracts_by_group(today["trades"], owner_group)
    prices = _prices(today["trades"], today["quotes"])
    lost = time_lost(today["quotes"], WATCHED_POINTS)
    stages = _stages(hours, _time_at(today["trades"], "max"), lost, _time_at(today["trades"], "min"))
    volume = int(today["trades"]["size"].sum())
    fall_points, sold = sold_in_fall(today["trades"], owner_group)
    return {
        **prices,
        "prior_close": _prior_close(frames["quotes"], scenario),
        "time_of_high": _clock(_time_at(today["trades"], "max")),
        "time_6700_lost": _clock(lost),
        "volume_contracts": volume,
        "messages": int(messages),
        "trades": len(today["trades"]),
        **_of_bars(frames["bars"], hours),
        "seconds_one_sided": seconds_one_sided(today["quotes"], hours[-1]),
        "etf_share": etf_share(contracts),
        "triggers_fired": _triggers(today["decisions"], today["trades"], owner_group),
        "dealers_contracts_by_stage": {
            stage: _net(within(frames["trades"], span), owner_group, "dealers") if span else 0
            for stage, span in stages.items()
        },
        "fall_points": fall_points,
        "sold_in_fall_by_group": sold,
        "impact_points_per_contract": {
            name: impact_points_per_contract(today["trades"], today["quotes"], hours[-1], window)
            for name, window in WINDOWS_NS.items()
        },
        "gross_contracts_by_group": contracts["gross"].to_dict(),
        "net_contracts_by_group": contracts["net"].to_dict(),
        "price_points_by_group": price_points_by_group(today["quotes"], owner_group),
    }


def within(frame: pd.DataFrame, span: Hours) -> pd.DataFrame:
    """Rows of the first book (or of no book) from one time to another, both included; times rise from row to row."""
    start, end = np.searchsorted(frame["time_ns"], (span[0], span[1] + 1))
    rows = frame.iloc[start:end]
    return rows[rows["book"] == 0] if "book" in rows and rows["book"].any() else rows


def time_lost(quotes: pd.DataFrame, level_points: float) -> int | None:
    """When the mid is first below a level after it was above; None if never."""
    mids = mid2(quotes) * HALF_TICK_POINTS
    lost = np.flatnonzero(np.logical_or.accumulate(mids > level_points) & (mids > 0) & (mids < level_points))
    return int(quotes["time_ns"].iloc[lost[0]]) if len(lost) else None


def seconds_one_sided(quotes: pd.DataFrame, hours: Hours) -> float:
    """Time in which a side of the book was empty, after there was a quote on both."""
    missing = ((quotes["bid_ticks"] == 0) | (quotes["ask_ticks"] == 0)).to_numpy()
    began = np.logical_or.accumulate(~missing)
    lasts = np.diff(quotes["time_ns"].to_numpy(), append=hours[1])
    return float(lasts[missing & began].sum() / SECOND)


def _prices(trades: pd.DataFrame, quotes: pd.DataFrame) -> dict[str, float]:
    price = trades["price_ticks"] * TICK_POINTS
    close, high = _last_mid(quotes), float(price.max())
    return {
        "open": float(price.iloc[0]) if len(price) else np.nan,
        "high": high,
        "low": float(price.min()),
        "close": close,
        "high_to_close_pct": 100 * (close / high - 1),
    }


def _last_mid(quotes: pd.DataFrame) -> float:
    mids = mid2(quotes)
    return float(mids[-1] * HALF_TICK_POINTS) if len(mids) and mids[-1] else np.nan


def _prior_close(quotes: pd.DataFrame, scenario: Scenario) -> float:
    hours = scenario.session.hours_ns
    return _last_mid(within(quotes, hours[-2])) if len(hours) > 1 else scenario.session.prior_close_points


def _time_at(trades: pd.DataFrame, which: str) -> int | None:
    """Time of the first trade at the highest ("max") or lowest ("min") price."""
    price = trades["price_ticks"].to_numpy()
    if not len(price):
        return None
    return int(trades["time_ns"].iloc[price.argmax() if which == "max" else price.argmin()])


def _clock(time_ns: int | None) -> str | None:
    return None if time_ns is None else clock_text(time_ns)


def _of_bars(bars: pd.DataFrame, hours: tuple[Hours, ...]) -> dict[str, float]:
    opens = hours[-1][0]
    today, before = within(bars, hours[-1]), bars[bars["time_ns"] < opens]
    morning = within(today, (opens, opens + HOUR))
    quoted = today[today["spread_ticks"] > 0]
    return {
        "top_of_book_musd": float(quoted["top_of_book_musd"].mean()),
        "spread_ticks": float(quoted["spread_ticks"].mean()),
        "share_of_time_one_tick": float(quoted["one_tick_share"].mean()),
        "vix_prior_close": _end(before["vix"], -1),
        "vix_morning_low": float(morning["vix"].min()),
        "vix_high": float(today["vix"].max()),
        "vix_close": _end(today["vix"], -1),
        "vix1d_prior_close": _end(before["vix1d"], -1),
        "vix1d_open": _end(today["vix1d"], 0),
    }


def _end(column: pd.Series, place: int) -> float:
    return float(column.iloc[place]) if len(column) else np.nan


def _triggers(decisions: pd.DataFrame, trades: pd.DataFrame, owner_group: Mapping[int, str]) -> int:
    """Price alarms on which trend followers have acted, and stop orders of stop-loss holders that traded.

    Stops are all that stop-loss holders trade, and a stop keeps its order number when it fires.
    """
    alarms = (decisions["group"] == "ctas") & decisions["alarm"].isin(["below", "above"])
    holders = [owner for owner, group in owner_group.items() if group == "stops"]
    return int(alarms.sum()) + int(trades["taker_id"][trades["taker"].isin(holders)].nunique())


def _stages(hours: tuple[Hours, ...], high: int | None, lost: int | None, low: int | None) -> dict[str, Hours | None]:
    """Spans of time of the three stages; None for one that did not take place."""
    is_third = lost is not None and low is not None and lost <= low
    return {
        "1": hours[0],
        "2": None if high is None else (hours[-1][0], high),
        "3": (lost, low) if is_third else None,  # type: ignore[dict-item]
    }


def _net(trades: pd.DataFrame, owner_group: Mapping[int, str], group: str) -> int:
    return int(contracts_by_group(trades, owner_group)["net"].get(group, 0))
