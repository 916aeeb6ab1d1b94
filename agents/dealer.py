"""Option dealers: quote options to customers, hedge the delta of what they hold with futures.

A dealer lets its hedge drift inside a band and trades to the band's edge (Whalley and Wilmott 1997); half of the
dealers watch prices and look every few minutes, half look at longer, random times. Which way they hedge follows from
their options: short options (negative gamma) are hedged with the move, long ones against it (domain facts: Frey and
Stremme 1997; Barbon and Buraschi 2020). What they ask for an option rises with the vega they have sold (Garleanu,
Pedersen and Poteshman 2009).
"""

from __future__ import annotations

from collections.abc import Iterable

from sim.trader import Above, Action, Alarm, At, Below, Ring, Trader, Work, number, numbers
from sim.view import View

CLOSEST_POINTS = 2.0
"""A watching dealer is not woken by moves smaller than this."""


class OptionDealer(Trader):
    """Hedges the delta of its options inside a band."""

    class Params(Trader.Params):
        """How finely and how fast dealers hedge, and what they ask."""

        band_low_contracts: float = number(
            40.0,
            0,
            10_000,
            "contracts",
            "narrowest band of a dealer's hedge",
            source="study; form: Whalley and Wilmott 1997",
        )
        band_high_contracts: float = number(
            150.0, 0, 10_000, "contracts", "widest", source="study; form: Whalley and Wilmott 1997"
        )
        work_low_seconds: float = number(
            60.0, 1, 7200, "s", "shortest time over which a hedge is worked", source="study"
        )
        work_high_seconds: float = number(300.0, 1, 7200, "s", "longest", source="study")
        fast_minutes: tuple[float, float] = numbers(
            (3.0, 10.0),
            0.01,
            390,
            "min",
            "least and most time between two looks of one that watches prices",
            source="guess",
        )
        slow_minutes: tuple[float, float] = numbers((15.0, 30.0), 0.01, 390, "min", "of the others", source="guess")
        pov: float = number(
            0.1, 0.001, 1, "share of volume", "largest participation of all dealers together", source="guess"
        )
        spread_vol: float = number(0.002, 0, 0.1, "volatility", "half the quoted spread", source="guess")
        vega_vol: float = number(
            0.002,
            0,
            0.1,
            "volatility per $1M of vega sold",
            "what inventory adds to a quote",
            source="guess; form: Garleanu, Pedersen and Poteshman 2009",
        )

    def begin(self) -> None:
        """Draw pace, band and speed."""
        self.every_s = 60 * self.draw.uniform(*(self.p.fast_minutes if self.watches else self.p.slow_minutes))
        self.band = self.draw.uniform(self.p.band_low_contracts, self.p.band_high_contracts)
        self.work_s = self.draw.uniform(self.p.work_low_seconds, self.p.work_high_seconds)
        self.vega_sold = 0.0

    @property
    def watches(self) -> bool:
        """Whether this dealer is woken by prices, too."""
        return self.index % 2 == 0

    def quote_vol(self, vega: float) -> float:
        """Volatility asked on top of the surface's for selling options of so many dollars of vega.

        That is for a volatility of 1.00; buying: below 0.
        """
        sign = 1.0 if vega > 0 else -1.0
        return sign * self.p.spread_vol + self.p.vega_vol * (self.vega_sold + 0.5 * vega) / 1e6 / 100

    def sold(self, vega: float) -> None:
        """Take note of a trade: dollars of vega sold (what expires later goes on to count)."""
        self.vega_sold += vega

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Trade to the edge of the band where the hedge is outside of it."""
        gap = -view.option_greeks()[0] - view.position
        trade = 0
        if abs(gap) > self.band:
            trade = round(gap - self.band if gap > 0 else gap + self.band)
        if trade == view.working:
            return []
        return [Work(trade, until_ns=view.later(self.work_s), pov=self.p.pov / self.crowd_size)]

    def alarms(self, view: View) -> Iterable[Alarm]:
        """Look again in a while, or when the move since now has used up the band."""
        again = At(view.later(self.every_s * self.draw.uniform(0.5, 1.5)))
        gamma = abs(view.option_greeks()[1])
        if not self.watches or gamma == 0.0:
            return [again]
        move = max(self.band / gamma, CLOSEST_POINTS)
        return [again, Below(view.mid - move), Above(view.mid + move)]
