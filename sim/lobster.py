"""LOBSTER files: replay of a message file against our book, and writing of message and order book pairs.

LOBSTER (lobsterdata.com, "Data structure") records an exchange's visible book as a pair of CSV files without headers.
A row of the message file is: seconds after midnight, type, order id, size, price times 10000, and the direction of the
*resting* order (1 buy, -1 sell). The same row of the order book file is the book after it: ask price, ask size, bid
price, bid size of the best level, then of the next one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from sim.kernel import codes
from sim.market import replay_array
from sim.units import SECOND, TICK_POINTS

NEW, PARTIAL_CANCEL, DELETE, EXECUTION, HIDDEN_EXECUTION, CROSS, HALT = range(1, 8)
"""Types of a message. The price of a HALT is -1 (halted), 0 (quotes only) or 1 (trading again)."""
TIME, TYPE, ORDER, SIZE, PRICE, DIRECTION = range(6)
"""Columns of an event array."""
BUY, SELL = 1, -1
TICK_UNITS = round(10_000 * TICK_POINTS)
"""LOBSTER price units (1/10000 of a point) in one tick."""
NO_ASK, NO_BID = "9999999999,0", "-9999999999,0"
"""What stands in an order book file where the book has no such level."""

_OPERATIONS = {
    NEW: codes.OP_LIMIT,
    PARTIAL_CANCEL: codes.OP_MODIFY,
    DELETE: codes.OP_CANCEL,
    EXECUTION: codes.OP_EXECUTE,
}
_LARGEST = 2**31 - 1
_BLOCK = 100_000


@dataclass(frozen=True)
class LobsterReport:
    """How our book fared with an exchange's messages.

    Attributes
    ----------
    messages : int
        Rows of the file.
    executions : int
        Executions of visible orders: met_first + missed + unknown.
    met_first : int
        Executions of the order that our book had first in the queue of the best price of its side.
    missed : int
        Executions of an order that our book had, but not first. What stood before it is then taken out: a file holds
        only what happened near the best prices, so orders deleted further away would stand there for ever.
    unknown : int
        Executions of orders that our book did not have: from before the first message, as a rule.
    unknown_cancels : int
        Cancellations, in part or whole, of such orders.
    refused : int
        New orders that our book refused (an id still live, a size or price out of range).
    crossed : int
        Trades of our book when a new order arrived, which the exchange let rest without one.
    share : float or None
        met_first of the executions whose order was known; None if there was none.
    """

    messages: int
    executions: int
    met_first: int
    missed: int
    unknown: int
    unknown_cancels: int
    refused: int
    crossed: int
    share: float | None


def read_events(path: str | Path) -> np.ndarray:
    """Read a message file.

    Parameters
    ----------
    path : str or Path
        CSV without a header; columns after the sixth are ignored.

    Returns
    -------
    int64[n, 6]
        Nanoseconds after midnight, type, order id, size, price in LOBSTER units (1/10000), direction.

    Raises
    ------
    ValueError
        For a row that is no message, naming the file and the line (from 1).
    """
    flat = array("q")
    with open(path, encoding="ascii", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            try:
                flat.extend(_event(line))
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{path}, line {number}: no LOBSTER message: {error}") from None
    return np.frombuffer(flat, dtype=np.int64).reshape(-1, 6)


def replay_file(path: str | Path) -> LobsterReport:
    """Replay a message file; see `replay_events`."""
    return replay_events(read_events(path))


def replay_events(events: np.ndarray) -> LobsterReport:
    """Replay an exchange's messages and compare each execution with the order that our book has first.

    New orders, cancellations and executions act on one fresh book. An execution takes its size from the order that the
    exchange names, wherever our book has it, so that a miss does not put the books out of step. Hidden executions and
    crosses do not touch the visible book. Halts are ignored: what the exchange accepts meanwhile is in its messages.

    Parameters
    ----------
    events : int64[n, 6]
        As `read_events` gives them.

    Returns
    -------
    LobsterReport

    Notes
    -----
    Some two microseconds a message.
    """
    visible = events[np.isin(events[:, TYPE], list(_OPERATIONS))]
    messages, n_ids = _messages(visible)
    trades, answers, _ = replay_array(messages, n_ids, 0, codes.STP_NONE)
    executions = answers[visible[:, TYPE] == EXECUTION]
    met_first, missed = int(np.sum(executions == codes.OK)), int(np.sum(executions == codes.NOT_FIRST))
    cancels = answers[np.isin(visible[:, TYPE], [PARTIAL_CANCEL, DELETE])]
    return LobsterReport(
        messages=len(events),
        executions=len(executions),
        met_first=met_first,
        missed=missed,
        unknown=len(executions) - met_first - missed,
        unknown_cancels=int(np.count_nonzero(cancels)),
        refused=int(np.count_nonzero(answers[visible[:, TYPE] == NEW])),
        crossed=len(trades) - met_first - missed,
        share=met_first / (met_first + missed) if met_first + missed else None,
    )


def write_pair(folder: str | Path, stem: str, events: np.ndarray, levels: int = 10) -> tuple[Path, Path]:
    """Write events as a LOBSTER pair `<stem>_message_<levels>.csv` and `<stem>_orderbook_<levels>.csv`.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist.
    stem : str
        Instrument, day, and start and end in milliseconds after midnight: "ES_2020-11-20_34200000_57600000".
    events : int64[n, 6]
        Nanoseconds after that day's midnight (not negative), type, order id, size, price in ticks (a HALT: its code),
        direction of the resting order. The book is empty before the first one.
    levels : int
        Levels of a side in the order book file. All events are written, those beyond these levels too.

    Returns
    -------
    tuple of Path
        The message file and the order book file.

    Raises
    ------
    ValueError
        For an event that takes more than rests at its price, naming its position.

    Notes
    -----
    Some five microseconds an event.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    message_path = Path(folder, f"{stem}_message_{levels}.csv")
    book_path = Path(folder, f"{stem}_orderbook_{levels}.csv")
    book = _Depth(levels)
    with open(message_path, "w", newline="\n") as message_file, open(book_path, "w", newline="\n") as book_file:
        for position, event in enumerate(_rows(events)):
            try:
                book.apply(*event[TYPE:])
            except ValueError as error:
                raise ValueError(f"event {position}, {event}: {error}") from None
            message_file.write(_line(event))
            book_file.write(book.line())
    return message_path, book_path


