"""Small made-up runs for the tests of the analysis: a tape that is written line by line, then tables."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd

from sim.kernel.state import QUOTE, TRADE
from sim.units import DAY, HOUR, MINUTE, SECOND

OPEN, CLOSE = 9 * HOUR + 30 * MINUTE, 16 * HOUR
GROUPS = {1: "dealers", 2: "ctas", 3: "etfs", 4: "makers", 5: "noise", 6: "stops"}
BARS = ["time_ns", "open", "high", "low", "close", "mid", "volume", "trades", "top_of_book_musd", "spread_ticks"]
BARS += ["one_tick_share", "vix", "vix1d", "atm_iv"]
DECISIONS = ["decision", "time_ns", "agent", "name", "group", "alarm", "detail", "quotes_from", "quotes_to"]
DECISIONS += ["contracts", "action"]


class Tape:
    """A tape in the making: messages, in order, each a second after the last one; then its tables."""

    def __init__(self, start: int = OPEN) -> None:
        self.now, self.seq = start, 0
        self.trades: list[list[int]] = []
        self.quotes: list[list[int]] = []
        self.decisions: list[list[object]] = []
        self.bars: list[list[float]] = []
        self.seen: dict[int, int] = {}

    def message(
        self,
        owner: int = 0,
        *,
        decision: int = 0,
        cause: int = 0,
        quote: tuple[int, int] | None = None,
        trade: tuple[int, int, int] | None = None,
        maker_decision: int = 0,
        order: int | None = None,
    ) -> int:
        """A message with its new best bid and ask, its trade (price, signed size, maker), or both; its number."""
        self.seq += 1
        self.now += SECOND
        if trade:
            price, size, maker = trade
            ident = self.seq if order is None else order
            row = [self.now, 0, price, abs(size), 0, ident, maker, owner, maker_decision, decision]
            self.trades.append([*row, 1 if size > 0 else -1, self.seq, cause])
        if quote:
            self.quotes.append([self.now, 0, quote[0], 5, quote[1], 5, self.seq, owner, decision, cause])
        return self.seq

    def decide(self, owner: int, alarm: str = "time", contracts: int = 0) -> int:
        """A decision on what has happened since the owner's last one; its number."""
        number, seen = len(self.decisions) + 1, len(self.quotes)
        head = [number, self.now, owner, f"agent[{owner}]", GROUPS[owner], alarm, ""]
        self.decisions.append([*head, self.seen.get(owner, 0), seen, contracts, "Market"])
        self.seen[owner] = seen
        return number

    def bar(self, time_ns: int, **values: float) -> None:
        """A bar with some values, 0 for the others."""
        self.bars.append([time_ns, *(values.get(name, 0.0) for name in BARS[1:])])

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The tables of the run."""
        agents = [[OPEN, owner, f"agent[{owner}]", group, group] for owner, group in GROUPS.items()]
        return {
            "trades": pd.DataFrame(self.trades, columns=TRADE.names, dtype="int64"),
            "quotes": pd.DataFrame(self.quotes, columns=QUOTE.names, dtype="int64"),
            "decisions": pd.DataFrame(self.decisions, columns=DECISIONS).astype({"decision": "int64"}),
            "agents": pd.DataFrame(agents, columns=["time_ns", "agent", "name", "crowd", "group"]),
            "bars": pd.DataFrame(self.bars, columns=BARS).astype(dict.fromkeys(BARS[1:], float)),
        }


def scenario(days: int = 1) -> SimpleNamespace:
    """The parts of a scenario that the analysis reads."""
    hours = tuple((day * DAY + OPEN, day * DAY + CLOSE) for day in range(days))
    session = SimpleNamespace(hours_ns=hours, last_midnight_ns=(days - 1) * DAY, prior_close_points=6600.0)
    return SimpleNamespace(session=session)
