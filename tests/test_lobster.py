"""LOBSTER files: what is read and written, and that a price-time book meets its own executions."""

from __future__ import annotations

import random

import numpy as np
import pytest
from reference_book import ReferenceBook, reference_replay

from sim.lobster import (
    CROSS,
    DELETE,
    EXECUTION,
    HALT,
    HIDDEN_EXECUTION,
    NEW,
    PARTIAL_CANCEL,
    read_events,
    replay_events,
    replay_file,
    write_pair,
)

BUY, SELL = 1, -1
SIDE = {"B": BUY, "S": SELL}


def events(*rows: tuple[int, int, int, int, int]) -> np.ndarray:
    """Rows of type, order id, size, price, direction; a second apart from 09:30 on."""
    return np.array([[(34_200 + i) * 10**9, *row] for i, row in enumerate(rows)], np.int64).reshape(-1, 6)


def counts(report) -> dict[str, int]:
    """Counts of a report that are not zero."""
    return {name: value for name, value in vars(report).items() if value}


def test_executions_of_the_first_order_are_met():
    rows = events(
        (NEW, 1, 100, 5853300, BUY),
        (NEW, 2, 50, 5853300, BUY),
        (NEW, 3, 70, 5853200, BUY),
        (NEW, 4, 30, 5853400, SELL),
        (EXECUTION, 1, 60, 5853300, BUY),
        (EXECUTION, 1, 40, 5853300, BUY),
        (EXECUTION, 2, 50, 5853300, BUY),
        (EXECUTION, 3, 70, 5853200, BUY),
        (EXECUTION, 4, 30, 5853400, SELL),
    )
    assert counts(replay_events(rows)) == {"messages": 9, "executions": 5, "met_first": 5, "share": 1.0}


def test_a_partial_cancel_keeps_the_place():
    rows = events(
        (NEW, 1, 100, 500, SELL),
        (NEW, 2, 100, 500, SELL),
        (PARTIAL_CANCEL, 1, 30, 500, SELL),
        (EXECUTION, 1, 20, 500, SELL),
        (PARTIAL_CANCEL, 1, 10, 500, SELL),
        (EXECUTION, 1, 40, 500, SELL),
        (EXECUTION, 2, 100, 500, SELL),
    )
    assert counts(replay_events(rows)) == {"messages": 7, "executions": 3, "met_first": 3, "share": 1.0}


def test_a_partial_cancel_of_everything_removes_the_order():
    rows = events(
        (NEW, 1, 100, 500, SELL),
        (NEW, 2, 100, 500, SELL),
        (PARTIAL_CANCEL, 1, 100, 500, SELL),
        (EXECUTION, 2, 1, 500, SELL),
    )
    assert counts(replay_events(rows)) == {"messages": 4, "executions": 1, "met_first": 1, "share": 1.0}


def test_a_miss_takes_out_what_stood_before_the_order_that_the_exchange_names():
    rows = events(
        (NEW, 1, 100, 500, BUY),
        (NEW, 2, 100, 500, BUY),
        (NEW, 3, 100, 490, BUY),
        (EXECUTION, 2, 100, 500, BUY),
        (EXECUTION, 3, 50, 490, BUY),
        (EXECUTION, 1, 100, 500, BUY),
        (EXECUTION, 3, 50, 490, BUY),
    )
    report = replay_events(rows)
    found = {"messages": 7, "executions": 4, "met_first": 2, "missed": 1, "unknown": 1, "share": 2 / 3}
    assert counts(report) == found


def test_orders_from_before_the_first_message_are_counted_apart():
    rows = events(
        (NEW, 1, 100, 500, BUY),
        (EXECUTION, 90, 10, 510, BUY),
        (PARTIAL_CANCEL, 91, 10, 500, BUY),
        (DELETE, 92, 10, 490, BUY),
        (EXECUTION, 1, 10, 500, BUY),
    )
    assert counts(replay_events(rows)) == {
        "messages": 5,
        "executions": 2,
        "met_first": 1,
        "unknown": 1,
        "unknown_cancels": 2,
        "share": 1.0,
    }


def test_hidden_executions_crosses_and_halts_leave_the_book_alone():
    rows = events(
        (NEW, 1, 100, 500, BUY),
        (HIDDEN_EXECUTION, 0, 10, 499, BUY),
        (CROSS, -1, 10, 499, BUY),
        (HALT, 0, 0, -1, -1),
        (HALT, 0, 0, 0, -1),
        (HALT, 0, 0, 1, -1),
        (EXECUTION, 1, 100, 500, BUY),
    )
    assert counts(replay_events(rows)) == {"messages": 7, "executions": 1, "met_first": 1, "share": 1.0}


