from types import SimpleNamespace

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tapes import CLOSE, GROUPS, OPEN, Tape, scenario

from sim.analysis import (
    cascade_sizes,
    contracts_by_group,
    domino_graph,
    dominoes,
    generations,
    group_matrix,
    mid_moves,
    owner_groups,
    price_points_by_group,
    spectral_radius,
    summary,
)
from sim.analysis.tape import ticks_from_mid
from sim.tables import RealDay
from sim.units import DAY, HOUR, MINUTE, SECOND

DEALER, CTA, ETF, MAKER, NOISE, STOP = GROUPS
KEYS = """open high low close high_to_close_pct time_of_high time_6700_lost volume_contracts messages trades
top_of_book_musd spread_ticks share_of_time_one_tick vix_prior_close vix_morning_low vix_high vix_close
vix1d_prior_close vix1d_open etf_share dealers_contracts_by_stage triggers_fired gross_contracts_by_group
net_contracts_by_group price_points_by_group prior_close fall_points sold_in_fall_by_group
impact_points_per_contract seconds_one_sided"""

sides = st.integers(0, 40)
sizes = st.integers(-9, 9).filter(bool)
owners = st.sampled_from(list(GROUPS))
steps = st.lists(
    st.tuples(owners, st.none() | st.tuples(sides, sides), st.none() | sizes, st.booleans(), st.integers(0, 6)),
    max_size=60,
)


def tape_of(steps):
    """A tape in which anyone does anything, but nothing is provoked by what is yet to come."""
    tape, decided = Tape(), {}
    for owner, quote, size, decides, back in steps:
        if decides:
            decided[owner] = tape.decide(owner, "time" if back else "news")
        cause = max(tape.seq - back, 0) if back else 0
        order = 1 if owner == STOP and cause else None
        trade = (100 + tape.seq, size, 1 + owner % 6) if size else None
        tape.message(owner, decision=decided.get(owner, 0), cause=cause, quote=quote, trade=trade, order=order)
    return tape


def node_points(graph):
    return sum(points for _, points in graph.nodes(data="points"))


# The price adds up


def test_every_change_of_the_mid_belongs_to_the_owner_of_its_message():
    tape = Tape()
    tape.message(quote=(400, 402))  # the opening auction: counting starts here
    tape.message(CTA, quote=(399, 402))
    tape.message(MAKER, quote=(399, 400))
    tape.message(CTA, quote=(399, 0))
    tape.message(NOISE, quote=(395, 0))
    tape.message(MAKER, quote=(395, 396))
    tape.message(quote=(390, 391))  # the end of a halt
    quotes = tape.frames["quotes"]
    assert mid_moves(quotes).tolist() == [0, -1, -2, 0, 0, -8, -10]
    points = price_points_by_group(quotes, GROUPS)
    assert {group: value for group, value in points.items() if value} == {
        "ctas": -0.125,
        "makers": -1.25,
        "halt": -1.25,
    }
    assert set(points) == {*GROUPS.values(), "auction", "halt"}


def test_the_night_belongs_to_the_auction():
    tape, later = Tape(), Tape(DAY + OPEN)
    tape.message(quote=(400, 402))
    later.message(quote=(410, 412))
    quotes = pd.concat([tape.frames["quotes"], later.frames["quotes"]], ignore_index=True)
    assert price_points_by_group(quotes, GROUPS)["auction"] == 2.5


def test_books_do_not_mix():
    tape = Tape()
    for quote in [(400, 402), (90, 91), (401, 402), (91, 92)]:
        tape.message(CTA, quote=quote)
    quotes = tape.frames["quotes"].assign(book=[0, 1, 0, 1])
    assert mid_moves(quotes).tolist() == [0, 0, 1, 2]


@settings(max_examples=50, deadline=None)
@given(steps)
def test_price_changes_add_up_to_the_last_mid_less_the_first(steps):
    quotes = tape_of(steps).frames["quotes"]
    both = quotes[(quotes["bid_ticks"] > 0) & (quotes["ask_ticks"] > 0)]
    mids = (both["bid_ticks"] + both["ask_ticks"]).tolist() or [0]
    assert sum(price_points_by_group(quotes, GROUPS).values()) == (mids[-1] - mids[0]) / 8


@settings(max_examples=50, deadline=None)
@given(steps)
def test_contracts_add_up(steps):
    trades = tape_of(steps).frames["trades"]
    contracts = contracts_by_group(trades, GROUPS)
    volume = trades["size"].sum()
    assert contracts.sum().to_dict() == {"gross": 2 * volume, "net": 0, "taken": volume}


