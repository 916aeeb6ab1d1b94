"""What the traders know: news moves the level of value, the tone and the pending events, never a price."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date

from sim.surface import Event
from sim.tables import NewsItem, Scenario
from sim.units import DAY, MINUTE, NEVER


def since_last_close(scenario: Scenario, day: int) -> list[tuple[int, NewsItem]]:
    """Times and texts of what comes out after the close before a day, its own included; numbered by time."""
    session = scenario.session
    since = session.hours_ns[day - 1][1] + 1 if day else 0
    items = [(item.at_ns(session.first_day), item) for item in scenario.news]
    return sorted((pair for pair in items if since <= pair[0] <= session.hours_ns[day][1]), key=lambda pair: pair[0])


def told(item: NewsItem) -> str:
    """What a piece of news said."""
    return item.text or item.name.replace("_", " ")


class News:
    """The news of a scenario, in order of time; `value` (index points) and `sentiment` are those of what is out."""

    def __init__(self, items: tuple[NewsItem, ...], first_day: date, value_points: float) -> None:
        self._waiting = sorted(((item.at_ns(first_day), item) for item in items), key=lambda entry: entry[0])
        self.value = value_points
        self.sentiment = 0.0
        self._moves: dict[str, list[tuple[int, float]]] = {"value_pct": [], "bitcoin_pct": []}

    def events(self) -> list[Event]:
        """The scheduled events among the news, with the variance that each adds to options that outlive it."""
        return [Event(item.name, item.event_variance, at) for at, item in self._waiting if item.event_variance > 0]

    def next_time(self) -> int:
        """Time of the next item, NEVER if there is none."""
        return self._waiting[0][0] if self._waiting else NEVER

    def publish(self, now: int) -> Iterator[NewsItem]:
        """Let out, one by one, what is due."""
        while self._waiting and self._waiting[0][0] <= now:
            at, item = self._waiting.pop(0)
            before, self.value = self.value, item.value_after(self.value)
            if item.value_pct is not None or item.value_points is not None or item.sentiment:
                self.sentiment = item.sentiment
            self._note("value_pct", at, 100 * (self.value / before - 1))
            self._note("bitcoin_pct", at, item.bitcoin_pct)
            yield item

    def _note(self, what: str, at: int, pct: float) -> None:
        if pct:
            self._moves[what].append((at, pct))

    def faded(self, what: str, decay_minutes: float, now: int) -> list[float]:
        """All moves so far of "value_pct" or "bitcoin_pct", each faded exponentially with its age."""
        return [pct * math.exp(-(now - at) / MINUTE / decay_minutes) for at, pct in self._moves[what]]

    def days_to_event(self, now: int) -> float:
        """Calendar days to the next pending event, infinite if there is none."""
        return min(((at - now) / DAY for at, item in self._waiting if item.event_variance > 0), default=math.inf)
