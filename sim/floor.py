"""The trading floor: carries out what a trader answers, and knows what it has at work."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sim.kernel import world as k
from sim.kernel.codes import (
    OK,
    OP_CANCEL,
    OP_FOK,
    OP_IOC,
    OP_LIMIT,
    OP_MARKET,
    OP_MODIFY,
    OP_POST,
    OP_STOP,
    OP_STOPLIMIT,
    UNKNOWN_ID,
)
from sim.kernel.draws import hashed
from sim.market import NO_PROGRAM
from sim.scenario import ScenarioError
from sim.trader import (
    Action,
    Activity,
    Attention,
    Cancel,
    Fok,
    Ioc,
    LatentOrders,
    Limit,
    Market,
    Metaorders,
    Modify,
    NewOrder,
    NoiseOrders,
    PostOnly,
    Quote,
    Refusal,
    Refused,
    Stop,
    StopLimit,
    Touch,
    TradeOptions,
    Trader,
    Work,
)
from sim.units import NEVER, TICK_POINTS, ticks

if TYPE_CHECKING:
    from sim.model import MarketModel

MOST_LATENT_ORDERS = 5_000_000
"""Of a crowd, at rest at once: they take some two gigabytes."""

FASTEST_PER_SECOND = 1e6
"""Candidates of a program: with more a second of the market would take the kernel one of the user's."""

type Handle = tuple[int, int]

PROGRAM_DRAW = 1
"""Which of the draws of a trader's key is the key of its n-th program; its own random numbers are draw 0."""

OPERATIONS = {
    Market: OP_MARKET,
    Limit: OP_LIMIT,
    Ioc: OP_IOC,
    Fok: OP_FOK,
    PostOnly: OP_POST,
    Stop: OP_STOP,
    StopLimit: OP_STOPLIMIT,
}