@pytest.mark.parametrize(("mid", "offers", "bids"), [(100.5, [1, 2], [-1, -2]), (100.0, [1, 2], [-1, -1])])
def test_ticks_from_the_mid_begin_with_one(mid, offers, bids):
    assert ticks_from_mid(np.array([101, 102]), mid, np.array([True, True])).tolist() == offers
    assert ticks_from_mid(np.array([100, 99]), mid, np.array([False, False])).tolist() == bids


def test_an_owner_that_no_table_knows_is_counted_all_the_same():
    tape = Tape()
    tape.message(99, trade=(400, 3, MAKER), quote=(400, 402))
    tape.message(99, quote=(400, 404))
    frames = tape.frames
    assert contracts_by_group(frames["trades"], GROUPS)["net"].to_dict()["unknown"] == 3
    assert price_points_by_group(frames["quotes"], GROUPS)["unknown"] == 0.25
    assert owner_groups(frames["agents"]) == GROUPS


# Dominoes


@pytest.fixture
def fall():
    """A CTA sells, a maker follows down, a dealer sells after both, a stop fires, an ETF trader buys into it."""
    tape = Tape()
    tape.message(quote=(400, 402))
    tape.decide(CTA, "open", -10)
    cta = tape.decide(CTA, "news", -10)
    sold = tape.message(CTA, decision=cta, trade=(400, -10, MAKER), quote=(398, 402))
    tape.message(MAKER, cause=sold, quote=(398, 400))
    tape.message(NOISE, trade=(398, -2, MAKER), quote=(396, 400))
    tape.message(NOISE, quote=(396, 401))
    dealer = tape.decide(DEALER, "below", -6)
    hit = tape.message(DEALER, decision=dealer, trade=(396, -6, MAKER), quote=(392, 401))
    tape.message(STOP, decision=0, cause=hit, order=1, trade=(392, -4, MAKER), quote=(390, 401))
    etf = tape.decide(ETF, "time", 5)
    tape.message(ETF, decision=etf, trade=(401, 5, MAKER))
    return tape


def test_parents_are_those_who_moved_the_price_the_way_it_went(fall):
    graph = domino_graph(fall.frames)
    cta, dealer, etf, stop = 2, 3, 4, ("stop", 7)
    edges = {(a, b): tuple(edge.values()) for a, b, edge in graph.edges(data=True)}
    assert edges == {
        ("news", cta): (1, 0, 10),
        (cta, dealer): pytest.approx((4 / 5, -4 / 8, 4.8)),  # its own two half ticks, two of the maker that followed
        ("noise", dealer): pytest.approx((1 / 5, -1 / 8, 1.2)),  # two down, one up
        (dealer, stop): (1, -4 / 8, 4),
        (cta, etf): pytest.approx((4 / 11, -4 / 8, -5 * 4 / 11)),
        ("noise", etf): pytest.approx((1 / 11, -1 / 8, -5 * 1 / 11)),
        (dealer, etf): pytest.approx((4 / 11, -4 / 8, -5 * 4 / 11)),
        (stop, etf): pytest.approx((2 / 11, -2 / 8, -5 * 2 / 11)),
    }


def test_a_node_says_who_when_and_how_much(fall):
    graph = domino_graph(fall.frames)
    assert graph.nodes[3] == {
        "agent": DEALER,
        "group": "dealers",
        "time_ns": fall.decisions[2][1],
        "ordered": -6,
        "traded": -6,
        "volume": 6,
        "points": -0.5,
        "exogenous": False,
    }
    stop = graph.nodes["stop", 7]
    assert (stop["group"], stop["agent"], stop["traded"], stop["time_ns"]) == ("stops", STOP, -4, fall.now - 10**9)
    assert graph.nodes["noise"]["exogenous"]
    assert 1 not in graph  # the decision at the open came to nothing


def test_small_parents_can_be_left_out(fall):
    graph = domino_graph(fall.frames, smallest_share=0.15)
    assert set(graph.pred[4]) == {2, 3, ("stop", 7)}


def test_a_run_folder_gives_the_same_graph(fall):
    run = SimpleNamespace(frame=fall.frames.get)
    assert nx.utils.graphs_equal(dominoes(run), domino_graph(fall.frames))


def test_a_chain_of_makers_leads_back_to_its_start():
    tape = Tape()
    tape.message(quote=(400, 402))
    cta = tape.decide(CTA, "news")
    provoker = tape.message(CTA, decision=cta, trade=(400, -1, MAKER))
    for tick in range(100):
        provoker = tape.message(MAKER, cause=provoker, quote=(399 - tick, 402))
    tape.message(MAKER, cause=2**40, quote=(300, 400))  # provoked by what is not on the tape: the maker itself
    graph = domino_graph(tape.frames)
    assert graph.nodes[cta]["points"] == -100 / 8
    assert graph.nodes["makers"]["points"] == -2 / 8


