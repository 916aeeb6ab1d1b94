"""The Mesa model: builds the market and its people from a scenario, lets a bar pass with each step, keeps the records.

One step is one bar. Inside it the kernel runs from alarm to alarm; whoever is woken sees a view and answers with
actions. Mesa's own scheduler sees one event a bar.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import mesa
import numpy as np
import pandas as pd

from sim import analysis
from sim.alarms import AlarmClock, in_turn
from sim.desk import OptionsDesk
from sim.floor import Floor
from sim.kernel.state import MESSAGES, QUOTES
from sim.kernel.world import FILL, LOOK
from sim.market import Market
from sim.news import News
from sim.options import Contract, OptionBook
from sim.recorder import Recorder, tape_sha256
from sim.scenario import ScenarioError, load
from sim.surface import Quotes
from sim.tables import NewsItem, Scenario
from sim.trader import Ring, Trader
from sim.units import DAY, MINUTE, SECOND, TICK_POINTS, clock_ns, moment_text, ticks
from sim.view import Frozen, View
from sim.vix import vix, vix1d

DIGESTION_NS = 10 * MINUTE
"""Time over which the variance of an event leaves the options once its news is out."""
LAST_HALT = clock_ns("15:25")
"""From here on only the last level of the market-wide circuit breaker halts trading (NYSE rule 7.12)."""


LOOKED = Ring("look")
MOST_WAKES = 1000
"""A trader woken so often at one instant would be woken for ever."""


class MarketModel(mesa.Model):
    """A thin market and its people.

    Parameters
    ----------
    config
        A scenario, or the path of its TOML file.
    rng
        The seed: the key of all random streams.
    depth_musd
        Displayed notional per side at the best quotes, in millions of dollars; the scenario's own if None.
    without
        Groups of agents to leave out.
    freeze_at_ns
        From this time on every trader sees prices and volatility as they were just then (for the anti-script test):
        quotes, mids past and present, realised volatility, VIX, the options' surface. Time, news, bitcoin, volume and
        what is the trader's own stay live.
    log_events
        Keep every order message, for a LOBSTER pair.
    **overrides
        Any other key of the scenario, dotted: `**{"options.scale": 0.1}`.

    Attributes
    ----------
    market, desk, surface, news
        The books and ledger, the options held, the implied-volatility surface, what is known.
    bars_done, bars_total
        Bars passed and in all; `running` is False after the last.
    """

    def __init__(
        self,
        config: str | Path | Scenario = "configs/nov20.toml",
        *,
        rng: int = 1,
        depth_musd: float | None = None,
        without: Iterable[str] = (),
        freeze_at_ns: int | None = None,
        log_events: bool = False,
        **overrides: Any,
    ) -> None:
        if rng < 0:
            raise ScenarioError(f"seed: {rng}: must not be negative")
        self.seed = int(rng)
        super().__init__(rng=self.seed)
        # SolaraViz passes Mesa's own scenario on Reset, which has nothing in it.
        overrides.pop("scenario", None)
        if depth_musd is not None:
            overrides["depth_musd"] = depth_musd
        if overrides or without or not isinstance(config, Scenario):
            config = load(config.to_toml() if isinstance(config, Scenario) else config, overrides, without)
        self.config = config
        self.freeze_at_ns = freeze_at_ns
        self.frozen: Frozen | None = None
        self._build(config, log_events)

    @property
    def scenario_digest(self) -> str:
        """SHA-256 of the scenario."""
        return self.config.digest

    @property
    def today(self) -> date:
        """The day."""
        return self.config.session.first_day + timedelta(days=self.market.now // DAY)

    # Building

    def _build(self, scenario: Scenario, log_events: bool) -> None:
        session = scenario.session
        self._sessions = list(session.hours_ns)
        self.hours = self._sessions[0][0], self._regular_close(self._sessions[0][0])
        self.bar_ns = session.bar_seconds * SECOND
        self.bars_total = sum(-(-(end - start) // self.bar_ns) for start, end in self._sessions)
        self.bars_done, self._session = 0, -1
        self.news = News(scenario.news, session.first_day, session.value_points)
        opening = scenario.options.positions() if scenario.options else OptionBook.of([])
        start = self.hours[0]
        self.surface = scenario.starting_surface(self.news.events(), opening.expiry.tolist())
        self.prior_close = self.session_open = session.prior_close_points
        self.vix = self.prior_vix = vix(self.surface, start, self.prior_close)
        self.vix1d = vix1d(self.surface, start, self.prior_close)
        people = [(crowd, index) for crowd in scenario.crowds for index in range(crowd.count)]
        self.market = Market(len(people), ladders=len(people), log_events=log_events)
        self.desk = OptionsDesk(opening, len(people))
        self.floor = Floor(self)
        self.clock = AlarmClock(self.market.watch, self.floor.attend)
        self.traders: list[Trader] = [
            crowd.cls(
                self,
                crowd=crowd.name,
                group=crowd.group,
                index=index,
                crowd_size=crowd.count,
                owner=owner,
                params=crowd.params,
            )
            for owner, (crowd, index) in enumerate(people, start=1)
        ]
        self.crowds: dict[str, list[Trader]] = {}
        for trader in self.traders:
            self.crowds.setdefault(trader.crowd, []).append(trader)
        for crowd in self.crowds.values():
            type(crowd[0]).gather(crowd)
        self.recorder = Recorder(self.traders)
        self._quotes_seen = dict.fromkeys((trader.owner for trader in self.traders), 0)
        self._option_cache: tuple[int, Quotes | None] = (-1, None)
        self._pressed = 0
        self._instant, self._wakes = -1, dict[int, int]()
        self._give_options_to_dealers()
        self.datacollector = mesa.DataCollector({name: [self.recorder.value, [name]] for name in Recorder.REPORTED})

    def _give_options_to_dealers(self) -> None:
        """Divide the opening book among those who quote options, hedged at the prior close."""
        self.dealers = [trader for trader in self.traders if hasattr(trader, "quote_vol")]
        if not self.dealers or not len(self.desk.book):
            return
        weights = [0.5 + trader.draw.uniform() for trader in self.dealers]
        self.desk.divide({t.owner: w / sum(weights) for t, w in zip(self.dealers, weights, strict=True)})
        start = self.hours[0]
        for trader in self.dealers:
            delta = self.option_greeks(trader.owner, self.prior_close, self.surface.at(start))[0]
            self.market.transfer(0, trader.owner, -round(delta), ticks(self.prior_close))

    def _regular_close(self, start: int) -> int:
        return start - start % DAY + clock_ns(self.config.session.close)

    # One bar

    def step(self) -> None:
        """Let one bar pass."""
        if self.bars_done >= self.bars_total:
            self.running = False
            return
        try:
            self._bar()
        except BaseException:
            self.running = False
            raise

    def _bar(self) -> None:
        if self._session < 0 or self.market.now >= self._sessions[self._session][1]:
            self._open_session()
        end = min(self.market.now + self.bar_ns - self.market.now % self.bar_ns, self._sessions[self._session][1])
        self._run_to(end)
        self._close_bar()
        if end == self._sessions[self._session][1]:
            self._close_session()
        self.bars_done += 1
        self.running = self.bars_done < self.bars_total
        self.datacollector.collect(self)

    def _open_session(self) -> None:
        """News of the night, the call auction, the open."""
        self._session += 1
        start = self._sessions[self._session][0]
        self.hours = start, self._regular_close(start)
        self._publish(start, wake=False)
        self.market.start_session(start, *self.hours, round(2 * self.prior_close / TICK_POINTS))
        self.floor.clear()
        self.session_open = self.prior_close
        self._bar_ends, self._mids = [start], [self.prior_close]
        self._freeze(start - 1)
        self._set_rules()
        for trader in in_turn(self.traders, start):
            self._quotes_seen[trader.owner] = self.market.count(QUOTES)
            self.clock.disarm(trader)
            trader.draw.next_event()
            self._carry_out(trader, Ring("auction"), trader.prepare(View(self, trader)))
        self.market.open_auction()
        self.session_open = self.market.last() * TICK_POINTS or self.market.mid2() * TICK_POINTS / 2
        self._mids = [self.session_open]
        self._observe()
        self._freeze(start)
        self.market.start_pulse()
        for trader in in_turn(self.traders, start):
            self._wake(trader, Ring("open"))

    def _set_rules(self) -> None:
        """Limit down and halts of a session, from the prior close."""
        rules = self.config.market
        self.market.set_limit_down(ticks(self.prior_close * (1 - rules.band_pct / 100)))
        self._halts = [
            (math.floor(2 * self.prior_close * (1 - fall / 100) / TICK_POINTS), fall == rules.halts_pct[-1])
            for fall in rules.halts_pct
        ]
        self._reopens = 0

    def _run_to(self, end: int) -> None:
        """Run the kernel from alarm to alarm up to `end`."""
        while True:
            code = self.market.advance(self._next_stop(end))
            if code == LOOK:
                # Nothing has happened but the look: whatever else is due at this instant rings next.
                self._wake(self.traders[self.market.take_woken() - 1], LOOKED)
                continue
            self.floor.deliver()
            if self.market.mid2() <= self._halts_at():
                self._halt()
            if self.market.take_ring() or code == FILL:
                self._wake_filled()
            now = self.market.now
            self._freeze(now)
            if self._reopens and now >= self._reopens:
                self._reopen()
            if now >= self.news.next_time():
                self._publish(now, wake=True)
            mid2 = self.market.mid2() if not self.frozen else round(2 * self.frozen.mid / TICK_POINTS)
            for trader, ring in self.clock.due(now, mid2):
                self._wake(trader, ring)
            if now >= end and self.clock.next_time() > end:
                return

    def _next_stop(self, end: int) -> int:
        """Set the kernel's price alarms; the time up to which it may run, now where one of them is crossed already."""
        now = self.market.now
        below, above = self.clock.levels() if not self.frozen else (-1, 2**62)
        below = max(below, self._halts_at())
        self.market.set_alarms(below, above)
        if self.market.rings() or not below < self.market.mid2() < above:
            return now
        until = min(end, self.clock.next_time(), self.floor.next_arrival(), self.news.next_time())
        if self.freeze_at_ns is not None and not self.frozen:
            until = min(until, self.freeze_at_ns)
        return max(now, min(until, self._reopens) if self._reopens else until)

    def _halts_at(self) -> int:
        """The mid at which trading is halted; none while it is halted or about to reopen."""
        return self._halts[0][0] if self._halts and not self._reopens else -1

    def _publish(self, now: int, *, wake: bool) -> None:
        for item in self.news.publish(now):
            self._react(item)
            if wake:
                for trader in self.clock.listeners("news", now):
                    self._wake(trader, Ring("news", item.name))

    def _react(self, item: NewsItem) -> None:
        if item.event_variance > 0:
            self.surface.release(item.name, item.at_ns(self.config.session.first_day), DIGESTION_NS)
            self._option_cache = (-1, None)

    def _close_bar(self) -> None:
        """End of a bar: the surface and the VIX move, at the close options are settled, records are taken."""
        now = self.market.now
        self._bar_ends.append(now)
        self._mids.append(self.market.mid2() * TICK_POINTS / 2)
        self._observe()
        for trader in self.clock.moved(self.seen_vix, now):
            self._wake(trader, Ring("vol", self.seen_vix))
        if now == self.hours[1]:
            self.desk.settle(self.today, self.market.mid2() * TICK_POINTS / 2)
        self.recorder.bar(self)

    def _freeze(self, now: int) -> None:
        """Let all views show prices and volatility as they are, if it is time."""
        if self.freeze_at_ns is None or self.frozen or now < self.freeze_at_ns:
            return
        anyone = View(self, self.traders[0])
        prices = {field.name: getattr(anyone, field.name) for field in fields(Frozen) if field.name != "surface"}
        self.frozen = Frozen(**prices, surface=deepcopy(self.surface))
        self.market.freeze_sigma()

    def _observe(self) -> None:
        """Let the surface see spot and realised volatility, then recompute VIX and VIX1D."""
        now, spot = self.market.now, self.market.mid2() * TICK_POINTS / 2
        if self.desk.traded != self._pressed:
            self._pressed = self.desk.traded
            self.surface.press(self.desk.change([dealer.owner for dealer in self.dealers]), now, spot)
        moved = self.market.hourly_sigma() * TICK_POINTS / spot
        self.surface.observe(now, spot, moved * math.sqrt(self.surface.session_minutes_a_year))
        self._option_cache = (-1, None)
        self.vix, self.vix1d = vix(self.surface, now, spot), vix1d(self.surface, now, spot)

    def _close_session(self) -> None:
        self.market.check()
        self.desk.check()
        self.prior_close = self.market.mid2() * TICK_POINTS / 2
        self.prior_vix = self.vix

    # Waking

    def _wake(self, trader: Trader, ring: Ring) -> None:
        view = View(self, trader)
        if self.market.now != self._instant:
            self._instant, self._wakes = self.market.now, {}
        self._wakes[trader.owner] = self._wakes.get(trader.owner, 0) + 1
        if self._wakes[trader.owner] > MOST_WAKES:
            raise RuntimeError(f"{trader.name} never sleeps: it keeps arming alarms that have rung ({ring.kind})")
        try:
            trader.draw.next_event()
            self._carry_out(trader, ring, trader.decide(view, ring))
            trader.draw.next_event()
            self.clock.arm(trader, trader.alarms(view), self.seen_vix)
        except Exception as error:
            error.add_note(f"{trader.name}, {moment_text(self.market.now, self.config.session.first_day)}")
            raise

    def _wake_filled(self) -> None:
        for trader in self.clock.listeners("fill", self.market.now):
            if self.market.has_rung(trader.owner):
                self._wake(trader, Ring("fill"))

    def _carry_out(self, trader: Trader, ring: Ring, actions: Iterable[Any]) -> None:
        """Carry out what a trader answers; an answer is one decision, and is recorded."""
        actions = list(actions)
        self.floor.forget_refused(trader)
        if not actions:
            return
        seen, now_seen = self._quotes_seen[trader.owner], self.market.count(QUOTES)
        self._quotes_seen[trader.owner] = now_seen
        contracts = sum([self.floor.ordered(action, trader) for action in actions])
        decision = self.recorder.decision(self.market.now, trader, ring, (seen, now_seen), contracts, actions)
        for action in actions:
            self.floor.carry_out(action, trader, decision)

    # Halts

    def _halt(self) -> None:
        """A market-wide circuit breaker: 15 minutes in which orders only collect, the last one to the close."""
        last = False
        while self._halts and self.market.mid2() <= self._halts[0][0]:
            last = self._halts.pop(0)[1]
        clock = self.market.now % DAY
        if clock >= LAST_HALT and not last:
            return
        self.market.set_auction()
        minutes = self.config.market.halt_minutes
        self._reopens = 2**62 if last else self.market.now + round(minutes * MINUTE)
        self.recorder.halts += 1

    def _reopen(self) -> None:
        """After a halt: all that crosses trades at one price, then trading goes on."""
        self.market.open_auction()
        self._reopens = 0

    # What views ask

    @property
    def seen_vix(self) -> float:
        """The VIX that traders see."""
        return self.frozen.vix if self.frozen else self.vix

    def mid_ago(self, minutes: int) -> float:
        """Mid at the last end of a bar that is at least so many minutes ago; the session's open where there is none."""
        until = self.market.now - minutes * MINUTE
        return self._mids[max(bisect_right(self._bar_ends, until) - 1, 0)]

    def quotes(self) -> Quotes:
        """The options surface now."""
        now = self.market.now
        if self._option_cache[0] != now or self._option_cache[1] is None:
            self._option_cache = now, self.surface.at(now)
        cached = self._option_cache[1]
        assert cached is not None
        return cached

    def seen_quotes(self) -> Quotes:
        """The options surface that traders see."""
        return self.frozen.surface.at(self.market.now) if self.frozen else self.quotes()

    def option_greeks(self, owner: int, spot: float, quotes: Quotes) -> tuple[float, float, float, float]:
        """Delta, gamma, vanna and charm of an owner's options, in futures."""
        if not len(self.desk.book):
            return 0.0, 0.0, 0.0, 0.0
        delta, gamma, vanna, charm = self.desk.greeks(owner, quotes, self.desk.rows(self.surface), spot).tolist()
        return delta, gamma, vanna, charm

    def own_options(self, owner: int, spot: float, quotes: Quotes) -> list[tuple[Contract, int, float]]:
        """An owner's options: contract, contracts, delta of one contract."""
        return self.desk.options_of(owner, quotes, self.desk.rows(self.surface), spot)

    def trade_options(self, trader: Trader, contract: Contract, contracts: int) -> None:
        """Trade options at the dealers' best quote, and let that dealer know."""
        asked = {dealer.owner: dealer.quote_vol for dealer in self.dealers}
        spot = self.market.mid2() * TICK_POINTS / 2
        owner, vega = self.desk.trade(trader.owner, contract, contracts, asked, self.surface, self.market.now, spot)
        for dealer in self.dealers:
            if dealer.owner == owner:
                dealer.sold(vega)

    # Records

    def frames(self) -> dict[str, pd.DataFrame]:
        """The run's tables: bars, trades, quotes, decisions, agents, depth."""
        return self.recorder.frames(self.market)

    def summary(self, frames: Mapping[str, pd.DataFrame] | None = None) -> dict[str, Any]:
        """The day in numbers, from the run's tables (`frames`, made here unless given)."""
        return analysis.summary(frames or self.frames(), self.config, self.market.count(MESSAGES))

    def tape_sha256(self) -> str:
        """SHA-256 of all trades and quote changes."""
        return tape_sha256(self.market.trades(), self.market.quotes())

    def lobster_events(self) -> dict[date, np.ndarray]:
        """Order events of each day, times after that day's midnight."""
        events = self.market.events()
        days = events[:, 0] // DAY
        first = self.config.session.first_day
        return {
            day: np.column_stack([events[days == (day - first).days, 0] % DAY, events[days == (day - first).days, 1:]])
            for day in self.config.session.days
        }
