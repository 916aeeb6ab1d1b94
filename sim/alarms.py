"""Who sleeps until when: the alarms of all traders.

Only the nearest alarm of each kind is known to the kernel. Arming replaces all that a trader had armed before: its
older entries stay in the heaps and are recognised as stale by their number. Traders due at the same instant take turns
in an order that is drawn, keyed by the trader and the instant (or the price level), so nobody is always first.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator

from sim.kernel.draws import hashed
from sim.kernel.state import MAX_PRICE
from sim.trader import Above, Alarm, At, Attention, Below, OnFill, OnNews, OnVol, Ring, Trader
from sim.units import NEVER, TICK_POINTS

HIGHEST_POINTS = MAX_PRICE * TICK_POINTS
"""Levels beyond what any price can be are not armed."""

STANDING = {Attention, OnNews}
"""Alarms that go on ringing: armed again unchanged, they need nothing."""

IN_WORDS = {
    "auction": "the opening auction",
    "open": "the open",
    "time": "its own clock",
    "look": "a look at the market",
    "below": "price fell to {}",
    "above": "price rose to {}",
    "news": "news: {}",
    "fill": "an order has traded",
    "vol": "VIX moved to {}",
}
"""What woke a trader, by kind of alarm, around the detail."""

type _Entry = tuple[int, int, int, int, float]
"""Key, turn, owner, arming number, and the level of an alarm of price."""


def in_words(kind: str, detail: float | str) -> str:
    """Say what woke a trader: see `sim.trader.Ring`; the detail may be text, as in a table of decisions."""
    try:
        told = f"{float(detail):,.2f}"
    except ValueError:
        told = str(detail).replace("_", " ")
    return IN_WORDS.get(kind, kind).format(told)


def in_turn(traders: Iterable[Trader], instant: int) -> list[Trader]:
    """Traders in the order in which they act at one instant."""
    return sorted(traders, key=lambda trader: (_turn(trader, instant), trader.owner))


def _turn(trader: Trader, instant: int) -> int:
    return int(hashed(trader.key, instant, 0))


class AlarmClock:
    """Alarms of time and price in heaps, those of news, fills and volatility in lists by owner.

    `watch(owner, on)` is told whose fills are to ring, `attend(trader, alarm)` who looks at the market how (None: no
    more).
    """

    def __init__(self, watch: Callable[[int, bool], None], attend: Callable[[Trader, Attention | None], None]) -> None:
        self._watch, self._attend = watch, attend
        self._traders: dict[int, Trader] = {}
        self._armed: dict[int, int] = {}
        self._times: list[_Entry] = []
        self._below: list[_Entry] = []
        self._above: list[_Entry] = []
        self._news: dict[int, Trader] = {}
        self._fill: dict[int, Trader] = {}
        self._vol: dict[int, tuple[float, float]] = {}
        self._attention: dict[int, Attention] = {}
        self._standing: dict[int, list[Alarm]] = {}

    def disarm(self, trader: Trader) -> None:
        """Forget all that a trader has armed."""
        self._forget(trader)
        if self._attention.pop(trader.owner, None):
            self._attend(trader, None)

    def _forget(self, trader: Trader) -> None:
        """Forget all that a trader has armed but its attention."""
        self._standing.pop(trader.owner, None)
        self._armed[trader.owner] = self._armed.get(trader.owner, 0) + 1
        if self._fill.pop(trader.owner, None):
            self._watch(trader.owner, False)
        self._news.pop(trader.owner, None)
        self._vol.pop(trader.owner, None)

    def arm(self, trader: Trader, alarms: Iterable[Alarm], vix: float) -> None:
        """Arm a trader's alarms in place of those it had."""
        alarms, owner = list(alarms), trader.owner
        if self._standing.get(owner) == alarms:
            return
        if self._attention.get(owner) in alarms:
            self._forget(trader)
        else:
            self.disarm(trader)
        self._traders[owner] = trader
        for alarm in alarms:
            match alarm:
                case OnNews():
                    self._news[owner] = trader
                case At(time_ns):
                    self._push(self._times, int(time_ns), trader)
                case Below(points) if not points <= 0.0:
                    self._push(self._below, -math.floor(2 * points / TICK_POINTS), trader, points)
                case Above(points) if not points > HIGHEST_POINTS:
                    self._push(self._above, math.ceil(2 * points / TICK_POINTS), trader, points)
                case OnFill():
                    self._fill[owner] = trader
                    self._watch(owner, True)
                case OnVol(points):
                    self._vol[owner] = (vix, points)
                case Attention() if owner not in self._attention:
                    self._attention[owner] = alarm
                    self._attend(trader, alarm)
        if STANDING.issuperset(map(type, alarms)):
            self._standing[owner] = alarms

    def next_time(self) -> int:
        """Time of the earliest alarm, NEVER if there is none."""
        entry = self._live(self._times)
        return entry[0] if entry else NEVER

    def levels(self) -> tuple[int, int]:
        """The nearest price alarms below and above, in half ticks of the mid (at or beyond)."""
        below, above = self._live(self._below), self._live(self._above)
        return (-below[0] if below else -1), (above[0] if above else NEVER)

    def due(self, now: int, mid2: int) -> Iterator[tuple[Trader, Ring]]:
        """Traders whose alarm of time or price has rung, one after another; each is to be armed anew.

        What they arm meanwhile is for the next call to judge: they may have moved the price.
        """
        times = self._popped(self._times, now, "time")
        levels = self._popped(self._below, -mid2, "below") + self._popped(self._above, mid2, "above")
        for owner, number, ring in times + levels:
            if self._armed[owner] == number:
                yield self._traders[owner], ring

    def listeners(self, kind: str, now: int) -> list[Trader]:
        """Traders who have armed an alarm of news or of fills, in turn."""
        return in_turn((self._news if kind == "news" else self._fill).values(), now)

    def moved(self, vix: float, now: int) -> list[Trader]:
        """Traders for whom the VIX has moved far enough, in turn."""
        return in_turn((self._traders[owner] for owner, (at, by) in self._vol.items() if abs(vix - at) >= by), now)

    def _push(self, heap: list[_Entry], key: int, trader: Trader, level: float = 0.0) -> None:
        heapq.heappush(heap, (key, _turn(trader, key), trader.owner, self._armed[trader.owner], level))

    def _popped(self, heap: list[_Entry], limit: int, kind: str) -> list[tuple[int, int, Ring]]:
        """Take out the entries up to a key: owner, arming number, ring."""
        rung = []
        while (entry := self._live(heap)) and entry[0] <= limit:
            _, _, owner, number, level = heapq.heappop(heap)
            rung.append((owner, number, Ring(kind, level)))
        return rung

    def _live(self, heap: list[_Entry]) -> _Entry | None:
        while heap and self._armed[heap[0][2]] != heap[0][3]:
            heapq.heappop(heap)
        return heap[0] if heap else None