def test_a_stop_hangs_on_the_message_that_reached_it_whatever_fired_between():
    tape = Tape()
    tape.message(quote=(400, 402))
    cta = tape.decide(CTA, "news")
    sold = tape.message(CTA, decision=cta, trade=(396, -9, MAKER), quote=(395, 402))
    first = tape.message(STOP, cause=sold, order=1, trade=(395, -2, MAKER), quote=(394, 402))
    tape.message(STOP, cause=sold, order=2, trade=(394, -3, MAKER))
    tape.message(STOP, cause=first, order=3, trade=(394, -4, MAKER))
    tape.message(STOP, cause=2**40, order=4, trade=(394, -1, MAKER))  # reached by what is not on the tape
    graph = domino_graph(tape.frames)
    parents = {node: list(edges) for node, edges in graph.pred.items() if node != cta and edges}
    assert parents == {("stop", 3): [cta], ("stop", 4): [cta], ("stop", 5): [("stop", 3)]}
    assert [graph.edges[cta, ("stop", n)]["points"] for n in (3, 4)] == [-5 / 8, -5 / 8]
    assert ("stop", 6) in graph


def test_cascades_and_their_generations(fall):
    graph = domino_graph(fall.frames)
    # The ETF trader buys against the fall, so it starts a cascade of its own.
    assert generations(graph) == {2: 0, 3: 1, ("stop", 7): 2, 4: 0}
    assert cascade_sizes(graph) == [3, 1]


def test_the_group_matrix_is_what_one_contract_provokes(fall):
    graph = domino_graph(fall.frames)
    contracts = group_matrix(graph, normalised=False)
    assert contracts.loc["dealers", "ctas"] == pytest.approx(4.8)
    assert contracts.loc["stops", "dealers"] == 4
    assert contracts.loc["etfs"].sum() == pytest.approx(-5)
    branching = group_matrix(graph)
    assert branching.loc["dealers", "ctas"] == pytest.approx(0.48)
    assert branching.loc["dealers", "noise"] == pytest.approx(0.6)
    assert np.isnan(branching.loc["ctas", "news"])
    assert group_matrix(graph, "points", normalised=False).loc["dealers", "ctas"] == 0.5
    assert spectral_radius(branching) == 0  # nobody is provoked in a circle


def test_the_spectral_radius_is_the_growth_of_a_loop():
    labels = ["ctas", "dealers"]
    matrix = pd.DataFrame([[0.0, 0.5], [0.5, 0.0]], labels, labels).assign(noise=[np.nan, 9.0])
    assert spectral_radius(matrix) == pytest.approx(0.5)
    assert spectral_radius(pd.DataFrame()) == 0


@settings(max_examples=50, deadline=None)
@given(steps)
def test_dominoes_fall_forward_in_time_and_nothing_is_lost(steps):
    frames = tape_of(steps).frames
    graph = domino_graph(frames, smallest_share=0)
    times = nx.get_node_attributes(graph, "time_ns")
    assert nx.is_directed_acyclic_graph(graph)
    assert all(times[parent] <= times[child] for parent, child in graph.edges)
    assert node_points(graph) == sum(price_points_by_group(frames["quotes"], GROUPS).values())
    for node, edges in graph.pred.items():
        if edges:
            assert sum(edge["share"] for edge in edges.values()) == pytest.approx(1)
            assert abs(sum(edge["contracts"] for edge in edges.values())) == pytest.approx(
                abs(graph.nodes[node]["traded"])
            )
    assert sum(cascade_sizes(graph)) == sum(not outside for _, outside in graph.nodes(data="exogenous"))
    assert spectral_radius(group_matrix(graph)) >= 0


# The day


