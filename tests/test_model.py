"""The model: conservation, determinism, keyed randomness, halts, news, the options desk, causes.

Runs last a few minutes of one day with few agents, so every test is a fraction of a second unless it says otherwise.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from probes import CROWD, QUIET, WALLS, Probe, made, run

from sim.kernel import world as k
from sim.kernel.state import (
    CASH,
    EVENT_DELETE,
    EVENT_FILL,
    EVENT_NEW,
    MID2,
    POSITION,
    QUOTES,
)
from sim.market import resting
from sim.model import MarketModel
from sim.options import Contract
from sim.scenario import ScenarioError, error_line
from sim.trader import At, Cancel, Limit, Market, OnVol, TradeOptions
from sim.units import DAY, MINUTE, SECOND, clock_ns
from sim.view import View

HERE = Path(__file__).parent
OPEN = clock_ns("09:30")


# Conservation


def test_everything_adds_up_at_every_bar() -> None:
    model = MarketModel(CROWD)
    while model.running:
        model.step()
        ledger = model.market.b.owners
        assert not ledger[:, :, [POSITION, CASH]].sum(axis=0).any()
        assert not model.desk.holdings.sum(axis=0).any()
        assert model.desk.cash_cents.sum() == 0
        assert model.desk.holdings.dtype == model.desk.cash_cents.dtype == np.int64
    trades = model.frames()["trades"]
    bought = np.zeros(len(model.traders) + 1, np.int64)
    signed = (trades["side"] * trades["size"]).to_numpy()
    np.add.at(bought, trades["taker"], signed)
    np.add.at(bought, trades["maker"], -signed)
    opening = model.market.b.owners[:, 0, POSITION] - bought
    hedged = {trader.owner for trader in model.dealers} | {0}
    assert set(np.flatnonzero(opening).tolist()) <= hedged, "only the dealers start with futures"
    model.market.b.owners[1, 0, CASH] += 1
    with pytest.raises(AssertionError, match="does not add up"):
        model.market.check()


def test_quote_changes_add_up_and_each_has_its_message() -> None:
    model = made(CROWD)
    quotes = model.frames()["quotes"]
    both = quotes[(quotes["bid_ticks"] > 0) & (quotes["ask_ticks"] > 0)]
    mid2 = (both["bid_ticks"] + both["ask_ticks"]).to_numpy()
    assert np.diff(mid2).sum() == model.market.mid2() - mid2[0]
    assert (both["bid_ticks"] < both["ask_ticks"]).all()
    assert (np.diff(quotes["seq"]) > 0).all(), "one message, one change"
    assert (np.diff(quotes["time_ns"]) >= 0).all()
    assert (quotes["cause"] < quotes["seq"]).all()
    assert (quotes["owner"].iloc[1:] > 0).all(), "only an auction moves the price for nobody"
    decisions = model.frames()["decisions"]
    assert set(quotes["decision"]) - {0} <= set(decisions["decision"])
    owner_of = dict(zip(decisions["decision"], decisions["agent"], strict=True))
    decided = quotes[quotes["decision"] > 0]
    assert (decided["decision"].map(owner_of) == decided["owner"]).all()


def test_order_events_add_up_to_the_book() -> None:
    """New orders less what was cancelled and executed of them is what rests, through the opening auction too."""
    model = made(CROWD, log_events=True)
    live: dict[int, int] = {}
    for _, kind, order, size, *_ in model.market.events().tolist():
        if kind == EVENT_NEW:
            assert order not in live
            live[order] = size
        else:
            live[order] -= size
            assert live[order] >= 0
            assert kind != EVENT_DELETE or live[order] == 0
            if live[order] == 0:
                del live[order]
    assert live == {order: size for _, _, order, size in resting(model.market.b, 0)}
    assert (model.market.events()[:, 1] == EVENT_FILL).sum() > 1000


# Determinism

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from probes import CROWD, made
print(made(CROWD, **{{"session.end": "09:35"}}).tape_sha256())
"""


def tape(seed: int = 1) -> str:
    return made(CROWD, rng=seed, **{"session.end": "09:35"}).tape_sha256()


