"""What a run remembers beside the tape: a row a bar, a row a decision, and at every bar all traders and the book."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from sim.kernel.state import (
    ASKS,
    BIDS,
    CASH,
    POSITION,
)
from sim.market import Market
from sim.trader import Refusal, Ring, Trader
from sim.units import TICK_CENTS, TICK_POINTS

if TYPE_CHECKING:
    from sim.model import MarketModel

DECISION_COLUMNS = (
    "decision time_ns agent name group alarm detail quotes_from quotes_to contracts action refused".split()  # noqa: SIM905
)


DEPTH_REACH = 40
"""Prices of a side that are kept, from the best one on: ten index points."""
DECISION_INTEGERS = "decision time_ns agent quotes_from quotes_to contracts".split()  # noqa: SIM905


class Recorder:
    """Columns of the run's tables; `latest` holds the last bar's values, by name."""

    REPORTED: ClassVar[tuple[str, ...]] = (
        "open",
        "high",
        "low",
        "close",
        "mid",
        "volume",
        "trades",
        "top_of_book_musd",
        "spread_ticks",
        "one_tick_share",
        "vix",
        "vix1d",
        "atm_iv",
    )

    def __init__(self, traders: Sequence[Trader]) -> None:
        self._traders = traders
        self._bars: list[dict[str, float]] = []
        self._decisions: list[tuple[Any, ...]] = []
        self._refused: dict[int, Counter[Refusal]] = {}
        self._snapshots: list[np.ndarray] = []
        self._depths: list[tuple[np.ndarray, np.ndarray]] = []
        self._trades_seen = 0
        self._integrals = np.zeros(4)
        self.halts = 0

    @property
    def latest(self) -> dict[str, float]:
        """The last bar."""
        return self._bars[-1]

    @property
    def latest_depth(self) -> tuple[np.ndarray, np.ndarray]:
        """Bids and offers at the end of the last bar: price (ticks) and contracts, best first, (n, 2) each."""
        return self._depths[-1]

    def value(self, name: str) -> float:
        """A value of the last bar."""
        return self.latest[name]

    def decision(
        self, now: int, trader: Trader, ring: Ring, seen: tuple[int, int], contracts: int, actions: Iterable[Any]
    ) -> int:
        """Note a decision; its number, from 1."""
        number = len(self._decisions) + 1
        self._decisions.append((number, now, trader, ring, *seen, contracts, tuple(actions)))
        return number

    def decisions_after(self, number: int) -> list[tuple[Any, ...]]:
        """Decisions behind the one of a number: number, time, trader, ring, quotes from and to, contracts, actions."""
        return self._decisions[number:]

    def refused(self, decision: int, why: Refusal) -> None:
        """Note that a message of a decision was refused."""
        self._refused.setdefault(decision, Counter())[why] += 1

    def bar(self, model: MarketModel) -> None:
        """Note the bar that ends now."""
        market = model.market
        self._bars.append(self._prices(market) | self._liquidity(market) | _volatility(model))
        self._snapshots.append(self._snapshot(model))
        self._depths.append((market.levels(BIDS, DEPTH_REACH), market.levels(ASKS, DEPTH_REACH)))

    def _prices(self, market: Market) -> dict[str, float]:
        trades = market.trades(since=self._trades_seen)
        self._trades_seen += len(trades)
        mid = market.mid2() * TICK_POINTS / 2
        price = trades["price_ticks"] * TICK_POINTS if len(trades) else np.array([mid])
        values = (price[0], price.max(), price.min(), price[-1], mid, trades["size"].sum(), len(trades))
        row = dict(zip(self.REPORTED, map(float, values), strict=False))
        return {"time_ns": market.now} | row

    def _liquidity(self, market: Market) -> dict[str, float]:
        integrals = market.integrals()
        notional, spread, one_tick, two_sided = integrals - self._integrals
        self._integrals = integrals
        time = max(two_sided, 1.0)
        values = (notional / time / 1e6, spread / time, one_tick / time)
        return dict(zip(("top_of_book_musd", "spread_ticks", "one_tick_share"), map(float, values), strict=True))

    def _snapshot(self, model: MarketModel) -> np.ndarray:
        """Position, cash in cents, delta, gamma, vanna of every trader (float64: greeks are not integers)."""
        ledger = model.market.b.owners[1:, 0]
        rows = np.zeros((len(self._traders), 5))
        rows[:, 0] = ledger[:, POSITION]
        rows[:, 1] = ledger[:, CASH] * TICK_CENTS + model.desk.cash_cents[1:]
        holders = model.desk.owners()
        spot = model.market.mid2() * TICK_POINTS / 2
        greeks = model.desk.greeks(holders, model.quotes(), model.desk.rows(model.surface), spot)
        rows[np.array(holders, np.int64) - 1, 2:] = greeks[:3].T
        return rows

    def frames(self, market: Market) -> dict[str, pd.DataFrame]:
        """All tables of the run so far."""
        return {
            "bars": pd.DataFrame(self._bars),
            "trades": _tape(market.trades()),
            "quotes": _tape(market.quotes()),
            "decisions": self._decision_table(),
            "agents": self._agents(),
            "depth": self._depth_table(),
        }

    def _decision_table(self) -> pd.DataFrame:
        table = pd.DataFrame(map(self._decision_row, self._decisions), columns=DECISION_COLUMNS)
        return table.astype(dict.fromkeys(DECISION_INTEGERS, np.int64)) if table.empty else table

    def _agents(self) -> pd.DataFrame:
        times = np.array([bar["time_ns"] for bar in self._bars], np.int64)
        whose = np.tile(np.arange(len(self._traders)), len(times))
        owners = np.array([trader.owner for trader in self._traders])
        kinds = {
            key: pd.Categorical([getattr(who, key) for who in self._traders]) for key in ("name", "crowd", "group")
        }
        position, cash, *greeks = np.concatenate(self._snapshots).T
        return pd.DataFrame(
            {"time_ns": np.repeat(times, len(owners)), "agent": owners[whose]}
            | {key: kind.take(whose) for key, kind in kinds.items()}
            | {"position": position.astype(np.int64), "cash_cents": cash.astype(np.int64)}
            | dict(zip(("delta", "gamma", "vanna"), greeks, strict=True))
        )

    def _depth_table(self) -> pd.DataFrame:
        sides = [side for bar in self._depths for side in bar]
        lengths = [len(side) for side in sides]
        times = np.repeat([bar["time_ns"] for bar in self._bars], 2).astype(np.int64)
        codes = np.tile([0, 1], len(self._depths))
        return pd.DataFrame(
            {
                "time_ns": np.repeat(times, lengths),
                "side": pd.Categorical.from_codes(np.repeat(codes, lengths), categories=["bid", "ask"]),
            }
            | dict(zip(("price_ticks", "contracts"), np.concatenate(sides).T, strict=True))
        )

    def _decision_row(self, entry: tuple[Any, ...]) -> tuple[Any, ...]:
        number, now, trader, ring, start, end, contracts, actions = entry
        who = trader.owner, trader.name, trader.group
        what = "; ".join(map(str, actions))
        refused = ", ".join(f"{count} {why.name}" for why, count in self._refused.get(number, {}).items())
        return number, now, *who, ring.kind, str(ring.detail), start, end, contracts, what, refused


def _tape(rows: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(rows).astype(np.int64)


def _volatility(model: MarketModel) -> dict[str, float]:
    atm = model.quotes().atm()
    alive = atm[atm > 0]
    return {"vix": model.vix, "vix1d": model.vix1d, "atm_iv": 100 * float(alive[0]) if len(alive) else 0.0}


def tape_sha256(*tapes: np.ndarray) -> str:
    """SHA-256 of tables of integers: the length of each, then its columns as little-endian int64."""
    digest = hashlib.sha256()
    for tape in tapes:
        digest.update(f"({len(tape)},)".encode())
        for name in tape.dtype.names or ():
            digest.update(tape[name].astype("<i8", casting="safe").data)
    return digest.hexdigest()
