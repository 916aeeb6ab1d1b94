"""The market: buffers, clock, alarms and ledger around the compiled kernel.

The only caller of the kernel's functions, but for the benchmark, which measures them bare. Others take from the kernel
its codes and the names of its columns, and the keyed draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sim.kernel.auction import uncross
from sim.kernel.book import clear, room
from sim.kernel.codes import FULL, OP_CANCEL, OP_STOPLIMIT, STP_CANCEL_OLDEST
from sim.kernel.doors import end_program, launch, run
from sim.kernel.flow import stock
from sim.kernel.ladder import depth, key_of, level_at, next_key
from sim.kernel.programs import derive
from sim.kernel.replay import M_OWNER, replay
from sim.kernel.run import deliver, pulse, world_room
from sim.kernel.state import (
    ASK,
    ASKS,
    AUCTION,
    BAND_LO,
    BEST,
    BID,
    BIDS,
    CASH,
    EVENTS,
    HALTED,
    LANES,
    LAST,
    LEDGER,
    LIVE,
    LOGGING,
    MID2,
    NO_KEY,
    ORDER_TOP,
    PAGE,
    PAGE_TOP,
    POSITION,
    QUOTES,
    RING,
    ROW,
    RUNG,
    STOPS,
    STP,
    TRADES,
    WATCH,
    Books,
    new_books,
)
from sim.kernel.world import (
    ABOVE,
    BELOW,
    BUCKET_BITS,
    CURSOR,
    DUE,
    FREE_BLOCK,
    FREE_NODE,
    FREE_PROGRAM,
    LADDER,
    LADDERS,
    LATER,
    LOOKING,
    NODE_TOP,
    NONE,
    NOW,
    P_ID,
    P_KIND,
    P_LEFT,
    P_ORDER,
    P_OWNER,
    P_ROW,
    P_SIDE,
    P_SLOTS,
    PROGRAM_TOP,
    QUOTING,
    S_ACTIVITY_CAP,
    S_CLOSE,
    S_EWMA_A,
    S_EWMA_B,
    S_EWMA_C,
    S_FEEDBACK,
    S_FLOW_SIGMA2,
    S_FROZEN_SIGMA2,
    S_LAST_MID2,
    S_NOTIONAL,
    S_ONE_TICK,
    S_OPEN,
    S_PACE,
    S_PACE_UNTIL,
    S_SIGMA2,
    S_SPREAD,
    S_TRADES_SEEN,
    S_TWO_SIDED,
    S_U_BASE,
    S_U_RISE,
    S_VOLUME_RATE,
    SEEN_AT,
    SEEN_POSITION,
    SENT,
    SINCE,
    SPARE,
    WOKEN,
    World,
    new_world,
)
from sim.units import POINT_USD, TICK_POINTS

NO_PROGRAM = 0, -1
"""The handle of none."""


def grown(b: Books) -> Books:
    """The books with buffers in which at least one more message fits. Amortised O(1) a message."""
    counts, spare = b.counts, 4 * int(b.counts[LIVE] + b.counts[STOPS]) + 64
    trades, quotes, events = (int(counts[kind]) for kind in (TRADES, QUOTES, EVENTS))
    pages = int(counts[PAGE_TOP] + counts[STOPS]) + 64
    return b._replace(
        trades=_longer(b.trades, trades + spare, trades),
        quotes=_longer(b.quotes, quotes + spare, quotes),
        events=_longer(b.events, events + spare, events),
        orders=_longer(b.orders, int(counts[ORDER_TOP]) + 64),
        stops=_longer(b.stops, int(counts[ORDER_TOP]) + 64),
        pages=_longer(b.pages, pages),
        levels=_longer(b.levels, pages * PAGE),
    )


def _longer(array: np.ndarray, need: int, used: int | None = None) -> np.ndarray:
    """The same array, or where it has fewer rows than `need` one of at least twice as many.

    Only the first `used` rows are copied, all if None: the memory of rows that were never written stays untouched.
    """
    if need <= len(array):
        return array
    longer, kept = np.zeros_like(array, shape=(max(2 * len(array), need), *array.shape[1:])), array[:used]
    longer[: len(kept)] = kept
    return longer


def resting(b: Books, book: int) -> list[tuple[int, int, int, int]]:
    """All resting orders as (side, price, id, open), bids before asks, best first, in queue order."""
    return [entry for side in (BIDS, ASKS) for entry in _lane(b, book * LANES + side)]


def _lane(b: Books, lane: int) -> Iterator[tuple[int, int, int, int]]:
    key = int(b.books[lane // LANES, BEST + lane % LANES])
    while key != NO_KEY:
        row = int(b.levels[level_at(b, lane, key)]["head"])
        while row:
            yield lane % LANES, int(key_of(lane, key)), int(b.orders[row]["id"]), int(b.orders[row]["qty"])
            row = int(b.orders[row]["next"])
        key = int(next_key(b, lane, key + 1)) if key + 1 < NO_KEY else NO_KEY


class Market:
    """The running market: books, clock, standing programs and ledger.

    Owners are dense integers from 1 (0 is nobody), prices ticks, times nanoseconds. The kernel hands control back
    when an alarm rings; who is behind the alarm is the model's business.
    """

    def __init__(self, n_owners: int, *, n_books: int = 1, ladders: int = 0, log_events: bool = False) -> None:
        self.b = new_books(n_books, n_owners, tape=1 << 22)
        self.w: World = new_world(n_books, ladders=ladders)
        self._set_world(self.w)
        self.b.books[:, STP] = STP_CANCEL_OLDEST
        self.b.counts[[LOGGING, LEDGER]] = log_events, True
        self._free_slots = list(range(ladders, 0, -1))
        self.now = 0

    def mid2(self, book: int = 0) -> int:
        """Best bid plus best ask (half ticks), the last one known where a side is empty."""
        return self.b.books.item(book, MID2)

    def best(self, side: int, book: int = 0) -> tuple[int, int]:
        """Best price of a side (ticks) and the contracts there; (0, 0) where it is empty."""
        key = int(self.b.books[book, BEST + side])
        if key == NO_KEY:
            return 0, 0
        lane = book * LANES + side
        return int(key_of(lane, key)), int(self.b.levels[level_at(self.b, lane, key)]["volume"])

    def levels(self, side: int, reach: int, book: int = 0) -> np.ndarray:
        """Prices in use among the `reach` best of a side (ticks), and the contracts at each, (n, 2), best first."""
        best = int(self.b.books[book, BEST + side])
        found = np.empty((min(reach, NO_KEY - best), 2), np.int64)
        return found[: depth(self.b, book * LANES + side, best, found)]

    def position(self, owner: int, book: int = 0) -> int:
        """Contracts held."""
        return self.b.owners.item(owner, book, POSITION)

    def count(self, entry: int) -> int:
        """An entry of the kernel's counts (`sim.kernel.state`)."""
        return self.b.counts.item(entry)

    def start_session(self, now: int, opens: int, closes: int, mid2: int) -> None:
        """Begin a session with empty books: the clock jumps, timers and programs of the last one are gone."""
        clear(self.b)
        clock, stats, self.now = self.w.clock, self.w.stats, now
        self.w.wheel[:] = 0
        self.w.programs[:, P_KIND] = NONE
        self.w.programs[:, P_ID] += 1
        clock[[NOW, SINCE, CURSOR, DUE]] = now, now, now >> BUCKET_BITS, 0
        clock[[FREE_NODE, FREE_BLOCK, NODE_TOP, LATER]] = 0, 0, 1, 0
        clock[[FREE_PROGRAM, PROGRAM_TOP, QUOTING]] = 0, 1, 0
        self.b.books[:, [BID, ASK, LAST, HALTED]] = 0
        self.b.books[:, MID2] = mid2
        self.b.books[:, AUCTION] = 1
        self._free_slots = list(range(len(self.w.slots) - 1, 0, -1))
        self.w.alarms[:, [LADDERS, LOOKING]] = 0
        stats[:, S_OPEN], stats[:, S_CLOSE], stats[:, S_LAST_MID2] = opens, closes, mid2

    def set_activity(self, feedback: float, cap: float, sigma: float, base: float, rise: float, book: int = 0) -> None:
        """Set how the flow's pace follows the day and excites itself (`sim.trader.Activity`); sigma in ticks.

        It holds from the next time on at which the pace is computed: up to there streams have passed over candidates.
        """
        stats = self.w.stats[book]
        stats[[S_FEEDBACK, S_ACTIVITY_CAP, S_FLOW_SIGMA2, S_U_BASE, S_U_RISE]] = feedback, cap, sigma**2, base, rise
        if stats[S_EWMA_C] == 0.0:
            stats[[S_EWMA_A, S_EWMA_B, S_EWMA_C, S_SIGMA2]] = sigma**2
        if self.now >= stats[S_PACE_UNTIL]:
            stats[S_PACE] = 1.0

    def pace_cap(self, book: int = 0) -> float:
        """The largest pace the flow can have: candidates come at this rate."""
        base, rise, cap = self.w.stats[book, [S_U_BASE, S_U_RISE, S_ACTIVITY_CAP]]
        return float(cap * (base + rise))

    def in_auction(self, book: int = 0) -> bool:
        """Whether a call auction collects orders."""
        return bool(self.b.books[book, AUCTION])

    def is_live(self, row: int, order: int) -> bool:
        """Whether an order or waiting stop is still there."""
        return bool(self.b.orders[row]["id"] == order)

    def order(self, row: int) -> tuple[int, int]:
        """Open contracts, signed, and price of the order or waiting stop (its stop price) in a row."""
        lane, key, size = (int(self.b.orders[row][field]) for field in ("lane", "key", "qty"))
        return size * (1 - 2 * (lane & 1)), int(key_of(lane, key))

    def open_auction(self, book: int = 0) -> int:
        """End the call auction of a book; contracts traded. The market's pulse starts with the first one."""
        self._make_room()
        volume = int(uncross(self.b, self.now, book))
        bid, ask = self.best(BIDS, book)[0], self.best(ASKS, book)[0]
        self.w.stats[book, S_LAST_MID2] = bid + ask if bid and ask else self.mid2(book)
        self.w.stats[book, S_TRADES_SEEN] = self.count(TRADES)
        return volume

    def start_pulse(self, book: int = 0) -> None:
        """Start the once-a-second upkeep of a book's statistics."""
        self._make_room()
        pulse(self.b, self.w, book)

    def advance(self, until: int) -> int:
        """Run to a time; TIME, or earlier PRICE, FILL or LOOK where an alarm rang."""
        code = run(*self.b, *self.w, until)
        while code == FULL:
            self._make_room()
            code = run(*self.b, *self.w, until)
        self.now = self.w.clock.item(NOW)
        return int(code)

    def send(
        self,
        owner: int,
        op: int,
        *,
        side: int = 0,
        price: int = 0,
        size: int = 0,
        stop: int = 0,
        row: int = 0,
        decision: int = 0,
        cause: int = 0,
        book: int = 0,
    ) -> tuple[int, int, int]:
        """Send one message; (code, row, id) of what rests of it."""
        self.w.pending[SENT] = op, book, side, price, size, stop, row, owner, decision, cause
        code = int(deliver(self.b, self.w))
        while code == FULL:
            self.b = grown(self.b)
            code = int(deliver(self.b, self.w))
        rests = self.b.counts.item(ROW) if op <= OP_STOPLIMIT and code == 0 else 0
        return code, rests, int(self.b.orders[rests]["id"]) if rests else 0

    def start_program(
        self, columns: Mapping[int, int], params: Mapping[int, float], instead_of: tuple[int, int] = NO_PROGRAM
    ) -> tuple[int, int]:
        """Start a standing program from the columns of `sim.kernel.world`, in place of another one; its handle."""
        self._withdraw(instead_of)
        new, about = self._new_program
        for column, value in columns.items():
            new[column] = int(value)
        for column, param in params.items():
            about[column] = param
        if columns[P_KIND] == LADDER:
            new[P_SLOTS] = self._free_slot()
            about[SEEN_AT], about[SEEN_POSITION] = self.now, self.position(columns[P_OWNER])
        p = launch(*self.w, *instead_of)
        while p == 0:
            self._set_world(_grown_world(self.w))
            p = launch(*self.w, *instead_of)
        return p, self.w.programs.item(p, P_ID)

    def stock(self, program: tuple[int, int], reference: int, count: int, hollow: float) -> None:
        """Fill a book before its opening auction with what a latent program would have left in it."""
        while count > 0:
            self._make_room()
            count -= int(stock(self.b, self.w, program[0], reference, count, hollow))

    def alive(self, program: tuple[int, int]) -> bool:
        """Whether a program has not ended."""
        return self.w.programs.item(program[0], P_ID) == program[1]

    def left(self, program: tuple[int, int]) -> int:
        """Contracts that a schedule or touch still has to trade, signed; 0 where it has ended."""
        p, programs = program[0], self.w.programs
        return (1 - 2 * programs.item(p, P_SIDE)) * programs.item(p, P_LEFT) if self.alive(program) else 0

    def adjust(self, program: tuple[int, int], params: Mapping[int, float]) -> None:
        """Give a stream or ladder other parameters; its orders, its next candidate and what it remembers stay."""
        about = self.w.params[program[0]]
        for column, param in params.items():
            about[column] = param
        derive(self.w, program[0])

    def stop_program(self, program: tuple[int, int]) -> None:
        """End a program, with the resting orders it has."""
        self._withdraw(program)
        end_program(*self.w, *program)

    def _withdraw(self, program: tuple[int, int]) -> None:
        """Cancel the orders that a program has at rest, for its end."""
        row, programs = program[0], self.w.programs
        if not self.alive(program) or not (programs.item(row, P_ROW) or programs.item(row, P_SLOTS)):
            return
        columns = programs[row].tolist()
        for order in self._orders_of(columns):
            if self.is_live(*order):
                self.send(columns[P_OWNER], OP_CANCEL, row=order[0])
        if columns[P_SLOTS]:
            self._free_slots.append(columns[P_SLOTS])

    def _free_slot(self) -> int:
        """An empty row of `slots` for a new ladder."""
        if not self._free_slots:
            used = len(self.w.slots)
            self.w = self.w._replace(slots=_longer(self.w.slots, used + 1))
            self._free_slots = list(range(len(self.w.slots) - 1, used - 1, -1))
        slot = self._free_slots.pop()
        self.w.slots[slot] = 0
        return slot

    def _orders_of(self, columns: list[int]) -> list[list[int]]:
        """Row and id of the orders a program has had: its own, and those in its slots."""
        orders = [[columns[P_ROW], columns[P_ORDER]]] if columns[P_ROW] else []
        if columns[P_SLOTS]:
            orders += [order for order in self.w.slots[columns[P_SLOTS]].reshape(-1, 2).tolist() if order[0]]
        return orders

    def transfer(self, giver: int, taker: int, contracts: int, price: int, book: int = 0) -> None:
        """Move contracts from one owner to another at a price, outside the book: positions at the start."""
        for owner, bought in ((taker, contracts), (giver, -contracts)):
            self.b.owners[owner, book, POSITION] += bought
            self.b.owners[owner, book, CASH] -= bought * price

    def set_limit_down(self, lowest: int, book: int = 0) -> None:
        """Refuse new prices below the lowest one (ticks)."""
        self.b.books[book, BAND_LO] = lowest

    def set_halted(self, halted: bool, book: int = 0) -> None:
        """Halt or resume trading."""
        self.b.books[book, HALTED] = halted

    def set_auction(self, book: int = 0) -> None:
        """Start a call auction: orders collect until `open_auction`, also in a halt."""
        self.b.books[book, AUCTION] = 1

    def last(self, book: int = 0) -> int:
        """Price of the last trade of the session, 0 before the first."""
        return int(self.b.books[book, LAST])

    def hourly_sigma(self, book: int = 0) -> float:
        """Volatility over about the last hour, in ticks a square-root minute."""
        return math.sqrt(self.w.stats[book, S_EWMA_C])

    def recent_sigma(self, book: int = 0) -> float:
        """Volatility over about the last five minutes, in ticks a square-root minute."""
        return math.sqrt(self.w.stats.item(book, S_EWMA_B))

    def volume_rate(self, book: int = 0) -> float:
        """Contracts a second over about the last minute."""
        return self.w.stats.item(book, S_VOLUME_RATE)

    def integrals(self, book: int = 0) -> np.ndarray:
        """Time integrals (ns): dollars at the best quotes per side, spread in ticks, one-tick and quoted time."""
        notional, spread, one_tick, two_sided = self.w.stats[book, [S_NOTIONAL, S_SPREAD, S_ONE_TICK, S_TWO_SIDED]]
        return np.array([notional * TICK_POINTS * POINT_USD, spread, one_tick, two_sided])

    def watch(self, owner: int, on: bool) -> None:
        """Ring when an owner has a fill, or no more."""
        self.b.owners[owner, :, WATCH] = on

    def has_rung(self, owner: int) -> bool:
        """Whether an owner watched has had a fill."""
        return bool((self.b.owners[owner, :, WATCH] == RUNG).any())

    def rings(self) -> bool:
        """Whether a watched owner has had a fill that has not been taken note of."""
        return self.b.counts.item(RING) != 0

    def take_ring(self) -> bool:
        """The same, and take note of it."""
        if not self.rings():
            return False
        self.b.counts[RING] = 0
        return True

    def take_woken(self) -> int:
        """The owner whose attention was caught (0 = nobody), and take note of it."""
        owner = self.w.clock.item(WOKEN)
        self.w.clock[WOKEN] = 0
        return owner

    def freeze_sigma(self, book: int = 0) -> None:
        """Let owners go on seeing the volatility of now."""
        self.w.stats[book, S_FROZEN_SIGMA2] = self.w.stats[book, S_EWMA_B]

    def set_alarms(self, below: int, above: int, book: int = 0) -> None:
        """Set the nearest price alarms, in half ticks of the mid (at or beyond)."""
        self._alarms[book, BELOW], self._alarms[book, ABOVE] = below, above

    def trades(self, since: int = 0) -> np.ndarray:
        """View of the trades from a row on, one a row (`sim.kernel.state.TRADE`)."""
        return self.b.trades[since : self.b.counts[TRADES]]

    def quotes(self, since: int = 0) -> np.ndarray:
        """View of the changes of the best quotes from a row on, one a row (`sim.kernel.state.QUOTE`)."""
        return self.b.quotes[since : self.b.counts[QUOTES]]

    def events(self) -> np.ndarray:
        """View of the order events logged, (n, 6): LOBSTER's columns, the time in nanoseconds, the price in ticks."""
        return self.b.events[: self.b.counts[EVENTS]]

    def check(self) -> None:
        """Raise AssertionError unless positions and cash of all owners sum to zero in every book."""
        sums = self.b.owners[:, :, [POSITION, CASH]].sum(axis=0)
        if sums.any():
            raise AssertionError(f"the ledger does not add up: {sums.tolist()}")

    def _make_room(self) -> None:
        if not room(self.b):
            self.b = grown(self.b)
        if not world_room(self.w):
            self._set_world(_grown_world(self.w))

    def _set_world(self, w: World) -> None:
        self.w = w
        # One number at a time is written much faster through a memoryview than into the array.
        self._new_program: tuple[Any, Any] = memoryview(w.programs[0]), memoryview(w.params[0])
        self._alarms = memoryview(w.alarms)