def in_subprocess(**env: str) -> str:
    script = SCRIPT.format(folder=str(HERE))
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(ScenarioError, match=r"^seed: -1: must not be negative$"):
        MarketModel(CROWD, rng=-1)


def test_same_seed_same_tape_other_seed_another() -> None:
    assert tape() == tape()
    assert len({tape(seed) for seed in range(1, 5)}) == 4


def test_same_tape_with_another_hash_seed_and_a_cold_cache(tmp_path: Path) -> None:
    """A minute: the kernel is compiled anew."""
    assert in_subprocess(PYTHONHASHSEED="123", NUMBA_CACHE_DIR=str(tmp_path)) == tape()


def test_same_tape_in_a_spawned_process() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(tape, (2,)) == tape(2)


# Keyed randomness


class Spy:
    """Notes when the traders of one crowd are woken by looks of theirs."""

    def __init__(self, model: MarketModel, crowd: str) -> None:
        self.looks: list[tuple[str, int]] = []
        for trader in model.crowds[crowd]:
            trader.decide = self._noting(trader, trader.decide)

    def _noting(self, trader, decide):
        def noted(view, ring):
            if ring.kind == "look":
                self.looks.append((trader.name, view.now))
            return decide(view, ring)

        return noted


def looks(crowd: str, **options: object) -> list[tuple[str, int]]:
    model = MarketModel(CROWD, **options)
    spy = Spy(model, crowd)
    run(model)
    return sorted(spy.looks)


def test_leaving_a_group_out_leaves_the_others_their_noise() -> None:
    """The macro traders look at the same times, whatever they saw and drew before."""
    always = {"agents.etfs.attention": 10.0, "agents.etfs.attention_power": 0.0}
    whole = looks("etfs", **always)
    assert len(whole) > 100
    assert looks("etfs", without=["dealers"], **always) == whole
    assert looks("etfs", without=["stops", "ctas", "value", "hedgers"], **always) == whole
    assert 0 < len(set(looks("etfs"))) < len(whole)
    assert set(looks("etfs")) < set(whole), "where fewer are caught, they are some of the same looks"


@pytest.mark.parametrize("crowd", ["noise", "latent", "makers"])
def test_leaving_a_group_out_leaves_every_candidate(crowd: str) -> None:
    """Keys and numbers of candidates of all streams are the same after the day, though prices are not."""

    def candidates(model: MarketModel) -> list[tuple[int, int]]:
        owners = [trader.owner for trader in model.crowds[crowd]]
        names = {trader.owner: trader.name for trader in model.traders}
        rows = model.market.w.programs[1:]
        kinds = [k.LATENT, k.NOISE, k.META, k.LADDER]
        picked = rows[np.isin(rows[:, k.P_OWNER], owners) & np.isin(rows[:, k.P_KIND], kinds)]
        return sorted((names[int(row[k.P_OWNER])], *row[[k.P_KIND, k.P_KEY, k.P_INDEX]].tolist()) for row in picked)

    whole, part = made(CROWD), made(CROWD, without=["dealers", "etfs"])
    assert candidates(whole) == candidates(part)
    assert len(candidates(whole)) >= 2
    assert whole.tape_sha256() != part.tape_sha256()


def test_turns_at_one_instant_depend_on_names_and_seed_alone() -> None:
    """Who acts first at the open is drawn, and is the same among those left when others are left out."""

    def order(rng: int, without: tuple[str, ...] = ()) -> list[str]:
        model, woken = MarketModel(CROWD, rng=rng, without=without), []
        for trader in model.traders:
            trader.decide = lambda view, ring, name=trader.name: woken.append(name) or ()
            trader.alarms = lambda view: ()
        run(model, 1)
        first = list(dict.fromkeys(woken))
        assert len(first) == len(model.traders)
        return first

    whole = order(1)
    assert [name for name in whole if not name.startswith("makers")] == order(1, ("makers",))
    assert whole != order(2)
    assert whole != [trader.name for trader in MarketModel(CROWD).traders]


def test_run_touches_no_other_randomness() -> None:
    model = MarketModel(CROWD)
    before = (model.random.getstate(), model.rng.bit_generator.state, np.random.get_state()[1].tolist())
    run(model)
    assert (model.random.getstate(), model.rng.bit_generator.state, np.random.get_state()[1].tolist()) == before


