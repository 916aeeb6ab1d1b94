"""Who set off whom: a graph of the decisions of a run, and measures of its cascades.

A decision reacts to the price changes since its trader's last one. Each of them belongs to the message that made it,
and that message to its decision. Where liquidity without a decision of its own made it (a market maker that follows a
trade or a move), it belongs to the message that provoked it, and so on back, through any number of makers. At the end
stands a decision, a stop that fired, or somebody who was not provoked: noise (whatever a fall has added to it), latent
orders, an auction.

*Parents* of a decision are those whose messages moved the price in the direction of the whole move it reacted to, each
with its *share* of the movement in that direction. So everything a decision trades is credited to the price (or to
the news, if news woke it). The graph says along which ways a cascade went; it overstates how much the price alone
explains. That takes paired runs.

A fired stop is a node of its own at the time it fires: what fired it is its one parent, not what its holder saw when
placing it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from sim.analysis.tape import AUCTION, HALF_TICK_POINTS, HALT, UNKNOWN, mid_moves, movers, owner_groups

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array

    from sim.records import Run

FROM_OUTSIDE = (AUCTION, "open", "news")
"""Alarms whose decisions are provoked by no price; they are nodes of the graph as well."""


def dominoes(run: Run, smallest_share: float = 0.005) -> nx.DiGraph:
    """The graph of a run folder's decisions; see `domino_graph`."""
    tables = ("trades", "quotes", "decisions", "agents")
    return domino_graph({name: run.frame(name) for name in tables}, smallest_share)


def domino_graph(frames: Mapping[str, pd.DataFrame], smallest_share: float = 0.005) -> nx.DiGraph:
    """The graph of decisions: who moved the price to which whom reacted.

    Parameters
    ----------
    frames : mapping
        The tables trades, quotes, decisions and agents of a run.
    smallest_share : float
        Parents with less of a move than this are left out: a third of all edges on a busy day, with a fiftieth of
        what they carry.

    Returns
    -------
    DiGraph
        Nodes are numbers of decisions, ("stop", seq) for stops that fired, and names of groups for what came from
        outside (`exogenous`): liquidity and noise without a decision, "auction", "halt", "news", "open". Decisions that
        neither traded nor moved the price are left out, since nothing follows from them. Attributes of a node: `group`,
        `agent` (owner), `time_ns`, `ordered` and `traded` (contracts, signed), `volume` (contracts, unsigned) and
        `points` (signed price changes credited to it; over all nodes they add up to the price's way).

        Edges go from parent to child, forward in time, to all children that traded. Attributes: `share` of the move
        that the child reacted to (over all parents 1, less those left out), `points` (of that move, signed) and
        `contracts` (the child's trade times the share; negative where the child traded against the move).
    """
    import networkx as nx

    nodes, edges = domino_tables(frames, smallest_share)
    names = nodes.pop("node")
    graph = nx.DiGraph()
    graph.add_nodes_from(zip(names, nodes.to_dict("records"), strict=True))
    _add_edges(graph, names, edges)
    return graph


