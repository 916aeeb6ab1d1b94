"""What orders, programs, alarms and views are to a trader: probes answer, and the market is asked what came of it.

Beside the probes there is only a wall: a bid of 100 at 6599.75 and an offer of 100 at 6600.25 (and what a test adds).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from probes import QUIET, WALLS, Probe, made, run

from sim.analysis import domino_graph
from sim.floor import pareto_mean
from sim.kernel import world as k
from sim.kernel.draws import pareto
from sim.market import resting
from sim.model import MarketModel
from sim.scenario import ScenarioError
from sim.trader import (
    Above,
    Action,
    Activity,
    Alarm,
    At,
    Attention,
    Below,
    Cancel,
    Fok,
    Ioc,
    LatentOrders,
    Limit,
    Market,
    Metaorders,
    Modify,
    NoiseOrders,
    OnFill,
    OnNews,
    Order,
    PostOnly,
    Quote,
    Refusal,
    Refused,
    Ring,
    Stop,
    StopLimit,
    Touch,
    Work,
)
from sim.units import DAY, HOUR, MINUTE, SECOND, TICK_POINTS, clock_ns
from sim.view import View

OPEN = clock_ns("09:30")
WALL: list[Action] = [
    *(Limit(100 * (1 + step), 6599.75 - step) for step in range(3)),
    *(Limit(-100 * (1 + step), 6600.25 + step) for step in range(3)),
]
NEWS = """
[[news]]
at = "2025-11-20 09:32"
name = "word"
sentiment = 0.5
"""


def walls(text: str = WALLS, **overrides: object) -> tuple[MarketModel, Probe, Probe, Probe]:
    """A model with a wall, its wall and its two probes, before the open."""
    model = MarketModel(text, **overrides)
    wall, one, two = model.traders
    wall.ready = lambda view: WALL
    return model, wall, one, two


def at(probe: Probe, time_ns: int, *actions: Action) -> None:
    """Let a probe answer once at a time, beside what it does already."""
    before_plan, before_wakes = probe.plan, probe.wakes

    def plan(view, ring):
        due = actions if ring.kind == "time" and view.now == time_ns else ()
        return [*before_plan(view, ring), *due]

    probe.plan = plan
    probe.wakes = lambda view: [*before_wakes(view), *([At(time_ns)] if view.now < time_ns else [])]


def fills(model: MarketModel) -> list[tuple[float, int]]:
    """Points and contracts of all trades."""
    rows = model.market.trades()
    return [(price / 4, size) for price, size in rows[["price_ticks", "size"]].tolist()]


def answered(*actions: Action) -> tuple[MarketModel, Probe]:
    """The model after a probe's answer one second after the open, and the probe."""
    model, _, one, _ = walls()
    at(one, OPEN + SECOND, *actions)
    run(model, 1)
    model.market.check()
    return model, one


# Orders


@pytest.mark.parametrize(
    ("action", "trades", "resting"),
    [
        (Market(5), [(6600.25, 5)], []),
        (Market(-105), [(6599.75, 100), (6598.75, 5)], []),
        (Market(0), [], []),
        (Limit(120, 6600.25), [(6600.25, 100)], [(20, 6600.25)]),
        (Limit(-7, 6601.0), [], [(-7, 6601.0)]),
        (Ioc(120, 6600.25), [(6600.25, 100)], []),
        (Ioc(120, 6600.0), [], []),
        (Fok(120, 6600.25), [], []),
        (Fok(120, 6601.25), [(6600.25, 100), (6601.25, 20)], []),
        (PostOnly(5, 6600.25), [], []),
        (PostOnly(5, 6600.0), [], [(5, 6600.0)]),
        (Limit(-5, 9e5), [], [(-5, 9e5)]),
        (Stop(-5, 6599.0), [], [(-5, 6599.0)]),
        (StopLimit(5, 6601.0, 6602.0), [], [(5, 6601.0)]),
    ],
    ids=str,
)
def test_orders(action: Action, trades: list[tuple[float, int]], resting: list[tuple[int, float]]) -> None:
    model, one = answered(action)
    assert fills(model) == trades
    assert [(order.contracts, order.points) for order in View(model, one).orders] == resting
    assert View(model, one).position == sum(size for _, size in trades) * (1 if action.contracts > 0 else -1)