def test_users_agent_joins_by_its_import_path() -> None:
    text = QUIET + '\n[agents.mine]\nclass = "probes:Probe"\n'
    model = MarketModel(text)
    (mine,) = model.crowds["mine"]
    mine.plan = lambda view, ring: [Market(7)]
    run(model, 1)
    assert View(model, mine).position == 7
    frames = model.frames()
    assert (frames["decisions"]["group"] == "mine").any()
    model.datacollector.get_model_vars_dataframe()


# Halts


def falling(days: str = '["2025-11-20"]', end: str = "10:00", falls: tuple[float, ...] = (7.5,)) -> MarketModel:
    """A market whose only quotes fall at 09:31 and then every 20 minutes, to so many percent below the close."""
    text = WALLS.replace('["2025-11-20"]', days).replace("09:35", end)
    model = MarketModel(text)
    wall, one, _ = model.traders
    times = [OPEN + MINUTE + 20 * step * MINUTE for step in range(len(falls))]

    def levels(step: int) -> list[Limit]:
        price = 6600 * (1 - falls[step] / 100)
        return [Limit(1000, price - 0.25), Limit(-1000, price + 0.25)]

    def fall(view, ring):
        if view.now not in times:
            return []
        return [*(Cancel(order) for order in view.orders), *levels(times.index(view.now))]

    wall.ready = lambda view: [Limit(1000, 6599.75), Limit(-1000, 6600.25)]
    wall.plan = fall
    wall.wakes = lambda view: [At(time) for time in times if time > view.now]
    one.plan = lambda view, ring: [Market(1)]
    one.wakes = lambda view: [At(view.later(10))]
    return run(model)


def trade_times(model: MarketModel) -> np.ndarray:
    return model.market.trades()["time_ns"]


def test_fall_of_7_percent_halts_for_15_minutes_and_reopens_by_auction() -> None:
    model = falling(falls=(7.5,))
    times, halt = trade_times(model), OPEN + MINUTE
    assert model.recorder.halts == 1
    assert not ((times > halt) & (times < halt + 15 * MINUTE)).any()
    assert (times <= halt).sum() > 5
    assert (times >= halt + 15 * MINUTE).sum() > 60


def test_bars_of_a_halt_do_not_count_in_spread_and_depth() -> None:
    """Its quotes are two ticks apart all day, but for 15 minutes in which there are none."""
    model = falling(falls=(7.5,))
    assert (model.frames()["bars"]["spread_ticks"] == 0).sum() > 10
    summary = model.summary()
    assert summary["spread_ticks"] == pytest.approx(2.0)
    assert summary["share_of_time_one_tick"] == 0.0


def test_fall_of_less_halts_nothing() -> None:
    model = falling(falls=(6.9,))
    assert model.recorder.halts == 0
    assert len(trade_times(model)) > 170


def test_second_level_halts_again_and_the_last_one_ends_the_day() -> None:
    model = falling(end="10:20", falls=(7.5, 13.5, 20.5))
    times = trade_times(model)
    assert model.recorder.halts == 3
    assert times.max() <= OPEN + 41 * MINUTE
    assert ((times > OPEN + 17 * MINUTE) & (times < OPEN + 21 * MINUTE)).any()


def test_fall_through_all_levels_at_once_ends_the_day_but_not_the_next() -> None:
    model = falling('["2025-11-20", "2025-11-21"]', falls=(21.0,))
    times = trade_times(model)
    assert model.recorder.halts == 1
    assert not ((times > OPEN + MINUTE) & (times < DAY + OPEN)).any()
    assert (times > DAY + OPEN).sum() > 10, "the next day trades"


# News, freezing


