"""A world of the page: a model, and a frame of it for every bar that has passed.

A frame never changes. What is drawn is drawn from frames alone, so the model can go on in its thread meanwhile, and
any moment that has passed can be shown again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sim.analysis.tape import AUCTION, HALF_TICK_POINTS, HALT, mid2_of
from sim.kernel.state import POSITION
from sim.model import MarketModel
from sim.news import since_last_close
from sim.options import OptionBook
from sim.page.dominoes import Dominoes
from sim.surface import Quotes
from sim.tables import NewsItem, Scenario
from sim.trader import Work
from sim.units import OPTION_FUTURES, SECOND


class Decision(NamedTuple):
    """Who ordered what, and why: contracts are signed, `seconds` is the time over which they are worked (0 = now)."""

    time_ns: int
    name: str
    group: str
    alarm: str
    detail: float | str
    contracts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Dealers:
    """What the dealers own together: contracts by option, futures, and the surface of the moment."""

    quotes: Quotes
    book: OptionBook
    rows: np.ndarray
    contracts: np.ndarray
    futures: int

    def greeks(self, spot: float) -> tuple[float, float, float]:
        """Delta, gamma (per point) and vanna (per volatility point) of the options at a price, in futures."""
        delta, gamma, vanna, _ = self.quotes.totals(spot, self.book, self.rows, self.contracts)
        return OPTION_FUTURES * float(delta), OPTION_FUTURES * float(gamma), OPTION_FUTURES * float(vanna) / 100


@dataclass(frozen=True, slots=True)
class Frame:
    """A world at the end of a bar. Sums run since the open of the session, prices are index points.

    Attributes
    ----------
    time_ns
        After midnight of the first day.
    session, first
        Number of the session, and the frame with which it began.
    base
        The prior close, from which `points` are counted.
    bar
        As in `Recorder.REPORTED`.
    volume
        Contracts traded.
    bought
        Contracts bought (+) or sold (-), by group.
    points
        Points by which each group's messages have moved the mid, and the opening auction and ends of halts: they add up
        to the mid less `base`. Mechanical.
    bids, asks
        As in `Recorder.latest_depth`.
    dealers
        None in a market without options.
    decisions
        Those of the bar, oldest first, which ordered anything.
    provoked, pushed
        See `Dominoes`: contracts by group and source, and points by source.
    """

    time_ns: int
    session: int
    first: int
    base: float
    bar: Mapping[str, float]
    volume: float
    bought: Mapping[str, int]
    points: Mapping[str, float]
    bids: np.ndarray
    asks: np.ndarray
    dealers: Dealers | None
    decisions: tuple[Decision, ...]
    provoked: np.ndarray
    pushed: np.ndarray

    @property
    def mid(self) -> float:
        """Middle of the best quotes."""
        return self.bar["mid"]


class World:
    """A model that is watched.

    Parameters
    ----------
    scenario, seed
        What is simulated.

    Attributes
    ----------
    frames
        A frame for every bar that has passed; it only grows.
    groups, sources
        Names of the groups, and of what can push: see `Dominoes`.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.frames: list[Frame] = []
        self._model = MarketModel(scenario, rng=seed)
        group_of = [trader.group for trader in self._model.traders]
        self._dominoes = Dominoes(group_of)
        self.groups, self.sources = self._dominoes.groups, self._dominoes.sources
        self._movers = [*self.groups, AUCTION, HALT]
        self._owner_code = np.array([self._movers.index(HALT), *map(self.groups.index, group_of)])
        self._mid2 = round(scenario.session.prior_close_points / HALF_TICK_POINTS)
        self._trades_seen = self._quotes_seen = 0
        self._decided = 0
        self._session, self._hours = -1, (0, 0)

    @property
    def running(self) -> bool:
        """Whether there is a bar to come."""
        return bool(self._model.running)

    def news(self, frames: Sequence[Frame]) -> list[tuple[int, NewsItem]]:
        """Times and texts of what has come out since the last close, in order of time: the page numbers it so."""
        if not frames:
            return []
        items = since_last_close(self.scenario, frames[-1].session)
        return [(at, item) for at, item in items if at <= frames[-1].time_ns]

    def step(self) -> None:
        """Let one bar pass, and keep its frame."""
        before = self._positions()
        self._model.step()
        if self._model.hours != self._hours or self._session < 0:
            self._open_session(before)
        self._watch()
        self.frames.append(self._frame())

    def _open_session(self, positions: np.ndarray) -> None:
        self._session, self._hours = self._session + 1, self._model.hours
        self._first, self._base, self._at_open = len(self.frames), self._mid2 * HALF_TICK_POINTS, positions
        self._points, self._volume, self._is_opening = np.zeros(len(self._movers)), 0.0, True
        self._dominoes.open_session()

    def _watch(self) -> None:
        """Take in what the bar has left on the tape."""
        model = self._model
        self._volume += model.recorder.latest["volume"]
        trades, quotes = model.market.trades(self._trades_seen), model.market.quotes(self._quotes_seen)
        self._trades_seen, self._quotes_seen = self._trades_seen + len(trades), self._quotes_seen + len(quotes)
        entries = model.recorder.decisions_after(self._decided)
        self._decided += len(entries)
        self._decisions = tuple(_decision(entry) for entry in entries if entry[6])
        moves = self._moves(quotes)
        self._points += np.bincount(self._credited(quotes), moves, len(self._movers))
        self._dominoes.bar(trades, quotes, moves, entries)

    def _moves(self, quotes: np.ndarray) -> np.ndarray:
        """Half ticks by which every row of quotes has moved the mid; none while a side is empty."""
        mid2 = mid2_of(quotes["bid_ticks"], quotes["ask_ticks"], self._mid2)
        moves = np.diff(mid2, prepend=self._mid2)
        self._mid2 += int(moves.sum())
        return moves

    def _credited(self, quotes: np.ndarray) -> np.ndarray:
        """Mover of every row of quotes: its owner's group, or the auction for the first of a session by nobody."""
        movers = self._owner_code[quotes["owner"]]
        if self._is_opening and len(quotes):
            movers[:1][quotes[:1]["owner"] == 0] = self._movers.index(AUCTION)
            self._is_opening = False
        return movers

    def _positions(self) -> np.ndarray:
        """Contracts held by every group, (groups,)."""
        held = self._model.market.b.owners[1:, 0, POSITION]
        return np.bincount(self._owner_code[1:], held, len(self.groups)).astype(np.int64)

    def _dealers(self) -> Dealers | None:
        model, owners = self._model, [dealer.owner for dealer in self._model.dealers]
        if not len(model.desk.book):
            return None
        futures = sum(map(model.market.position, owners))
        held = model.desk.holdings[owners].sum(axis=0)
        return Dealers(model.quotes(), model.desk.book, model.desk.rows(model.surface), held, futures)

    def _frame(self) -> Frame:
        model = self._model
        bought = (self._positions() - self._at_open).tolist()
        bids, asks = model.recorder.latest_depth
        return Frame(
            time_ns=model.market.now,
            session=self._session,
            first=self._first,
            base=self._base,
            bar=model.recorder.latest,
            volume=self._volume,
            bought=dict(zip(self.groups, bought, strict=True)),
            points=dict(zip(self._movers, (self._points * HALF_TICK_POINTS).tolist(), strict=True)),
            bids=bids,
            asks=asks,
            dealers=self._dealers(),
            decisions=self._decisions,
            provoked=self._dominoes.contracts.copy(),
            pushed=self._dominoes.points * HALF_TICK_POINTS,
        )


def _decision(entry: tuple[Any, ...]) -> Decision:
    _, now, trader, ring, _, _, contracts, actions = entry
    ends = [action.until_ns for action in actions if isinstance(action, Work)]
    seconds = max((end - now) / SECOND for end in ends) if ends else 0.0
    return Decision(now, trader.name, trader.group, ring.kind, ring.detail, contracts, max(seconds, 0.0))
