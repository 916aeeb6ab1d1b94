"""Days of a market from where they are kept: tables of a run, LOBSTER pairs, bars as CSV."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from sim.analysis.day import within
from sim.analysis.observed import Day, mids_at, two_sided
from sim.analysis.tape import contracts_by_group, etf_share, owner_groups
from sim.lobster import DIRECTION, EXECUTION, NEW, PRICE, SIZE, TIME, TYPE, read_events
from sim.tables import Session
from sim.units import DAY, MINUTE, POINT_USD, TICK_POINTS, clock_ns

OPEN_NS, CLOSE_NS = clock_ns("09:30"), clock_ns("16:00")
"""Of bars only regular hours are read."""
COLUMNS = ["datetime", "open", "high", "low", "close", "volume"]
LEVELS = 10
LOBSTER_UNITS = 10_000
"""LOBSTER price units in one unit of price."""
NO_OFFER = 10**9
"""From here on LOBSTER's price of an offer says that there is none."""


class ReadError(ValueError):
    """A file that cannot be used; its text is one line for the user."""


# Runs


def day_of_run(frames: Mapping[str, pd.DataFrame], session: Session, events: np.ndarray | None = None) -> Day:
    """The last day of a run.

    Parameters
    ----------
    frames : mapping
        The tables of a run (`sim.records.FRAMES`).
    session : Session
        Its days and hours.
    events : int64[n, 6], optional
        Its order events (`MarketModel.lobster_events`), times after that day's midnight; without them the sizes of the
        quotes are not known at every moment, nor the levels behind them.

    Raises
    ------
    ReadError
        Where its bars are not of a minute.
    """
    if session.bar_seconds != 60:
        raise ReadError("session.bar_seconds: the laws are those of bars of a minute, 60")
    hours_ns = session.hours_ns[-1]
    bars, trades, quotes = (within(frames[name], hours_ns) for name in ("bars", "trades", "quotes"))
    day = {
        "opens_ns": hours_ns[0],
        "closes_ns": hours_ns[1],
        "tick": TICK_POINTS,
        "trades": trades,
        "inventory": _inventory(frames["agents"], hours_ns),
        "metaorders": _metaorders(trades, quotes),
        "etf_share": np.array(etf_share(contracts_by_group(trades, owner_groups(frames["agents"])))),
    }
    if events is None:
        contracts = bars["top_of_book_musd"] * 1e6 / (POINT_USD * bars["mid"])
        return Day(**day, quotes=quotes, depth=contracts.to_numpy())
    events = np.column_stack([events[:, TIME] + hours_ns[0] // DAY * DAY, events[:, TYPE:]])
    samples = np.arange(hours_ns[0] + MINUTE, hours_ns[1] + 1, MINUTE)
    return Day(**day, quotes=sized_quotes(events, quotes), has_sizes=True, ladder=ladders(events, samples))


def _inventory(agents: pd.DataFrame, hours_ns: tuple[int, int]) -> np.ndarray:
    rows = within(agents[agents["group"] == "makers"], hours_ns)
    return rows.groupby("time_ns")["position"].sum().to_numpy()


def _metaorders(trades: pd.DataFrame, quotes: pd.DataFrame) -> np.ndarray:
    """What came of every decision to trade: contracts taken, and points in its direction; those of one side alone."""
    decided = trades[trades["taker_decision"] > 0]
    orders = decided.groupby("taker_decision").agg(
        start=("time_ns", "first"),
        end=("time_ns", "last"),
        contracts=("size", "sum"),
        low=("side", "min"),
        high=("side", "max"),
    )
    orders, quotes = orders[orders["low"] == orders["high"]], two_sided(quotes)
    moves = mids_at(quotes, orders["end"].to_numpy()) - mids_at(quotes, orders["start"].to_numpy() - 1)
    return np.column_stack([orders["contracts"], TICK_POINTS * moves * orders["low"]])


def sized_quotes(events: np.ndarray, quotes: pd.DataFrame) -> pd.DataFrame:
    """The best quotes with their sizes after every instant at which something happened.

    Parameters
    ----------
    events : int64[n, 6]
        Order events in ticks, from an empty book on; rising in time.
    quotes : DataFrame
        Best prices after every change (the sizes are not used).

    Notes
    -----
    O(n log n): a size is the sum of all events at its price so far.
    """
    # Several messages of one instant are one change: nobody could act between them.
    last = np.flatnonzero(np.diff(events[:, TIME], append=events[-1, TIME] + 1))
    last = last[events[last, TIME] >= quotes["time_ns"].iloc[0]]
    times = events[last, TIME]
    places = np.searchsorted(quotes["time_ns"], times, side="right") - 1
    found: dict[str, np.ndarray] = {"time_ns": times}
    for name, direction in (("bid", 1), ("ask", -1)):
        prices = quotes[f"{name}_ticks"].to_numpy()[places]
        found |= {f"{name}_ticks": prices, f"{name}_size": _sizes_at(events, direction, prices, last)}
    return pd.DataFrame(found)


def _signed(events: np.ndarray) -> np.ndarray:
    """What every event adds to the size at its price."""
    return np.where(events[:, TYPE] == NEW, events[:, SIZE], -events[:, SIZE])


def _sizes_at(events: np.ndarray, direction: int, prices: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Size of a side at some prices after some events."""
    rows = np.flatnonzero(events[:, DIRECTION] == direction)
    keys = events[rows, PRICE] * len(events) + rows
    order = np.argsort(keys)
    keys, total = keys[order], np.concatenate([[0], np.cumsum(_signed(events)[rows[order]])])
    ends = np.searchsorted(keys, prices * len(events) + after, side="right")
    return total[ends] - total[np.searchsorted(keys, prices * len(events))]


def ladders(events: np.ndarray, samples_ns: np.ndarray, levels: int = LEVELS) -> np.ndarray:
    """Sizes of the best levels of bids and asks at some times, (samples, 2, levels); 0 where there is no level."""
    low = events[:, PRICE].min()
    width = int(events[:, PRICE].max() - low) + 1
    sizes, found = np.zeros((2, width)), np.zeros((len(samples_ns), 2, levels))
    edges = [0, *np.searchsorted(events[:, TIME], samples_ns, side="right")]
    changes, lanes = _signed(events), np.where(events[:, DIRECTION] > 0, 0, width) + events[:, PRICE] - low
    for number, (start, end) in enumerate(pairwise(edges)):
        sizes += np.bincount(lanes[start:end], changes[start:end], 2 * width).reshape(2, width)
        for side, best_first in ((0, sizes[0, ::-1]), (1, sizes[1])):
            held = best_first[best_first > 0][:levels]
            found[number, side, : len(held)] = held
    return found


# LOBSTER


def read_lobster(message_file: Path) -> Day:
    """A LOBSTER pair, named by its message file `..._message_...csv`; the book is read from `..._orderbook_...csv`.

    The session is that of the file's name (`TICKER_DATE_START_END_...`, milliseconds after midnight).
    """
    book_file = message_file.with_name(message_file.name.replace("_message_", "_orderbook_"))
    span = re.search(r"_(\d+)_(\d+)_message_", message_file.name)
    if not span:
        raise ReadError(f"{message_file}: no LOBSTER name; TICKER_DATE_START_END_message_LEVELS.csv, times in ms")
    opens_ns, closes_ns = (int(text) * 1_000_000 for text in span.groups())
    if not opens_ns < closes_ns:
        raise ReadError(f"{message_file}: by its name the session ends before it begins")
    if not book_file.is_file():
        raise ReadError(f"{message_file}: the file {book_file.name!r} is not beside it")
    try:
        events = read_events(message_file)
    except ValueError as error:
        raise ReadError(str(error)) from None
    book = _read_book(book_file)
    if len(book) != len(events) or not len(events):
        raise ReadError(f"{book_file}: {len(book)} rows, but {len(events)} messages in {message_file.name!r}")
    inside = (events[:, TIME] >= opens_ns) & (events[:, TIME] <= closes_ns)
    events, book = events[inside], book[inside]
    if not (_quoted(book) & (events[:, TIME] < closes_ns)).any():
        raise ReadError(f"{book_file}: no row of the session has a bid and an offer")
    return _lobster_day(events, book, opens_ns, closes_ns)


def _read_book(file: Path) -> np.ndarray:
    """Rows of an order book file: (n, levels, 4), ask price and size, bid price and size."""
    try:
        book = pd.read_csv(file, header=None, dtype=np.int64).to_numpy()
    except ValueError as error:
        raise ReadError(f"{file}: no LOBSTER order book: {str(error).splitlines()[0]}") from None
    if book.shape[1] % 4:
        raise ReadError(f"{file}: {book.shape[1]} columns; ask price, ask size, bid price and bid size of every level")
    return book.reshape(len(book), -1, 4)


def _quoted(book: np.ndarray) -> np.ndarray:
    """Which rows have a bid and an offer."""
    return (book[:, 0, 0] < NO_OFFER) & (book[:, 0, 2] > 0)


def _lobster_day(events: np.ndarray, book: np.ndarray, opens_ns: int, closes_ns: int) -> Day:
    quoted = _quoted(book)
    step = int(np.gcd.reduce(book[quoted][:, 0, [0, 2]], axis=None)) or 1
    last = np.flatnonzero(np.diff(events[:, TIME], append=events[-1, TIME] + 1))
    last = last[quoted[last]]
    best = book[last, 0]
    quotes = pd.DataFrame(
        {
            "time_ns": events[last, TIME],
            "bid_ticks": best[:, 2] // step,
            "bid_size": best[:, 3],
            "ask_ticks": best[:, 0] // step,
            "ask_size": best[:, 1],
        }
    )
    executed = events[events[:, TYPE] == EXECUTION]
    trades = pd.DataFrame(
        {"time_ns": executed[:, TIME], "size": executed[:, SIZE], "side": -executed[:, DIRECTION]}
    ).reset_index(drop=True)
    samples = np.arange(opens_ns + MINUTE, closes_ns + 1, MINUTE)
    rows = book[np.maximum(np.searchsorted(events[:, TIME], samples, side="right") - 1, 0)]
    whole = book.shape[1] >= LEVELS
    ladder = np.stack([rows[:, :LEVELS, 3], rows[:, :LEVELS, 1]], axis=1) if whole else None
    return Day(opens_ns, closes_ns, step / LOBSTER_UNITS, trades=trades, quotes=quotes, has_sizes=True, ladder=ladder)


# Bars


def read_bars(file: Path) -> list[Day]:
    """Days of one-minute bars, CSV with the columns datetime (start of the bar), open, high, low, close, volume.

    Only bars of regular hours are kept, and days that have a bar in nine minutes of ten; a missing one has the close
    before it.
    """
    try:
        table = pd.read_csv(file)
    except (ValueError, UnicodeDecodeError) as error:
        raise ReadError(f"{file}: no CSV: {str(error).splitlines()[0]}") from None
    table.columns = table.columns.str.strip().str.lower()
    if missing := [name for name in COLUMNS if name not in table]:
        raise ReadError(f"{file}: no column {missing[0]!r}; needs {', '.join(COLUMNS)}")
    try:
        times = pd.to_datetime(table["datetime"], errors="coerce", format="ISO8601")
    except ValueError:
        raise ReadError(f"{file}: datetime: some times name a zone and some do not, or another one") from None
    values = table[COLUMNS[1:]].apply(pd.to_numeric, errors="coerce").astype(float)
    good = times.notna() & np.isfinite(values).all(axis=1) & (values[COLUMNS[1:5]] > 0).all(axis=1)
    good &= (values["volume"] >= 0) & (values["high"] >= values["low"])
    if not good.all():
        line = int(np.flatnonzero(~good)[0])
        raise ReadError(f"{file}, line {line + 2}: no bar: {', '.join(map(str, table.iloc[line]))}")
    bars = values.set_axis(pd.DatetimeIndex(times)).sort_index()
    days = [_bar_day(rows) for _, rows in bars.groupby(bars.index.date)]
    whole = [day for day in days if day is not None]
    if not whole:
        raise ReadError(f"{file}: no day with one-minute bars from 09:30 to 16:00")
    return whole


def _bar_day(bars: pd.DataFrame) -> Day | None:
    minutes = bars.index.hour * 60 + bars.index.minute - OPEN_NS // MINUTE
    count = (CLOSE_NS - OPEN_NS) // MINUTE
    bars = bars.set_axis(minutes)
    bars = bars[(minutes >= 0) & (minutes < count) & ~minutes.duplicated()]
    if len(bars) < 0.9 * count:
        return None
    closes = bars["close"].reindex(range(count)).ffill().fillna(bars["open"].iloc[0])
    volume = bars["volume"].reindex(range(count)).fillna(0)
    path = np.concatenate([bars["open"].iloc[:1], closes])
    return Day(OPEN_NS, CLOSE_NS, 0.0, closes=path, bar_volume=volume.to_numpy())