@pytest.fixture
def two_days():
    tape = Tape()
    tape.message(quote=(26_400, 26_402))
    tape.message(NOISE, trade=(26_402, 7, DEALER))  # dealers sell 7 on the first day
    tape.bar(CLOSE, vix=24.0, vix1d=27.0)
    tape.now = DAY + OPEN
    tape.message(ETF, trade=(26_900, 10, NOISE))
    tape.message(quote=(26_900, 26_901))
    tape.message(ETF, trade=(27_000, 20, DEALER), quote=(26_999, 27_000))
    tape.now = DAY + 11 * HOUR
    tape.message(CTA, trade=(26_790, -30, NOISE), quote=(26_790, 26_791))
    tape.decide(CTA, "below")
    tape.message(DEALER, trade=(26_750, -5, NOISE))
    tape.message(STOP, order=1, trade=(26_700, -8, NOISE), quote=(26_650, 26_652))
    tape.message(STOP, order=1, trade=(26_700, -1, NOISE))
    tape.bar(DAY + OPEN + MINUTE, vix=20.0, vix1d=14.0, top_of_book_musd=4.0, spread_ticks=1.0, one_tick_share=1.0)
    tape.bar(DAY + OPEN + HOUR, vix=19.0, vix1d=13.0, top_of_book_musd=6.0, spread_ticks=2.0, one_tick_share=0.5)
    tape.bar(DAY + CLOSE, vix=26.0, vix1d=29.0, top_of_book_musd=5.0, spread_ticks=1.5, one_tick_share=0.75)
    return tape


def test_the_day_in_numbers(two_days):
    numbers = summary(two_days.frames, scenario(days=2), messages=123)
    assert sorted(numbers) == sorted(KEYS.split())
    tables = {key: numbers.pop(key) for key in list(numbers) if isinstance(numbers[key], dict)}
    assert numbers == {
        "open": 6725.0,
        "high": 6750.0,
        "low": 6675.0,
        "close": 6662.75,
        "high_to_close_pct": pytest.approx(-100 * (1 - 6662.75 / 6750)),
        "prior_close": 6600.25,
        "time_of_high": "09:30:03",
        "time_6700_lost": "11:00:01",
        "volume_contracts": 74,
        "messages": 123,
        "trades": 6,
        "top_of_book_musd": 5.0,
        "spread_ticks": 1.5,
        "share_of_time_one_tick": 0.75,
        "seconds_one_sided": 0.0,
        "vix_prior_close": 24.0,
        "vix_morning_low": 19.0,
        "vix_high": 26.0,
        "vix_close": 26.0,
        "vix1d_prior_close": 27.0,
        "vix1d_open": 14.0,
        "etf_share": 30 / 74,
        "fall_points": 75.0,
        "triggers_fired": 2,  # an alarm of a CTA, one stop in two pieces
    }
    assert tables["dealers_contracts_by_stage"] == {"1": -7, "2": -20, "3": -5}
    assert tables["sold_in_fall_by_group"] == {
        "dealers": 5,
        "ctas": 30,
        "etfs": 0,
        "makers": 0,
        "noise": -43,
        "stops": 8,
    }
    assert tables["net_contracts_by_group"]["etfs"] == 30
    assert tables["gross_contracts_by_group"]["dealers"] == 25
    assert tables["price_points_by_group"]["ctas"] == (53_581 - 53_999) / 8
    assert sum(tables["price_points_by_group"].values()) == 6662.75 - 6725.125


def test_what_can_be_known_of_a_real_day_is_in_a_summary():
    numbers = summary(Tape().frames, scenario(), messages=0)
    assert {key for key, value in numbers.items() if not isinstance(value, dict)} >= set(RealDay.model_fields)


def test_a_day_on_which_nothing_happens_has_a_summary():
    numbers = summary(Tape().frames, scenario(), messages=0)
    assert sorted(numbers) == sorted(KEYS.split())
    assert (numbers["prior_close"], numbers["volume_contracts"], numbers["time_of_high"]) == (6600.0, 0, None)
    assert np.isnan(numbers["close"])
    assert len(domino_graph(Tape().frames)) == 0


def test_an_empty_side_counts_from_the_first_whole_quote_to_the_close():
    tape = Tape()
    for now, quote in ((1, (0, 0)), (5, (400, 401)), (9, (0, 401)), (12, (0, 0)), (14, (399, 400)), (20, (399, 0))):
        tape.now = OPEN + (now - 1) * SECOND
        tape.message(NOISE, quote=quote)
    assert summary(tape.frames, scenario(), 0)["seconds_one_sided"] == 5 + (CLOSE - OPEN) / SECOND - 20


def test_6700_is_lost_only_from_above():
    tape = Tape()
    for bid in (26_000, 26_798, 26_799, 26_000):
        tape.message(NOISE, quote=(bid, bid + 2))
    assert summary(tape.frames, scenario(), 0)["time_6700_lost"] is None
    tape.message(NOISE, quote=(26_801, 26_803))
    tape.message(NOISE, quote=(26_790, 26_791))
    assert summary(tape.frames, scenario(), 0)["time_6700_lost"] == "09:30:06"
