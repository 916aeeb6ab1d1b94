"""From the tables of a run to numbers and graphs: the day's summary, who moved the price, who set off whom."""

from sim.analysis.cascade import (
    cascade_sizes,
    domino_graph,
    domino_tables,
    dominoes,
    generations,
    group_matrix,
    spectral_radius,
)
from sim.analysis.day import summary
from sim.analysis.tape import contracts_by_group, mid_moves, owner_groups, price_points_by_group

__all__ = [
    "cascade_sizes",
    "contracts_by_group",
    "domino_graph",
    "domino_tables",
    "dominoes",
    "generations",
    "group_matrix",
    "mid_moves",
    "owner_groups",
    "price_points_by_group",
    "spectral_radius",
    "summary",
]
