"""Who set off whom so far, by group, bar by bar.

The rules are those of `sim.analysis.cascade`: a price change belongs to whoever provoked the message that made it, a
decision reacts to the changes since its trader's last one, and what it trades is credited to those who moved the price
in the direction of the whole move, each by its share. Here it is added up as the run goes on, at a millisecond a bar;
over a whole run the sums are those of `group_matrix`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sim.analysis.cascade import FROM_OUTSIDE
from sim.analysis.tape import AUCTION, HALT


class Dominoes:
    """Contracts of every group that every source has provoked, and points credited to the sources, since the open.

    Parameters
    ----------
    group_of
        Group of every owner, from owner 1 on.

    Attributes
    ----------
    groups, sources
        Names of the rows and columns: the groups; the same and what comes from outside.
    contracts : float64 array (groups, sources)
        Traded with the move that a source had made, less what was traded against it.
    points : float64 array (sources,)
        Half ticks by which each source moved the mid, with what makers did in answer.
    """

    def __init__(self, group_of: Sequence[str]) -> None:
        self.groups = list(dict.fromkeys(group_of))
        self.sources = list(dict.fromkeys([*self.groups, AUCTION, HALT, *FROM_OUTSIDE]))
        self._owner_code = np.array([self.sources.index(HALT), *map(self.groups.index, group_of)])
        self._moves, self._nodes, self._rows = np.zeros(1 << 16, np.int64), np.zeros(1 << 16, np.int64), 0
        self._shares = np.zeros((1 << 12, len(self.sources)))
        self._decider, self._net = np.zeros(1 << 12, np.int64), np.zeros(1 << 12)
        self.open_session()

    def open_session(self) -> None:
        """Count anew."""
        self.contracts = np.zeros((len(self.groups), len(self.sources)))
        self.points = np.zeros(len(self.sources))
        self._owner_code[0] = self.sources.index(AUCTION)

    def bar(
        self, trades: np.ndarray, quotes: np.ndarray, moves: np.ndarray, decisions: Iterable[tuple[Any, ...]]
    ) -> None:
        """Add a bar: its rows of the tape, the half ticks by which every row of quotes moved the mid, its decisions."""
        decided = list(decisions)
        for number, _, trader, *_ in decided:
            self._reserve(number)
            self._decider[number] = self._owner_code[trader.owner]
        seq, node = self._roots(trades, quotes)
        self._remember(node[np.searchsorted(seq, quotes["seq"])], moves)
        for number, _, _, ring, begin, end, *_ in decided:
            self._shares[number] = self._provokers(ring.kind, begin, end)
        self._traded(trades, seq, node)
        self._owner_code[0] = self.sources.index(HALT)

    def _reserve(self, number: int) -> None:
        while number >= len(self._shares):
            self._shares, self._decider, self._net = map(_doubled, (self._shares, self._decider, self._net))

    def _roots(self, trades: np.ndarray, quotes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the bar's messages, rising, and the node behind each: who started the chain of provocation.

        A node is a decision, by its number behind the sources, or else a source.
        """
        pairs = ("seq", "seq"), ("cause", "cause"), ("decision", "taker_decision"), ("owner", "taker")
        messages = np.array([np.concatenate([quotes[ours], trades[theirs]]) for ours, theirs in pairs])
        seq, first = np.unique(messages[0], return_index=True)
        _, cause, decision, owner = messages[:, first]
        rows = np.arange(len(seq))
        found = np.searchsorted(seq, cause)
        is_known = (found < rows) & (seq[np.minimum(found, rows)] == cause)
        root = np.where((decision == 0) & is_known, found, rows)
        while not np.array_equal(further := root[root], root):
            root = further
        node = np.where(decision > 0, len(self.sources) + decision, self._owner_code[owner])
        return seq, node[root]

    def _source(self, nodes: np.ndarray) -> np.ndarray:
        """Source of each node."""
        decision = nodes - len(self.sources)
        return np.where(decision > 0, self._decider[np.maximum(decision, 0)], nodes)

    def _remember(self, nodes: np.ndarray, moves: np.ndarray) -> None:
        end = self._rows + len(moves)
        while end > len(self._moves):
            self._moves, self._nodes = _doubled(self._moves), _doubled(self._nodes)
        self._moves[self._rows : end], self._nodes[self._rows : end] = moves, nodes
        self._rows = end
        self.points += np.bincount(self._source(nodes), moves, len(self.sources))

    def _provokers(self, alarm: str, begin: int, end: int) -> np.ndarray:
        """Shares of the sources in what a decision reacted to, with the direction of the move as their sign.

        NaN at what came from outside: it has no direction.
        """
        if alarm in FROM_OUTSIDE:
            return np.where([source == alarm for source in self.sources], np.nan, 0.0)
        moved = np.bincount(self._nodes[begin:end], self._moves[begin:end])
        net = moved.sum()
        nodes = np.flatnonzero(moved * net > 0)
        with_it = np.bincount(self._source(nodes), moved[nodes], len(self.sources))
        return np.sign(net) * with_it / (with_it.sum() or 1.0)

    def _traded(self, trades: np.ndarray, seq: np.ndarray, node: np.ndarray) -> None:
        """Credit what was traded to the sources behind it."""
        bought = trades["size"] * trades["side"]
        is_stop = (trades["taker_id"] != trades["seq"]) & (trades["cause"] > 0)
        for row in np.flatnonzero(is_stop):
            place = np.searchsorted(seq, trades[row]["cause"])
            if place < len(seq) and seq[place] == trades[row]["cause"]:
                provoker = self._source(node[place])
                self.contracts[self._owner_code[trades[row]["taker"]], provoker] += trades[row]["size"]
        taken = np.where(is_stop, 0, trades["taker_decision"])
        decision, contracts = np.concatenate([taken, trades["maker_decision"]]), np.concatenate([bought, -bought])
        numbers, place = np.unique(decision[decision > 0], return_inverse=True)
        net = np.bincount(place, contracts[decision > 0], len(numbers))
        before, shares = self._net[numbers], self._shares[numbers]
        self._net[numbers] = after = before + net
        credit = np.where(np.isnan(shares), (abs(after) - abs(before))[:, None], net[:, None] * shares)
        np.add.at(self.contracts, self._decider[numbers], credit)


def _doubled(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, np.zeros_like(array)])
