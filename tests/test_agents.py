"""The people: one contract for all kinds, and for each kind a table of situations and moves.

`Eyes` is a view whose every property a test sets; a trader is built on a stand-in for the model.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import pkgutil
import random
import re
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from probes import run

import agents
from agents.close_buyer import CloseBuyer
from agents.cta import TrendFollower
from agents.dealer import OptionDealer
from agents.etf import MacroTrader
from agents.hedger import PutHedger
from agents.informed import InformedTrader
from agents.latent import LatentTrader
from agents.leveraged import LeveragedFund
from agents.maker import MarketMaker
from agents.noise import NoiseTrader
from agents.stops import StopHolder
from agents.value import ValueTrader
from agents.vol_control import VolControlFund
from sim import DEFAULT_SEED
from sim import trader as vocabulary
from sim.model import MarketModel
from sim.options import Contract
from sim.scenario import load
from sim.trader import Above, Action, Alarm, At, Below, Cancel, OnFill, OnNews, Order, Ring, Trader, Work
from sim.units import DAY, MINUTE, clock_ns, contracts_of

NOW, OPENS, CLOSES = clock_ns("11:00"), clock_ns("09:30"), clock_ns("16:00")
KINDS = [
    cls
    for info in pkgutil.iter_modules(agents.__path__)
    for cls in vars(importlib.import_module(f"agents.{info.name}")).values()
    if isinstance(cls, type) and issubclass(cls, Trader) and cls.__module__ == f"agents.{info.name}"
    if not inspect.isabstract(cls)
]


class Eyes(SimpleNamespace):
    """A view with given values."""

    def __init__(self, **seen: Any) -> None:
        quiet = {
            "now": NOW,
            "opens": OPENS,
            "closes": CLOSES,
            "date": date(2025, 11, 20),
            "mid": 6700.0,
            "bid": 6699.875,
            "ask": 6700.125,
            "sizes": (15, 15),
            "prior_close": 6700.0,
            "session_open": 6700.0,
            "realised_vol": 4.0,
            "volume_rate": 75.0,
            "depth_musd": 5.0,
            "value": 6700.0,
            "sentiment": 0.0,
            "vix": 20.0,
            "prior_vix": 23.0,
            "position": 0,
            "working": 0,
            "orders": [],
            "news": 0.0,
            "stir": 0.0,
            "bitcoin": 0.0,
            "before": None,
            "due": math.inf,
            "greeks": (0.0, 0.0, 0.0, 0.0),
            "held": [],
        }
        super().__init__(**quiet | seen)

    def later(self, seconds: float) -> int:
        return self.now + round(seconds * 1e9)

    def mid_ago(self, minutes: int) -> float:
        return self.mid if self.before is None else self.before

    def news_pct(self, decay_minutes: float) -> float:
        return self.news

    def stir_pct(self, decay_minutes: float) -> float:
        return self.stir

    def bitcoin_pct(self, decay_minutes: float) -> float:
        return self.bitcoin

    def event_due_days(self) -> float:
        return self.due

    def is_quoted(self, expiry: date) -> bool:
        return True

    def option_greeks(self) -> tuple[float, float, float, float]:
        return self.greeks

    def options(self) -> list[tuple[Contract, int, float]]:
        return self.held


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch):
    """Make a trader of a kind, with parameters, as the only one of its crowd or one of many."""
    model = SimpleNamespace(seed=1, register_agent=lambda agent: None, agent_id_counter=1)
    monkeypatch.setattr(vocabulary.mesa.Agent, "__init__", lambda self, model: None)

    def made(cls: type, *, index: int = 0, count: int = 1, **params: Any) -> Any:
        about = {"crowd": "crowd", "group": "crowd", "index": index, "crowd_size": count, "owner": index + 1}
        return cls(model, **about, params=cls.Params(**params))

    return made


def ordered(actions: Any) -> int:
    """Contracts of one `Work` (0 for no answer)."""
    answers = list(actions)
    assert len(answers) <= 1
    assert all(isinstance(action, Work) for action in answers)
    return answers[0].contracts if answers else 0


TIME = Ring("time")


# The contract


def test_all_kinds_are_here() -> None:
    assert {cls.__name__ for cls in KINDS} >= {
        "OptionDealer",
        "TrendFollower",
        "MacroTrader",
        "PutHedger",
        "MarketMaker",
        "LatentTrader",
        "NoiseTrader",
        "StopHolder",
        "ValueTrader",
        "LeveragedFund",
        "VolControlFund",
        "CloseBuyer",
        "InformedTrader",
    }


@pytest.mark.parametrize("cls", KINDS, ids=lambda cls: cls.__name__)
def test_parameters_say_what_they_are(cls: type[Trader]) -> None:
    for name, field in cls.Params.model_fields.items():
        bounds = {kind for item in field.metadata for kind in ("ge", "gt", "le", "lt") if hasattr(item, kind)}
        assert len(bounds) == 2, f"{name} needs two bounds"
        assert field.description, f"{name} needs a description"
        assert field.json_schema_extra["unit"], f"{name} needs a unit"
        assert field.json_schema_extra["source"], f"{name} needs a source"
    assert cls.Params() == cls.Params.model_validate_json(cls.Params().model_dump_json(), strict=True)


SOURCED = [cls for cls in KINDS if cls is not CloseBuyer]


@pytest.mark.parametrize("cls", SOURCED, ids=lambda cls: cls.__name__)
def test_source_is_named(cls: type[Trader]) -> None:
    """A year of a paper in the module's docstring or the class's (a customer's order on the close needs none)."""
    text = f"{inspect.getmodule(cls).__doc__} {cls.__doc__} {inspect.getmodule(cls.__mro__[1]).__doc__}"
    assert re.search(r"\b(19|20)\d\d\b", text)


@pytest.mark.parametrize("cls", KINDS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    "seen",
    [{}, {"mid": 6600.0, "news": -1.0, "due": 0.5, "vix": 30.0}, {"mid": 6800.0, "greeks": (500.0, -9.0, 1.0, 1.0)}],
)
def test_answers_are_in_the_vocabulary(build: Any, cls: type, seen: dict[str, Any]) -> None:
    """Each kind answers with actions and arms alarms, and touches no randomness but its own."""
    actions, alarms = get_args(Action.__value__), get_args(Alarm.__value__)
    before = random.getstate(), np.random.get_state()[1].tolist()
    trader, again = build(cls, count=2), build(cls, count=2)
    for ring in (Ring("open"), TIME, Ring("news", "word"), Ring("below", 6700.0)):
        for step in range(3):
            view = Eyes(**seen | {"now": NOW + step * MINUTE})
            answer, waits = list(trader.decide(view, ring)), list(trader.alarms(view))
            assert all(isinstance(action, actions) for action in answer)
            assert all(isinstance(alarm, alarms) for alarm in waits)
            assert all(alarm.time_ns > view.now for alarm in waits if isinstance(alarm, At))
            assert (list(again.decide(view, ring)), list(again.alarms(view))) == (answer, waits)
    assert all(isinstance(action, actions) for action in trader.prepare(Eyes(**seen)))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


# Dealers


@pytest.mark.parametrize(
    ("delta", "position", "band", "trade"),
    [
        (0.0, 0, 40, 0),
        (500.0, -500, 40, 0),
        (500.0, -470, 40, 0),
        (500.0, -400, 40, -60),
        (500.0, -600, 40, 60),
        (-300.0, 0, 50, 250),
    ],
)
def test_dealer_trades_to_the_edge_of_its_band(
    build: Any, delta: float, position: int, band: float, trade: int
) -> None:
    dealer = build(OptionDealer, band_low_contracts=band, band_high_contracts=band)
    view = Eyes(greeks=(delta, -5.0, 0.0, 0.0), position=position)
    assert ordered(dealer.decide(view, TIME)) == trade


@pytest.mark.parametrize("gamma", [-10.0, 10.0])
@pytest.mark.parametrize("move", [-30.0, 30.0])
def test_short_gamma_is_hedged_with_the_move_and_long_against_it(build: Any, gamma: float, move: float) -> None:
    dealer = build(OptionDealer)
    trade = ordered(dealer.decide(Eyes(mid=6700 + move, greeks=(gamma * move, gamma, 0, 0)), TIME))
    assert math.copysign(1, trade) == math.copysign(1, -gamma * move)


def test_dealer_wakes_when_its_band_is_used_up(build: Any) -> None:
    dealer = build(OptionDealer, band_low_contracts=100, band_high_contracts=100)
    view = Eyes(greeks=(0.0, -10.0, 0, 0))
    assert [alarm for alarm in dealer.alarms(view) if not isinstance(alarm, At)] == [Below(6690.0), Above(6710.0)]
    slow = build(OptionDealer, index=1, count=2)
    assert all(isinstance(alarm, At) for alarm in slow.alarms(view))


def test_dealer_asks_more_the_more_it_has_sold(build: Any) -> None:
    dealer = build(OptionDealer)
    first = dealer.quote_vol(1e8)
    assert first > 0 > dealer.quote_vol(-1e8)
    dealer.sold(5e8)
    assert dealer.quote_vol(1e8) > first


# Trend followers


def day(fund: Any, path: list[float]) -> list[int]:
    """What a fund orders along a path of mids."""
    sold, working = [], 0
    for mid in path:
        work = ordered(fund.decide(Eyes(mid=mid, working=working, prior_close=6650.0), TIME))
        working = work or working
        sold.append(work)
    return sold


FIRST = {"first_points": (6700.0,), "last_points": (6700.0,), "weights": (0.2,)}


@pytest.mark.parametrize(
    ("path", "sells"),
    [
        ([6690, 6650, 6603], [False] * 3),
        ([6705, 6699], [False, False]),
        ([6710, 6700.25, 6700], [False, False, True]),
        ([6710, 6690, 6650], [False, True, False]),
        ([6710, 6690, 6705, 6690], [False, True, False, False]),
        ([6710, 6690, 6710, 6690], [False, True, False, False]),
    ],
)
def test_trend_follower_fires_only_once_armed(build: Any, path: list[float], sells: list[bool]) -> None:
    orders = day(build(TrendFollower, **FIRST), path)
    assert [order < 0 for order in orders] == sells


@pytest.mark.parametrize("filled", [1.0, 0.75])
def test_trend_follower_covers_what_it_sold_on_a_later_day(build: Any, filled: float) -> None:
    """So however often the price crosses a level, a horizon is never more than short; the close may end a sale."""
    fund, position, held = build(TrendFollower, **FIRST, contracts=1000.0), 0, []
    for day_number, mids in enumerate([[6690, 6710, 6690, 6720, 6690], [6690, 6705, 6710, 6720, 6690]]):
        for mid in mids:
            now, opens = NOW + day_number * DAY, OPENS + day_number * DAY
            order = ordered(
                fund.decide(Eyes(mid=mid, prior_close=6700.0, now=now, opens=opens, position=position), TIME)
            )
            position += round(filled * order) if order < 0 else order
            held.append(round(position / filled / 100) * 100)
    assert held == [0, 0, -400, -400, -400, -400, -400, 0, 0, -400], "it came in long: to arm the trigger buys nothing"


def test_no_trigger_from_6700_up_fires_in_the_range_of_the_19th(build: Any) -> None:
    """It began below and went no higher than 6690: what lies from 6680 up is never armed; what is armed below fires."""
    for index in range(12):
        fund = build(TrendFollower, index=index, count=12)
        day(fund, [6626, 6603.25, 6650, 6689.75, 6603.25, 6642])
        fired_or_armed = [level for level, armed in zip(fund.levels, fund.armed, strict=True) if armed]
        assert all(level < 6603.25 for level in fired_or_armed)
        alarms = [alarm.points for alarm in fund.alarms(Eyes(mid=6642.0)) if isinstance(alarm, Above)]
        assert all(level + fund.p.rearm_points in alarms for level in fund.levels if level > 6690)


def test_trend_follower_turns_from_long_to_short_at_target_volatility(build: Any) -> None:
    fund = build(TrendFollower, **FIRST, contracts=1000.0, target_vol=0.15, past_vol=0.15)
    view = Eyes(mid=6700.0, prior_close=6700.0)
    assert abs(fund.size(view) - 1000) < 30
    assert fund.size(Eyes(mid=6400.0, prior_close=6700.0)) < fund.size(view)
    fund.armed = [True]
    assert ordered(fund.decide(Eyes(mid=6699.0, prior_close=6700.0, working=-50), TIME)) == pytest.approx(-450, abs=20)


# Macro traders


@pytest.mark.parametrize(
    ("seen", "sign"),
    [
        ({"news": 1.0}, 1),
        ({"news": -1.0}, -1),
        ({"before": 6600.0}, 1),
        ({"before": 6800.0}, -1),
        ({"before": 6705.0}, 0),
        ({"bitcoin": 5.0}, 1),
        ({"bitcoin": -5.0}, -1),
    ],
)
def test_macro_traders_signal(build: Any, seen: dict[str, float], sign: int) -> None:
    assert np.sign(build(MacroTrader).signal(Eyes(**seen))) == sign


def test_macro_trader_takes_its_signals_side(build: Any) -> None:
    """With an endless intensity of choice the side is sure; with none it is a coin (200 looks: p < 0.001 outside)."""
    sure = build(MacroTrader, choice=100.0)
    for news in (2.0, -2.0):
        clips = [ordered(sure.decide(Eyes(news=news), TIME)) for _ in range(50)]
        assert all(math.copysign(1, clip) == math.copysign(1, news) for clip in clips)
    coin = build(MacroTrader, choice=0.0)
    buys = sum(ordered(coin.decide(Eyes(news=2.0), TIME)) > 0 for _ in range(200))
    assert 76 <= buys <= 124
    assert not list(sure.decide(Eyes(news=2.0), Ring("open")))


def test_macro_traders_follow_their_peers(build: Any) -> None:
    crowd = [build(MacroTrader, index=index, count=12) for index in range(12)]
    MacroTrader.gather(crowd)
    assert all(trader not in trader.peers and trader.peers for trader in crowd)
    assert crowd[0].signal(Eyes()) == 0
    for trader in crowd:
        trader.side = -1
    assert crowd[0].signal(Eyes()) == pytest.approx(-crowd[0].p.herding)


# Hedgers


@pytest.mark.parametrize(
    ("seen", "side"),
    [
        ({"due": 0.5}, 1),
        ({"due": 3.0, "vix": 20.0, "prior_vix": 23.0}, -1),
        ({"vix": 27.0, "prior_vix": 23.0}, 1),
        ({"vix": 22.0, "prior_vix": 23.0}, -1),
    ],
)
def test_hedger_buys_before_the_event_and_in_fear_and_sells_after(build: Any, seen: Any, side: int) -> None:
    held = [(Contract(date(2025, 11, 21), 6600.0, False), 40, -0.3)]
    hedger = build(PutHedger, cash_in_per_hour=10.0)
    (trade,) = hedger.decide(Eyes(held=held, **seen), TIME)
    assert math.copysign(1, trade.contracts) == side
    assert not trade.contract.is_call
    if side > 0:
        assert 0.009 < 1 - trade.contract.strike / 6700 < 0.042
        assert date(2025, 11, 20) < trade.contract.expiry <= date(2025, 12, 1)
    else:
        assert trade.contracts == -40


def test_hedger_never_buys_what_expires_today(build: Any) -> None:
    """On a Friday tomorrow and the day after have no options; the draws of 40 hedgers come to one to nine days."""
    bought = [build(PutHedger, index=n).decide(Eyes(due=1.0, date=date(2025, 10, 10)), TIME) for n in range(40)]
    days = {trade.contract.expiry for (trade,) in bought}
    assert {date(2025, 10, 13), date(2025, 10, 17)} <= days
    assert min(days) == date(2025, 10, 13)


def test_hedger_buys_more_the_more_it_fears(build: Any) -> None:
    def bought(**seen: float) -> int:
        return next(iter(build(PutHedger).decide(Eyes(due=1.0, **seen), TIME))).contracts

    assert bought(vix=15.0) == bought(vix=20.0) < bought(vix=25.0) < bought(vix=30.0)
    assert not list(build(PutHedger).decide(Eyes(due=1.0, now=OPENS), Ring("open"))), "no time has passed"


def test_hedger_takes_the_profit_of_deep_puts_in_fear_too(build: Any) -> None:
    deep, near = (Contract(date(2025, 11, 21), strike, False) for strike in (6900.0, 6600.0))
    hedger = build(PutHedger, deep_per_hour=10.0, cash_in_per_hour=10.0)
    sale, buy = hedger.decide(Eyes(held=[(deep, 40, -0.9), (near, 30, -0.3)], vix=27.0, prior_vix=23.0), TIME)
    assert (sale.contract, sale.contracts) == (deep, -40)
    assert buy.contracts > 0


# Value


def test_value_trader_buys_below_its_threshold_up_to_its_limit(build: Any) -> None:
    params = {"nearest_pct": 1.0, "furthest_pct": 1.0, "slope_contracts": 2.0, "limit_contracts": 500.0}
    trader = build(ValueTrader, **params)
    moves = [(6700.0, 0), (6633.25, 0), (6623.0, 100), (6500.0, 500), (6000.0, 500), (6777.0, -100), (7000.0, -500)]
    for mid, trade in moves:
        assert ordered(trader.decide(Eyes(mid=mid), TIME)) == trade, mid
    assert ordered(trader.decide(Eyes(mid=6500.0, position=450), TIME)) == 50
    assert not list(trader.decide(Eyes(mid=6500.0, working=500), TIME)), "what is being worked needs no new order"


def test_value_trader_is_in_a_hurry_in_proportion_to_what_there_is_to_gain(build: Any) -> None:
    params = {"nearest_pct": 1.0, "furthest_pct": 1.0, "pov": 0.2, "urgent_pct": 1.0}
    trader = build(ValueTrader, **params)
    for beyond_pct, share in [(0.5, 0.2), (1.0, 0.2), (1.5, 0.3), (3.0, 0.6), (9.0, 1.0)]:
        (work,) = trader.decide(Eyes(mid=6633.0 - 67.0 * beyond_pct), TIME)
        assert work.pov == pytest.approx(share), beyond_pct


def test_value_trader_works_its_position_in_ten_minutes_or_by_the_close(build: Any) -> None:
    for now, until in [(NOW, NOW + 10 * 60 * 10**9), (CLOSES - 10**9, CLOSES)]:
        (work,) = build(ValueTrader).decide(Eyes(mid=6500.0, now=now), TIME)
        assert work.until_ns == until


@pytest.mark.parametrize(
    ("mid", "position", "trade"),
    [(6650.0, 200, 0), (6699.0, 200, 0), (6610.0, 200, 30), (6701.0, 200, -200), (6750.0, -200, 0), (6790.0, 9, -239)],
)
def test_value_trader_holds_until_price_is_back_at_value(build: Any, mid: float, position: int, trade: int) -> None:
    params = {"nearest_pct": 1.0, "furthest_pct": 1.0, "slope_contracts": 2.0}
    trader = build(ValueTrader, **params)
    orders = list(trader.decide(Eyes(mid=mid, position=position), TIME))
    assert sum(order.contracts for order in orders) == trade


@pytest.mark.parametrize(
    ("mid", "position", "trade"),
    [(6600.0, 0, 0), (6560.0, 0, 67), (6650.0, -200, 0), (6632.0, -200, 200), (6690.0, 200, 0), (6701.0, 200, -200)],
)
def test_bad_news_makes_a_value_trader_wait(build: Any, mid: float, position: int, trade: int) -> None:
    """A doubt of 1 %: it buys from 1 % below 6633 on, covers below 6633, and sells at 6700 what it has bought."""
    trader = build(ValueTrader, nearest_pct=1.0, furthest_pct=1.0, slope_contracts=2.0, caution_pct=2.0)
    assert ordered(trader.decide(Eyes(mid=mid, position=position, sentiment=-0.5), TIME)) == trade
    assert trader.worth(Eyes(sentiment=0.5)) == (6700.0, 6700.0), "good news makes nobody doubt"


def test_value_trader_without_a_position_sleeps_between_its_thresholds(build: Any) -> None:
    trader = build(ValueTrader, nearest_pct=1.0, furthest_pct=1.0)
    levels = {Below: 6633.0, Above: 6767.0}
    assert {type(alarm): alarm.points for alarm in trader.alarms(Eyes()) if type(alarm) in levels} == levels
    for seen in ({"mid": 6633.0}, {"mid": 6600.0}, {"mid": 6800.0}, {"position": 5}, {"working": -5}):
        assert any(isinstance(alarm, At) for alarm in trader.alarms(Eyes(**seen))), seen


def test_value_traders_offer_in_the_auction_on_both_sides_of_value(build: Any) -> None:
    for index in range(3):
        bid, ask = build(ValueTrader, index=index, count=3).prepare(Eyes(value=6650.0, mid=6700.0))
        assert bid.contracts == -ask.contracts > 0
        assert bid.points < 6650 < ask.points


@pytest.mark.parametrize("cls", [ValueTrader, NoiseTrader])
def test_what_the_auction_has_left_is_cancelled_at_the_open(build: Any, cls: Any) -> None:
    left = [Order(row=5, ident=7, contracts=3, points=6700.0)]
    first, *_ = build(cls).decide(Eyes(orders=left), Ring("open"))
    assert first == Cancel(left[0])
    assert not [answer for answer in build(cls).decide(Eyes(orders=left), TIME) if isinstance(answer, Cancel)]


# Parameters that do not go together


@pytest.mark.parametrize(
    ("cls", "params", "problem"),
    [
        (TrendFollower, {"first_points": (6700.0,)}, "one value each for every horizon"),
        (NoiseTrader, {"smallest_contracts": 9000.0}, "smallest_contracts: above largest_contracts"),
        (NoiseTrader, {"participation": (0.2, 0.1)}, "participation: the first must not be above the second"),
        (OptionDealer, {"slow_minutes": (20.0, 10.0)}, "slow_minutes: the first must not be above the second"),
        (OptionDealer, {"band_low_contracts": 500.0}, "band_low_contracts: above band_high_contracts"),
        (ValueTrader, {"furthest_pct": 0.01}, "nearest_pct: above furthest_pct"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(cls: Any, params: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        cls.Params(**params)


def test_a_volatility_fund_holds_its_cap_where_nothing_has_moved(build: Any) -> None:
    fund = build(VolControlFund, memory_days=1.0)
    assert (fund.exposure(0.0), fund.exposure(0.24)) == (1.5, 0.5)
    assert fund.wanted(Eyes()) > 0, "no move, and no memory of any: the cap"


def test_etf_traders_are_sure_of_an_extreme_signal(build: Any) -> None:
    trader = build(MacroTrader, choice=100.0, bitcoin=10.0)
    trader.decide(Eyes(bitcoin=-25.0), TIME)
    assert trader.side == -1


# Stops


def test_stops_are_placed_only_above_the_rearm_distance(build: Any) -> None:
    holder = build(StopHolder, rearm_points=10.0)
    nearest = {level for level, _ in holder.waiting}
    placed = list(holder.decide(Eyes(mid=6600.0), Ring("open")))
    assert placed
    assert {stop.points for stop in placed} == {level for level in nearest if level <= 6590.0}
    assert all(stop.contracts < 0 for stop in placed)
    above = [alarm.points for alarm in holder.alarms(Eyes(mid=6600.0)) if isinstance(alarm, Above)]
    assert above == [min(level for level in nearest if level > 6590.0) + 10.0]
    assert OnFill() in list(holder.alarms(Eyes(mid=6600.0)))
    resting = [SimpleNamespace(points=stop.points, contracts=stop.contracts) for stop in placed]
    assert not list(holder.decide(Eyes(mid=6600.0, orders=resting), TIME)), "each is placed once"
    assert list(holder.decide(Eyes(mid=6800.0, orders=resting), TIME))
    assert not holder.waiting


def test_stops_that_were_not_carried_out_are_placed_again_the_next_day(build: Any) -> None:
    def open_day() -> list[tuple[float, int]]:
        return sorted((stop.points, stop.contracts) for stop in holder.decide(Eyes(mid=6600.0), Ring("open")))

    holder = build(StopHolder)
    holder.waiting.append((holder.waiting[-1][0], 7))  # a stop of another size at the same price
    placed = open_day()
    left = placed[:-1]
    orders = [SimpleNamespace(points=level, contracts=contracts) for level, contracts in left]
    list(holder.decide(Eyes(mid=6580.0, orders=orders), Ring("fill")))
    list(holder.prepare(Eyes()))
    assert open_day() == left


def test_no_stops_where_none_are_wanted(build: Any) -> None:
    assert not build(StopHolder, density_contracts=0.0, cluster_contracts=0.0).waiting


def test_stops_of_all_holders_are_the_clusters_and_the_density(build: Any) -> None:
    crowd = [build(StopHolder, index=index, count=10) for index in range(10)]
    p = crowd[0].p
    total = sum(size for holder in crowd for _, size in holder.waiting)
    wanted = len(p.clusters_points) * p.cluster_contracts + p.density_contracts * (p.top_points - p.bottom_points)
    assert abs(total - wanted) < 0.05 * wanted


# The close


@pytest.mark.parametrize("mid", [6600.0, 6700.0, 6800.0])
def test_rebalancers_trade_with_the_move_and_against_volatility(build: Any, mid: float) -> None:
    view = Eyes(mid=mid)
    assert np.sign(ordered(build(LeveragedFund).decide(view, TIME))) == np.sign(mid - 6700)
    vol_control = ordered(build(VolControlFund).decide(view, TIME))
    assert vol_control > 0 if mid == 6700 else vol_control < 0
    assert ordered(build(CloseBuyer, contracts=500.0).decide(view, TIME)) == 500
    for cls in (LeveragedFund, VolControlFund, CloseBuyer):
        assert not list(build(cls).decide(view, Ring("open")))
        (wake,) = build(cls).alarms(view)
        assert CLOSES - 27 * MINUTE < wake.time_ns <= CLOSES - 24 * MINUTE
        assert list(build(cls).alarms(Eyes(now=CLOSES - 10 * MINUTE, mid=6700.0))) == [Below(6695.0), Above(6705.0)]
        assert not build(cls).alarms(Eyes(now=CLOSES - MINUTE))


@pytest.mark.parametrize("minutes", [1.0, 25.0, 389.5, 390.0])
def test_rebalancer_begins_once_a_day_however_early(build: Any, minutes: float) -> None:
    for index in range(20):
        buyer = build(CloseBuyer, index=index, before_close_minutes=minutes, stop_before_minutes=0.0)
        (alarm,) = buyer.alarms(Eyes(now=OPENS))
        assert OPENS < alarm.time_ns <= max(CLOSES - minutes * MINUTE, OPENS + 1)
        assert list(buyer.decide(Eyes(now=alarm.time_ns), TIME)) == [Work(2000, until_ns=CLOSES)]
        assert not any(isinstance(alarm, At) for alarm in buyer.alarms(Eyes(now=alarm.time_ns)))


def test_rebalancer_ends_after_it_has_begun(build: Any) -> None:
    with pytest.raises(ValueError, match="stop_before_minutes must be less than before_close_minutes"):
        build(CloseBuyer, before_close_minutes=5.0, stop_before_minutes=5.0)


def test_rebalancer_orders_more_where_the_move_goes_on_and_takes_nothing_back(build: Any) -> None:
    """Positions of before count for nothing."""
    fund, last = build(LeveragedFund, musd_per_pct=750.0), CLOSES - 10 * MINUTE

    def wanted(mid: float) -> int:
        return round(contracts_of(750.0 * 100 * (mid / 6700 - 1), mid))

    def at(mid: float, traded: int) -> list[Work]:
        seen = {"position": 500 + traded, "working": wanted(6566.0) - traded, "now": last}
        return list(fund.decide(Eyes(mid=mid, **seen), Ring("below", mid)))

    fund.decide(Eyes(position=500), Ring("open"))
    assert ordered(fund.decide(Eyes(mid=6566.0, now=last, position=500), TIME)) == wanted(6566.0)
    assert ordered(at(6499.0, -100)) == wanted(6499.0) + 100
    assert [at(mid, -100) for mid in (6566.0, 6600.0, 6900.0)] == [[], [], []]
    assert not at(6600.0, wanted(6566.0))


def test_leveraged_fund_trades_its_formula(build: Any) -> None:
    fund = build(LeveragedFund, musd_per_pct=750.0)
    assert ordered(fund.decide(Eyes(mid=6633.0), TIME)) == round(contracts_of(-750.0, 6633.0))


# Liquidity and noise


@pytest.mark.parametrize("depth", [2.0, 5.0, 11.5])
def test_liquidity_grows_with_depth(build: Any, depth: float) -> None:
    """What makers show grows as its power 1.13, latent orders in proportion."""
    (quote,) = build(MarketMaker).prepare(Eyes(depth_musd=depth))
    (twice,) = build(MarketMaker).prepare(Eyes(depth_musd=2 * depth))
    for name in ("contracts", "displayed", "max_inventory"):
        assert getattr(twice, name) == pytest.approx(2**1.13 * getattr(quote, name))
    (few,) = build(LatentTrader).prepare(Eyes(depth_musd=depth))
    (many,) = build(LatentTrader).prepare(Eyes(depth_musd=2 * depth))
    assert many.orders_per_second == pytest.approx(2 * few.orders_per_second)
    assert many.around == 6700.0


def test_makers_show_one_depth_together_and_share_its_inventory(build: Any) -> None:
    (alone,) = build(MarketMaker).prepare(Eyes())
    (tenth,) = build(MarketMaker, index=3, count=10).prepare(Eyes())
    assert (tenth.displayed, tenth.contracts) == (alone.displayed, alone.contracts)
    assert tenth.max_inventory == pytest.approx(alone.max_inventory / 10)


def test_latent_traders_share_one_stock(build: Any) -> None:
    (alone,) = build(LatentTrader).prepare(Eyes())
    (tenth,) = build(LatentTrader, index=3, count=10).prepare(Eyes())
    assert tenth.orders_per_second == pytest.approx(alone.orders_per_second / 10)


def test_noise_traders_share_one_flow(build: Any) -> None:
    _, noise, meta = build(NoiseTrader, count=4).decide(Eyes(), Ring("open"))
    p = build(NoiseTrader).p
    assert noise.contracts_per_second + meta.contracts_per_second == pytest.approx(p.contracts_per_second / 4)
    assert meta.contracts_per_second == pytest.approx(p.metaorder_share * p.contracts_per_second / 4)
    assert meta.flow == p.contracts_per_second


def test_noise_trades_in_the_auction_both_ways(build: Any) -> None:
    """1,000 traders' orders: the sums are within 5 standard errors of their mean, a right program always."""
    orders = [order for index in range(1000) for order in build(NoiseTrader, index=index).prepare(Eyes(value=6650.0))]
    buys, sales = ([order for order in orders if sign * order.contracts > 0] for sign in (1, -1))
    assert min(order.points for order in buys) > 6700 > 6600 > max(order.points for order in sales)
    mean = build(NoiseTrader).p.auction_contracts
    for side in (buys, sales):
        assert sum(abs(order.contracts) for order in side) / 1000 == pytest.approx(mean, rel=5 / 1000**0.5)


def test_latent_orders_keep_their_candidates_whatever_value_does(build: Any) -> None:
    """Worlds that differ in what happens share all candidates: the rate may not depend on it."""
    rates = {build(LatentTrader).offer(Eyes(value=value)).orders_per_second for value in (6600.0, 6700.0)}
    assert len(rates) == 1


def test_noise_takes_the_same_volatility_for_usual_at_all_depths(build: Any) -> None:
    """So a thin book, which is more volatile, has more of it."""
    thin, deep = (build(NoiseTrader).decide(Eyes(depth_musd=depth), Ring("open")) for depth in (2.0, 20.0))
    assert thin == deep


@pytest.mark.parametrize(("vix", "share"), [(19.0, 1.0), (23.0, 1.0), (46.0, 0.5)])
@pytest.mark.parametrize("ring", [Ring("open"), Ring("vol", 1.0)])
def test_makers_bear_and_latent_traders_offer_less_above_the_prior_close_of_the_vix(
    build: Any, ring: Ring, vix: float, share: float
) -> None:
    """A maker's value at risk is fixed; latent orders are smaller by a power of the VIX, and no fewer."""
    for cls, name, power in ((MarketMaker, "max_inventory", 1.0), (LatentTrader, "size", 0.5)):
        trader = build(cls, fear_power=power)
        (usual,) = trader.prepare(Eyes(vix=23.0))
        now = list(trader.decide(Eyes(vix=vix), ring))
        assert len(now) == (share < 1)
        assert all(less == replace(usual, **{name: share**power * getattr(usual, name)}) for less in now)
        assert not trader.decide(Eyes(vix=vix), ring)
        (again,) = trader.decide(Eyes(vix=20.0), ring) or [usual]
        assert again == usual


@pytest.mark.parametrize(("before", "surge"), [(6700.0, 1.0), (6600.0, 1.0), (6733.0, 1.0), (6834.0, 1.75)])
def test_a_fall_draws_more_single_orders(build: Any, before: float, surge: float) -> None:
    """Two percent within the hour, half of one of them for nothing: 0.5 x 1.5 more."""
    trader = build(NoiseTrader, surge=0.5, surge_from_pct=0.5)
    _, usual, _ = trader.decide(Eyes(), Ring("open"))
    now = trader.decide(Eyes(before=before), Ring("below", 6699.0))
    assert now == ([replace(usual, surge=pytest.approx(surge))] if surge > 1 else [])
    assert not trader.decide(Eyes(before=before), Ring("below", 6698.0))
    alarms = {type(alarm): alarm for alarm in trader.alarms(Eyes(before=before))}
    assert set(alarms) == {At, OnNews, Below} | ({Above} if surge > 1 else set())
    begins = 6700.0 if surge > 1 else min(before / 1.005, 6700.0)
    assert begins - 1.5 * trader.p.review_points <= alarms[Below].points <= begins - 0.5 * trader.p.review_points


def test_news_draws_single_orders_whichever_way_it_goes(build: Any) -> None:
    """Half a percent of news at 2 a percent: twice as many; a fall that counts adds its own."""
    trader = build(NoiseTrader, stir=2.0, surge=0.5, surge_from_pct=0.5)
    _, usual, _ = trader.decide(Eyes(), Ring("open"))
    seen = Eyes(stir=0.5)
    assert trader.decide(seen, Ring("news")) == [replace(usual, surge=2.0)]
    assert not trader.decide(seen, TIME)
    assert trader.decide(Eyes(stir=0.5, before=6834.0), TIME) == [replace(usual, surge=pytest.approx(2.75))]
    assert trader.decide(Eyes(), TIME) == [usual]


# Everyone together

GROUPS = {"dealers", "hedgers", "ctas", "etfs", "makers", "latent", "noise", "stops", "rebalancers", "value"}


def test_everyone_is_there_on_the_day() -> None:
    assert set(load("configs/nov20.toml").groups) == GROUPS


WITHIN_THE_MARKET = {"below", "above", "news", "fill", "vol", "look"}
"""Alarms that neither the clock nor the start of a session sets off: prices, news, fills, options."""


@functools.cache
def whole_day(silent: str = "") -> tuple[str, dict[str, set[str]]]:
    """The tape of the two days and the alarms behind each group's decisions; a silent one sleeps after the open."""
    model = MarketModel(load("configs/nov20.toml"), rng=DEFAULT_SEED)
    for trader in model.traders:
        if trader.group == silent:
            trader.alarms = lambda view: ()
    run(model)
    woken: dict[str, set[str]] = {}
    for _, _, trader, ring, *_ in model.recorder.decisions_after(0):
        woken.setdefault(trader.group, set()).add(ring.kind)
    return model.tape_sha256(), woken


def test_groups_decide_by_prices_news_fills_or_options() -> None:
    _, woken = whole_day()
    assert set(woken) == GROUPS
    assert {group for group, alarms in woken.items() if alarms & WITHIN_THE_MARKET} == GROUPS
    assert woken["ctas"] <= {"below", "above"}
    assert woken["dealers"] & {"below", "above"}
    assert "news" in woken["etfs"]
    assert woken["value"] & {"news", "time"}
    assert woken["hedgers"] & {"time", "vol", "news"}
    assert woken["stops"] <= {"open", "above", "fill"}
    assert not set().union(*woken.values()) - WITHIN_THE_MARKET - {"auction", "open", "time"}


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_without_its_mind_a_group_makes_another_tape(group: str) -> None:
    assert whole_day(group)[0] != whole_day()[0]


# Informed traders


def signals_of(build: Any, minutes: int = 390, depth_musd: float = 5.0, **params: Any) -> list[tuple[int, int]]:
    """Times and sizes of what an informed trader does in so many minutes."""
    trader, view, done = build(InformedTrader, **params), Eyes(), []
    trader.decide(view, Ring("open"))
    while True:
        (alarm,) = trader.alarms(view)
        if alarm.time_ns > NOW + minutes * MINUTE:
            return done
        view = Eyes(now=alarm.time_ns, depth_musd=depth_musd)
        done += [(view.now, order.contracts) for order in trader.decide(view, TIME)]


def test_signals_come_at_their_rate_on_both_sides_and_with_fat_tails(build: Any) -> None:
    """4,000 signals of a fixed stream: a right program is within 5 standard errors."""
    usual = {"signals_per_minute": 10.0, "contracts": 1e4, "burst": 0.0}
    sizes = np.array([size for _, size in signals_of(build, 400, **usual)])
    assert len(sizes) == pytest.approx(4000, abs=5 * 4000**0.5)
    assert (sizes > 0).mean() == pytest.approx(0.5, abs=5 * 0.5 / 4000**0.5)
    # Student's t of 3 degrees of freedom: half lie within 0.765, 2 % beyond 4.541 (tables).
    assert np.median(np.abs(sizes)) == pytest.approx(7650, rel=0.1)
    assert (np.abs(sizes) > 45_410).mean() == pytest.approx(0.02, abs=5 * (0.02 * 0.98 / 4000) ** 0.5)


def test_signals_come_in_bursts(build: Any) -> None:
    def spread(**params: Any) -> float:
        times = [time for time, _ in signals_of(build, 3900, signals_per_minute=5.0, contracts=1e4, **params)]
        counts = np.bincount(np.array([time - NOW for time in times]) // (10 * MINUTE), minlength=390)
        return float(counts.var() / counts.mean())

    assert spread(burst=0.0) == pytest.approx(1.0, abs=0.4), "Poisson"
    assert spread(burst=1.0, burst_minutes=30.0) > 10


def test_what_is_learnt_is_traded_in_proportion_to_depth(build: Any) -> None:
    thin, deep = (signals_of(build, depth_musd=depth, contracts=1e5) for depth in (5.0, 20.0))
    assert [time for time, _ in deep] == [time for time, _ in thin]
    assert [size for _, size in deep] == pytest.approx([4 * size for _, size in thin], abs=4)


def test_an_informed_trader_reaches_no_further_than_told(build: Any) -> None:
    trader = build(InformedTrader, contracts=1e4, reach_points=3.0)
    orders = [order for _ in range(20) for order in trader.decide(Eyes(mid=6700.0), TIME)]
    assert {math.copysign(3.0, order.contracts) for order in orders} == {order.points - 6700.0 for order in orders}
