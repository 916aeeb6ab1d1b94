"""Noise: market orders of random sign and split metaorders, whose pace follows the time of day and excites itself.

Metaorder sizes are Pareto, so that trade signs have a long memory (Lillo, Mike and Farmer 2005); activity follows past
volatility (quadratic Hawkes; Blanc, Donier and Bouchaud 2017). News is read in more than one way, so that people trade
on it with one another long after the price has moved (Harris and Raviv 1993; Kandel and Pearson 1995). A market that
falls draws a crowd of its own (Barber and Odean 2008; volume against the size of a move: Karpoff 1987).
"""

from __future__ import annotations

from collections.abc import Iterable

from sim.trader import (
    Above,
    Action,
    Activity,
    Alarm,
    At,
    Below,
    Cancel,
    Limit,
    Metaorders,
    NoiseOrders,
    OnNews,
    Ring,
    Trader,
    number,
    numbers,
)
from sim.view import View

AUCTION_REACH = 0.01
"""How far through value an order for the opening auction is priced, as a share: it is meant to trade."""


class NoiseTrader(Trader):
    """Sends its share of the noise."""

    class Params(Trader.Params):
        """Rate, mix and pace of the flow."""

        contracts_per_second: float = number(
            50.0, 0, 10_000, "contracts/s", "flow of all noise traders at pace one", source="study"
        )
        metaorder_share: float = number(0.6, 0, 1, "share", "of the flow that comes in metaorders", source="study")
        child_contracts: float = number(8.5, 1, 1000, "contracts", "mean market order", source="study")
        selective: float = number(0.8, 0, 1, "share", "of orders that take no more than the best queue", source="study")
        smallest_contracts: float = number(20.0, 1, 1e6, "contracts", "smallest metaorder", source="study")
        largest_contracts: float = number(6000.0, 2, 1e6, "contracts", "largest metaorder", source="study")
        tail: float = number(
            1.5, 1.01, 5, "1", "tail exponent of metaorder sizes", source="Lillo, Mike and Farmer 2005"
        )
        participation: tuple[float, float] = numbers(
            (0.02, 0.15), 1e-6, 1, "share", "range of a metaorder's share of the flow", source="study"
        )
        feedback: float = number(
            0.15,
            0,
            0.99,
            "1",
            "share of activity that past volatility excites",
            source="study; form: Blanc, Donier and Bouchaud 2017",
        )
        activity_cap: float = number(2.5, 1, 100, "1", "largest activity", source="study")
        reference_vol_points: float = number(
            4.0,
            0.01,
            100,
            "points/sqrt(min)",
            "volatility of activity one",
            source="study",
        )
        stir: float = number(
            3.5, 0, 10, "1/%", "rise of the rate of single orders for every per cent of news", source="study"
        )
        stir_minutes: float = number(50.0, 1, 390, "min", "memory of news", source="study")
        surge: float = number(0.2, 0, 10, "1/%", "rise of that rate for every per cent of a fall", source="study")
        surge_from_pct: float = number(0.5, 0, 100, "%", "falls up to this bring none", source="guess")
        surge_minutes: int = number(60, 1, 390, "min", "over which the fall is taken", source="guess")
        auction_contracts: float = number(
            2000.0, 0, 1e6, "contracts", "mean of what all send to the opening auction, per side", source="guess"
        )
        review_points: float = number(
            10.0, 0.25, 1000, "points", "mean move after which it is reviewed", source="guess"
        )
        review_minutes: float = number(10.0, 0.1, 390, "min", "or mean time after which it is", source="guess")
        u_base: float = number(0.87, 0, 10, "1", "pace at midday", source="study")
        u_rise: float = number(0.55, 0, 10, "1", "more at the open and at the close", source="study")

    surge = 1.0
    """Single orders that come, over the usual."""

    def prepare(self, view: View) -> Iterable[Action]:
        """Buy and sell in the auction at any price near value, each as much as chance will have it."""
        mean = self.p.auction_contracts / self.crowd_size
        sizes = [(side, round(mean * self.draw.exponential())) for side in (1, -1)]
        return [Limit(side * size, view.value * (1 + side * AUCTION_REACH)) for side, size in sizes if size]

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Start the streams with the session; send more single orders after news and while the index falls."""
        p = self.p
        share = p.contracts_per_second / self.crowd_size
        before, self.surge = self.surge, self.surge_at(view)
        orders = NoiseOrders(share * (1 - p.metaorder_share), p.child_contracts, p.selective, self.surge)
        if ring.kind != "open":
            return [orders] if self.surge != before else []
        return [
            *(Cancel(order) for order in view.orders),
            Activity(p.feedback, p.activity_cap, p.reference_vol_points, p.u_base, p.u_rise),
            orders,
            Metaorders(
                share * p.metaorder_share,
                p.contracts_per_second,
                p.child_contracts,
                p.selective,
                p.smallest_contracts,
                p.largest_contracts,
                p.tail,
                p.participation,
            ),
        ]

    def surge_at(self, view: View) -> float:
        """Single orders after the news and the fall of the last hour, over the usual."""
        p = self.p
        fallen_pct = 100 * (view.mid_ago(p.surge_minutes) / view.mid - 1)
        return 1 + p.stir * view.stir_pct(p.stir_minutes) + p.surge * max(fallen_pct - p.surge_from_pct, 0.0)

    def alarms(self, view: View) -> Iterable[Alarm]:
        """Look again after a while, at news, in a fall after a move, else where one that matters would begin."""
        later = At(view.later(60 * self.p.review_minutes * self.draw.uniform(0.5, 1.5)))
        step = self.p.review_points * self.draw.uniform(0.5, 1.5)
        begins = view.mid_ago(self.p.surge_minutes) / (1 + self.p.surge_from_pct / 100)
        if view.mid < begins:
            return [later, OnNews(), Below(view.mid - step), Above(view.mid + step)]
        return [later, OnNews(), Below(begins - step)]