def test_orders_that_our_book_refuses_or_trades_are_counted():
    rows = events(
        (NEW, 1, 100, 500, BUY),
        (NEW, 1, 100, 500, BUY),
        (NEW, 2, 0, 500, BUY),
        (NEW, 3, 40, 500, SELL),
    )
    assert counts(replay_events(rows)) == {"messages": 4, "refused": 2, "crossed": 1}


def test_no_executions():
    assert replay_events(events()).share is None


def test_prices_beyond_the_book_are_brought_into_it():
    dear = 700_000 * 10_000
    rows = events((NEW, 1, 1, dear, BUY), (NEW, 2, 1, dear + 100, SELL), (EXECUTION, 2, 1, dear + 100, SELL))
    assert counts(replay_events(rows)) == {"messages": 3, "executions": 1, "met_first": 1, "share": 1.0}


# Reading.


def test_read_events(tmp_path):
    path = tmp_path / "message.csv"
    path.write_text("34200.004241176,1,16113575,18,5853300,1\n34200.25,5,0,7,5853400,-1\n34201,7,0,0,-1,-1,null\n")
    assert read_events(path).tolist() == [
        [34_200_004_241_176, 1, 16113575, 18, 5853300, 1],
        [34_200_250_000_000, 5, 0, 7, 5853400, -1],
        [34_201_000_000_000, 7, 0, 0, -1, -1],
    ]


def test_an_empty_file_has_no_events(tmp_path):
    (tmp_path / "message.csv").write_text("")
    assert read_events(tmp_path / "message.csv").shape == (0, 6)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "34200,1,2,3,4",
        "time,1,2,3,4,1",
        "34200.0,1,2,3,4.5,1",
        "34200.0,1,é,3,4,1",
        "34200.0,8,2,3,4,1",
        "34200.0,1,2,3,4,0",
        "34200.0,1,9223372036854775808,3,4,1",
    ],
)
def test_a_bad_row_names_file_and_line(tmp_path, line):
    path = tmp_path / "message.csv"
    path.write_text(f"34200.0,1,2,3,4,1\n{line}\n")
    with pytest.raises(ValueError, match=r"message\.csv, line 2: no LOBSTER message"):
        read_events(path)


# Writing.


def test_a_pair_as_lobster_writes_it(tmp_path):
    rows = events(
        (NEW, 1, 5, 23400, BUY),
        (NEW, 2, 7, 23402, SELL),
        (NEW, 3, 1, 23401, SELL),
        (HIDDEN_EXECUTION, 0, 4, 23401, SELL),
        (PARTIAL_CANCEL, 2, 2, 23402, SELL),
        (EXECUTION, 3, 1, 23401, SELL),
        (HALT, 0, 0, -1, -1),
        (DELETE, 1, 5, 23400, BUY),
    )
    message_path, book_path = write_pair(tmp_path / "new", "ES_2020-11-20_34200000_57600000", rows, levels=2)
    assert message_path == tmp_path / "new" / "ES_2020-11-20_34200000_57600000_message_2.csv"
    assert message_path.read_text().splitlines() == [
        "34200.000000000,1,1,5,58500000,1",
        "34201.000000000,1,2,7,58505000,-1",
        "34202.000000000,1,3,1,58502500,-1",
        "34203.000000000,5,0,4,58502500,-1",
        "34204.000000000,2,2,2,58505000,-1",
        "34205.000000000,4,3,1,58502500,-1",
        "34206.000000000,7,0,0,-1,-1",
        "34207.000000000,3,1,5,58500000,1",
    ]
    assert book_path == tmp_path / "new" / "ES_2020-11-20_34200000_57600000_orderbook_2.csv"
    assert book_path.read_text().splitlines() == [
        "9999999999,0,58500000,5,9999999999,0,-9999999999,0",
        "58505000,7,58500000,5,9999999999,0,-9999999999,0",
        "58502500,1,58500000,5,58505000,7,-9999999999,0",
        "58502500,1,58500000,5,58505000,7,-9999999999,0",
        "58502500,1,58500000,5,58505000,5,-9999999999,0",
        "58505000,5,58500000,5,9999999999,0,-9999999999,0",
        "58505000,5,58500000,5,9999999999,0,-9999999999,0",
        "58505000,5,-9999999999,0,9999999999,0,-9999999999,0",
    ]


def test_taking_more_than_there_is_is_an_error(tmp_path):
    rows = events((NEW, 1, 5, 100, BUY), (EXECUTION, 1, 6, 100, BUY))
    with pytest.raises(ValueError, match=r"event 1, .*: more is taken than rests at the price"):
        write_pair(tmp_path, "ES", rows)


# A day of a price-time book.


