"""Stop-loss holders: sell stops at round numbers and prior lows, and thinly everywhere (Osler 2005).

A stop is placed only once the price has traded above its level by the re-arm distance. It rests in the exchange and
is carried out there.
"""

from __future__ import annotations

from collections.abc import Iterable

from sim.trader import Above, Action, Alarm, OnFill, Ring, Stop, Trader, number, numbers
from sim.view import View

GRID_POINTS = 5.0


class StopHolder(Trader):
    """Holds its share of the stops."""

    class Params(Trader.Params):
        """Where stops lie and how many."""

        top_points: float = number(6720.0, 1, 1e5, "points", "highest stop", source="study")
        bottom_points: float = number(6480.0, 1, 1e5, "points", "lowest stop", source="study")
        density_contracts: float = number(
            50.0, 0, 10_000, "contracts/point", "stops everywhere between", source="guess; form: Osler 2005"
        )
        clusters_points: tuple[float, ...] = numbers(
            (6700.0, 6650.0, 6631.0, 6600.0, 6574.0, 6550.0, 6500.0),
            1,
            1e5,
            "points",
            "just below them stops cluster",
            source="round numbers and prior lows (Osler 2005)",
        )
        cluster_contracts: float = number(
            500.0, 0, 1e5, "contracts", "stops of a cluster", source="guess; form: Osler 2005"
        )
        below_points: float = number(
            2.0, 0, 100, "points", "how far below its number a cluster spreads", source="guess; form: Osler 2005"
        )
        rearm_points: float = number(
            10.0, 0, 1000, "points", "a stop is placed once the price is this far above it", source="guess"
        )

    def begin(self) -> None:
        """Choose the levels."""
        self.waiting = sorted(((level, size) for level, size in self._levels() if size), reverse=True)
        self.placed: list[tuple[float, int]] = []

    def _levels(self) -> Iterable[tuple[float, int]]:
        """Own levels and sizes: a share of every cluster, and every n-th step of the grid."""
        p, n = self.p, self.crowd_size
        for cluster in p.clusters_points:
            yield _tick(cluster - p.below_points * self.draw.uniform()), round(p.cluster_contracts / n)
        step, level = GRID_POINTS * n, p.top_points - GRID_POINTS * self.index
        while level > p.bottom_points:
            yield _tick(level - GRID_POINTS * self.draw.uniform()), round(p.density_contracts * GRID_POINTS)
            level -= step

    def prepare(self, view: View) -> Iterable[Action]:
        """A new session: stops that were not carried out are to be placed again."""
        self.waiting = sorted([*self.waiting, *self.placed], reverse=True)
        self.placed = []
        return ()

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Place the stops that the price has left far enough below."""
        alive = {(order.points, -order.contracts) for order in view.orders}
        self.placed = [stop for stop in self.placed if stop in alive]
        ready = [entry for entry in self.waiting if entry[0] + self.p.rearm_points <= view.mid]
        self.waiting = [entry for entry in self.waiting if entry not in ready]
        self.placed += ready
        return [Stop(-size, level) for level, size in ready]

    def alarms(self, view: View) -> Iterable[Alarm]:
        """When the price is far enough above the next stop to be placed, and when one was carried out."""
        waiting: list[Alarm] = [Above(self.waiting[-1][0] + self.p.rearm_points)] if self.waiting else []
        return [*waiting, OnFill()]


def _tick(points: float) -> float:
    return round(points * 4) / 4
