"""A limit order book in plain Python: the independent judge of the compiled kernel.

It shares no code with `sim`, prefers the obvious to the fast, and takes well-formed messages only: the types of the
fields are the business of `sim.replay`. Prices and sizes are integers, times do not exist, and messages count from 0.

Beside the operations of a replay it knows `execute` (id, qty), which takes `qty` from one resting order as the
exchange did, wherever that order stands in its queue; `ReferenceResult.executions` says whether it was first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

LARGEST = 2**31 - 1
OPPOSITE = {"B": "S", "S": "B"}
FIRST, NOT_FIRST, UNKNOWN = 0, 101, 102


@dataclass
class ReferenceResult:
    """What a replay leaves behind; the first four fields are those of `sim.replay.ReplayResult`."""

    trades: list[list[int]] = field(default_factory=list)
    bids: list[Any] = field(default_factory=list)
    asks: list[Any] = field(default_factory=list)
    rejects: list[int] = field(default_factory=list)
    executions: list[int] = field(default_factory=list)


@dataclass
class Order:
    """One order on its way through the book; `px` is None for a market order."""

    id: int
    side: str
    px: int | None
    open: int
    owner: int | None


def reference_replay(messages: Iterable[dict[str, Any]], stp: str = "none") -> ReferenceResult:
    """Play the messages through one fresh book."""
    book = ReferenceBook(stp)
    for position, message in enumerate(messages):
        if not book.handle(message):
            book.result.rejects.append(position)
    book.result.bids = book.levels("B")
    book.result.asks = book.levels("S")
    return book.result


class ReferenceBook:
    """One book: queues of orders by price, waiting stops in order of arrival, the last trade price."""

    def __init__(self, stp: str = "none") -> None:
        self.stp = stp
        self.queues: dict[str, dict[int, deque[Order]]] = {"B": {}, "S": {}}
        self.resting: dict[int, Order] = {}
        self.stops: dict[int, dict[str, Any]] = {}
        self.last: int | None = None
        self.band: tuple[int, int] | None = None
        self.halted = False
        self.result = ReferenceResult()

    def handle(self, message: dict[str, Any]) -> bool:
        """Carry out one message and the stops it sets off; False if it was refused."""
        action = {
            "limit": self.enter,
            "ioc": self.enter,
            "fok": self.enter,
            "post": self.enter,
            "market": self.enter,
            "stop": self.wait,
            "stoplimit": self.wait,
            "cancel": self.cancel,
            "modify": self.modify,
            "halt": self.halt,
            "resume": self.resume,
            "band": self.set_band,
            "execute": self.execute,
        }[message["op"]]
        accepted = action(message)
        self.set_off_stops()
        return accepted

    # The operations. Each checks everything before it changes anything.

    def enter(self, message: dict[str, Any]) -> bool:
        op = message["op"]
        if not self.may_enter(message):
            return False
        if op != "market" and not self.may_have_price(message["px"]):
            return False
        order = as_order(message, None if op == "market" else message["px"])
        if op == "post" and self.first_met(order) is not None:
            return False
        if op == "fok" and self.liquidity_for(order) < order.open:
            return True
        self.sweep(order)
        if op in ("limit", "post") and order.open > 0:
            self.rest(order)
        return True

    def wait(self, message: dict[str, Any]) -> bool:
        if not self.may_enter(message) or not in_range(message["stop"]):
            return False
        if message["op"] == "stoplimit" and not self.may_have_price(message["px"]):
            return False
        self.stops[message["id"]] = message
        return True

    def cancel(self, message: dict[str, Any]) -> bool:
        id = message["id"]
        if id in self.stops:
            del self.stops[id]
            return True
        if id in self.resting:
            self.take_from(self.resting[id], self.resting[id].open)
            return True
        return False

    def modify(self, message: dict[str, Any]) -> bool:
        px, qty = message["px"], message["qty"]
        if self.halted or message["id"] not in self.resting:
            return False
        if not in_range(px) or not in_range(qty):
            return False
        order = self.resting[message["id"]]
        if px != order.px and not self.may_have_price(px):
            return False
        if px == order.px and qty <= order.open:
            order.open = qty
            return True
        self.take_from(order, order.open)
        changed = Order(order.id, order.side, px, qty, order.owner)
        self.sweep(changed)
        if changed.open > 0:
            self.rest(changed)
        return True

    def halt(self, message: dict[str, Any]) -> bool:
        self.halted = True
        return True

    def resume(self, message: dict[str, Any]) -> bool:
        self.halted = False
        return True

    def set_band(self, message: dict[str, Any]) -> bool:
        self.band = (message["lo"], message["hi"])
        return True

    def execute(self, message: dict[str, Any]) -> bool:
        order = self.resting.get(message["id"])
        if order is None:
            self.result.executions.append(UNKNOWN)
            return False
        is_first = order is self.first_of(order.side)
        self.result.executions.append(FIRST if is_first else NOT_FIRST)
        while (ahead := self.first_of(order.side)) is not None and ahead is not order:
            self.take_from(ahead, ahead.open)
        self.take_from(order, min(order.open, message["qty"]))
        return is_first

    # What the operations ask.

    def may_enter(self, message: dict[str, Any]) -> bool:
        id = message["id"]
        is_live = id in self.resting or id in self.stops
        return not self.halted and not is_live and message["side"] in OPPOSITE and in_range(message["qty"])

    def may_have_price(self, px: int) -> bool:
        return in_range(px) and (self.band is None or self.band[0] <= px <= self.band[1])

    def best(self, side: str) -> int | None:
        """Best price of a side, None if it is empty."""
        return (max if side == "B" else min)(self.queues[side], default=None)

    def first_of(self, side: str) -> Order | None:
        """Find the order that is first in the queue at the best price of a side."""
        px = self.best(side)
        return None if px is None else self.queues[side][px][0]

    def first_met(self, taker: Order) -> Order | None:
        """Find the resting order that `taker` would reach first, None if it reaches none."""
        maker = self.first_of(OPPOSITE[taker.side])
        return maker if maker is not None and reaches(taker, maker.px) else None

    def liquidity_for(self, taker: Order) -> int:
        """Open size that `taker` reaches, without what self-trade prevention keeps from it."""
        return sum(
            maker.open
            for px, queue in self.queues[OPPOSITE[taker.side]].items()
            if reaches(taker, px)
            for maker in queue
            if not self.must_not_meet(taker, maker)
        )

    def must_not_meet(self, taker: Order, maker: Order) -> bool:
        return self.stp != "none" and taker.owner is not None and taker.owner == maker.owner

    # What the operations do.

    def rest(self, order: Order) -> None:
        """Put an order at the back of the queue of its price."""
        self.queues[order.side].setdefault(order.px, deque()).append(order)
        self.resting[order.id] = order

    def take_from(self, order: Order, size: int) -> None:
        """Take `size` from a resting order; at nothing left it leaves the book."""
        order.open -= size
        if order.open > 0:
            return
        del self.resting[order.id]
        self.queues[order.side][order.px].remove(order)
        if not self.queues[order.side][order.px]:
            del self.queues[order.side][order.px]

    def sweep(self, taker: Order) -> None:
        """Let `taker` meet what it reaches, until it is filled or meets nothing more."""
        while taker.open > 0:
            maker = self.first_met(taker)
            if maker is None:
                return
            if self.must_not_meet(taker, maker):
                self.prevent(taker, maker)
            else:
                self.trade(taker, maker)

    def trade(self, taker: Order, maker: Order) -> None:
        size = min(taker.open, maker.open)
        self.result.trades.append([maker.id, taker.id, maker.px, size])
        self.last = maker.px
        taker.open -= size
        self.take_from(maker, size)

    def prevent(self, taker: Order, maker: Order) -> None:
        if self.stp == "decrement":
            size = min(taker.open, maker.open)
            taker.open -= size
            self.take_from(maker, size)
        if self.stp in ("cancel_oldest", "cancel_both"):
            self.take_from(maker, maker.open)
        if self.stp in ("cancel_newest", "cancel_both"):
            taker.open = 0

    def set_off_stops(self) -> None:
        """Enter waiting stops that the last trade price has reached, the earliest first, until there is none."""
        while not self.halted:
            reached = next((stop for stop in self.stops.values() if self.is_reached(stop)), None)
            if reached is None:
                return
            del self.stops[reached["id"]]
            self.enter_stop(reached)

    def is_reached(self, stop: dict[str, Any]) -> bool:
        if self.last is None:
            return False
        return self.last >= stop["stop"] if stop["side"] == "B" else self.last <= stop["stop"]

    def enter_stop(self, stop: dict[str, Any]) -> None:
        is_limit = stop["op"] == "stoplimit"
        order = as_order(stop, stop["px"] if is_limit else None)
        self.sweep(order)
        if is_limit and order.open > 0:
            self.rest(order)

    def levels(self, side: str) -> list[Any]:
        """[price, [[id, open], ...]] of a side, best first, each level in queue order."""
        queues = self.queues[side]
        return [[px, [[order.id, order.open] for order in queues[px]]] for px in sorted(queues, reverse=side == "B")]


def in_range(value: int) -> bool:
    """Whether a price or size is one that a book accepts."""
    return 0 < value <= LARGEST


def as_order(message: dict[str, Any], px: int | None) -> Order:
    return Order(message["id"], message["side"], px, message["qty"], message.get("owner"))


def reaches(taker: Order, px: int) -> bool:
    """Whether `taker` would trade at `px`."""
    if taker.px is None:
        return True
    return px <= taker.px if taker.side == "B" else px >= taker.px