def _grown_world(w: World) -> World:
    clock = w.clock
    return w._replace(
        nodes=_longer(w.nodes, int(clock[NODE_TOP] + clock[LATER]) + SPARE),
        programs=_longer(w.programs, int(clock[PROGRAM_TOP]) + 64),
        params=_longer(w.params, int(clock[PROGRAM_TOP]) + 64),
    )


def replay_array(
    messages: np.ndarray, n_ids: int, n_owners: int, stp: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Carry out a prepared stream of messages in one fresh book.

    Parameters
    ----------
    messages : int64 array (n, 8)
        Operation, dense id, side, price, size, dense owner (-1 = nobody), stop price, unused.
    n_ids, n_owners : int
        How many dense ids and owners there are.
    stp : int
        Self-trade prevention, a code of `sim.kernel.codes`.

    Returns
    -------
    trades : int64 array (m, 4)
        Maker id, taker id, price, size.
    codes : int64 array (n,)
        0 for an accepted message, else the reason of its refusal.
    resting : int64 array (k, 4)
        Side, price, id and open size of what rests at the end, best first, in queue order, bids before asks.
    """
    b = new_books(1, n_owners)
    b.books[0, STP] = stp
    messages = np.array(messages, np.int64).reshape(-1, 8)
    messages[:, M_OWNER] += 1
    codes, row_of = np.zeros(len(messages), np.int64), np.zeros(n_ids + 1, np.int64)
    done = replay(b, messages, row_of, codes, 0)
    while done < len(messages):
        b = grown(b)
        done = replay(b, messages, row_of, codes, done)
    made = b.trades[: b.counts[TRADES]]
    trades = np.column_stack([made[name] for name in ("maker_id", "taker_id", "price_ticks", "size")]).astype(np.int64)
    return trades, codes, np.array(resting(b, 0), np.int64).reshape(-1, 4)
