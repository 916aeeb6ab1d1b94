"""The rules of the book, told by examples and by random streams, on the plain reference book and on the kernel."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_book import reference_replay

from sim.replay import read_messages, replay_messages

LARGEST = 2**31 - 1
LARGEST_ID = 2**63 - 1
MODES = ["none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement"]

type Message = dict[str, Any]


def buy(id: int, px: int, qty: int, owner: int | None = None, op: str = "limit") -> Message:
    return order(id, "B", px, qty, owner, op)


def sell(id: int, px: int, qty: int, owner: int | None = None, op: str = "limit") -> Message:
    return order(id, "S", px, qty, owner, op)


def order(id: int, side: str, px: int, qty: int, owner: int | None, op: str) -> Message:
    message = {"op": op, "id": id, "side": side, "px": px, "qty": qty}
    return message if owner is None else message | {"owner": owner}


def market(id: int, side: str, qty: int, owner: int | None = None) -> Message:
    message = {"op": "market", "id": id, "side": side, "qty": qty}
    return message if owner is None else message | {"owner": owner}


def stop(id: int, side: str, at: int, qty: int) -> Message:
    return {"op": "stop", "id": id, "side": side, "stop": at, "qty": qty}


def stoplimit(id: int, side: str, at: int, px: int, qty: int) -> Message:
    return {"op": "stoplimit", "id": id, "side": side, "stop": at, "px": px, "qty": qty}


def cancel(id: int) -> Message:
    return {"op": "cancel", "id": id}


def modify(id: int, px: int, qty: int) -> Message:
    return {"op": "modify", "id": id, "px": px, "qty": qty}


def band(lo: int, hi: int) -> Message:
    return {"op": "band", "lo": lo, "hi": hi}


HALT, RESUME = {"op": "halt"}, {"op": "resume"}


@pytest.fixture(params=[reference_replay, replay_messages], ids=["reference", "kernel"])
def replay(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param


# Each example: messages, trades, bids, asks, rejects.
EXAMPLES: dict[str, tuple[list[Message], list[Any], list[Any], list[Any], list[int]]] = {
    "nothing": ([], [], [], [], []),
    "an order rests": ([buy(7, 6700, 3, 2)], [], [[6700, [[7, 3]]]], [], []),
    "best first, queue order": (
        [buy(1, 10, 1), buy(2, 11, 2), buy(3, 10, 3), sell(4, 15, 4), sell(5, 14, 5), sell(6, 15, 6)],
        [],
        [[11, [[2, 2]]], [10, [[1, 1], [3, 3]]]],
        [[14, [[5, 5]]], [15, [[4, 4], [6, 6]]]],
        [],
    ),
    "trade at the maker's price, remainder rests": (
        [sell(1, 10, 2), sell(2, 11, 2), buy(3, 11, 5)],
        [[1, 3, 10, 2], [2, 3, 11, 2]],
        [[11, [[3, 1]]]],
        [],
        [],
    ),
    "first come, first served": (
        [buy(1, 10, 2), buy(2, 10, 2), sell(3, 10, 3)],
        [[1, 3, 10, 2], [2, 3, 10, 1]],
        [[10, [[2, 1]]]],
        [],
        [],
    ),
    "largest id": (
        [buy(LARGEST_ID, 10, 1, LARGEST_ID), sell(0, 10, 2, 0)],
        [[LARGEST_ID, 0, 10, 1]],
        [],
        [[10, [[0, 1]]]],
        [],
    ),
    "ioc leaves no remainder": ([sell(1, 10, 2), buy(2, 10, 5, op="ioc")], [[1, 2, 10, 2]], [], [], []),
    "ioc that reaches nothing is no reject": ([sell(1, 10, 2), buy(2, 9, 5, op="ioc")], [], [], [[10, [[1, 2]]]], []),
    "a sell stop-limit takes down to its limit, the rest waits there": (
        [stoplimit(1, "S", 10, 9, 5), buy(2, 10, 1), buy(3, 9, 1), buy(4, 8, 1), market(5, "S", 1)],
        [[2, 5, 10, 1], [3, 1, 9, 1]],
        [[8, [[4, 1]]]],
        [[9, [[1, 4]]]],
        [],
    ),
    "an offer shrinks in its place, and goes to the back of another price": (
        [sell(1, 10, 5), sell(2, 10, 5), modify(1, 10, 3), sell(3, 11, 1), modify(2, 11, 4)],
        [],
        [],
        [[10, [[1, 3]]], [11, [[3, 1], [2, 4]]]],
        [],
    ),
    "fok to sell is filled, or killed": (
        [buy(1, 10, 2), buy(2, 9, 4), sell(5, 12, 9), sell(3, 9, 5, op="fok"), sell(4, 9, 2, op="fok")],
        [[1, 3, 10, 2], [2, 3, 9, 3]],
        [[9, [[2, 1]]]],
        [[12, [[5, 9]]]],
        [],
    ),
    "fok is filled": (
        [sell(1, 10, 2), sell(2, 11, 4), buy(3, 11, 5, op="fok")],
        [[1, 3, 10, 2], [2, 3, 11, 3]],
        [],
        [[11, [[2, 1]]]],
        [],
    ),
    "killed fok is no reject": (
        [sell(1, 10, 2), sell(2, 12, 4), buy(3, 11, 3, op="fok")],
        [],
        [],
        [[10, [[1, 2]]], [12, [[2, 4]]]],
        [],
    ),
    "post-only rests": ([sell(1, 10, 2), buy(2, 9, 1, op="post")], [], [[9, [[2, 1]]]], [[10, [[1, 2]]]], []),
    "post-only that would trade is refused": (
        [sell(1, 10, 2), buy(2, 10, 1, op="post")],
        [],
        [],
        [[10, [[1, 2]]]],
        [1],
    ),
    "market order": ([sell(1, 10, 2), sell(2, 99, 2), market(3, "B", 9)], [[1, 3, 10, 2], [2, 3, 99, 2]], [], [], []),
    "market order into an empty book is no reject": ([market(1, "B", 9)], [], [], [], []),
    "size 0": ([buy(1, 10, 0)], [], [], [], [0]),
    "size below 0": ([sell(1, 10, -1)], [], [], [], [0]),
    "largest size": ([buy(1, 10, LARGEST)], [], [[10, [[1, LARGEST]]]], [], []),
    "size too large": ([buy(1, 10, LARGEST + 1), buy(2, 10, 2**80)], [], [], [], [0, 1]),
    "price 0": ([buy(1, 0, 1)], [], [], [], [0]),
    "price below 0": ([buy(1, -5, 1)], [], [], [], [0]),
    "smallest and largest price": (
        [sell(1, LARGEST, 1), buy(2, 1, 1)],
        [],
        [[1, [[2, 1]]]],
        [[LARGEST, [[1, 1]]]],
        [],
    ),
    "price too large": ([sell(1, LARGEST + 1, 1), sell(2, 2**63, 1)], [], [], [], [0, 1]),
    "stop price out of range": ([stop(1, "B", 0, 1), stop(2, "S", LARGEST + 1, 1)], [], [], [], [0, 1]),
    "stop-limit's limit out of range": ([stoplimit(1, "B", 5, 0, 1)], [], [], [], [0]),
    "unknown side": ([buy(1, 10, 1) | {"side": "X"}, market(2, "b", 1), stop(3, "", 5, 1)], [], [], [], [0, 1, 2]),
    "live id": ([buy(1, 10, 1), sell(1, 20, 1)], [], [[10, [[1, 1]]]], [], [1]),
    "id of a waiting stop": ([stop(1, "B", 10, 1), sell(1, 20, 1)], [], [], [], [1]),
    "live id of a resting order for a stop": ([buy(1, 10, 1), stop(1, "B", 20, 1)], [], [[10, [[1, 1]]]], [], [1]),
    "cancelled id again": ([buy(1, 10, 1), cancel(1), sell(1, 20, 2)], [], [], [[20, [[1, 2]]]], []),
    "filled ids again": (
        [buy(1, 10, 1), sell(2, 10, 1), sell(1, 20, 2), buy(2, 9, 1)],
        [[1, 2, 10, 1]],
        [[9, [[2, 1]]]],
        [[20, [[1, 2]]]],
        [],
    ),
    "id of an order that never rested": (
        [market(1, "B", 1), buy(1, 5, 1, op="ioc"), buy(1, 5, 1, op="fok"), buy(1, 5, 1)],
        [],
        [[5, [[1, 1]]]],
        [],
        [],
    ),
    "refused id is not live": ([buy(1, 0, 1), buy(1, 5, 1)], [], [[5, [[1, 1]]]], [], [0]),
    "cancel in the middle of a queue": (
        [buy(1, 10, 1), buy(2, 10, 2), buy(3, 10, 3), cancel(2)],
        [],
        [[10, [[1, 1], [3, 3]]]],
        [],
        [],
    ),
    "cancel of unknown, dead and cancelled": (
        [cancel(9), buy(1, 10, 1), cancel(1), cancel(1), buy(2, 10, 1), market(3, "S", 1), cancel(2), cancel(3)],
        [[2, 3, 10, 1]],
        [],
        [],
        [0, 3, 6, 7],
    ),
    "modify of an id that is not live": ([modify(1, 10, 1)], [], [], [], [0]),
    "modify down keeps its place": (
        [buy(1, 10, 5), buy(2, 10, 5), modify(1, 10, 3)],
        [],
        [[10, [[1, 3], [2, 5]]]],
        [],
        [],
    ),
    "modify to the same keeps its place": (
        [buy(1, 10, 5), buy(2, 10, 5), modify(1, 10, 5)],
        [],
        [[10, [[1, 5], [2, 5]]]],
        [],
        [],
    ),
    "modify up goes to the back": (
        [buy(1, 10, 5), buy(2, 10, 5), modify(1, 10, 6)],
        [],
        [[10, [[2, 5], [1, 6]]]],
        [],
        [],
    ),
    "modify up of the open size, not of the first one": (
        [buy(1, 10, 5), buy(2, 10, 5), market(3, "S", 3), modify(1, 10, 4)],
        [[1, 3, 10, 3]],
        [[10, [[2, 5], [1, 4]]]],
        [],
        [],
    ),
    "modify of the price goes to the back": (
        [buy(1, 10, 5), buy(2, 9, 5), modify(1, 9, 5)],
        [],
        [[9, [[2, 5], [1, 5]]]],
        [],
        [],
    ),
    "modify there and back": (
        [buy(1, 10, 5), buy(2, 10, 5), modify(1, 9, 5), modify(1, 10, 5)],
        [],
        [[10, [[2, 5], [1, 5]]]],
        [],
        [],
    ),
    "modify that crosses takes": (
        [buy(1, 10, 5), sell(2, 12, 2), modify(1, 12, 5)],
        [[2, 1, 12, 2]],
        [[12, [[1, 3]]]],
        [],
        [],
    ),
    "modify that is filled frees the id": (
        [buy(1, 10, 2), sell(2, 12, 2), modify(1, 12, 2), cancel(1), buy(1, 5, 1)],
        [[2, 1, 12, 2]],
        [[5, [[1, 1]]]],
        [],
        [3],
    ),
    "modify of a post-only order takes too": (
        [buy(1, 10, 5, op="post"), sell(2, 12, 2), modify(1, 12, 1)],
        [[2, 1, 12, 1]],
        [],
        [[12, [[2, 1]]]],
        [],
    ),
    "modify to nothing or out of range": (
        [
            buy(1, 10, 5),
            modify(1, 10, 0),
            modify(1, 10, -1),
            modify(1, 0, 5),
            modify(1, LARGEST + 1, 5),
            modify(1, 10, LARGEST + 1),
        ],
        [],
        [[10, [[1, 5]]]],
        [],
        [1, 2, 3, 4, 5],
    ),
    "band is inclusive, resting orders stay": (
        [buy(1, 5, 1), band(10, 20), buy(2, 10, 1), sell(3, 20, 1), buy(4, 9, 1), sell(5, 21, 1)],
        [],
        [[10, [[2, 1]]], [5, [[1, 1]]]],
        [[20, [[3, 1]]]],
        [4, 5],
    ),
    "band holds for every priced entry": (
        [
            band(10, 20),
            buy(1, 21, 1, op="ioc"),
            buy(2, 21, 1, op="fok"),
            buy(3, 9, 1, op="post"),
            stoplimit(4, "B", 15, 21, 1),
        ],
        [],
        [],
        [],
        [1, 2, 3, 4],
    ),
    "band does not hold for market orders and stop prices": (
        [sell(1, 30, 2), band(10, 20), market(2, "B", 1), stop(3, "B", 30, 1)],
        [[1, 2, 30, 1], [1, 3, 30, 1]],
        [],
        [],
        [],
    ),
    "band holds for a new price only": (
        [buy(1, 5, 5), buy(2, 5, 5), band(10, 20), modify(1, 5, 4), modify(1, 6, 4), modify(2, 21, 1), modify(1, 5, 6)],
        [],
        [[5, [[2, 5], [1, 6]]]],
        [],
        [4, 5],
    ),
    "a new band replaces the old": (
        [band(10, 20), band(-(2**70), 2**70), buy(1, 5, 1)],
        [],
        [[5, [[1, 1]]]],
        [],
        [],
    ),
    "an empty band": ([band(20, 10), buy(1, 15, 1), market(2, "B", 1)], [], [], [], [1]),
    "a stop that has been accepted does not mind a new band": (
        [stoplimit(1, "B", 10, 30, 1), band(5, 20), sell(2, 10, 1), market(3, "B", 1)],
        [[2, 3, 10, 1]],
        [[30, [[1, 1]]]],
        [],
        [],
    ),
    "halted": (
        [
            buy(1, 10, 5),
            stop(2, "S", 5, 1),
            HALT,
            sell(3, 12, 1),
            market(4, "S", 1),
            sell(5, 10, 1, op="ioc"),
            sell(6, 10, 1, op="fok"),
            sell(7, 12, 1, op="post"),
            stop(8, "S", 5, 1),
            stoplimit(9, "S", 5, 5, 1),
            modify(1, 10, 4),
            cancel(2),
            band(1, 100),
            HALT,
            cancel(77),
            RESUME,
            RESUME,
            sell(3, 10, 1),
        ],
        [[1, 3, 10, 1]],
        [[10, [[1, 4]]]],
        [],
        [3, 4, 5, 6, 7, 8, 9, 10, 14],
    ),
    "buy stop": (
        [stop(1, "B", 11, 3), sell(2, 10, 1), sell(3, 11, 1), sell(4, 12, 9), market(5, "B", 1), market(6, "B", 1)],
        [[2, 5, 10, 1], [3, 6, 11, 1], [4, 1, 12, 3]],
        [],
        [[12, [[4, 6]]]],
        [],
    ),
    "sell stop": (
        [stop(1, "S", 9, 3), buy(2, 10, 1), buy(3, 9, 1), buy(4, 8, 9), market(5, "S", 1), market(6, "S", 1)],
        [[2, 5, 10, 1], [3, 6, 9, 1], [4, 1, 8, 3]],
        [[8, [[4, 6]]]],
        [],
        [],
    ),
    "stop already reached": (
        [buy(1, 10, 5), market(2, "S", 1), stop(3, "S", 10, 1), stop(4, "S", 9, 1)],
        [[1, 2, 10, 1], [1, 3, 10, 1]],
        [[10, [[1, 3]]]],
        [],
        [],
    ),
    "no stop is reached before the first trade": ([buy(1, 10, 5), stop(2, "S", 99, 1)], [], [[10, [[1, 5]]]], [], []),
    "stop-limit rests": (
        [stoplimit(1, "B", 10, 10, 5), sell(2, 10, 2), sell(3, 10, 1), market(4, "B", 1)],
        [[2, 4, 10, 1], [2, 1, 10, 1], [3, 1, 10, 1]],
        [[10, [[1, 3]]]],
        [],
        [],
    ),
    "a stop-limit that rests can be modified and cancelled": (
        [
            stoplimit(1, "B", 10, 8, 5),
            modify(1, 8, 2),
            sell(2, 10, 1),
            market(3, "B", 1),
            modify(1, 7, 2),
            stoplimit(4, "B", 10, 6, 1),
            cancel(4),
        ],
        [[2, 3, 10, 1]],
        [[7, [[1, 2]]]],
        [],
        [1],
    ),
    "a waiting stop can be cancelled": (
        [stop(1, "B", 10, 1), cancel(1), sell(2, 10, 3), market(3, "B", 1), cancel(1)],
        [[2, 3, 10, 1]],
        [],
        [[10, [[2, 2]]]],
        [4],
    ),
    "stops wait until the message is complete": (
        [stop(1, "B", 10, 1), sell(2, 10, 1), sell(3, 11, 1), sell(4, 12, 1), buy(5, 11, 3)],
        [[2, 5, 10, 1], [3, 5, 11, 1], [4, 1, 12, 1]],
        [[11, [[5, 1]]]],
        [],
        [],
    ),
    "stops in order of arrival, not of price": (
        [stop(1, "B", 11, 1), stop(2, "B", 10, 1), sell(3, 11, 9), market(4, "B", 1)],
        [[3, 4, 11, 1], [3, 1, 11, 1], [3, 2, 11, 1]],
        [],
        [[11, [[3, 6]]]],
        [],
    ),
    "arrival counts anew for an id used again": (
        [stop(1, "B", 11, 1), stop(2, "B", 11, 1), cancel(1), stop(1, "B", 11, 1), sell(3, 11, 9), market(4, "B", 1)],
        [[3, 4, 11, 1], [3, 2, 11, 1], [3, 1, 11, 1]],
        [],
        [[11, [[3, 6]]]],
        [],
    ),
    "a cascade of stops": (
        [
            buy(1, 10, 1),
            buy(2, 9, 2),
            buy(3, 8, 2),
            buy(4, 7, 9),
            stop(5, "S", 8, 2),
            stop(6, "S", 9, 2),
            stop(7, "S", 10, 2),
            market(8, "S", 1),
        ],
        [[1, 8, 10, 1], [2, 7, 9, 2], [3, 6, 8, 2], [4, 5, 7, 2]],
        [[7, [[4, 7]]]],
        [],
        [],
    ),
    "an earlier stop that a later one sets off goes before others": (
        [
            buy(1, 10, 1),
            buy(2, 9, 1),
            buy(3, 8, 9),
            stop(4, "S", 9, 1),
            stop(5, "S", 10, 1),
            stop(6, "S", 10, 1),
            market(7, "S", 1),
        ],
        [[1, 7, 10, 1], [2, 5, 9, 1], [3, 4, 8, 1], [3, 6, 8, 1]],
        [[8, [[3, 7]]]],
        [],
        [],
    ),
    "a stop that the price has left again waits on": (
        [
            buy(1, 10, 1),
            sell(2, 20, 9),
            stop(3, "S", 10, 1),
            buy(4, 5, 9),
            stop(5, "B", 10, 1),
            stop(6, "S", 10, 1),
            cancel(3),
            market(7, "S", 1),
        ],
        [[1, 7, 10, 1], [2, 5, 20, 1]],
        [[5, [[4, 9]]]],
        [[20, [[2, 8]]]],
        [],
    ),
    "stops and a modified order's trade": (
        [buy(1, 10, 1), sell(2, 12, 3), stop(3, "B", 12, 1), modify(1, 12, 1)],
        [[2, 1, 12, 1], [2, 3, 12, 1]],
        [],
        [[12, [[2, 1]]]],
        [],
    ),
    "no owner is nobody's own": ([sell(1, 10, 1), buy(2, 10, 1)], [[1, 2, 10, 1]], [], [], []),
    "level sums beyond 32 bits": (
        [sell(i, 10, LARGEST) for i in range(1, 5)] + [buy(9, 10, LARGEST, op="fok")],
        [[1, 9, 10, LARGEST]],
        [],
        [[10, [[2, LARGEST], [3, LARGEST], [4, LARGEST]]]],
        [],
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("stp", MODES)
def test_rules(replay, name, stp):
    messages, trades, bids, asks, rejects = EXAMPLES[name]
    check(replay(messages, stp), trades, bids, asks, rejects)


def check(result: Any, trades: list[Any], bids: list[Any], asks: list[Any], rejects: list[int]) -> None:
    assert [result.trades, result.bids, result.asks, result.rejects] == [trades, bids, asks, rejects]


def test_self_trade_none(replay):
    check(replay([sell(1, 10, 2, 5), buy(2, 10, 3, 5)]), [[1, 2, 10, 2]], [[10, [[2, 1]]]], [], [])


# A stranger's order, then the taker's own, then a stranger's again; the taker wants all of them and more.
SWEEP = [sell(1, 10, 2, 4), sell(2, 10, 3, 5), sell(3, 11, 4, 4), buy(4, 11, 10, 5)]
FIRST, LAST = [1, 4, 10, 2], [3, 4, 11, 4]


@pytest.mark.parametrize(
    ("stp", "trades", "bids", "asks"),
    [
        ("none", [FIRST, [2, 4, 10, 3], LAST], [[11, [[4, 1]]]], []),
        ("cancel_newest", [FIRST], [], [[10, [[2, 3]]], [11, [[3, 4]]]]),
        ("cancel_oldest", [FIRST, LAST], [[11, [[4, 4]]]], []),
        ("cancel_both", [FIRST], [], [[11, [[3, 4]]]]),
        ("decrement", [FIRST, LAST], [[11, [[4, 1]]]], []),
    ],
)
def test_self_trade_prevention(replay, stp, trades, bids, asks):
    check(replay(SWEEP, stp), trades, bids, asks, [])


@pytest.mark.parametrize(
    ("stp", "bids", "asks"),
    [
        ("cancel_newest", [], [[10, [[1, 9]]]]),
        ("cancel_oldest", [[10, [[2, 3]]]], []),
        ("cancel_both", [], []),
        ("decrement", [], [[10, [[1, 6]]]]),
    ],
)
def test_self_trade_prevention_of_modified_orders(replay, stp, bids, asks):
    check(replay([sell(1, 10, 9, 5), buy(2, 9, 1, 5), modify(2, 10, 3)], stp), [], bids, asks, [])


def test_decrement_that_uses_up_the_resting_order_frees_its_id(replay):
    messages = [sell(1, 10, 2, 5), buy(2, 10, 3, 5), sell(1, 12, 1, 5)]
    check(replay(messages, "decrement"), [], [[10, [[2, 1]]]], [[12, [[1, 1]]]], [])


@pytest.mark.parametrize("stp", MODES[1:])
def test_fok_does_not_count_own_liquidity(replay, stp):
    messages = [sell(1, 10, 2, 4), sell(2, 11, 3, 5), buy(3, 11, 3, 5, op="fok"), buy(4, 11, 2, 5, op="fok")]
    check(replay(messages, stp), [[1, 4, 10, 2]], [], [[11, [[2, 3]]]], [])


def test_fok_counts_own_liquidity_without_prevention(replay):
    messages = [sell(1, 10, 2, 4), sell(2, 11, 3, 5), buy(3, 11, 3, 5, op="fok")]
    check(replay(messages), [[1, 3, 10, 2], [2, 3, 11, 1]], [], [[11, [[2, 2]]]], [])


@pytest.mark.parametrize("stp", MODES)
def test_post_only_does_not_meet_own_orders_either(replay, stp):
    check(replay([sell(1, 10, 2, 5), buy(2, 10, 2, 5, op="post")], stp), [], [], [[10, [[1, 2]]]], [1])


def test_stops_of_an_owner_meet_his_orders(replay):
    messages = [sell(1, 10, 1, 4), sell(2, 11, 5, 5), stop(3, "B", 10, 2) | {"owner": 5}, market(4, "B", 1)]
    check(replay(messages, "cancel_both"), [[1, 4, 10, 1]], [], [], [])


def test_a_fill_by_prevention_sets_off_no_stop(replay):
    messages = [sell(1, 10, 1, 5), sell(2, 11, 1), stop(3, "B", 10, 1), buy(4, 10, 1, 5)]
    check(replay(messages, "decrement"), [], [], [[11, [[2, 1]]]], [])


# Random streams.


def stream(seed: int, length: int) -> list[Message]:
    """Draw messages of all kinds, on few prices, by few owners, with ids used again and values that are refused."""
    draw = random.Random(seed)
    width = draw.choice([3, 8, 30])
    prices = draw.choice([range(100, 100 + width), range(1, 1 + width), range(LARGEST - width, LARGEST + 1)])
    if seed % 8 == 0:
        prices = [1, 2, 50, 51, 10**6, 2**29, 2**30, 2**31 - 2, LARGEST, *draw.sample(range(1, LARGEST), 9)]
    sizes = draw.choice([range(1, 5), range(1, 100), range(LARGEST - 3, LARGEST + 1)])
    ids = draw.choice([range(20), range(150), [LARGEST_ID - i for i in range(60)]])
    fields = {"id": ids, "side": "BS", "px": prices, "qty": sizes, "stop": prices, "lo": prices, "hi": prices}
    columns = [draw.choices(values, k=length) for values in fields.values()]
    messages = [dict(zip(fields, values, strict=True)) for values in zip(*columns, strict=True)]
    for message, op in zip(messages, draw.choices(OPS, OP_WEIGHTS, k=length), strict=True):
        message["op"] = op
        if draw.random() < 0.7:
            message["owner"] = draw.choice([1, 2, LARGEST_ID])
        if op == "band" and draw.random() < 0.6:
            message |= {"lo": 0, "hi": LARGEST}
    for message in draw.sample(messages, draw.choice([0, 0, length // 50])):
        message |= draw.choice([{"side": "X"}, {"px": draw.choice(BAD_VALUES)}, {"qty": draw.choice(BAD_VALUES)}])
    return messages


# All messages have all fields, used or not.
OPS = ["limit", "ioc", "fok", "post", "market", "stop", "stoplimit", "cancel", "modify", "halt", "resume", "band"]
OP_WEIGHTS = [40, 4, 4, 6, 5, 5, 5, 14, 12, 0.4, 4, 0.8]
BAD_VALUES = [0, -1, LARGEST + 1, 2**32 + 1, 2**63, -(2**63)]


def assert_agree(messages: list[Message], stp: str) -> None:
    expected, result = reference_replay(messages, stp), replay_messages(messages, stp)
    assert result.rejects == expected.rejects
    assert result.trades == expected.trades
    assert result.bids == expected.bids
    assert result.asks == expected.asks


@pytest.mark.parametrize("seed", range(500))
def test_streams_agree(seed):
    assert_agree(stream(seed, 2000), MODES[seed % len(MODES)])


@pytest.mark.parametrize("seed", range(20))
def test_short_streams_agree(seed):
    assert_agree(stream(seed, 300), MODES[seed % len(MODES)])


def test_streams_agree_without_jit():
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"{__file__}::test_short_streams_agree"],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


def test_many_orders_trades_and_prices_agree():
    draw = random.Random(1)
    prices = draw.sample(range(1, LARGEST), 300)
    messages = []
    for _ in range(4):
        messages += [sell(id, draw.choice(prices), 2) for id in range(20_000)]
        messages += [market(id, "B", 1) for id in range(20_000, 25_000)]
        messages.append(market(-1, "B", LARGEST))
    assert_agree(messages, "none")


def test_many_stops_at_once_agree():
    draw = random.Random(2)
    messages = [stoplimit(id, "S", 100, draw.randrange(200, LARGEST), 1) for id in range(1_000)]
    messages += [stop(id, "B", draw.randint(100, 300), 1) for id in range(1_000, 2_000)]
    messages += [sell(2_000, 100, 1), market(2_001, "B", 1)]
    assert_agree(messages, "none")


SMALL = st.integers(1, 4)
ORDERS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(OPS[:9]),
        "id": st.integers(0, 7),
        "side": st.sampled_from("BS"),
        "px": SMALL,
        "qty": SMALL,
        "stop": SMALL,
    },
    optional={"owner": st.integers(0, 1)},
)
RULES = st.one_of(st.sampled_from([HALT, RESUME]), st.builds(band, SMALL, SMALL))


@given(messages=st.lists(st.one_of(ORDERS, ORDERS, ORDERS, RULES), max_size=40), stp=st.sampled_from(MODES))
@settings(max_examples=300, deadline=None)
def test_agree_on_any_messages(messages, stp):
    assert_agree(messages, stp)


# What is no message.


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, "message 1: not an object"),
        ([1], "message 1: not an object"),
        ({}, "message 1: op is missing"),
        ({"op": "amend"}, "message 1: unknown op 'amend'"),
        ({"op": ["limit"]}, "message 1: unknown op"),
        ({"op": None}, "message 1: unknown op None"),
        ({"op": "cancel"}, "message 1: id is missing"),
        ({"op": "cancel", "id": "7"}, "message 1: id must be an integer"),
        ({"op": "cancel", "id": 7.0}, "message 1: id must be an integer"),
        ({"op": "cancel", "id": True}, "message 1: id must be an integer"),
        ({"op": "cancel", "id": None}, "message 1: id must be an integer"),
        ({"op": "cancel", "id": 2**63}, "message 1: id 9223372036854775808 is no 64-bit integer"),
        (buy(7, 10, 1, 2**63), "message 1: owner 9223372036854775808 is no 64-bit integer"),
        (buy(7, 10, 1) | {"owner": None}, "message 1: owner must be an integer"),
        (buy(7, 10, 1) | {"px": 10.0}, "message 1: px must be an integer"),
        (buy(7, 10, 1) | {"qty": True}, "message 1: qty must be an integer"),
        (buy(7, 10, 1) | {"side": 1}, "message 1: side must be a string"),
        (buy(7, 10, 1) | {"side": None}, "message 1: side must be a string"),
        ({"op": "limit", "id": 1, "side": "B", "qty": 1}, "message 1: px is missing"),
        ({"op": "limit", "id": 1, "px": 1, "qty": 1}, "message 1: side is missing"),
        ({"op": "market", "id": 1, "side": "B"}, "message 1: qty is missing"),
        ({"op": "stoplimit", "id": 1, "side": "B", "px": 1, "qty": 1}, "message 1: stop is missing"),
        ({"op": "stop", "id": 1, "side": "B", "stop": 1.5, "qty": 1}, "message 1: stop must be an integer"),
        ({"op": "modify", "id": 1, "qty": 1}, "message 1: px is missing"),
        ({"op": "band", "lo": 1}, "message 1: hi is missing"),
        ({"op": "band", "lo": 1, "hi": float("inf")}, "message 1: hi must be an integer"),
    ],
)
def test_no_message(message, reason):
    with pytest.raises(ValueError, match=f"^{reason}"):
        replay_messages([buy(1, 10, 1), message])


def test_unknown_stp():
    with pytest.raises(ValueError, match="stp 'both' is none of none, cancel_newest"):
        replay_messages([], stp="both")


def test_further_fields_are_ignored():
    check(replay_messages([buy(1, 10, 1) | {"stop": 1.5, "note": None}]), [], [[10, [[1, 1]]]], [], [])


def test_numpy_integers_are_integers():
    message = {key: np.int32(value) if key in ("id", "px", "qty") else value for key, value in buy(1, 10, 2).items()}
    check(replay_messages([message]), [], [[10, [[1, 2]]]], [], [])


def test_messages_are_read_once():
    check(replay_messages(iter([buy(1, 10, 1), sell(2, 10, 1)])), [[1, 2, 10, 1]], [], [], [])


def test_read_messages(tmp_path):
    path = tmp_path / "messages.jsonl"
    path.write_text('{"op":"limit","id":7,"side":"B","px":6700,"qty":3,"owner":2}\n\n{"op":"cancel","id":8}')
    check(replay_messages(read_messages(path)), [], [[6700, [[7, 3]]]], [], [1])


@pytest.mark.parametrize("line", [b'{"op":', b"limit", b"\xff\xfe\xfd", b'{"op":"cancel","id":' + b"9" * 5000 + b"}"])
def test_bad_json_names_file_and_line(tmp_path, line):
    path = tmp_path / "messages.jsonl"
    path.write_bytes(b'{"op":"halt"}\n' + line + b"\n")
    with pytest.raises(ValueError, match=r"messages\.jsonl, line 2: not JSON"):
        replay_messages(read_messages(path))