def domino_tables(
    frames: Mapping[str, pd.DataFrame], smallest_share: float = 0.005
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Nodes and edges of `domino_graph` as tables, which take a third of the time where not all of it is wanted.

    Returns
    -------
    nodes : DataFrame
        Indexed by number: `node`, its name in the graph, and its attributes.
    edges : DataFrame
        Numbers of `parent` and `child`, and the attributes.
    """
    trades, quotes, decisions = frames["trades"], frames["quotes"], frames["decisions"]
    owner_group = owner_groups(frames["agents"])
    messages = _messages(trades, quotes, owner_group)
    nodes = _Nodes.of(messages, decisions)
    own, provokers = nodes.numbers(messages), _provokers(messages)
    credited = own[_roots(messages, provokers)]
    of_quote = np.searchsorted(messages["seq"], quotes["seq"])
    moves = mid_moves(quotes)
    traded, volume = _contracts(trades, own[np.searchsorted(messages["seq"], trades["seq"])], nodes.total)
    all_edges = pd.concat(
        [
            _edges_of_prices(decisions, credited[of_quote], moves, traded),
            _edges_from_outside(decisions, nodes, traded),
            _edges_of_stops(messages, provokers, own, credited, np.bincount(of_quote, moves, len(messages)), traded),
        ]
    )
    edges = all_edges[all_edges["share"] >= smallest_share]
    points = np.bincount(credited[of_quote], moves, nodes.total) * HALF_TICK_POINTS
    table = nodes.table(messages, decisions).assign(traded=traded, volume=volume, points=points)
    return table[(table["volume"] > 0) | (table["points"] != 0) | table.index.isin(edges["parent"])], edges


# Messages


def _messages(trades: pd.DataFrame, quotes: pd.DataFrame, owner_group: Mapping[int, str]) -> pd.DataFrame:
    """All messages that traded or moved a price, each once, in order.

    A stop that fires keeps its older order number, and was provoked by the message whose trade reached it.
    """
    trades = trades[np.diff(trades["seq"], prepend=-1) != 0]
    taken = trades[["seq", "time_ns", "cause"]].assign(
        owner=trades["taker"],
        decision=trades["taker_decision"],
        is_stop=(trades["taker_id"] != trades["seq"]) & (trades["cause"] > 0),
        group=trades["taker"].map(owner_group).astype(object).fillna(UNKNOWN),
    )
    quoted = quotes[["seq", "time_ns", "cause", "owner", "decision"]].assign(
        is_stop=False, group=movers(quotes, owner_group)
    )
    # Of a message that did both, the trade is kept: it tells a stop.
    return pd.concat([taken, quoted]).drop_duplicates("seq").sort_values("seq", ignore_index=True)


def _provokers(messages: pd.DataFrame) -> np.ndarray:
    """Row of the message that provoked each one, its own where none on the tape did: int64 array (messages,)."""
    seq, cause, rows = messages["seq"].to_numpy(), messages["cause"].to_numpy(), np.arange(len(messages))
    found = np.searchsorted(seq, cause)
    # A cause stands before its effect.
    is_known = (found < rows) & (seq[np.minimum(found, rows)] == cause)
    return np.where(is_known, found, rows)


def _roots(messages: pd.DataFrame, provokers: np.ndarray) -> np.ndarray:
    """Row of the message at which the chain of provocation behind each message starts: int64 array (messages,).

    Every step doubles its length, so a chain of a thousand makers takes ten.
    """
    is_start = messages["is_stop"].to_numpy() | (messages["decision"].to_numpy() > 0)
    root = np.where(is_start, np.arange(len(messages)), provokers)
    while not np.array_equal(further := root[root], root):
        root = further
    return root


class _Nodes(NamedTuple):
    """Numbers of nodes: decisions have their own, behind them are the stops that fired, then the groups."""

    decisions: int
    stops: np.ndarray
    groups: list[str]

    @classmethod
    def of(cls, messages: pd.DataFrame, decisions: pd.DataFrame) -> _Nodes:
        last = max(column.to_numpy().max(initial=0) for column in (decisions["decision"], messages["decision"]))
        groups = dict.fromkeys([*messages["group"].unique(), AUCTION, HALT, *FROM_OUTSIDE])
        return cls(int(last) + 1, messages.loc[messages["is_stop"], "seq"].to_numpy(), list(groups))

    @property
    def total(self) -> int:
        return self.decisions + len(self.stops) + len(self.groups)

    @property
    def names(self) -> list[Hashable]:
        """Name in the graph by number."""
        return [*range(self.decisions), *(("stop", seq) for seq in self.stops.tolist()), *self.groups]

    def group_number(self, groups: pd.Series) -> np.ndarray:
        return self.decisions + len(self.stops) + pd.Index(self.groups).get_indexer(groups)

    def numbers(self, messages: pd.DataFrame) -> np.ndarray:
        """Number of the node that sent each message."""
        is_stop, decision = messages["is_stop"].to_numpy(), messages["decision"].to_numpy()
        stop = self.decisions + np.cumsum(is_stop) - 1
        return np.where(is_stop, stop, np.where(decision > 0, decision, self.group_number(messages["group"])))

    def table(self, messages: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
        """Attributes of all nodes."""
        decided = decisions.set_index("decision").reindex(range(self.decisions))
        fired = messages[messages["is_stop"]]
        parts = [
            decided.reset_index()[["agent", "group", "time_ns"]].assign(ordered=decided["contracts"].to_numpy()),
            pd.DataFrame({"agent": fired["owner"], "group": fired["group"], "time_ns": fired["time_ns"]}),
            pd.DataFrame({"group": self.groups, "exogenous": True}),
        ]
        table = pd.concat(parts, ignore_index=True)
        numbers = {name: table[name].fillna(0).astype(np.int64) for name in ("agent", "time_ns", "ordered")}
        return table.assign(
            node=pd.Series(self.names, dtype=object),
            group=table["group"].astype(object).fillna(UNKNOWN),
            exogenous=table["exogenous"].eq(True),
            **numbers,
        )


def _contracts(trades: pd.DataFrame, taker: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Contracts bought net, and traded at all, by each node; a maker without a decision is left out."""
    decided = trades["maker_decision"].to_numpy() > 0
    maker = trades["maker_decision"].to_numpy()[decided]
    size, bought = trades["size"].to_numpy(), (trades["size"] * trades["side"]).to_numpy()
    net = np.bincount(taker, bought, count) - np.bincount(maker, bought[decided], count)
    gross = np.bincount(taker, size, count) + np.bincount(maker, size[decided], count)
    return net.astype(np.int64), gross.astype(np.int64)


# Edges: tables of parent and child (numbers of nodes), share, points and contracts


def _edges_of_prices(
    decisions: pd.DataFrame, credited: np.ndarray, moves: np.ndarray, traded: np.ndarray
) -> pd.DataFrame:
    """Edges to the decisions that reacted to prices: a product of (decision, span) and (span, mover)."""
    child = decisions["decision"].to_numpy()
    reacted = (traded[child] != 0) & ~decisions["alarm"].isin(FROM_OUTSIDE).to_numpy()
    child, begin, end = child[reacted], *(decisions[name].to_numpy()[reacted] for name in ("quotes_from", "quotes_to"))
    moved = _moved(begin, end, credited, moves, len(traded))
    net = np.asarray(moved.sum(axis=1)).ravel()
    entries = moved.tocoo()
    with_it = entries.data * net[entries.row] > 0
    row, parent, amount = entries.row[with_it], entries.col[with_it], entries.data[with_it]
    share = amount / np.bincount(row, amount, len(child))[row]
    return pd.DataFrame(
        {
            "parent": parent,
            "child": child[row],
            "share": share,
            "points": amount * HALF_TICK_POINTS,
            "contracts": traded[child[row]] * np.sign(net[row]) * share,
        }
    )


def _moved(begin: np.ndarray, end: np.ndarray, credited: np.ndarray, moves: np.ndarray, count: int) -> csr_array:
    """Half ticks by which each node moved the price in each stretch of quotes: sparse (stretches, nodes).

    Stretches of different traders overlap; the tape is first added up between all their ends.
    """
    from scipy import sparse

    cuts = np.unique(np.concatenate([begin, end, [0, len(moves)]]))
    span = np.searchsorted(cuts, np.arange(len(moves)), side="right") - 1
    by_span = sparse.csr_array((moves, (span, credited)), shape=(len(cuts) - 1, count))
    first, last = np.searchsorted(cuts, begin), np.searchsorted(cuts, end)
    starts = np.concatenate([[0], np.cumsum(last - first)])
    spans = np.arange(starts[-1]) + np.repeat(first - starts[:-1], last - first)
    stretches = sparse.csr_array((np.ones(len(spans), np.int64), spans, starts), shape=(len(begin), len(cuts) - 1))
    return stretches @ by_span


def _edges_from_outside(decisions: pd.DataFrame, nodes: _Nodes, traded: np.ndarray) -> pd.DataFrame:
    child = decisions[decisions["alarm"].isin(FROM_OUTSIDE)]
    child = child[traded[child["decision"]] != 0]
    number = child["decision"].to_numpy()
    return _single(nodes.group_number(child["alarm"]), number, np.zeros(len(child)), traded)


def _edges_of_stops(
    messages: pd.DataFrame,
    provokers: np.ndarray,
    own: np.ndarray,
    credited: np.ndarray,
    moved: np.ndarray,
    traded: np.ndarray,
) -> pd.DataFrame:
    """The one edge to every fired stop whose provoker is on the tape; `moved` in half ticks, by message."""
    fired = np.flatnonzero(messages["is_stop"])
    fired = fired[provokers[fired] < fired]
    provoker = provokers[fired]
    return _single(credited[provoker], own[fired], moved[provoker] * HALF_TICK_POINTS, traded)


def _single(parent: np.ndarray, child: np.ndarray, points: np.ndarray, traded: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "parent": parent,
            "child": child,
            "share": 1.0,
            "points": points,
            "contracts": abs(traded[child]).astype(float),
        }
    )


