"""Value traders: buy what is cheap and sell what is dear against the level of value that the news amounts to.

Each is idle inside its own threshold, trades in proportion to the distance beyond it, and only up to what it may hold:
limits to arbitrage (Shleifer and Vishny 1997). What was bought or sold beyond the threshold is kept until price is back
at value (the state-dependent strategies of Farmer and Joshi 2002). Narrow thresholds keep a quiet day near value. After
bad news value is a range: all wait for a price beyond it, to cover what they have sold, too, but are glad to sell at
the level what they have bought. They then stop a fall, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable

from sim.trader import Above, Action, Alarm, At, Below, Cancel, Limit, OnNews, Ring, Trader, Work, number
from sim.view import View


class ValueTrader(Trader):
    """Holds a position against the distance from value."""

    class Params(Trader.Params):
        """Thresholds, slope and limits."""

        nearest_pct: float = number(0.08, 0, 50, "%", "narrowest threshold", source="study")
        furthest_pct: float = number(1.5, 0, 50, "%", "widest", source="study")
        slope_contracts: float = number(
            750.0,
            0,
            1e5,
            "contracts/point/$M",
            "position of all per point beyond threshold and $M of depth",
            source="study",
        )
        patience_minutes: float = number(10.0, 0.1, 390, "min", "time over which a position is built", source="study")
        limit_contracts: float = number(
            250_000.0, 0, 1e6, "contracts", "largest position of all together", source="study"
        )
        pov: float = number(0.45, 0.001, 1, "share of volume", "participation of all together", source="study")
        urgent_pct: float = number(
            1.0,
            0.01,
            50,
            "%",
            "distance beyond the threshold from which participation grows in proportion",
            source="guess; form: Almgren and Chriss 2001, urgency",
        )
        caution_pct: float = number(
            4.15, 0, 50, "%", "doubt of the level of value after news of the worst tone, in proportion", source="study"
        )
        every_seconds: float = number(120.0, 1, 23_400, "s", "mean time between two looks", source="guess")
        auction_contracts: float = number(
            2000.0, 0, 1e6, "contracts", "offered in the opening auction, per side", source="study"
        )

    def begin(self) -> None:
        """Take a place among the thresholds."""
        place = (self.index + 0.5) / self.crowd_size
        self.threshold = (self.p.nearest_pct + (self.p.furthest_pct - self.p.nearest_pct) * place**2) / 100

    def prepare(self, view: View) -> Iterable[Action]:
        """Buy below value and sell above it in the auction."""
        size = round(self.p.auction_contracts / self.crowd_size)
        width = 0.5 * self.p.nearest_pct / 100 * (1 + self.index / self.crowd_size)
        return [Limit(size, view.value * (1 - width)), Limit(-size, view.value * (1 + width))] if size else []

    def worth(self, view: View) -> tuple[float, float]:
        """What the index may be worth, at the least and at the most: bad news lets all doubt the level of value."""
        doubt = self.p.caution_pct / 100 * max(-view.sentiment, 0.0)
        return view.value * (1 - doubt), view.value * (1 + doubt)

    def idle_range(self, view: View) -> tuple[float, float]:
        """Prices between which this trader is idle."""
        least, most = self.worth(view)
        return least * (1 - self.threshold), most * (1 + self.threshold)

    def beyond(self, view: View) -> float:
        """Points of price below (+) or above (-) the range in which this trader is idle."""
        low, high = self.idle_range(view)
        return max(low - view.mid, 0.0) - max(view.mid - high, 0.0)

    def target(self, view: View, beyond: float) -> int:
        """The position wanted so many points beyond the idle range.

        What was bought is kept until price is back at the level, what was sold until it is below the least it may be.
        """
        limit = self.p.limit_contracts / self.crowd_size
        slope = self.p.slope_contracts * view.depth_musd / self.crowd_size
        wanted = round(max(-limit, min(slope * beyond, limit)))
        least, _ = self.worth(view)
        keeps = view.mid < view.value if view.position > 0 else view.mid > least
        return max(view.position, wanted, key=abs) if keeps else wanted

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Work towards the position wanted, by the close; what was offered in the auction is for it only."""
        unfilled = [Cancel(order) for order in view.orders] if ring.kind == "open" else []
        beyond = self.beyond(view)
        trade = self.target(view, beyond) - view.position
        if trade == view.working:
            return unfilled
        until = min(view.later(60 * self.p.patience_minutes), view.closes)
        urgency = max(abs(beyond) / view.value / (self.p.urgent_pct / 100), 1.0)
        return [*unfilled, Work(trade, until_ns=until, pov=min(self.p.pov / self.crowd_size * urgency, 1.0))]

    def alarms(self, view: View) -> Iterable[Alarm]:
        """Look again in a while, without a position once price leaves the idle range; and at news."""
        low, high = self.idle_range(view)
        if view.position == 0 == view.working and low < view.mid < high:
            return [Below(low), Above(high), OnNews()]
        return [At(view.later(self.p.every_seconds * self.draw.uniform(0.5, 1.5))), OnNews()]
