"""What a trader sees of the market when it is awake."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.kernel.state import ASKS, BIDS
from sim.options import Contract
from sim.surface import Surface
from sim.trader import Order, Refused, Trader, Work
from sim.units import SECOND, TICK_POINTS, points

if TYPE_CHECKING:
    from sim.model import MarketModel


@dataclass(frozen=True)
class Frozen:
    """What all views show of prices and volatility from one moment on, in the units of `View`."""

    mid: float
    bid: float
    ask: float
    sizes: tuple[int, int]
    prior_close: float
    session_open: float
    realised_vol: float
    vix: float
    prior_vix: float
    surface: Surface


class View:
    """A trader's view: public prices, news and volatility, its own position, orders and options.

    Prices are index points, times nanoseconds after midnight of the first day. Nothing here changes the market.
    """

    def __init__(self, model: MarketModel, trader: Trader) -> None:
        self._model, self._trader = model, trader
        self._greeks_at: tuple[int, float, int] | None = None
        self._greeks = (0.0, 0.0, 0.0, 0.0)

    # The clock

    @property
    def now(self) -> int:
        """The time."""
        return self._model.market.now

    @property
    def opens(self) -> int:
        """Start of the present session."""
        return self._model.hours[0]

    @property
    def closes(self) -> int:
        """Regular end of the present session."""
        return self._model.hours[1]

    @property
    def date(self) -> dt.date:
        """The day."""
        return self._model.today

    def later(self, seconds: float) -> int:
        """The time so many seconds from now."""
        return self.now + round(seconds * SECOND)

    # Prices

    @property
    def mid(self) -> float:
        """Middle of the best quotes."""
        seen = self._model.frozen
        return seen.mid if seen else self._model.market.mid2() * TICK_POINTS / 2

    @property
    def bid(self) -> float:
        """Best bid; 0 if there is none."""
        seen = self._model.frozen
        return seen.bid if seen else points(self._model.market.best(BIDS)[0])

    @property
    def ask(self) -> float:
        """Best ask; 0 if there is none."""
        seen = self._model.frozen
        return seen.ask if seen else points(self._model.market.best(ASKS)[0])

    @property
    def sizes(self) -> tuple[int, int]:
        """Contracts at the best bid and ask."""
        seen = self._model.frozen
        return seen.sizes if seen else (self._model.market.best(BIDS)[1], self._model.market.best(ASKS)[1])

    @property
    def prior_close(self) -> float:
        """Last mid of the session before."""
        seen = self._model.frozen
        return seen.prior_close if seen else self._model.prior_close

    @property
    def session_open(self) -> float:
        """Price of the opening auction, the prior close before it."""
        seen = self._model.frozen
        return seen.session_open if seen else self._model.session_open

    def mid_ago(self, minutes: int) -> float:
        """Mid at the last end of a bar at least so many minutes ago; the session's open where there is none."""
        seen = self._model.frozen
        return seen.mid if seen else self._model.mid_ago(minutes)

    @property
    def realised_vol(self) -> float:
        """Volatility over the last minutes, in points a square-root minute (EWMA of five minutes)."""
        seen = self._model.frozen
        return seen.realised_vol if seen else self._model.market.recent_sigma() * TICK_POINTS

    @property
    def volume_rate(self) -> float:
        """Contracts a second over the last minute."""
        return self._model.market.volume_rate()

    @property
    def depth_musd(self) -> float:
        """The scenario's depth: notional per side at the best quotes, in millions of dollars."""
        return self._model.config.depth_musd

    # News

    @property
    def value(self) -> float:
        """Level of value that all news so far amounts to."""
        return self._model.news.value

    @property
    def sentiment(self) -> float:
        """Tone of the last news, from -1 to 1."""
        return self._model.news.sentiment

    def news_pct(self, decay_minutes: float) -> float:
        """Sum of the changes of value by news, in percent, each fading exponentially with its age."""
        return math.fsum(self._model.news.faded("value_pct", decay_minutes, self.now))

    def stir_pct(self, decay_minutes: float) -> float:
        """Sum of the sizes of the changes of value by news, in percent, each fading exponentially with its age."""
        return math.fsum(map(abs, self._model.news.faded("value_pct", decay_minutes, self.now)))

    def bitcoin_pct(self, decay_minutes: float) -> float:
        """Sum of bitcoin's moves, in percent, each fading exponentially with its age."""
        return math.fsum(self._model.news.faded("bitcoin_pct", decay_minutes, self.now))

    def event_due_days(self) -> float:
        """Days until the next scheduled event that is still pending, infinite if there is none."""
        return self._model.news.days_to_event(self.now)

    # Options

    @property
    def vix(self) -> float:
        """The model's VIX, as of the end of the last bar."""
        seen = self._model.frozen
        return seen.vix if seen else self._model.vix

    @property
    def prior_vix(self) -> float:
        """The VIX at the end of the session before."""
        seen = self._model.frozen
        return seen.prior_vix if seen else self._model.prior_vix

    def is_quoted(self, expiry: dt.date) -> bool:
        """Whether options of an expiry date are quoted."""
        return self._model.surface.quotes_expiry(expiry)

    def option_greeks(self) -> tuple[float, float, float, float]:
        """Own options' delta, gamma (per point), vanna (per volatility point), charm (per year), in futures."""
        model, spot = self._model, self.mid
        # A view lives for one wake, in which `decide` and `alarms` may both ask.
        at = self.now, spot, model.desk.traded
        if at != self._greeks_at:
            self._greeks_at, self._greeks = at, model.option_greeks(self._trader.owner, spot, model.seen_quotes())
        return self._greeks

    def options(self) -> list[tuple[Contract, int, float]]:
        """Own options: contract, contracts, delta of one."""
        return self._model.own_options(self._trader.owner, self.mid, self._model.seen_quotes())

    # Oneself

    @property
    def position(self) -> int:
        """Own futures."""
        return self._model.market.position(self._trader.owner)

    @property
    def working(self) -> int:
        """What the present `Work` still has to trade, signed."""
        return self._model.floor.left(Work, self._trader)

    @property
    def orders(self) -> list[Order]:
        """Own orders in the book, in the order they arrived."""
        market = self._model.market
        rows = [(row, ident, *market.order(row)) for row, ident in self._model.floor.sent(self._trader)]
        return [Order(row, ident, contracts, points(price)) for row, ident, contracts, price in rows]

    @property
    def refused(self) -> list[Refused]:
        """Own messages refused since this trader last decided."""
        return self._model.floor.refused(self._trader)