def _add_edges(graph: nx.DiGraph, names: pd.Series, edges: pd.DataFrame) -> None:
    columns = (edges[name].tolist() for name in ("parent", "child", "share", "points", "contracts"))
    name = names.to_dict()
    graph.add_edges_from(
        (name[parent], name[child], {"share": share, "points": points, "contracts": contracts})
        for parent, child, share, points, contracts in zip(*columns, strict=True)
    )


# Measures


def main_parents(graph: nx.DiGraph) -> dict[Hashable, Hashable | None]:
    """Of every decision and stop, the one that provoked it most, in an order in which parents come first.

    None for those that start a cascade of their own: at least half of the move came from outside, or they traded
    against it.
    """
    import networkx as nx

    inner = (node for node in nx.topological_sort(graph) if not graph.nodes[node]["exogenous"])
    return {node: _main_parent(graph, node) for node in inner}


def _main_parent(graph: nx.DiGraph, node: Hashable) -> Hashable | None:
    edges = graph.pred[node]
    shares = {parent: edge["share"] for parent, edge in edges.items()}
    inner = {parent: share for parent, share in shares.items() if not graph.nodes[parent]["exogenous"]}
    if 2 * sum(inner.values()) <= sum(shares.values()) or any(edge["contracts"] < 0 for edge in edges.values()):
        return None
    return max(inner, key=lambda parent: inner[parent])