def test_news_moves_what_is_known_as_written() -> None:
    items = """
[[news]]
at = "2025-11-20 08:00"
name = "night"
value_points = 6650.0
sentiment = 0.5
[[news]]
at = "2025-11-20 09:31"
name = "down"
value_pct = -2.0
[[news]]
at = "2025-11-20 09:32"
name = "coin"
bitcoin_pct = -3.0
"""
    model = MarketModel(WALLS + items)
    view = View(model, model.traders[1])
    assert view.value == 6600.0
    run(model, 1)
    assert view.value == 6650.0 * 0.98
    assert view.sentiment == 0.0
    run(model, 2)
    assert view.bitcoin_pct(60.0) == pytest.approx(-3.0 * np.exp(-1 / 60))
    assert view.news_pct(20.0) == pytest.approx(100 * 50 / 6600 * np.exp(-93 / 20) - 2.0 * np.exp(-2 / 20))
    assert view.stir_pct(20.0) == pytest.approx(100 * 50 / 6600 * np.exp(-93 / 20) + 2.0 * np.exp(-2 / 20))
    assert model.market.mid2() == 2 * 4 * 6600, "news moves no price"


def test_event_leaves_the_options_after_its_news() -> None:
    model = made(CROWD)
    before, after = made(CROWD, bars=2).vix1d, model.vix1d
    assert model.news.days_to_event(model.market.now) == np.inf
    assert before > 0
    assert after > 0


def looked(**options: object) -> tuple[MarketModel, dict[int, list[object]]]:
    """Two short days, and all that somebody saw of prices and volatility every second."""
    days = {"session.days": ["2025-11-20", "2025-11-21"], "session.close": "09:36", "session.end": "09:33"}
    model = MarketModel(CROWD + '\n[agents.clocks]\nclass = "probes:Probe"\n', **days, **options)
    (clock,) = model.crowds["clocks"]
    noted: dict[int, list[object]] = {}

    def note(view, ring):
        prices = [view.mid, view.bid, view.ask, view.sizes, view.session_open, view.prior_close]
        noted[view.now] = [*prices, view.realised_vol, view.vix, view.prior_vix]
        return ()

    clock.plan, clock.wakes = note, lambda view: [At(view.later(1))]
    return run(model), noted


@pytest.mark.parametrize("seconds", [71, 120])
def test_frozen_eyes_see_one_moment(seconds: int) -> None:
    """From that moment on, in the middle of a bar too, over news and into the next day."""
    at = OPEN + seconds * SECOND
    model, noted = looked(freeze_at_ns=at)
    _, live = looked()
    assert len(noted) == len(live) > 500
    assert all(noted[time] == live[min(time, at)] for time in noted)
    assert live[max(live)] != live[at] != live[at - 9 * SECOND]
    decisions = model.frames()["decisions"]
    assert not set(decisions["alarm"][decisions["time_ns"] > at]) & {"below", "above", "vol"}
    view = View(model, model.dealers[0])
    assert view.mid_ago(1) == view.mid_ago(15) == view.mid
    seen = view.option_greeks(), view.options()
    model.surface.vol *= 2
    model.market.b.books[:, MID2] += 800
    again = View(model, model.dealers[0])
    assert (again.option_greeks(), again.options()) == seen


# Options


def test_opening_book_is_divided_without_a_remainder_and_hedged() -> None:
    model = MarketModel(CROWD)
    owners = [trader.owner for trader in model.dealers]
    assert len(owners) == 4
    held = model.desk.holdings
    assert held[owners].sum(axis=0).tolist() == model.desk.book.contracts.tolist() == (-held[0]).tolist()
    assert len(np.unique(held[owners, 0])) > 1, "not in equal shares"
    for owner in owners:
        delta = model.option_greeks(owner, model.prior_close, model.surface.at(OPEN))[0]
        assert abs(delta + model.market.position(owner)) <= 0.5
    assert any(model.market.position(owner) < 0 for owner in owners), "short puts are hedged short"


OPTIONS = (
    WALLS
    + """
[agents.quoters]
class = "probes:Quoter"
count = 2
"""
)