class Recorded:
    """A reference book under random orders: its events, and its depth after the last event of each message."""

    def __init__(self, seed: int, length: int) -> None:
        self.draw = random.Random(seed)
        self.book = ReferenceBook()
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.depths: dict[int, str] = {}
        for id in range(1, length + 1):
            self.draw.choices([self.enter, self.take, self.cancel, self.cancel_part], [50, 15, 30, 10])[0](id)
            self.depths[len(self.rows) - 1] = self.depth()

    def enter(self, id: int) -> None:
        side = self.draw.choice("BS")
        px = self.draw.randint(13990, 14010) + (-4 if side == "B" else 4)
        self.send({"op": "limit", "id": id, "side": side, "px": px, "qty": self.draw.randint(1, 9)})
        if id in self.book.resting:
            self.rows.append((NEW, id, self.book.resting[id].open, px, SIDE[side]))

    def take(self, id: int) -> None:
        self.send({"op": "market", "id": id, "side": self.draw.choice("BS"), "qty": self.draw.randint(1, 20)})

    def send(self, message: dict[str, int | str]) -> None:
        """Send an order, whose trades are executions of the other side."""
        before = len(self.book.result.trades)
        self.book.handle(message)
        for maker, _, price, size in self.book.result.trades[before:]:
            self.rows.append((EXECUTION, maker, size, price, -SIDE[message["side"]]))

    def cancel(self, _: int) -> None:
        if self.book.resting:
            order = self.draw.choice(list(self.book.resting.values()))
            self.rows.append((DELETE, order.id, order.open, order.px, SIDE[order.side]))
            self.book.handle({"op": "cancel", "id": order.id})

    def cancel_part(self, _: int) -> None:
        larger = [order for order in self.book.resting.values() if order.open > 1]
        if larger:
            order = self.draw.choice(larger)
            self.rows.append((PARTIAL_CANCEL, order.id, 1, order.px, SIDE[order.side]))
            self.book.handle({"op": "modify", "id": order.id, "px": order.px, "qty": order.open - 1})

    def depth(self) -> str:
        """Three levels as LOBSTER writes them."""
        asks, bids = ([depth_of(level) for level in self.book.levels(side)[:3]] for side in "SB")
        asks += ["9999999999,0"] * (3 - len(asks))
        bids += ["-9999999999,0"] * (3 - len(bids))
        return ",".join(f"{ask},{bid}" for ask, bid in zip(asks, bids, strict=True))


def depth_of(level: list) -> str:
    return f"{level[0] * 2500},{sum(size for _, size in level[1])}"


@pytest.mark.parametrize("seed", range(5))
def test_a_price_time_book_meets_its_own_executions(tmp_path, seed):
    recorded = Recorded(seed, 3000)
    message_path, book_path = write_pair(tmp_path, "ES", events(*recorded.rows), levels=3)
    executions = sum(row[0] == EXECUTION for row in recorded.rows)
    assert executions > 500
    assert counts(replay_file(message_path)) == {
        "messages": len(recorded.rows),
        "executions": executions,
        "met_first": executions,
        "share": 1.0,
    }
    lines = book_path.read_text().splitlines()
    assert len(lines) == len(recorded.rows)
    assert {row: lines[row] for row in recorded.depths if row >= 0} == {
        row: depth for row, depth in recorded.depths.items() if row >= 0
    }


@pytest.mark.parametrize("seed", range(5))
def test_any_execution_is_judged_as_the_reference_book_judges_it(seed):
    rows = Recorded(seed, 2000).rows
    draw = random.Random(seed)
    for i in draw.sample(range(len(rows)), 300):
        rows[i] = (EXECUTION, draw.randint(1, 2000), *rows[i][2:])
    report = replay_events(events(*rows))
    judged = reference_replay(reference_messages(rows)).executions
    assert [report.met_first, report.missed, report.unknown] == [judged.count(code) for code in (0, 101, 102)]
    assert report.missed > 50


def reference_messages(rows: list[tuple[int, int, int, int, int]]) -> list[dict[str, int | str]]:
    """Make messages of events by the book, with the open sizes that the exchange's file implies."""
    open_sizes: dict[int, int] = {}
    messages: list[dict[str, int | str]] = []
    for kind, id, size, px, direction in rows:
        open_sizes[id] = size if kind == NEW else open_sizes.get(id, 0) - size
        side = "B" if direction == BUY else "S"
        if kind == NEW:
            messages.append({"op": "limit", "id": id, "side": side, "px": px, "qty": size})
        elif kind == EXECUTION:
            messages.append({"op": "execute", "id": id, "qty": size})
        elif kind == PARTIAL_CANCEL and open_sizes[id] > 0:
            messages.append({"op": "modify", "id": id, "px": px, "qty": open_sizes[id]})
        else:
            messages.append({"op": "cancel", "id": id})
    return messages