def generations(graph: nx.DiGraph) -> dict[Hashable, int]:
    """Generation of every decision and stop: 0 for one that starts a cascade, else its main parent's and one."""
    found: dict[Hashable, int] = {}
    for node, parent in main_parents(graph).items():
        found[node] = 0 if parent is None else found[parent] + 1
    return found


def cascade_sizes(graph: nx.DiGraph) -> list[int]:
    """Numbers of decisions and stops in all cascades, the largest first; a cascade is a tree of main parents."""
    first: dict[Hashable, Hashable] = {}
    for node, parent in main_parents(graph).items():
        first[node] = node if parent is None else first[parent]
    return sorted(Counter(first.values()).values(), reverse=True)


def group_matrix(graph: nx.DiGraph, weight: str = "contracts", *, normalised: bool = True) -> pd.DataFrame:
    """What went from group to group.

    Parameters
    ----------
    graph : DiGraph
        See `domino_graph`.
    weight : str
        "contracts" (negative where the provoked trade went against the move) or "points".
    normalised : bool
        Divide by the contracts that the provoking group traded. With contracts this is the branching matrix: contracts
        provoked in the group of the row by one contract of the group of the column, on average.

    Returns
    -------
    DataFrame
        Rows are the provoked groups; columns the provoking ones, first the same, then those outside.
    """
    groups = dict.fromkeys(name for _, name, exogenous in _groups(graph) if not exogenous)
    outside = dict.fromkeys(node for node, _, exogenous in _groups(graph) if exogenous and node not in groups)
    sums: Counter[tuple[Hashable, Hashable]] = Counter()
    for parent, child, amount in graph.edges(data=weight):
        sums[graph.nodes[child]["group"], graph.nodes[parent]["group"]] += abs(amount) if weight == "points" else amount
    values = [[float(sums[row, column]) for column in [*groups, *outside]] for row in groups]
    matrix = pd.DataFrame(values, index=list(groups), columns=[*groups, *outside])
    if not normalised:
        return matrix
    volume: Counter[Hashable] = Counter()
    for _, data in graph.nodes(data=True):
        volume[data["group"]] += data["volume"]
    return matrix / [volume[column] or np.nan for column in matrix.columns]


def _groups(graph: nx.DiGraph) -> list[tuple[Hashable, str, bool]]:
    return [(node, data["group"], data["exogenous"]) for node, data in graph.nodes(data=True)]


def spectral_radius(matrix: pd.DataFrame) -> float:
    """Largest absolute eigenvalue of a branching matrix, of the groups that are both rows and columns.

    Below one, what is provoked dies out. A group without volume provokes nothing.
    """
    square = matrix.reindex(columns=matrix.index).fillna(0.0).to_numpy()
    return float(np.abs(np.linalg.eigvals(square)).max(initial=0.0))