def test_premium_is_rounded_once_and_paid_by_one_to_another() -> None:
    model = MarketModel(OPTIONS)
    one = model.traders[1]
    contract = Contract(model.config.session.first_day, 6550.0, False)
    one.plan = lambda view, ring: (
        [TradeOptions(contract, 37), TradeOptions(contract, -12)] if ring.kind == "open" else []
    )
    model.traders[0].ready = lambda view: [Limit(5, 6599.75), Limit(-5, 6600.25)]
    run(model, 1)
    assert model.desk.holdings[one.owner].tolist() == [25]
    sold = model.desk.holdings[[quoter.owner for quoter in model.dealers], 0]
    assert sold.sum() == -25
    assert model.desk.cash_cents.sum() == 0
    assert model.desk.cash_cents[one.owner] < 0
    assert sum(quoter.vega_sold for quoter in model.dealers) > 0
    model.desk.check()
    view = View(model, one)
    assert [(held[0], held[1]) for held in view.options()] == [(contract, 25)]
    delta, gamma, *_ = view.option_greeks()
    assert delta == pytest.approx(2 * 25 * view.options()[0][2])
    assert gamma > 0
    model.trade_options(one, contract, 5)
    assert view.option_greeks()[0] == pytest.approx(2 * 30 * view.options()[0][2]), "not what held before the trade"


def test_premium_is_the_rounded_price_of_all_contracts() -> None:
    """One rounding of the whole: within half a cent of contracts times the price, whatever the number."""
    one_cent = []
    for contracts in (1, 1000):
        model = MarketModel(OPTIONS)
        trader = model.traders[1]
        contract = Contract(model.config.session.first_day, 6550.0, False)
        trader.plan = lambda view, ring, n=contracts, c=contract: [TradeOptions(c, n)] if ring.kind == "open" else []
        run(model, 1)
        one_cent.append(-int(model.desk.cash_cents[trader.owner]))
    quote_moves = 1e-9  # quoters ask the same for any size
    assert abs(one_cent[1] - 1000 * one_cent[0]) <= 500 + quote_moves
    assert one_cent[1] % 1000, "not the rounded price of one, times a thousand"


def test_dealer_does_not_trade_options_with_itself() -> None:
    model = MarketModel(OPTIONS)
    contract = Contract(model.config.session.first_day, 6550.0, False)
    for quoter in model.dealers:
        quoter.plan = lambda view, ring: [TradeOptions(contract, 10)] if ring.kind == "open" else []
    run(model, 1)
    model.desk.check()
    assert np.abs(model.desk.holdings).sum() in (0, 20, 40)


def test_options_are_settled_at_the_close_of_their_last_day() -> None:
    """In cash, at their worth against the last mid; what lives on stays. Before that close nothing is settled."""
    days = {"session.days": ["2025-11-19", "2025-11-20", "2025-11-21"], "session.close": "09:33"}
    model = MarketModel(CROWD.replace("6650.0, ", "6850.0, "), **days, **{"session.end": "09:31"})
    run(model, 3)
    assert model.prior_close != 6700.0
    held = model.desk.holdings.copy()
    run(model, 2)
    cash, now = model.desk.cash_cents.copy(), model.desk.holdings.copy()
    for trader in model.crowds["hedgers"]:
        trader.decide = lambda view, ring: ()
    run(model, 1)
    assert held[:, 0].any()
    book, spot = model.desk.book, model.prior_close
    expired = book.expiry == np.datetime64("2025-11-20")
    assert expired.sum() >= 2
    assert not model.desk.holdings[:, expired].any()
    assert model.desk.holdings[:, ~expired].tolist() == now[:, ~expired].tolist()
    cents = [
        sum(
            size * round(10_000 * max(spot - strike if is_call else strike - spot, 0.0))
            for size, strike, is_call in zip(row, book.strike[expired], book.is_call[expired], strict=True)
        )
        for row in now[:, expired].tolist()
    ]
    assert any(cents)
    assert (model.desk.cash_cents - cash).tolist() == cents
    last = model.frames()["agents"].groupby("agent").last()
    assert (last["cash_cents"] == cash[1:] + cents[1:] + model.market.b.owners[1:, 0, CASH] * 1250).all()
    run(model, 1)
    model.desk.check()
    assert model.desk.holdings[:, book.expiry == np.datetime64("2025-11-21")].any(), "no close, no settlement"


def test_expired_options_are_not_traded() -> None:
    model = MarketModel(OPTIONS, **{"session.days": ["2025-11-20", "2025-11-21"], "session.end": "09:31"})
    one = model.traders[1]
    contract = Contract(model.config.session.first_day, 6550.0, False)
    one.plan = lambda view, ring: [TradeOptions(contract, 5)] if ring.kind == "open" and view.now > DAY else []
    run(model)
    assert not model.desk.holdings.any()
    assert not model.desk.cash_cents.any()


