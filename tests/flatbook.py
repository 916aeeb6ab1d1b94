"""A market whose impact is linear, permanent and known, for the tests that hold the simulator to closed forms.

`FlatBook` shows the same contracts at every tick, one tick apart, and quotes a price that was used up from the other
side: a trade of q contracts moves the price by q ticks over its contracts, for good. The others are the shipped people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from probes import Probe

from sim.kernel.world import S_VOLUME_RATE
from sim.model import MarketModel
from sim.trader import Above, Action, Alarm, At, Below, Limit, Market, Ring, Trader, number
from sim.units import SECOND, TICK_POINTS, clock_ns
from sim.view import View

OPEN = clock_ns("09:30")
PRICE = 6600.125
"""Mid at the start: a bid at 6600.00, an offer at 6600.25."""

SCENE = f"""title = "A flat book"
depth_musd = 5.0

[session]
days = ["2025-11-20"]
prior_close_points = {PRICE}
value_points = {PRICE}

[market]
halts_pct = [1.0, 2.0, 3.0]

[surface]
start_vol = 0.2
reversion_per_year = 0.0
spot_beta = 0.0
realised_pull = 0.0
skew = 0.0
demand_vol = 0.0
demand_skew = 0.0

[agents.book]
class = "flatbook:FlatBook"

[agents.shocks]
class = "probes:Probe"
"""


class FlatBook(Trader):
    """Shows the same depth at every tick of both sides and refills nothing but from the other side."""

    class Params(Trader.Params):
        """How deep, how far."""

        contracts: int = number(100, 2, 1_000_000, "contracts", "at every tick", source="test")
        levels: int = number(1000, 1, 100_000, "ticks", "each side", source="test")

    def prepare(self, view: View) -> Iterable[Action]:
        """Half the depth at the best prices: the price starts in the middle of a tick."""
        half, q = TICK_POINTS / 2, self.p.contracts
        for level in range(self.p.levels):
            size = q if level else q // 2
            yield Limit(size, PRICE - half - level * TICK_POINTS)
            yield Limit(-size, PRICE + half + level * TICK_POINTS)

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Where a side has been used up, show the other side there."""
        gap = range(1, round((view.ask - view.bid) / TICK_POINTS))
        if ring.kind == "below":
            return [Limit(-self.p.contracts, view.bid + step * TICK_POINTS) for step in gap]
        return [Limit(self.p.contracts, view.ask - step * TICK_POINTS) for step in gap]

    def alarms(self, view: View) -> Iterable[Alarm]:
        """At the smallest move."""
        return [Below(view.mid - TICK_POINTS / 2), Above(view.mid + TICK_POINTS / 2)]


def scene(people: str = "", *, contracts: int = 100, end: str = "09:40", **overrides: Any) -> MarketModel:
    """A flat book of so many contracts a tick, with people (TOML), in which orders are worked as fast as they may.

    Share-of-volume limits never bind: the market believes its volume to be endless. It forgets that within minutes, but
    from such a number that it takes a day.
    """
    settings = {"agents.book.contracts": contracts, "session.end": end} | overrides
    model = MarketModel(SCENE + people, rng=1, **settings)
    model.market.w.stats[0, S_VOLUME_RATE] = 1e300
    return model


def dealer(straddles: int, band: float = 0.0) -> str:
    """One option dealer long so many straddles of 6600 that expire in two months: its gamma hardly changes."""
    return f"""
[options]
book = [["2026-01-16", 6600.0, "call", {straddles}], ["2026-01-16", 6600.0, "put", {straddles}]]

[agents.dealers]
class = "agents.dealer:OptionDealer"
band_low_contracts = {band}
band_high_contracts = {band}
work_low_seconds = 1.0
work_high_seconds = 1.0
fast_minutes = [0.01, 0.01]
pov = 1.0
"""


def shocks(model: MarketModel, sizes: Sequence[int], every_s: float = 60.0) -> None:
    """Let the prober trade so many contracts at market, one after another, at even times after the open."""
    probe: Probe = model.crowds["shocks"][0]
    step = round(every_s * SECOND)

    def number_at(now: int) -> int:
        return (now - OPEN) // step

    probe.plan = lambda view, ring: [Market(int(sizes[number_at(view.now) - 1]))] if ring.kind == "time" else []
    probe.wakes = lambda view: [At(OPEN + (number_at(view.now) + 1) * step)] if number_at(view.now) < len(sizes) else []


def ticks_from_start(model: MarketModel) -> float:
    """The price, in ticks from where it started."""
    return (model.market.mid2() - round(2 * PRICE / TICK_POINTS)) / 2


def gamma(model: MarketModel, spot: float = PRICE, width: float = 5.0) -> float:
    """Contracts that the first dealer must buy per point of rise: its hedge differentiated as the dealer sees it."""
    owner, quotes = model.dealers[0].owner, model.quotes()
    up, down = (model.option_greeks(owner, spot + shift, quotes)[0] for shift in (width, -width))
    return -(up - down) / (2 * width)


def loop_gain(model: MarketModel) -> float:
    """Points per contract of the book times the gamma sold by the dealer: lambda g."""
    contracts = model.crowds["book"][0].p.contracts
    return TICK_POINTS / contracts * gamma(model)


def straddles(gain: float, contracts: int) -> int:
    """Straddles of a dealer (minus: sold) whose hedging has a loop gain in a book of so many contracts a tick."""
    per_straddle = loop_gain(scene(dealer(10_000), contracts=contracts)) / 10_000
    return round(gain / per_straddle)

