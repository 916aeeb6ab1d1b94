"""A market whose impact is linear, permanent and known, for the tests that hold the simulator to closed forms.

`FlatBook` shows the same q contracts at every tick and refills nothing; where one side has been used up it quotes the
other one. So n contracts move the price by n / q ticks, for good and the same way back: lambda = 1 tick / q. The price
starts in the middle of a tick. Everybody else is the shipped agent, and trades through the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from probes import Probe

from sim.kernel.world import S_VOLUME_RATE
from sim.model import MarketModel
from sim.trader import Action, Alarm, At, Limit, Market, OnFill, Ring, Trader, number
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
    """Shows the same depth at every tick, and what has been sold to it there it offers again one tick above."""

    class Params(Trader.Params):
        """How deep, how far."""

        contracts: int = number(100, 2, 1_000_000, "contracts", "at every tick", source="test")
        levels: int = number(1000, 1, 100_000, "ticks", "each side", source="test")

    held = 0

    def prepare(self, view: View) -> Iterable[Action]:
        """Half the depth at the best prices: the price starts in the middle of a tick."""
        half, q = TICK_POINTS / 2, self.p.contracts
        for level in range(self.p.levels):
            size = q if level else q // 2
            yield Limit(size, PRICE - half - level * TICK_POINTS)
            yield Limit(-size, PRICE + half + level * TICK_POINTS)

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """After a trade bring the other side up to what is missing: both best queues together hold the depth."""
        if view.position == self.held:
            return []
        side = 1 if view.position < self.held else -1  # the side to be shown: bids where we have sold
        self.held = view.position
        hit, other = view.sizes if side < 0 else view.sizes[::-1]
        best = view.bid if side < 0 else view.ask
        gap, q = round((view.ask - view.bid) / TICK_POINTS) - 1, self.p.contracts
        sizes = dict.fromkeys(range(1, gap + 1), q) | {gap + 1: q - other}
        sizes[1] -= hit
        return [Limit(side * max(size, 0), best - side * step * TICK_POINTS) for step, size in sizes.items()]

    def alarms(self, view: View) -> Iterable[Alarm]:
        """At every trade."""
        return [OnFill()]


def scene(
    people: str = "", *, seed: int = 1, contracts: int = 100, end: str = "09:40", **overrides: Any
) -> MarketModel:
    """A flat book of so many contracts a tick, with people (TOML), in which orders are worked as fast as they may.

    Limits to a share of the volume never bind: the market takes its volume to be endless, and what it forgets of that
    in a day is less than what there is.
    """
    settings = {"agents.book.contracts": contracts, "session.end": end} | overrides
    model = MarketModel(SCENE + people, rng=seed, **settings)
    model.market.w.stats[0, S_VOLUME_RATE] = 1e300
    return model


def option_dealer(*options: tuple[float, str, int]) -> str:
    """One option dealer who holds (strike, right, contracts) of a date two months off: its gamma hardly changes.

    It hedges to the contract, looks about twice a second, and works what is missing at a rate of one fifth a second.
    """
    book = ", ".join(f'["2026-01-16", {strike}, "{right}", {contracts}]' for strike, right, contracts in options)
    return f"""
[options]
book = [{book}]

[agents.dealers]
class = "agents.dealer:OptionDealer"
band_low_contracts = 0.0
band_high_contracts = 0.0
work_low_seconds = 1.0
work_high_seconds = 1.0
fast_minutes = [0.01, 0.01]
pov = 1.0
"""


def straddle_dealer(gain: float, contracts: int) -> str:
    """A dealer with straddles at the price, whose hedging has this loop gain in a book of so many contracts a tick."""
    of_one = loop_gain(
        scene(option_dealer(*((6600.0, right, -1000) for right in ("call", "put"))), contracts=contracts)
    )
    held = -round(1000 * gain / of_one)
    return option_dealer((6600.0, "call", held), (6600.0, "put", held))


def loop_gain(model: MarketModel) -> float:
    """The dealer's sale per point of fall, times the fall in points per contract sold: lambda g."""
    owner, quotes = model.dealers[0].owner, model.quotes()
    up, down = (model.option_greeks(owner, PRICE + shift, quotes)[0] for shift in (5.0, -5.0))
    return (down - up) / 10.0 * TICK_POINTS / model.crowds["book"][0].p.contracts


def shocks(model: MarketModel, contracts: Sequence[int], every_s: int = 60) -> None:
    """Let the prober trade so many contracts at market, one size after another, at even times after the open."""
    probe: Probe = model.crowds["shocks"][0]
    step = every_s * SECOND

    def count(now: int) -> int:
        return (now - OPEN) // step

    probe.plan = lambda view, ring: [Market(contracts[count(view.now) - 1])] if ring.kind == "time" else []
    probe.wakes = lambda view: [At(OPEN + (count(view.now) + 1) * step)] if count(view.now) < len(contracts) else []


def moved(model: MarketModel, times_ns: ArrayLike | None = None) -> NDArray[np.float64]:
    """How far the mid has moved from where it started, in ticks: at times, or by now."""
    quotes = model.market.quotes()
    rows = np.searchsorted(quotes["time_ns"], model.market.now if times_ns is None else times_ns, side="right") - 1
    return (quotes[rows]["bid_ticks"] + quotes[rows]["ask_ticks"]) / 2 - PRICE / TICK_POINTS
