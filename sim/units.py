"""Units and their conversions, in one place.

Inside the simulator prices are integer ticks, sizes integer contracts, time integer nanoseconds and cash integer
cents (the kernel's: ticks times contracts). Everything else (index points, dollars, clock times) is made from them
here, at the edges.

The one instrument so far is the E-mini S&P 500 future: a tick of 0.25 index points, 50 dollars a point (CME contract
specification), hence 12.50 dollars a tick. It is quoted at index level: the basis to the index is taken as zero.
"""

from __future__ import annotations

from datetime import date, timedelta

REFERENCE_DEPTH_MUSD = 5.0
"""The depth that parameters which go with depth are given for."""
TICK_POINTS = 0.25
POINT_USD = 50
TICK_CENTS = 1250
"""Value of one tick of one contract, in cents."""
OPTION_FUTURES = 2
"""Futures of delta in one S&P 500 option of delta one: its multiplier of 100 over the future's 50."""
OPTION_POINT_CENTS = 10_000
"""Value of one index point of one S&P 500 option, in cents (multiplier 100)."""

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NEVER = 2**62
"""A time after all others."""


def ticks(points: float) -> int:
    """Index points to the nearest integer tick."""
    return round(points / TICK_POINTS)


def points(ticks: float) -> float:
    """Ticks (or mid prices with half ticks) to index points."""
    return ticks * TICK_POINTS


def clock_ns(text: str) -> int:
    """Nanoseconds after midnight of a clock time "HH:MM" or "HH:MM:SS"; ValueError for anything else."""
    parts = [int(part) for part in text.split(":")]
    if len(parts) not in (2, 3) or not (0 <= parts[0] < 24 and all(0 <= part < 60 for part in parts[1:])):
        raise ValueError(f"{text!r} is no clock time; write HH:MM or HH:MM:SS")
    hours, minutes, seconds = (*parts, 0)[:3]
    return hours * HOUR + minutes * MINUTE + seconds * SECOND


def clock_text(time_ns: int) -> str:
    """Clock time "HH:MM:SS" of a time in nanoseconds after any midnight."""
    seconds = time_ns % DAY // SECOND
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def moment_ns(text: str, first_day: date) -> int:
    """Nanoseconds after midnight of `first_day` of a moment "YYYY-MM-DD HH:MM[:SS]"."""
    day, _, clock = text.partition(" ")
    return (date.fromisoformat(day) - first_day).days * DAY + clock_ns(clock)


def moment_text(time_ns: int, first_day: date) -> str:
    """Moment "YYYY-MM-DD HH:MM:SS" of a time in nanoseconds after midnight of `first_day`."""
    return f"{first_day + timedelta(days=time_ns // DAY)} {clock_text(time_ns)}"


def contracts_of(musd: float, index_points: float) -> float:
    """Futures contracts whose notional is `musd` million dollars at an index level."""
    return musd * 1e6 / (POINT_USD * index_points)
