"""ETF macro traders: follow news, momentum, bitcoin and one another, in clips of an index fund.

A trader looks about once a minute; how often it trades grows with the volatility it sees, which side it takes is a
logit of its signal (Brock and Hommes 1998; Lux 1995 for herding). Its peers are its neighbours in a small world
(Watts and Strogatz 1998). The arbitrage between fund and future is taken as immediate, so its clips reach the future.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import networkx as nx

from sim.trader import Action, Alarm, Attention, OnNews, Ring, Trader, Work, number, stream_key
from sim.units import REFERENCE_DEPTH_MUSD
from sim.view import View


class MacroTrader(Trader):
    """Trades clips of an index fund, on the side of its signal."""

    class Params(Trader.Params):
        """Signal, clips and peers."""

        every_seconds: float = number(66.0, 1, 23_400, "s", "mean time between two looks", source="study")
        attention: float = number(
            0.25, 0, 10, "1", "chance of trading at a look at the reference volatility", source="study"
        )
        reference_vol_points: float = number(
            1.7, 0.01, 100, "points/sqrt(min)", "volatility of a calm day", source="study"
        )
        attention_power: float = number(1.4, 0, 4, "1", "growth of attention with volatility", source="study")
        clip_contracts: float = number(256.0, 1, 10_000, "contracts", "median clip", source="study")
        clip_log_sd: float = number(0.25, 0, 3, "1", "standard deviation of its logarithm", source="study")
        limit_contracts: float = number(
            120_000.0, 0, 1e7, "contracts", "largest position of all together, either way", source="study"
        )
        work_seconds: float = number(90.0, 1, 7200, "s", "time over which a clip is worked", source="study")
        pov: float = number(
            0.8, 0.001, 1, "share of volume", "largest participation of all of them together", source="study"
        )
        news: float = number(0.4, 0, 10, "1/%", "weight of news", source="study")
        news_decay_minutes: float = number(8.0, 0.1, 390, "min", "memory of news", source="study")
        momentum: float = number(
            0.01,
            0,
            1,
            "1/point",
            "weight of the move beyond the threshold, in a book of $5M; in others in proportion",
            source="study",
        )
        momentum_minutes: int = number(15, 1, 390, "min", "over which the move is taken", source="study")
        threshold_points: float = number(
            11.0,
            0,
            1000,
            "points",
            "smaller moves are noise, in a book of $5M; in others inverse to depth",
            source="study",
        )
        momentum_cap: float = number(0.4, 0, 10, "1", "largest weight of momentum", source="study")
        bitcoin: float = number(0.007, 0, 10, "1/%", "weight of bitcoin's moves", source="guess")
        bitcoin_decay_minutes: float = number(60.0, 0.1, 390, "min", "memory of bitcoin's moves", source="guess")
        herding: float = number(0.1, 0, 10, "1", "weight of the peers' mean side", source="study; form: Lux 1995")
        peers: int = number(6, 2, 1000, "traders", "neighbours in the network", source="guess")
        rewired: float = number(0.1, 0, 1, "share", "of links that go anywhere", source="guess")
        choice: float = number(
            2.2,
            0,
            100,
            "1",
            "intensity of choice: how surely the signal's side is taken",
            source="study; form: Brock and Hommes 1998",
        )

    def begin(self) -> None:
        """Arm the looks."""
        self.side = 0
        self.peers: Sequence[MacroTrader] = ()
        p = self.p
        looks = Attention(p.every_seconds, p.attention, p.reference_vol_points, p.attention_power)
        self.wakes: list[Alarm] = [looks, OnNews()]

    @classmethod
    def gather(cls, crowd: Sequence[MacroTrader]) -> None:
        """Let a crowd meet: everyone gets to know its peers."""
        if len(crowd) < 3:
            return
        p = crowd[0].p
        seed = stream_key(crowd[0].key, "peers") % 2**32
        graph = nx.watts_strogatz_graph(len(crowd), min(p.peers, len(crowd) - 1), p.rewired, seed=seed)
        for trader in crowd:
            trader.peers = [crowd[peer] for peer in sorted(graph.neighbors(trader.index))]

    def signal(self, view: View) -> float:
        """News, momentum beyond a threshold, bitcoin and the peers' mean side."""
        p = self.p
        move = (view.mid - view.mid_ago(p.momentum_minutes)) * view.depth_musd / REFERENCE_DEPTH_MUSD
        beyond = math.copysign(max(abs(move) - p.threshold_points, 0.0), move)
        momentum = max(-p.momentum_cap, min(p.momentum * beyond, p.momentum_cap))
        herd = sum([peer.side for peer in self.peers]) / max(len(self.peers), 1)
        news = p.news * view.news_pct(p.news_decay_minutes) + p.bitcoin * view.bitcoin_pct(p.bitcoin_decay_minutes)
        return news + momentum + p.herding * herd

    def eager(self, view: View) -> float:
        """Chance of trading at a look."""
        return self.p.attention * (view.realised_vol / self.p.reference_vol_points) ** self.p.attention_power

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Trade a clip on the side of the signal."""
        p = self.p
        if ring.kind == "open" or (ring.kind == "news" and self.draw.uniform() > self.eager(view)):
            return []
        buys = 0.5 * (1 + math.tanh(0.5 * p.choice * self.signal(view)))
        self.side = 1 if self.draw.uniform() < buys else -1
        clip = max(1, round(p.clip_contracts * math.exp(p.clip_log_sd * self.draw.normal())))
        working = view.working
        room = round(p.limit_contracts / self.crowd_size) - self.side * (view.position + working)
        clip = min(clip, max(room, 0))
        return [Work(working + self.side * clip, until_ns=view.later(p.work_seconds), pov=p.pov / self.crowd_size)]

    def alarms(self, view: View) -> Iterable[Alarm]:
        """Look about once a minute, and at news."""
        return self.wakes