def test_vol_alarm_rings_when_the_vix_has_moved() -> None:
    text = CROWD + '\n[agents.mine]\nclass = "probes:Probe"\n'
    model = MarketModel(text)
    (mine,) = model.crowds["mine"]
    seen: list[float] = []
    mine.wakes = lambda view: seen.append(view.vix) or [OnVol(0.05)]
    vix = []
    while model.running:
        model.step()
        vix.append(model.vix)
    rings = [ring.detail for _, ring in mine.rings if ring.kind == "vol"]
    assert rings
    assert all(abs(now - before) >= 0.05 for before, now in zip(seen, rings, strict=False))
    assert set(rings) <= set(vix)


# Decisions


def test_decisions_say_why_and_which_prices() -> None:
    model = made(CROWD)
    frames = model.frames()
    decisions, quotes = frames["decisions"], frames["quotes"]
    assert decisions["decision"].tolist() == list(range(1, len(decisions) + 1))
    assert (np.diff(decisions["time_ns"]) >= 0).all()
    for _, own in decisions[decisions["alarm"] != "auction"].groupby("agent"):
        assert (own["quotes_from"].to_numpy()[1:] == own["quotes_to"].to_numpy()[:-1]).all()
    times = quotes["time_ns"].to_numpy()
    last = decisions["quotes_to"].to_numpy()
    assert (times[np.maximum(last - 1, 0)] <= decisions["time_ns"]).all()
    by_price = decisions[decisions["alarm"].isin(["below", "above"])]
    assert set(by_price["group"]) >= {"ctas", "dealers"}
    assert by_price["detail"].astype(float).between(6000, 7000).all()
    counts = model.market.count(QUOTES)
    assert counts == len(quotes) == len(model.market.quotes())


LATE = (
    CROWD.replace('end = "09:40"', 'open = "15:30"').replace("2025-11-20 09:33", "2025-11-20 15:33")
    + """
[agents.vol_control]
class = "agents.vol_control:VolControlFund"
group = "rebalancers"

[agents.close_buyers]
class = "agents.close_buyer:CloseBuyer"
group = "rebalancers"
"""
)
"""The same people, and all rebalancers, in the last half hour of a session."""
REBALANCERS = ["leveraged", "vol_control", "close_buyers"]


@pytest.mark.parametrize(
    ("text", "crowd"),
    [(CROWD, crowd) for crowd in tomllib.loads(CROWD)["agents"] if crowd not in REBALANCERS]
    + [(LATE, crowd) for crowd in REBALANCERS],
)
def test_one_that_does_nothing_is_another_day(text: str, crowd: str) -> None:
    model = MarketModel(text)
    idle = model.crowds[crowd][0]
    idle.decide = lambda view, ring: ()
    idle.alarms = lambda view: ()
    idle.prepare = lambda view: ()
    assert run(model).tape_sha256() != made(text).tape_sha256()


def test_an_error_of_an_agent_says_whose_and_when() -> None:
    model = MarketModel(WALLS)

    def fails(view: View, ring: object) -> list[object]:
        raise ZeroDivisionError("division by zero")

    model.crowds["probes"][1].wakes = lambda view: [At(OPEN + MINUTE)] if view.now < OPEN + MINUTE else []
    model.crowds["probes"][1].plan = lambda view, ring: fails(view, ring) if ring.kind == "time" else []
    with pytest.raises(ZeroDivisionError) as failed:
        run(model)
    assert error_line(failed.value) == "ZeroDivisionError: division by zero (probes[1], 2025-11-20 09:31:00)"


def test_mesa_model_counts_its_bars() -> None:
    model = made(WALLS, bars=2)
    assert (model.bars_done, model.bars_total, model.running) == (2, 5, True)
    run(model, 10)
    assert (model.bars_done, model.running) == (5, False)
    assert len(model.datacollector.get_model_vars_dataframe()) == 5
    assert len(model.agents) == 3
    assert isinstance(model.traders[0], Probe)
    assert model.market.now == OPEN + 5 * MINUTE == OPEN + 300 * SECOND
