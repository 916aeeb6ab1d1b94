"""Replay of messages through one fresh book with the market rules off.

A message is a dict with the key "op" and the fields of its operation:

    limit, ioc, fok, post    id, side ("B" or "S"), px, qty, owner (missing: nobody)
    market                   id, side, qty, owner
    stop, stoplimit          id, side, stop, qty, owner; stoplimit also px
    cancel                   id
    modify                   id, px, qty (the new open size)
    halt, resume             nothing
    band                     lo, hi (inclusive)

Further fields are ignored. What the book refuses is listed in the result; what is no message at all raises ValueError.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from numbers import Integral
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from sim.kernel import codes
from sim.market import replay_array

type Level = list[int | list[list[int]]]
"""[price, [[id, open], ...]] in queue order."""

STP_CODES = {
    "none": codes.STP_NONE,
    "cancel_newest": codes.STP_CANCEL_NEWEST,
    "cancel_oldest": codes.STP_CANCEL_OLDEST,
    "cancel_both": codes.STP_CANCEL_BOTH,
    "decrement": codes.STP_DECREMENT,
}
"""Kernel codes of the modes of self-trade prevention."""

LARGEST = 2**31 - 1
"""Largest price and largest size of an order."""
INT64 = 2**63
NOBODY = -1
SIDES = {"B": 0, "S": 1}
UNKNOWN_SIDE = -1


@dataclass(frozen=True)
class ReplayResult:
    """What a replay leaves behind; `vars(result)` is what the command prints.

    Attributes
    ----------
    trades : list of [maker_id, taker_id, price, size]
        In the order in which they happened.
    bids, asks : list of [price, [[id, open], ...]]
        Best price first, each level in queue order; resting orders only.
    rejects : list of int
        0-based positions of the refused messages, ascending.
    """

    trades: list[list[int]]
    bids: list[Level]
    asks: list[Level]
    rejects: list[int]


def replay_messages(messages: Iterable[dict[str, Any]], stp: str = "none") -> ReplayResult:
    """Play messages through one fresh book.

    Parameters
    ----------
    messages : iterable of dict
        Read once; see the module for their fields.
    stp : {"none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement"}
        What happens when an order reaches a resting one of the same owner.

    Returns
    -------
    ReplayResult

    Raises
    ------
    ValueError
        For a missing field, an unknown operation or a wrong type, naming the 0-based position of the message;
        for an unknown `stp`.

    Notes
    -----
    Some two microseconds and 64 bytes a message, most of it for reading the dicts.
    """
    if stp not in STP_CODES:
        raise ValueError(f"stp {stp!r} is none of {', '.join(STP_CODES)}")
    encoder = _Encoder()
    rows = encoder.rows(messages)
    trades, answers, resting = replay_array(rows, len(encoder.ids), len(encoder.owners), STP_CODES[stp])
    ids = list(encoder.ids)
    return ReplayResult(
        trades=[[ids[maker], ids[taker], price, size] for maker, taker, price, size in trades.tolist()],
        bids=_levels(resting[resting[:, 0] == SIDES["B"]], ids),
        asks=_levels(resting[resting[:, 0] == SIDES["S"]], ids),
        rejects=np.flatnonzero(answers).tolist(),
    )


def read_messages(path: str | Path) -> Iterator[Any]:
    """Yield the messages of a JSON Lines file one by one; blank lines are skipped.

    Raises
    ------
    ValueError
        For a line that is no JSON, naming the file and the line (from 1).
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _parsed(line, f"{path}, line {number}")


def _parsed(line: bytes, place: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: not JSON: {error}") from None


type _Field = tuple[str, int, Callable[[str, Any], int]]
"""Name of a field, its column in a row of the kernel, and what makes an integer of its name and value."""


class _Encoder:
    """Makes rows of integers of messages and numbers ids and owners from 0 in order of appearance."""

    def __init__(self) -> None:
        self.ids: dict[int, int] = {}
        self.owners: dict[int, int] = {}
        id, qty, px, stop = ("id", 1, self.id), ("qty", 4, _size), ("px", 3, _size), ("stop", 6, _size)
        order: list[_Field] = [id, ("side", 2, _side), qty, ("owner", 5, self.owner)]
        self.operations: dict[str, tuple[int, list[_Field]]] = {
            "limit": (codes.OP_LIMIT, [*order, px]),
            "ioc": (codes.OP_IOC, [*order, px]),
            "fok": (codes.OP_FOK, [*order, px]),
            "post": (codes.OP_POST, [*order, px]),
            "market": (codes.OP_MARKET, order),
            "stop": (codes.OP_STOP, [*order, stop]),
            "stoplimit": (codes.OP_STOPLIMIT, [*order, stop, px]),
            "cancel": (codes.OP_CANCEL, [id]),
            "modify": (codes.OP_MODIFY, [id, px, qty]),
            "halt": (codes.OP_HALT, []),
            "resume": (codes.OP_RESUME, []),
            "band": (codes.OP_BAND, [("lo", 3, _bound), ("hi", 4, _bound)]),
        }

    def rows(self, messages: Iterable[dict[str, Any]]) -> np.ndarray:
        """Encode all messages as int64[n, 8]."""
        flat = array("q")
        for position, message in enumerate(messages):
            try:
                flat.extend(self.row(message))
            except ValueError as error:
                raise ValueError(f"message {position}: {error}") from None
        return np.frombuffer(flat, dtype=np.int64).reshape(-1, 8)

    def row(self, message: dict[str, Any]) -> list[int]:
        """Encode one message: operation, id, side, px, qty, owner, stop, unused."""
        op, fields = self.operation(message)
        row = [op, -1, UNKNOWN_SIDE, 0, 0, NOBODY, 0, 0]
        for name, column, encode in fields:
            if name in message:
                row[column] = encode(name, message[name])
            elif name != "owner":
                raise ValueError(f"{name} is missing")
        return row

    def operation(self, message: dict[str, Any]) -> tuple[int, list[_Field]]:
        if not isinstance(message, dict):
            raise ValueError(f"not an object with fields: {message!r}")
        op = message.get("op")
        if not isinstance(op, str) or op not in self.operations:
            raise ValueError(f"unknown op {op!r}" if "op" in message else "op is missing")
        return self.operations[op]

    def id(self, field: str, value: Any) -> int:
        return self.ids.setdefault(_name(field, value), len(self.ids))

    def owner(self, field: str, value: Any) -> int:
        return self.owners.setdefault(_name(field, value), len(self.owners))


def _integer(field: str, value: Any) -> int:
    if type(value) is int:
        return value
    # True is an Integral too, and so are numpy's integers, which recorded messages may hold.
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{field} must be an integer, not {value!r}")
    return int(value)


def _name(field: str, value: Any) -> int:
    name = _integer(field, value)
    if not -INT64 <= name < INT64:
        raise ValueError(f"{field} {name} is no 64-bit integer")
    return name


def _size(field: str, value: Any) -> int:
    """Price or size of an order; 0, which the book refuses, if it is out of range."""
    size = _integer(field, value)
    return size if 0 < size <= LARGEST else 0


def _bound(field: str, value: Any) -> int:
    return min(max(_integer(field, value), -INT64), INT64 - 1)


def _side(field: str, value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError(f"{field} must be a string, not {value!r}")
    return SIDES.get(value, UNKNOWN_SIDE)


def _levels(resting: np.ndarray, ids: list[int]) -> list[Level]:
    by_price = groupby(resting[:, 1:].tolist(), key=itemgetter(0))
    return [[price, [[ids[order], size] for _, order, size in queue]] for price, queue in by_price]
