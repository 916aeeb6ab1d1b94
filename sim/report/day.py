"""The last day of a run on one grid of times, from the tables of its folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sim.analysis import domino_tables, mid_moves, owner_groups
from sim.analysis.day import within
from sim.analysis.tape import HALF_TICK_POINTS, UNKNOWN, movers, ticks_from_mid
from sim.desk import OptionsDesk
from sim.news import since_last_close
from sim.options import OptionBook
from sim.surface import Event, Surface
from sim.tables import NewsItem
from sim.units import DAY, HOUR, TICK_POINTS, clock_ns

if TYPE_CHECKING:
    from sim.records import Run

MOST_POINTS = 500
"""No series has more; a figure shows no more."""


@dataclass(frozen=True)
class Day:
    """The last day of a run; all tables by time have a row for each of `times`, an end of a bar.

    Attributes
    ----------
    run : Run
    """

    run: Run

    @cached_property
    def hours(self) -> tuple[int, int]:
        """First and last moment, nanoseconds."""
        return self.run.scenario.session.hours_ns[-1]

    @cached_property
    def bars(self) -> pd.DataFrame:
        """The bars, or as many of them as can be seen, indexed by hour of the day."""
        bars = within(self.run.frames["bars"], self.hours)
        every = max(-(-len(bars) // MOST_POINTS), 1)
        kept = bars.iloc[::-1].iloc[::every].iloc[::-1]
        return kept.set_index(clock_hours(kept["time_ns"]))

    @cached_property
    def owner_group(self) -> dict[int, str]:
        """Group of every owner."""
        return owner_groups(self.run.frames["agents"])

    @cached_property
    def groups(self) -> list[str]:
        """Groups of agents, in the scenario's order."""
        return list(dict.fromkeys(self.owner_group.values()))

    @cached_property
    def quotes(self) -> pd.DataFrame:
        """Changes of the best quotes."""
        return within(self.run.frames["quotes"], self.hours)

    @cached_property
    def trades(self) -> pd.DataFrame:
        """Trades."""
        return within(self.run.frames["trades"], self.hours)

    @cached_property
    def points(self) -> pd.DataFrame:
        """Points by which every group has moved the mid so far, by its own messages; a column for each mover."""
        cause = movers(self.quotes, self.owner_group)
        return self._so_far(self.quotes["time_ns"], cause, mid_moves(self.quotes) * HALF_TICK_POINTS)

    @cached_property
    def bought(self) -> pd.DataFrame:
        """Contracts that every group has bought net so far."""
        trades = self.trades
        size = (trades["size"] * trades["side"]).to_numpy()
        group = pd.concat([trades["taker"], trades["maker"]]).map(self.owner_group).fillna(UNKNOWN)
        return self._so_far(np.tile(trades["time_ns"], 2), group, np.concatenate([size, -size]))

    @cached_property
    def taken(self) -> pd.DataFrame:
        """Contracts that every group has taken so far."""
        group = self.trades["taker"].map(self.owner_group).fillna(UNKNOWN)
        return self._so_far(self.trades["time_ns"], group, self.trades["size"].to_numpy())

    def _so_far(self, time_ns: Any, group: pd.Series, amount: np.ndarray) -> pd.DataFrame:
        """Sums of amounts by group up to each of `times`."""
        times = self.bars["time_ns"].to_numpy()
        codes, names = pd.factorize(group)
        row = np.searchsorted(times, time_ns).clip(max=max(len(times) - 1, 0))
        sums = np.bincount(row * max(len(names), 1) + codes, amount, len(times) * len(names))
        return pd.DataFrame(sums.reshape(len(times), len(names)).cumsum(axis=0), self.bars.index, list(names))

    def depth(self, reach: int) -> pd.DataFrame:
        """Contracts in the book by ticks from the mid (rows, from -`reach` up, without 0) and time (columns)."""
        mids = self.bars.set_index("time_ns")["mid"] / TICK_POINTS
        rows = within(self.run.frames["depth"], self.hours)
        rows = rows[rows["time_ns"].isin(mids.index)]
        mid, is_offer = rows["time_ns"].map(mids).to_numpy(), (rows["side"] == "ask").to_numpy()
        ticks = ticks_from_mid(rows["price_ticks"].to_numpy(), mid, is_offer)
        table = rows["contracts"].groupby([ticks, rows["time_ns"].to_numpy()]).sum().unstack()
        return table.reindex([*range(-reach, 0), *range(1, reach + 1)], columns=mids.index).fillna(0)

    @cached_property
    def dealers(self) -> pd.DataFrame:
        """Position in futures and options' delta (futures), gamma (a point), vanna (a volatility point), summed."""
        agents = self.run.frames["agents"]
        rows = agents[(agents["group"] == "dealers") & agents["time_ns"].isin(self.bars["time_ns"])]
        sums = rows.groupby("time_ns")[["position", "delta", "gamma", "vanna"]].sum()
        return sums.set_index(clock_hours(sums.index.to_series()))

    @cached_property
    def news(self) -> list[tuple[int, NewsItem]]:
        """News since the close before with its times, in the order by which it is numbered."""
        return since_last_close(self.run.scenario, len(self.run.scenario.session.days) - 1)

    def real(self, name: str) -> pd.Series:
        """The real day's price_points or vix, by hour of the day; empty if it is unknown."""
        course = self.run.scenario.real_course
        pairs = getattr(course, name) if course else ()
        return pd.Series([value for _, value in pairs], [clock_ns(at) / HOUR for at, _ in pairs], dtype=float)

    # Options

    @cached_property
    def book(self) -> OptionBook:
        """The dealers' options at the start, those left out that expire before this day."""
        options = self.run.scenario.options
        book = options.positions() if options else OptionBook.of([])
        alive = book.expiry >= np.datetime64(self.run.scenario.session.days[-1])
        return OptionBook(book.expiry[alive], book.strike[alive], book.is_call[alive], book.contracts[alive])

    @cached_property
    def surface(self) -> Surface:
        """The scenario's surface as it starts, without the variance of events that are over by this day's open."""
        scenario, opens = self.run.scenario, self.hours[0]
        first = scenario.session.first_day
        pending = [item for item in scenario.news if item.at_ns(first) > opens and item.event_variance]
        events = [Event(item.name, item.event_variance, item.at_ns(first)) for item in pending]
        return scenario.starting_surface(events, self.book.expiry.tolist())

    def against_spot(self, spots: np.ndarray) -> pd.DataFrame:
        """Delta, gamma and vanna of `book` on `surface`, in the units of `dealers`, by index level."""
        desk = OptionsDesk(self.book, 1)
        desk.divide({1: 1.0})
        quotes, rows = self.surface.at(self.hours[0]), desk.rows(self.surface)
        values = np.array([desk.greeks(1, quotes, rows, spot)[:3] for spot in spots.tolist()])
        return pd.DataFrame(values, spots, ["delta", "gamma", "vanna"])

    # Dominoes

    @cached_property
    def dominoes(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Nodes and edges of the day, see `sim.analysis.domino_tables`; to a decision its name, alarm and detail."""
        frames = self.run.frames
        start, end = np.searchsorted(frames["quotes"]["time_ns"], (self.hours[0], self.hours[1] + 1))
        decisions = within(frames["decisions"], self.hours)
        seen = (decisions[["quotes_from", "quotes_to"]] - start).clip(lower=0)
        tables = {"trades": self.trades, "quotes": frames["quotes"].iloc[start:end], "agents": frames["agents"]}
        nodes, edges = domino_tables({**tables, "decisions": decisions.assign(**seen)}, smallest_share=0.0)
        told = decisions.set_index("decision")[["name", "alarm", "detail"]]
        return nodes.join(told), edges


def clock_hours(time_ns: pd.Series) -> np.ndarray:
    """Hours after midnight of times, below 24."""
    return np.asarray(time_ns % DAY / HOUR)