def test_stop_waits_for_a_trade_at_its_price() -> None:
    model, one = answered(Stop(-5, 6599.5), Market(-1))
    assert fills(model) == [(6599.75, 1)]
    model, one = answered(Stop(-5, 6599.75), Market(-1))
    assert fills(model) == [(6599.75, 1), (6599.75, 5)]
    assert not View(model, one).orders


def test_stop_limit_trades_no_further_than_its_limit() -> None:
    model, one = answered(StopLimit(-150, 6599.75, 6599.5), Market(-1))
    assert fills(model) == [(6599.75, 1), (6599.75, 99)]
    assert [(order.contracts, order.points) for order in View(model, one).orders] == [(-51, 6599.5)]


def test_dominoes_link_a_stop_to_the_message_that_reached_it() -> None:
    """One sale reaches two stops; the first one's trade reaches a third, which fires last."""
    model, _, one, two = walls()
    at(one, OPEN + SECOND, Stop(-105, 6599.75), Stop(-1, 6599.75), Stop(-2, 6598.75))
    at(two, OPEN + 2 * SECOND, Market(-1))
    run(model, 1)
    assert fills(model) == [(6599.75, 1), (6599.75, 99), (6598.75, 6), (6598.75, 1), (6598.75, 2)]
    frames = model.frames()
    graph, decisions = domino_graph(frames), frames["decisions"]
    sale = int(decisions["decision"][(decisions["agent"] == two.owner) & (decisions["contracts"] == -1)].item())
    first, second, third = (("stop", seq) for seq in frames["trades"]["seq"].unique().tolist()[1:])
    parents = {stop: list(graph.pred[stop]) for stop in (first, second, third)}
    assert parents == {first: [sale], second: [sale], third: [first]}


def test_cancel_and_modify_touch_own_live_orders_alone() -> None:
    model, _, one, two = walls()
    at(one, OPEN + SECOND, Limit(5, 6590.0), Limit(6, 6591.0), Limit(7, 6592.0))
    seen: list[Order] = []

    def change(view, ring):
        if ring.kind != "time" or view.now != OPEN + 2 * SECOND:
            return []
        seen.extend(view.orders)
        return [Cancel(seen[0]), Modify(seen[1], 4, 6591.0), Modify(seen[2], 9, 6593.0), Cancel(seen[0])]

    before = one.plan
    one.plan = lambda view, ring: [*before(view, ring), *change(view, ring)]
    wakes = one.wakes
    one.wakes = lambda view: [*wakes(view), *([At(OPEN + 2 * SECOND)] if view.now < OPEN + 2 * SECOND else [])]
    two.plan = lambda view, ring: [Cancel(order) for order in seen] if ring.kind == "time" else []
    two.wakes = lambda view: [At(OPEN + 3 * SECOND)] if view.now < OPEN + 3 * SECOND else []
    run(model, 1)
    assert [(order.contracts, order.points) for order in View(model, one).orders] == [(4, 6591.0), (9, 6593.0)]


def test_order_arrives_a_traders_latency_later() -> None:
    model, _, one, _ = walls()
    one.latency_ns = 250_000_000
    at(one, OPEN + SECOND, Market(5))
    run(model, 1)
    assert model.market.trades()["time_ns"].tolist() == [OPEN + SECOND + 250_000_000]


def test_every_message_takes_the_latency_and_orders_are_seen_once_they_have_arrived() -> None:
    model, _, one, _ = walls()
    one.latency_ns = 2 * SECOND
    seen: dict[int, list[float]] = {}

    def plan(view: View, ring: Ring) -> list[Action]:
        second = (view.now - OPEN) // SECOND
        seen[second] = [order.points for order in view.orders]
        match second:
            case 1:
                return [Limit(4, 6590.0), Limit(4, 6591.0), Stop(-4, 6500.0)]
            case 4:
                return [Cancel(view.orders[0]), Modify(view.orders[1], 4, 6592.0)]
        return []

    one.plan = plan
    one.wakes = lambda view: [At(view.later(1))]
    run(model, 1)
    assert [seen[second] for second in (1, 2, 4)] == [[], [], [6590.0, 6591.0, 6500.0]]
    assert [seen[second] for second in (5, 7)] == [[6590.0, 6591.0, 6500.0], [6592.0, 6500.0]]


