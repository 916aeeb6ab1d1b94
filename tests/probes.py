"""A one-day scenario of a few people, and small traders that only do and note what a test tells them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sim.model import MarketModel
from sim.trader import Action, Alarm, Ring, Trader
from sim.view import View

QUIET = """title = "A short day"
depth_musd = 5.0

[session]
days = ["2025-11-20"]
end = "09:33"
prior_close_points = 6600.0

[agents.makers]
class = "agents.maker:MarketMaker"
count = 2

[agents.latent]
class = "agents.latent:LatentTrader"
count = 2

[agents.noise]
class = "agents.noise:NoiseTrader"
count = 2
"""

CROWD = """title = "A short day with everyone"
depth_musd = 5.0

[session]
days = ["2025-11-20"]
end = "09:40"
prior_close_points = 6700.0

[options]
book = [
    ["2025-11-20", 6650.0, "put", -2001],
    ["2025-11-20", 6700.0, "put", -3001],
    ["2025-11-21", 6700.0, "put", -1501],
    ["2025-11-28", 6750.0, "call", 997],
]

[[news]]
at = "2025-11-20 09:33"
name = "shock"
value_pct = -1.5
sentiment = -0.8
event_variance = 5e-5

[agents.makers]
class = "agents.maker:MarketMaker"
count = 2

[agents.latent]
class = "agents.latent:LatentTrader"
count = 2

[agents.noise]
class = "agents.noise:NoiseTrader"
count = 2

[agents.dealers]
class = "agents.dealer:OptionDealer"
count = 4

[agents.hedgers]
class = "agents.hedger:PutHedger"
count = 2
every_minutes = 1.0

[agents.ctas]
class = "agents.cta:TrendFollower"
count = 2
first_points = [6695.0, 6690.0, 6457.0, 6300.0, 6150.0]
last_points = [6690.0, 6680.0, 6420.0, 6270.0, 6100.0]
rearm_points = 1.0

[agents.etfs]
class = "agents.etf:MacroTrader"
count = 8
every_seconds = 20.0

[agents.value]
class = "agents.value:ValueTrader"
count = 4

[agents.stops]
class = "agents.stops:StopHolder"
count = 3
clusters_points = [6690.0, 6680.0]

[agents.leveraged]
class = "agents.leveraged:LeveragedFund"
group = "rebalancers"
count = 1
"""


WALLS = """title = "Two orders and a probe"
depth_musd = 5.0

[session]
days = ["2025-11-20"]
end = "09:35"
prior_close_points = 6600.0

[agents.walls]
class = "probes:Probe"

[agents.probes]
class = "probes:Probe"
count = 2
"""


class Probe(Trader):
    """Answers with `plan` and arms `wakes`, which a test sets, and notes every ring."""

    ready: Callable[[View], Iterable[Action]]
    plan: Callable[[View, Ring], Iterable[Action]]
    wakes: Callable[[View], Iterable[Alarm]]

    def __init__(self, model: Any, **about: Any) -> None:
        super().__init__(model, **about)
        self.rings: list[tuple[int, Ring]] = []
        self.ready = lambda view: ()
        self.plan = lambda view, ring: ()
        self.wakes = lambda view: ()

    def prepare(self, view: View) -> Iterable[Action]:
        return self.ready(view)

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        self.rings.append((view.now, ring))
        return self.plan(view, ring)

    def alarms(self, view: View) -> Iterable[Alarm]:
        return self.wakes(view)


class Quoter(Probe):
    """A probe that quotes options, and so is a dealer."""

    vega_sold = 0.0

    def quote_vol(self, vega: float) -> float:
        return (0.002 if vega > 0 else -0.002) + 1e-9 * self.vega_sold

    def sold(self, vega: float) -> None:
        self.vega_sold += vega


def run(model: MarketModel, bars: int | None = None) -> MarketModel:
    """The model after some bars, or all of them."""
    for _ in range(model.bars_total if bars is None else bars):
        model.step()
    return model


def made(text: str, *, rng: int = 1, bars: int | None = None, **overrides: Any) -> MarketModel:
    """A model of a scenario's text, run."""
    return run(MarketModel(text, rng=rng, **overrides), bars)