def _rows(events: np.ndarray) -> Iterator[list[int]]:
    """Rows as lists, a block at a time: a day's events as one list would take gigabytes."""
    return chain.from_iterable(events[i : i + _BLOCK].tolist() for i in range(0, len(events), _BLOCK))


def _event(line: str) -> list[int]:
    time, *fields = line.split(",")[:6]
    kind, order, size, price, direction = map(int, fields)
    if not NEW <= kind <= HALT or direction not in (BUY, SELL):
        raise ValueError(f"type {kind}, direction {direction}")
    return [_nanoseconds(time), kind, order, size, price, direction]


def _nanoseconds(seconds: str) -> int:
    """Nanoseconds of a decimal number of seconds, exactly."""
    whole, _, fraction = seconds.partition(".")
    return int(whole) * SECOND + int(fraction[:9].ljust(9, "0"))


def _messages(events: np.ndarray) -> tuple[np.ndarray, int]:
    """Make kernel messages int64[n, 8] of the events of the visible book; and how many ids they have."""
    # Prices in the smallest step of this file keep the book's ladder short.
    step = int(np.gcd.reduce(events[:, PRICE])) or 1
    ids: dict[int, int] = {}
    open_sizes: dict[int, int] = {}
    flat = array("q")
    for _, kind, order, size, price, direction in _rows(events):
        left = size if kind == NEW else open_sizes.get(order, 0) - size
        open_sizes[order] = left
        op = _OPERATIONS[kind] if kind != PARTIAL_CANCEL or left > 0 else codes.OP_CANCEL
        qty = left if op == codes.OP_MODIFY else size
        id = ids.setdefault(order, len(ids))
        flat.extend((op, id, 0 if direction == BUY else 1, _in_range(price // step), _in_range(qty), -1, 0, 0))
    return np.frombuffer(flat, dtype=np.int64).reshape(-1, 8), len(ids)


def _in_range(value: int) -> int:
    return value if 0 < value <= _LARGEST else 0


def _line(event: list[int]) -> str:
    time, kind, order, size, price, direction = event
    price = price if kind == HALT else price * TICK_UNITS
    return f"{time // SECOND}.{time % SECOND:09d},{kind},{order},{size},{price},{direction}\n"


class _Depth:
    """The sizes of a book by price, and its best levels as a line of an order book file."""

    def __init__(self, levels: int) -> None:
        self.levels = levels
        self.asks, self.bids = _Side(), _Side()

    def apply(self, kind: int, order: int, size: int, price: int, direction: int) -> None:
        """Carry out one event; ValueError if it takes more than rests at its price."""
        if kind in _OPERATIONS:
            side = self.bids if direction == BUY else self.asks
            side.change(-direction * price, price, size if kind == NEW else -size)

    def line(self) -> str:
        asks, bids = self.asks.best(self.levels, NO_ASK), self.bids.best(self.levels, NO_BID)
        return ",".join(chain.from_iterable(zip(asks, bids, strict=True))) + "\n"


class _Side:
    """The levels of one side, best first: rank (ascending), size, and price and size as text."""

    def __init__(self) -> None:
        self.ranks: list[int] = []
        self.sizes: list[int] = []
        self.texts: list[str] = []

    def change(self, rank: int, price: int, size: int) -> None:
        place = bisect_left(self.ranks, rank)
        if self.ranks[place : place + 1] != [rank]:
            self.ranks.insert(place, rank)
            self.sizes.insert(place, 0)
            self.texts.insert(place, "")
        self.sizes[place] += size
        self.texts[place] = f"{price * TICK_UNITS},{self.sizes[place]}"
        if self.sizes[place] < 0:
            raise ValueError("more is taken than rests at the price")
        if self.sizes[place] == 0:
            del self.ranks[place], self.sizes[place], self.texts[place]

    def best(self, levels: int, missing: str) -> list[str]:
        texts = self.texts[:levels]
        return texts + [missing] * (levels - len(texts))