def test_cancel_that_arrives_too_late_touches_nothing() -> None:
    """The order it meant has traded; another one may rest in its row by then."""
    model, _, one, two = walls()
    one.latency_ns = SECOND

    def plan(view: View, ring: Ring) -> list[Action]:
        match (view.now - OPEN) // SECOND:
            case 1:
                return [Limit(4, 6600.0)]
            case 3:
                return [Cancel(order) for order in view.orders]
        return []

    one.plan = plan
    one.wakes = lambda view: [At(view.later(1))]
    at(two, OPEN + 3 * SECOND + SECOND // 2, Ioc(-4, 6600.0), Limit(7, 6595.0))
    run(model, 1)
    assert [(order.contracts, order.points) for order in View(model, two).orders] == [(7, 6595.0)]
    assert View(model, one).position == 4


def test_messages_under_way_overtake_by_latency_alone() -> None:
    model, wall, one, two = walls()
    for trader, latency in ((wall, 0), (one, 2000), (two, 1000)):
        trader.latency_ns = latency
        at(trader, OPEN + SECOND, Limit(1, 6590.0), Limit(2, 6590.0))
    run(model, 1)
    owners = {int(row["id"]): int(row["owner"]) for row in model.market.b.orders if row["qty"]}
    queue = [owners[order] for _, price, order, _ in resting(model.market.b, 0) if price == 4 * 6590]
    assert queue == [1, 1, 3, 3, 2, 2]


def test_refused_answer_leaves_the_market_as_it_was() -> None:
    model, _ = answered(Limit(5, 1e9), Limit(-5, 100.0), Limit(5, -3.0), Market(2**40))
    assert not fills(model)
    model, _, one, _ = walls()
    at(one, OPEN + SECOND, "sell!")
    with pytest.raises(TypeError, match="is no action"):
        run(model, 1)


@pytest.mark.parametrize("latency", [0, SECOND])
def test_refusals_are_seen_by_the_trader_and_stand_in_the_record(latency: int) -> None:
    model, _, one, _ = walls()
    one.latency_ns = latency
    seen: dict[int, list[Refused]] = {}
    gone = Cancel(Order(1, 10**6, 4, 6590.0))
    first = [PostOnly(5, 6601.0), Limit(5, 6600.0), Market(-(2**40)), PostOnly(5, 6602.0), gone]

    def plan(view: View, ring: Ring) -> list[Action]:
        second = (view.now - OPEN) // SECOND
        seen[second] = view.refused
        return first if second == 2 else [Limit(1, 4600.0)] if second == 6 else []

    one.plan = plan
    one.wakes = lambda view: [At(view.later(2))]
    run(model, 1)
    assert [(refused.action, refused.why) for refused in seen[4]] == [
        (first[0], Refusal.WOULD_TRADE),
        (first[2], Refusal.BAD_SIZE),
        (first[3], Refusal.WOULD_TRADE),
        (gone, Refusal.UNKNOWN_ID),
    ]
    assert [refused.why for refused in seen[8]] == [Refusal.OUTSIDE_BAND]
    assert not seen[2]
    assert not seen[6]
    decisions = model.frames()["decisions"]
    own = decisions[decisions["agent"] == one.owner]
    assert own["refused"].tolist() == ["2 WOULD_TRADE, 1 BAD_SIZE, 1 UNKNOWN_ID", "1 OUTSIDE_BAND"]
    assert set(decisions["refused"]) == {"", *own["refused"]}


def test_orders_are_what_they_are_called_and_never_equal_another_kind() -> None:
    kinds = [Market(5), Limit(5, 6600.0), Ioc(5, 6600.0), Fok(5, 6600.0), PostOnly(5, 6600.0), Stop(5, 6600.0)]
    assert repr(kinds[1]) == "Limit(contracts=5, points=6600.0)"
    assert len(set(kinds)) == 6
    assert [order.prices() for order in kinds] == [(0.0, 0.0), *[(6600.0, 0.0)] * 4, (0.0, 6600.0)]
    assert StopLimit(-5, 6590.0, 6589.0).prices() == (6589.0, 6590.0)


# Programs


def test_work_replaces_work() -> None:
    model, _, one, _ = walls()
    at(one, OPEN + SECOND, Work(80, until_ns=OPEN + 3 * MINUTE, child=1))
    at(one, OPEN + MINUTE, Work(-60, until_ns=OPEN + 3 * MINUTE))
    model.step()
    bought = View(model, one).position
    assert 0 < bought < 80
    assert View(model, one).working == -60
    run(model, 1)
    view = View(model, one)
    assert view.working < 0
    assert view.position == bought - 60 - view.working
    run(model, 2)
    assert View(model, one).position == bought - 60
    assert View(model, one).working == 0


def test_work_of_nothing_stops_the_work() -> None:
    model, _, one, _ = walls()
    at(one, OPEN + SECOND, Work(80, until_ns=OPEN + 3 * MINUTE, child=1))
    at(one, OPEN + MINUTE, Work(0))
    run(model)
    assert 0 < View(model, one).position < 80


def test_touch_trades_all_after_its_patience() -> None:
    model, _, one, _ = walls()
    at(one, OPEN + SECOND, Touch(12, until_ns=OPEN + MINUTE))
    model.step()
    assert View(model, one).position == 0
    model.step()
    assert View(model, one).position == 12
    assert {price for price, _ in fills(model)} == {6600.25}


def test_program_replaces_its_own_kind_only() -> None:
    model, _, one, _ = walls()
    quote = Quote(contracts=5.0, displayed=1e9, max_inventory=50.0, reference_vol=1e-9, bounds=(1.0, 1.0))
    latent = LatentOrders(5.0, 50.0, 2.0, 60.0, 6600.0, 0.0)
    noise, meta = NoiseOrders(0.1), Metaorders(0.1, 1.0)
    standing = [quote, latent, noise, meta, Touch(9), Work(50, until_ns=OPEN + HOUR)]
    at(one, OPEN + SECOND, Activity(0.0, 1.0, 4.0, 1.0, 0.0), *standing)
    for step, action in enumerate([*reversed(standing), *standing]):
        at(one, OPEN + (2 + step) * SECOND, action)
    at(one, OPEN + 20 * SECOND, Touch(0))
    run(model, 1)
    programs = model.market.w.programs
    kinds = programs[(programs[:, k.P_OWNER] == one.owner) & (programs[:, k.P_KIND] != k.CHILDREN), k.P_KIND]
    assert sorted(kinds[kinds != k.NONE]) == sorted([k.LADDER, k.LATENT, k.NOISE, k.META, k.SCHEDULE])
    assert 0 < View(model, one).working <= 50


def test_record_counts_what_a_touch_orders_on_top_of_the_one_it_replaces() -> None:
    model, _, one, _ = walls()
    for step, contracts in enumerate((12, 30, -5, 0)):
        at(one, OPEN + (step + 1) * SECOND, Touch(contracts))
    run(model, 1)
    decisions = model.frames()["decisions"]
    assert decisions["contracts"][decisions["agent"] == one.owner].tolist() == [12, 18, -35, 5]


def test_quote_replaces_quote_however_often() -> None:
    model, _, one, _ = walls()
    quote = Quote(contracts=5.0, displayed=1e9, max_inventory=50.0, reference_vol=1e-9, bounds=(1.0, 1.0))
    one.plan = lambda view, ring: [quote]
    one.wakes = lambda view: [At(view.later(7))]
    run(model, 3)
    rows = model.market.b.orders
    shown = rows[rows["owner"] == one.owner]["qty"].sum()
    assert 0 < shown < 2 * 5 * sum(1 + 0.35 * min(j, 6) for j in range(10)) * 1.6


# Alarms


def test_alarms_ring_when_they_should() -> None:
    model, _, one, two = walls(WALLS + NEWS)
    at(two, OPEN + MINUTE + 7, Market(-100))
    at(two, OPEN + MINUTE + 3 * SECOND, Market(-205), Market(300))
    one.ready = lambda view: [Limit(5, 6598.75)]

    def wakes(view):
        at_last = [At(OPEN + 3 * MINUTE)] if view.now < OPEN + 3 * MINUTE else []
        return [OnNews(), OnFill(), *at_last, *([Below(6599.5)] if view.mid > 6599.5 else [])]

    one.wakes = wakes
    run(model, 3)
    kinds = [(time - OPEN, ring.kind) for time, ring in one.rings]
    assert kinds[:2] == [(0, "open"), (MINUTE + 7, "below")]
    assert {(MINUTE + 3 * SECOND, "fill"), (2 * MINUTE, "news"), (3 * MINUTE, "time")} <= set(kinds)
    details = {ring.kind: ring.detail for _, ring in one.rings}
    assert details["news"] == "word"
    assert details["below"] == 6599.5


@pytest.mark.parametrize(
    ("alarm", "rings"),
    [(Below(6599.5), 1), (Below(6599.25), 0), (Below(6600.0), 1), (Above(6600.0), 1), (Above(6600.25), 0)],
    ids=str,
)
def test_price_alarms_ring_at_or_beyond_their_level(alarm: Below | Above, rings: int) -> None:
    """The mid is 6600 and falls to 6599.5."""
    model, _, one, two = walls()
    at(two, OPEN + MINUTE + 7, Market(-100))
    one.wakes = lambda view: [alarm] if len(one.rings) == 1 else []
    run(model, 2)
    assert len(one.rings) == 1 + rings


@pytest.mark.parametrize("alarm", [Below(-5.0), Below(-math.inf), Above(1e300), Above(math.inf)], ids=str)
def test_alarm_at_a_level_that_no_price_reaches_never_rings(alarm: Below | Above) -> None:
    model, _, one, _ = walls()
    one.wakes = lambda view: [alarm]
    run(model, 1)
    assert len(one.rings) == 1


def test_alarm_that_another_traders_order_reaches_rings_at_once() -> None:
    """No message of the kernel follows the order of the other trader; the alarm rings at its time all the same."""
    model, _, one, two = walls()
    at(two, OPEN + 17 * SECOND, Market(-100))
    one.wakes = lambda view: [Below(6599.9)] if len(one.rings) == 1 else []
    run(model, 1)
    assert [time - OPEN for time, _ in one.rings] == [0, 17 * SECOND]


def test_alarm_of_one_who_has_just_moved_the_price_is_judged_by_the_new_price() -> None:
    """A sale takes the mid from 6600 to 6599.5; who is woken there buys it back and waits for the next half point."""
    model, _, one, two = walls()
    one.plan = lambda view, ring: [Market(100)] if ring.kind == "below" else []
    one.wakes = lambda view: [Below(view.mid - 0.5)]
    at(two, OPEN + SECOND, Market(-100))
    run(model, 1)
    assert [ring.kind for _, ring in one.rings] == ["open", "below"]
    assert View(model, one).mid == 6600.0


def test_fill_alarm_rings_at_the_fill_and_for_its_owner_alone() -> None:
    model, _, one, two = walls()
    at(two, OPEN + 17 * SECOND, Market(-101))
    one.ready = lambda view: [Limit(5, 6599.75)]
    one.wakes = lambda view: [OnFill()]
    run(model, 1)
    assert View(model, one).position > 0
    assert one.rings == [(OPEN, Ring("open")), (OPEN + 17 * SECOND, Ring("fill"))]
    assert len(two.rings) == 2, "its own trade does not wake who has not asked for it"


def test_arming_replaces_what_was_armed() -> None:
    model, _, one, two = walls(WALLS + NEWS)
    at(two, OPEN + 20 * SECOND, Market(-100))

    def wakes(view):
        return [At(OPEN + 10 * SECOND), At(OPEN + 30 * SECOND), Below(6599.5), OnNews()] if len(one.rings) == 1 else []

    one.wakes = wakes
    run(model, 3)
    assert [(time - OPEN, ring.kind) for time, ring in one.rings] == [(0, "open"), (10 * SECOND, "time")]


def looks(alarm: Attention, *others: Alarm, volatility: float = 0.0) -> list[int]:
    """Times of the looks of one minute that caught a trader's attention, which sees some volatility."""
    model, _, one, _ = walls()
    model.market.w.stats[0, k.S_FROZEN_SIGMA2] = (volatility / TICK_POINTS) ** 2
    one.wakes = lambda view: [alarm, *(other for other in others if other.time_ns > view.now)]
    run(model, 1)
    return [time for time, ring in one.rings if ring.kind == "look"]


def test_attention_is_a_poisson_stream_thinned_by_volatility() -> None:
    """4,800 looks expected, then 25 % and 35 % of those; each count is outside 4 deviations once in 16,000."""
    often = 60.0 / 4800
    every, quarter, more = (
        looks(Attention(often, 1.0, 1.0, 0.0)),
        looks(Attention(often, 0.25, 2.0, 2.0), volatility=2.0),
        looks(Attention(often, 0.25, 2.0, 0.5), volatility=3.92),
    )
    for found, mean in ((every, 4800), (quarter, 1200), (more, 1680)):
        assert abs(len(found) - mean) < 4 * math.sqrt(mean)
    assert set(quarter) < set(more) < set(every), "the looks are the same, whatever catches attention"
    gaps = np.diff(every)
    assert abs(gaps.std() / gaps.mean() - 1) < 4 / math.sqrt(len(gaps)), "exponential"
    assert not looks(Attention(often, 1.0, 1.0, 1.0), volatility=0.0)


def test_attention_armed_again_goes_on() -> None:
    alarm = Attention(1.0, 1.0, 1.0, 0.0)
    assert len(looks(alarm)) > 30
    assert looks(alarm, *(At(OPEN + second * SECOND) for second in range(0, 60, 7))) == looks(alarm)


def test_attention_that_is_not_armed_again_ends() -> None:
    model, _, one, _ = walls()
    one.wakes = lambda view: [Attention(0.1, 1.0, 1.0, 0.0)] if len(one.rings) < 4 else []
    run(model, 2)
    assert [ring.kind for _, ring in one.rings] == ["open", "look", "look", "look"]


def test_attention_is_asked_for_anew_in_every_session() -> None:
    model, _, one, _ = walls(
        **{"session.days": ["2025-11-20", "2025-11-21"], "session.close": "09:31", "session.end": "09:31"}
    )
    one.wakes = lambda view: [Attention(1.0, 1.0, 1.0, 0.0)]
    run(model)
    days = [time // DAY for time, ring in one.rings if ring.kind == "look"]
    assert min(days.count(day) for day in set(days)) > 30
    assert len(set(days)) == 2


def test_activity_of_mid_session_holds_from_the_next_ten_seconds_on() -> None:
    """Streams have passed over candidates up to there, which a new pace at once would leave out."""

    def times(*actions: Action) -> list[int]:
        model, _, one, two = walls()
        two.ready = lambda view: [Activity(0.0, 2.0, 4.0, 0.5, 0.0), NoiseOrders(20.0, size=1.0, selective=0.0)]
        at(one, OPEN + 14 * SECOND, *actions)
        run(model, 1)
        return model.market.trades()["time_ns"].tolist()

    before, after = times(), times(Activity(0.0, 1.0, 4.0, 0.05, 0.0))
    assert len(before) > 200
    assert [time for time in before if time < OPEN + 19 * SECOND] == [
        time for time in after if time < OPEN + 19 * SECOND
    ]
    assert len(after) < 0.7 * len(before)


@pytest.mark.parametrize(("low", "high", "alpha"), [(1.0, 9.0, 1.5), (2.5, 40.0, 1.0), (20.0, 6000.0, 1.5)])
def test_mean_of_metaorders_is_that_of_whole_contracts(low: float, high: float, alpha: float) -> None:
    sizes = np.array([int(pareto(7, index, 4, low, high, alpha)) for index in range(100_000)])
    error = sizes.std() / math.sqrt(len(sizes))
    assert abs(pareto_mean(low, high, alpha) - sizes.mean()) < 3 * error < 0.02 * sizes.mean() + 0.01


def test_alarm_of_the_past_rings_now_and_time_never_goes_back() -> None:
    model, _, one, _ = walls()
    one.wakes = lambda view: [At(view.now - 5 * SECOND)] if len(one.rings) == 1 else []
    run(model, 1)
    assert [time - OPEN for time, _ in one.rings] == [0, 0]


def test_trader_that_never_sleeps_is_an_error() -> None:
    model, _, one, _ = walls()
    one.wakes = lambda view: [Below(view.mid)]
    with pytest.raises(RuntimeError, match=r"probes\[0\] never sleeps"):
        run(model, 1)


@pytest.mark.parametrize(
    "action",
    [
        NoiseOrders(math.nan),
        Touch(5, looks_per_second=1e12),
        Metaorders(20.0, flow=math.inf),
        Work(5, until_ns=OPEN + MINUTE, pov=math.nan),
        Touch(5, looks_per_second=math.nan),
        Quote(10.0, 20.0, 50.0, looks=math.nan),
        Quote(10.0, 20.0, 50.0, fills=1e12),
        LatentOrders(1e5, math.inf, 3.0, 10.0, 6600.0, 0.0),
    ],
    ids=str,
)
def test_program_that_the_kernel_could_never_finish_is_refused(action: Action) -> None:
    model, _, one, _ = walls()
    at(one, OPEN + SECOND, action)
    with pytest.raises(ScenarioError, match=r"agents\.probes: .* cannot be carried out"):
        run(model, 1)


@pytest.mark.parametrize("seconds", [1e-12, math.nan])
def test_looks_that_the_kernel_could_never_finish_are_refused(seconds: float) -> None:
    model, _, one, _ = walls()
    one.wakes = lambda view: [Attention(seconds, 1.0, 1.0, 0.0)]
    with pytest.raises(ScenarioError, match="cannot be carried out"):
        run(model, 1)


def test_traders_that_never_let_each_other_sleep_are_an_error() -> None:
    model, _, one, other = walls()
    for trader in (one, other):
        trader.wakes = lambda view: [At(0)]
    with pytest.raises(RuntimeError, match="never sleeps"):
        run(model, 1)


# Views


def test_view_agrees_with_the_market() -> None:
    model, _, one, _ = walls(WALLS + NEWS)
    at(one, OPEN + MINUTE, Market(5))
    run(model, 2)
    view = View(model, one)
    assert (view.bid, view.ask, view.sizes, view.mid) == (6599.75, 6600.25, (100, 95), 6600.0)
    assert (view.position, view.working, view.orders) == (5, 0, [])
    assert (view.now, view.opens, view.closes) == (OPEN + 2 * MINUTE, OPEN, clock_ns("16:00"))
    assert view.later(1.5) == view.now + 3 * SECOND // 2
    assert (view.prior_close, view.session_open, view.mid_ago(15)) == (6600.0, 6600.0, 6600.0)
    assert (view.sentiment, view.value, view.depth_musd) == (0.5, 6600.0, 5.0)
    assert view.date.isoformat() == "2025-11-20"
    assert view.vix == model.vix > 10
    assert view.option_greeks() == (0.0, 0.0, 0.0, 0.0)


def test_view_knows_volume_and_volatility() -> None:
    """Three minutes of noise: the rate is that of the last minute within a factor of two."""
    model = made(QUIET)
    view = View(model, model.traders[0])
    trades = model.market.trades()
    last = trades["size"][trades["time_ns"] > view.now - MINUTE].sum() / 60
    assert 0.5 < view.volume_rate / last < 2
    assert 0.1 < view.realised_vol < 50


def test_mid_ago_is_that_of_the_last_bar_that_ended_so_long_ago() -> None:
    """Just after a bar's end the mid of a minute ago is that of the end before; a second earlier it is older."""
    model = MarketModel(QUIET, rng=2)
    noted: dict[int, list[float]] = {}
    maker = model.traders[0]
    times = [OPEN + MINUTE * bar + wait for bar in (1, 2) for wait in (-SECOND, 0, SECOND)]
    maker.decide = lambda view, ring: noted.update({view.now: [view.mid_ago(m) for m in (1, 2, 15)]}) or ()
    maker.alarms = lambda view: [At(time) for time in times if time > view.now]
    run(model)
    opened, (first, second, third) = model.session_open, model.frames()["bars"]["mid"]
    assert len({opened, first, second, third}) == 4
    assert [noted[time] for time in times] == [
        [opened] * 3,
        [opened] * 3,
        [opened] * 3,
        [opened] * 3,
        [first, opened, opened],
        [first, opened, opened],
    ]
    assert [View(model, maker).mid_ago(m) for m in (0, 1, 2, 3)] == [third, second, first, opened]