@dataclass
class _Desk:
    """What one trader has at work: programs by kind of action, orders in the book; what was refused; streams so far."""

    programs: dict[type, Handle] = field(default_factory=dict)
    orders: list[tuple[int, int]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    started: int = 0


class Floor:
    """Turns actions into messages and standing programs of the kernel."""

    def __init__(self, model: MarketModel) -> None:
        self._model = model
        self._desks: defaultdict[int, _Desk] = defaultdict(_Desk)
        self._under_way: list[tuple[int, int, Action, Trader, int]] = []
        self._sent = 0

    def clear(self) -> None:
        """Forget all that was at work or under way: a session has ended. Numbers of streams go on."""
        self._under_way = []
        for desk in self._desks.values():
            desk.programs, desk.orders = {}, []

    def desk(self, trader: Trader) -> _Desk:
        """What a trader has at work."""
        return self._desks[trader.owner]

    def left(self, kind: type, trader: Trader) -> int:
        """Contracts that the `Work` or `Touch` a trader has standing still has to trade, signed."""
        handle = self.desk(trader).programs.get(kind)
        return 0 if handle is None else self._model.market.left(handle)

    def sent(self, trader: Trader) -> list[tuple[int, int]]:
        """Handles of the orders a trader has sent that are still in the book."""
        desk, is_live = self.desk(trader), self._model.market.is_live
        desk.orders = [handle for handle in desk.orders if is_live(*handle)]
        return desk.orders

    def refused(self, trader: Trader) -> list[Refused]:
        """Messages of a trader refused since `forget_refused`."""
        return self.desk(trader).refused

    def forget_refused(self, trader: Trader) -> None:
        """Forget what was refused: the trader has seen it."""
        self.desk(trader).refused = []

    def ordered(self, action: Action, trader: Trader) -> int:
        """Futures contracts that an action orders on top of what it replaces, signed; 0 for standing liquidity."""
        match action:
            case NewOrder():
                return action.contracts
            case Work() | Touch():
                return action.contracts - self.left(type(action), trader)
        return 0

    def carry_out(self, action: Action, trader: Trader, decision: int) -> None:
        """Carry out one action, an order message once it has arrived; TypeError for what is no action."""
        if trader.latency_ns > 0 and isinstance(action, NewOrder | Cancel | Modify):
            self._sent += 1
            arrival = self._model.market.now + trader.latency_ns
            heapq.heappush(self._under_way, (arrival, self._sent, action, trader, decision))
        else:
            self._perform(action, trader, decision)

    def next_arrival(self) -> int:
        """Time at which the next message arrives, NEVER if none is under way."""
        return self._under_way[0][0] if self._under_way else NEVER

    def deliver(self) -> None:
        """Carry out the messages that have arrived by now: by time, then in the order in which they were sent."""
        while self.next_arrival() <= self._model.market.now:
            self._perform(*heapq.heappop(self._under_way)[2:])

    def _perform(self, action: Action, trader: Trader, decision: int) -> None:
        match action:
            case Work():
                params = {k.SIZE: action.child, k.POV: action.pov}
                self._trade(action, trader, decision, k.SCHEDULE, params, ticks(action.limit))
            case Touch():
                params = {k.RATE: action.looks_per_second, k.SIZE: action.child}
                self._trade(action, trader, decision, k.TOUCH, params)
            case NewOrder():
                self._send(action, trader, decision)
            case Cancel():
                self._cancel(action, trader, decision)
            case Modify():
                self._modify(action, trader, decision)
            case Quote():
                self._quote(action, trader)
            case LatentOrders():
                self._latent(action, trader)
            case NoiseOrders():
                self._noise(action, trader)
            case Metaorders():
                self._meta(action, trader)
            case Activity():
                sigma = action.reference_vol / TICK_POINTS
                self._model.market.set_activity(action.feedback, action.cap, sigma, action.base, action.rise)
            case TradeOptions():
                self._model.trade_options(trader, action.contract, action.contracts)
            case _:
                raise TypeError(f"{trader.name} answered with {action!r}, which is no action")

    # Orders

    def _send(self, action: NewOrder, trader: Trader, decision: int) -> None:
        if action.contracts == 0:
            return
        price, stop = map(ticks, action.prices())
        code, row, order = self._model.market.send(
            trader.owner,
            OPERATIONS[type(action)],
            side=int(action.contracts < 0),
            price=price,
            size=abs(action.contracts),
            stop=stop,
            decision=decision,
        )
        if row:
            self.desk(trader).orders.append((row, order))
        self._note(code, action, trader, decision)

    def _cancel(self, action: Cancel, trader: Trader, decision: int) -> None:
        code = UNKNOWN_ID
        if (action.order.row, action.order.ident) in self.sent(trader):
            code, *_ = self._model.market.send(trader.owner, OP_CANCEL, row=action.order.row, decision=decision)
        self._note(code, action, trader, decision)

    def _modify(self, action: Modify, trader: Trader, decision: int) -> None:
        market, code = self._model.market, UNKNOWN_ID
        if (action.order.row, action.order.ident) in self.sent(trader):
            change = {"size": abs(action.contracts), "price": ticks(action.points)}
            code, *_ = market.send(trader.owner, OP_MODIFY, row=action.order.row, decision=decision, **change)
        self._note(code, action, trader, decision)

    def _note(self, code: int, action: NewOrder | Cancel | Modify, trader: Trader, decision: int) -> None:
        """Let trader and record know of a refusal."""
        if code != OK:
            self.desk(trader).refused.append(Refused(action, Refusal(code)))
            self._model.recorder.refused(decision, Refusal(code))

    # Programs

    def _replace(
        self, action: Action | Attention, trader: Trader, columns: dict[int, int], params: dict[int, float]
    ) -> None:
        """Start a program in place of the one that the trader has standing of the action's kind."""
        _check(action, trader, params)
        desk, kind = self.desk(trader), type(action)
        desk.started += 1
        columns[k.P_OWNER] = trader.owner
        columns[k.P_KEY] = int(hashed(trader.key, desk.started, PROGRAM_DRAW))
        standing = desk.programs.get(kind, NO_PROGRAM)
        desk.programs[kind] = self._model.market.start_program(columns, params, standing)

    def _end(self, kind: type, trader: Trader) -> None:
        """End the program of a kind of action that a trader has standing, if any."""
        if (old := self.desk(trader).programs.pop(kind, None)) is not None:
            self._model.market.stop_program(old)

    def _trade(
        self, action: Work | Touch, trader: Trader, decision: int, kind: int, params: dict[int, float], limit: int = 0
    ) -> None:
        """Start a program that trades a number of contracts; of none it only ends the old one."""
        if action.contracts == 0:
            self._end(type(action), trader)
            return
        columns = {
            k.P_KIND: kind,
            k.P_DECISION: decision,
            k.P_SIDE: int(action.contracts < 0),
            k.P_LEFT: abs(action.contracts),
            k.P_END: action.until_ns,
            k.P_LIMIT: limit,
        }
        self._replace(action, trader, columns, params)

    def attend(self, trader: Trader, alarm: Attention | None) -> None:
        """Start the looks behind an alarm of attention; None ends them."""
        if alarm is None:
            self._end(Attention, trader)
            return
        params = {
            k.RATE: 1.0 / alarm.every_seconds,
            k.CHANCE: alarm.chance,
            k.CALM_SIGMA: alarm.reference_vol / TICK_POINTS,
            k.POWER: alarm.power,
        }
        self._replace(alarm, trader, {k.P_KIND: k.ATTENTION}, params)

    def _quote(self, action: Quote, trader: Trader) -> None:
        params = {
            k.RATE: 2 * action.looks,
            k.LOOKS: action.fills,
            k.TARGET: action.contracts,
            k.DISPLAYED: action.displayed,
            k.REFILL: action.refill,
            k.SHAPE: action.shape,
            k.SHAPE_MAX: action.shape_ticks,
            k.DEPTH: action.levels,
            k.SKEW: action.skew,
            k.TILT: action.tilt,
            k.MAX_INVENTORY: action.max_inventory,
            k.MEMORY: action.memory_seconds,
            k.BETA: action.withdrawal,
            k.SIGMA_REF: action.reference_vol / TICK_POINTS,
            k.H_LOW: action.bounds[0],
            k.H_HIGH: action.bounds[1],
        }
        self._start_or_adjust(action, trader, k.LADDER, params)

    def _start_or_adjust(self, action: Action, trader: Trader, kind: int, params: dict[int, float]) -> bool:
        """Start a program, or change the one that stands of the action's kind; whether it is new."""
        standing = self.desk(trader).programs.get(type(action))
        if standing:
            _check(action, trader, params)
            self._model.market.adjust(standing, params)
        else:
            self._replace(action, trader, {k.P_KIND: kind}, params)
        return not standing

    def _latent(self, action: LatentOrders, trader: Trader) -> None:
        params = {
            k.RATE: action.orders_per_second,
            k.REACH: action.reach_points / TICK_POINTS,
            k.SIZE: action.size,
            k.LIFE: action.life_seconds,
        }
        count = action.orders_per_second * action.life_seconds
        if not count * trader.crowd_size <= MOST_LATENT_ORDERS:
            raise ScenarioError(
                f"agents.{trader.crowd}: {count * trader.crowd_size:.3g} latent orders would rest (rate times life), "
                f"at most {MOST_LATENT_ORDERS:,} may at once"
            )
        is_new = self._start_or_adjust(action, trader, k.LATENT, params)
        if is_new and self._model.market.in_auction():
            market, handle = self._model.market, self.desk(trader).programs[LatentOrders]
            market.stock(handle, ticks(action.around), round(count), action.hollow_points / TICK_POINTS)

    def _noise(self, action: NoiseOrders, trader: Trader) -> None:
        cap = self._model.market.pace_cap()
        params = {
            k.RATE: action.contracts_per_second / action.size * cap,
            k.CAP: cap / action.surge,
            k.SIZE: action.size,
            k.SELECTIVE: action.selective,
        }
        self._start_or_adjust(action, trader, k.NOISE, params)

    def _meta(self, action: Metaorders, trader: Trader) -> None:
        cap = self._model.market.pace_cap()
        mean = pareto_mean(action.smallest, action.largest, action.tail)
        params = {
            k.RATE: action.contracts_per_second / mean * cap,
            k.CAP: cap,
            k.SIZE: action.size,
            k.SELECTIVE: action.selective,
            k.Q_LOW: action.smallest,
            k.Q_HIGH: action.largest,
            k.ALPHA: action.tail,
            k.PART_LOW: action.participation[0],
            k.PART_HIGH: action.participation[1],
            k.FLOW: action.flow,
        }
        self._start_or_adjust(action, trader, k.META, params)


def _check(action: Action | Attention, trader: Trader, params: dict[int, float]) -> None:
    """Raise ScenarioError where the kernel could never be done with a program."""
    fastest = max(params.get(k.RATE, 0.0), params.get(k.LOOKS, 0.0))
    if not all(map(math.isfinite, params.values())) or fastest > FASTEST_PER_SECOND:
        raise ScenarioError(
            f"agents.{trader.crowd}: {action!r} cannot be carried out: all its numbers must be finite, "
            f"and its candidates at most {FASTEST_PER_SECOND:,.0f} a second"
        )


def pareto_mean(low: float, high: float, alpha: float) -> float:
    """Mean of whole contracts: the floors of a Pareto distribution of tail exponent alpha truncated to [low, high]."""
    # The mean of whole numbers is the sum over n of the chance to reach n, which is one up to the smallest.
    n = np.arange(math.floor(low) + 1, math.floor(high) + 1, dtype=np.float64)
    reached = (n**-alpha - high**-alpha) / (low**-alpha - high**-alpha)
    return math.floor(low) + float(reached.sum())
