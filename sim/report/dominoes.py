"""The dominoes of a day made small enough to be seen: its largest decisions, and all others of a group as one."""

from __future__ import annotations

from collections.abc import Hashable

import networkx as nx
import numpy as np
import pandas as pd

from sim.report.day import Day

LARGEST = 20
"""Decisions that stand alone."""
MOST_PARENTS = 2
"""Edges to one node of the network."""
SMALLEST_CELL = 50.0
"""Contracts."""


def largest(day: Day, count: int) -> pd.DataFrame:
    """Nodes of the decisions and stops that moved the price most, the largest first."""
    nodes, _ = day.dominoes
    inner = nodes[~nodes["exogenous"] & (nodes["points"] != 0)]
    return inner.loc[inner["points"].abs().sort_values(ascending=False, kind="stable").index[:count]]


def network(day: Day) -> nx.DiGraph:
    """The graph of the largest decisions, and of the groups that hold all others.

    Nodes are numbers of `Day.dominoes` and names of groups; attributes `group`, `points` and, of a decision, `time_ns`.
    Edges have `contracts`, traded by the child because of what the parent did to the price (negative: against it); each
    node keeps the MOST_PARENTS largest that lead to it.
    """
    nodes, edges = day.dominoes
    alone = largest(day, LARGEST)
    place = nodes["group"].where(~nodes.index.isin(alone.index), pd.Series(nodes.index, nodes.index))
    graph = nx.DiGraph()
    for group, points in nodes["points"].groupby(place[~nodes.index.isin(alone.index)]).sum().items():
        graph.add_node(group, group=group, points=points)
    for number, row in alone.iterrows():
        graph.add_node(number, group=row["group"], points=row["points"], time_ns=row["time_ns"])
    parent, child = edges["parent"].map(place), edges["child"].map(place)
    contracts = edges["contracts"].groupby([child, parent]).sum()
    strongest = contracts[contracts.abs().sort_values(ascending=False, kind="stable").index]
    for (child, parent), amount in strongest[strongest != 0].groupby(level=0).head(MOST_PARENTS).items():
        graph.add_edge(parent, child, contracts=amount)
    graph.remove_nodes_from([node for node in list(nx.isolates(graph)) if isinstance(node, str)])
    return graph


def places(graph: nx.DiGraph) -> dict[Hashable, np.ndarray]:
    """Where the nodes of `network` are drawn: groups on a circle, decisions near their group and those they answer."""
    groups = [node for node in graph if isinstance(node, str)]
    ring = nx.circular_layout(groups)
    ties = nx.Graph()
    ties.add_nodes_from(graph)
    ties.add_edges_from((parent, child) for parent, child in graph.edges if parent != child)
    of_group = ((node, group) for node, group in graph.nodes(data="group") if node != group and group in graph)
    ties.add_edges_from(of_group, weight=3.0)
    if len(groups) == len(ties):
        return ring
    start = dict(ring)
    for place, node in enumerate(node for node in ties if node not in ring):
        turn = 2.4 * place  # the golden angle: no two of them begin at one point
        aside = 0.15 * np.array([np.cos(turn), np.sin(turn)])
        start[node] = 0.5 * ring.get(graph.nodes[node]["group"], np.zeros(2)) + aside
    return nx.spring_layout(ties, k=0.5, pos=start, fixed=groups or None, iterations=200, seed=1)


def provoked(day: Day) -> pd.DataFrame:
    """Contracts traded by the group of the row because of what that of the column did to the price.

    The columns have what came from outside, too; the largest come first. Negative contracts were traded against the
    move.
    """
    nodes, edges = day.dominoes
    group = nodes["group"]
    sums = edges["contracts"].groupby([edges["child"].map(group), edges["parent"].map(group)]).sum()
    table = sums.unstack(fill_value=0.0)
    table = table.loc[:, (table.abs() >= SMALLEST_CELL).any()]
    by_size = [table.abs().sum(axis=axis).sort_values(ascending=False, kind="stable").index for axis in (1, 0)]
    return table.loc[by_size[0], by_size[1]]


def causes(day: Day, child: int) -> list[tuple[str, float]]:
    """Groups that moved the price to a decision, with their shares of the move, the largest first."""
    nodes, edges = day.dominoes
    of_child = edges[edges["child"] == child]
    shares = of_child["share"].groupby(of_child["parent"].map(nodes["group"])).sum()
    return [(str(group), float(share)) for group, share in shares.sort_values(ascending=False).items()]
