"""The trading floor: carries out what a trader answers, and knows what it has at work."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import TYPE_CHECKING

from sim.kernel import world as k
from sim.kernel.codes import (
    OP_CANCEL,
    OP_FOK,
    OP_IOC,
    OP_LIMIT,
    OP_MARKET,
    OP_MODIFY,
    OP_POST,
    OP_STOP,
    OP_STOPLIMIT,
)
from sim.trader import (
    Action,
    Activity,
    Cancel,
    Fok,
    Ioc,
    LatentOrders,
    Limit,
    Market,
    Metaorders,
    Modify,
    NoiseOrders,
    PostOnly,
    Quote,
    Stop,
    StopLimit,
    Touch,
    TradeOptions,
    Trader,
    Work,
    stream_key,
)
from sim.units import TICK_POINTS, ticks

if TYPE_CHECKING:
    from sim.model import MarketModel

type Handle = tuple[int, int]


@dataclass
class _Desk:
    """What one trader has at work: its order being worked, other programs, orders in the book."""

    work: Handle | None = None
    side: int = 0
    programs: list[Handle] = field(default_factory=list)
    orders: list[tuple[int, int]] = field(default_factory=list)
    started: int = 0


class Floor:
    """Turns actions into messages and standing programs of the kernel."""

    def __init__(self, model: MarketModel) -> None:
        self._model = model
        self._desks: defaultdict[int, _Desk] = defaultdict(_Desk)

    def clear(self) -> None:
        """Forget all that was at work: a session has ended. Numbers of streams go on."""
        for desk in self._desks.values():
            desk.work, desk.programs, desk.orders = None, [], []

    def desk(self, trader: Trader) -> _Desk:
        """What a trader has at work."""
        return self._desks[trader.owner]

    def working(self, trader: Trader) -> int:
        """Contracts that a trader's `Work` still has to trade, signed."""
        desk = self.desk(trader)
        return 0 if desk.work is None else (1 - 2 * desk.side) * self._model.market.left(desk.work)

    def sent(self, trader: Trader) -> list[tuple[int, int]]:
        """Handles of the orders a trader has sent that are still in the book."""
        desk, is_live = self.desk(trader), self._model.market.is_live
        desk.orders = [handle for handle in desk.orders if is_live(*handle)]
        return desk.orders

    def ordered(self, action: Action, trader: Trader) -> int:
        """Futures contracts that an action orders on top of what is being worked, signed; 0 for standing liquidity."""
        match action:
            case Work():
                return action.contracts - self.working(trader)
            case Market() | Limit() | Ioc() | Fok() | PostOnly() | Stop() | StopLimit() | Touch():
                return action.contracts
        return 0

    @singledispatchmethod
    def carry_out(self, action: Action, trader: Trader, decision: int) -> None:
        """Carry out one action; TypeError for what is none."""
        raise TypeError(f"{trader.name} answered with {action!r}, which is no action")

    # Orders

    def _send(
        self, trader: Trader, decision: int, op: int, contracts: int, price: float = 0.0, stop: float = 0.0
    ) -> None:
        if contracts == 0:
            return
        _, row, order = self._model.market.send(
            trader.owner,
            op,
            side=int(contracts < 0),
            price=ticks(price),
            size=abs(contracts),
            stop=ticks(stop),
            decision=decision,
            latency_ns=trader.latency_ns,
        )
        if row:
            self.desk(trader).orders.append((row, order))

    @carry_out.register
    def _(self, action: Market, trader: Trader, decision: int) -> None:
        self._send(trader, decision, OP_MARKET, action.contracts)

    @carry_out.register
    def _(self, action: Limit, trader: Trader, decision: int) -> None:
        self._send(trader, decision, OP_LIMIT, action.contracts, action.points)

    @carry_out.register
    def _(self, action: Ioc, trader: Trader, decision: int) -> None:
        self._send(trader, decision, OP_IOC, action.contracts, action.points)

    @carry_out.register
    def _(self, action: Fok, trader: Trader, decision: int) -> None:
        self._send(trader, decision, OP_FOK, action.contracts, action.points)

    @carry_out.register
    def _(self, action: PostOnly, trader: Trader, decision: int) -> None:
        self._send(trader, decision, OP_POST, action.contracts, action.points)

    @carry_out.register
    def _(self, action: Stop, trader: Trader, decision: int) -> None:
        self._send(trader, decision, OP_STOP, action.contracts, stop=action.points)

    @carry_out.register
    def _(self, action: StopLimit, trader: Trader, decision: int) -> None:
        self._send(trader, decision, OP_STOPLIMIT, action.contracts, action.points, action.stop_points)

    @carry_out.register
    def _(self, action: Cancel, trader: Trader, decision: int) -> None:
        if (action.order.row, action.order.ident) in self.sent(trader):
            self._model.market.send(trader.owner, OP_CANCEL, row=action.order.row, decision=decision)

    @carry_out.register
    def _(self, action: Modify, trader: Trader, decision: int) -> None:
        market = self._model.market
        if (action.order.row, action.order.ident) in self.sent(trader):
            size, price = abs(action.contracts), ticks(action.points)
            market.send(trader.owner, OP_MODIFY, row=action.order.row, size=size, price=price, decision=decision)

    # Programs

    def _start(
        self, trader: Trader, decision: int, kind: int, params: dict[int, float], columns: dict[int, int] | None = None
    ) -> Handle:
        desk = self.desk(trader)
        desk.started += 1
        key = stream_key(trader.key, "program", desk.started)
        about = {k.P_KIND: kind, k.P_OWNER: trader.owner, k.P_DECISION: decision, k.P_KEY: key}
        return self._model.market.start_program(about | (columns or {}), params, ladder=kind == k.LADDER)

    @carry_out.register
    def _(self, action: Work, trader: Trader, decision: int) -> None:
        desk = self.desk(trader)
        if desk.work is not None:
            self._model.market.stop_program(desk.work)
        desk.work, desk.side = None, int(action.contracts < 0)
        if action.contracts:
            desk.work = self._start(
                trader,
                decision,
                k.SCHEDULE,
                {k.SIZE: action.child, k.POV: action.pov},
                {
                    k.P_SIDE: desk.side,
                    k.P_LEFT: abs(action.contracts),
                    k.P_END: action.until_ns,
                    k.P_LIMIT: ticks(action.limit),
                },
            )

    @carry_out.register
    def _(self, action: Touch, trader: Trader, decision: int) -> None:
        if action.contracts:
            handle = self._start(
                trader,
                decision,
                k.TOUCH,
                {k.RATE: action.looks_per_second, k.SIZE: action.child},
                {k.P_SIDE: int(action.contracts < 0), k.P_LEFT: abs(action.contracts), k.P_END: action.until_ns},
            )
            self.desk(trader).programs.append(handle)

    @carry_out.register
    def _(self, action: Quote, trader: Trader, decision: int) -> None:
        params = {
            k.RATE: 2 * k.SLOTS * action.requotes,
            k.LOOKS: action.fills,
            k.TARGET: action.contracts,
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
        self._replace_programs(trader, self._start(trader, 0, k.LADDER, params))

    def _replace_programs(self, trader: Trader, *handles: Handle) -> None:
        """Let these be all the programs of a trader beside its work."""
        desk = self.desk(trader)
        for old in desk.programs:
            self._model.market.stop_program(old)
        desk.programs = list(handles)

    @carry_out.register
    def _(self, action: LatentOrders, trader: Trader, decision: int) -> None:
        params = {
            k.RATE: action.orders_per_second,
            k.REACH: action.reach_points / TICK_POINTS,
            k.SIZE: action.size,
            k.LIFE: action.life_seconds,
        }
        handle = self._start(trader, 0, k.LATENT, params)
        self._replace_programs(trader, handle)
        count = round(action.orders_per_second * action.life_seconds)
        if self._model.market.in_auction():
            self._model.market.stock(handle, ticks(action.around), count, action.hollow_points / TICK_POINTS)

    @carry_out.register
    def _(self, action: NoiseOrders, trader: Trader, decision: int) -> None:
        cap = self._model.market.pace_cap()
        params = {k.RATE: action.contracts_per_second / action.size * cap, k.CAP: cap, k.SIZE: action.size}
        params[k.SELECTIVE] = action.selective
        self.desk(trader).programs.append(self._start(trader, 0, k.NOISE, params))

    @carry_out.register
    def _(self, action: Metaorders, trader: Trader, decision: int) -> None:
        cap = self._model.market.pace_cap()
        mean = _pareto_mean(action.smallest, action.largest, action.tail)
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
        self.desk(trader).programs.append(self._start(trader, 0, k.META, params))

    @carry_out.register
    def _(self, action: Activity, trader: Trader, decision: int) -> None:
        self._model.market.set_activity(
            action.feedback, action.cap, action.reference_vol / TICK_POINTS, action.base, action.rise
        )

    @carry_out.register
    def _(self, action: TradeOptions, trader: Trader, decision: int) -> None:
        self._model.trade_options(trader, action.contract, action.contracts)


def _pareto_mean(low: float, high: float, alpha: float) -> float:
    """Mean of a Pareto distribution of tail exponent alpha (not 1) truncated to [low, high]."""
    return alpha / (alpha - 1) * (low ** (1 - alpha) - high ** (1 - alpha)) / (low**-alpha - high**-alpha)
