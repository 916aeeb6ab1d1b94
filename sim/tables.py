"""The tables of a scenario: validated and frozen, with the text that says all of it again.

Numbers have their unit in their names, their bounds and meaning beside them. `to_toml` writes a scenario complete: all
defaults, all overrides, the book of options itself. The digest depends on that content alone, not on comments,
formatting or the place of a file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomlkit
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from sim.clock import is_trading_day
from sim.options import Contract, OptionBook
from sim.surface import Event, Surface, SurfaceParams
from sim.units import DAY, clock_ns, moment_ns

LONGEST_OPTION_DAYS = 3600
LONGEST_SCENARIO_DAYS = 3500
"""Options are quoted for some months after the last day, and the trading clock ends after ten years."""


class Table(BaseModel):
    """A table of a scenario file: frozen, and no key but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _clock(text: str) -> str:
    if not re.fullmatch("[0-9]{2}:[0-9]{2}(:[0-9]{2})?", text):
        raise ValueError(f"{text!r} is no clock time; write HH:MM or HH:MM:SS")
    clock_ns(text)
    return text


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if not moment or text not in (f"{moment:%Y-%m-%d %H:%M}", f"{moment:%Y-%m-%d %H:%M:%S}"):
        raise ValueError(f"{text!r} is no moment; write YYYY-MM-DD HH:MM or YYYY-MM-DD HH:MM:SS")
    return text


Clock = Annotated[str, AfterValidator(_clock)]
Moment = Annotated[str, AfterValidator(_moment)]
Percent = Annotated[float, Field(gt=0, lt=100)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
Count = Annotated[int, Field(gt=0, le=10**9)]
Share = Annotated[float, Field(ge=0, le=1)]


class Session(Table):
    """When the market trades, and from where it starts."""

    days: tuple[Annotated[date, Field(ge=date(1990, 1, 1), le=date(2100, 1, 1))], ...] = Field(
        min_length=1, max_length=366, description="the trading days, in order"
    )
    open: Clock = Field("09:30", description="exchange time", json_schema_extra={"source": "New York Stock Exchange"})
    close: Clock = Field("16:00", description="exchange time", json_schema_extra={"source": "New York Stock Exchange"})
    end: Clock = Field(
        default_factory=lambda data: data.get("close", "16:00"),
        description="the last day's last moment",
        json_schema_extra={"source": "the close"},
    )
    # Lower, and the strikes of the VIX, 25 points apart, would leave it without options.
    prior_close_points: float = Field(ge=100, le=1e6, description="the close before the first day")
    value_points: float = Field(
        default_factory=lambda data: data.get("prior_close_points", 100.0),
        ge=100,
        le=1e6,
        description="the level of value at the start",
        json_schema_extra={"source": "the prior close"},
    )
    bar_seconds: int = Field(
        60, ge=1, le=86_400, description="one step of the model", json_schema_extra={"source": "assumed, round"}
    )

    @field_validator("days")
    @classmethod
    def _in_order(cls, days: tuple[date, ...]) -> tuple[date, ...]:
        if list(days) != sorted(set(days)):
            raise ValueError("the days must be in order, each once")
        if (days[-1] - days[0]).days > LONGEST_SCENARIO_DAYS:
            raise ValueError(f"the last day must be within {LONGEST_SCENARIO_DAYS} days of the first")
        for day in days:
            if not is_trading_day(day):
                raise ValueError(f"{day}, a {day:%A}, is no trading day")
        return days

    @model_validator(mode="after")
    def _open_before_close(self) -> Self:
        if not clock_ns(self.open) < clock_ns(self.end) <= clock_ns(self.close):
            raise ValueError(f"needs open < end <= close, not {self.open}, {self.end}, {self.close}")
        return self

    @property
    def first_day(self) -> date:
        """The day whose midnight is time zero."""
        return self.days[0]

    @property
    def hours_ns(self) -> tuple[tuple[int, int], ...]:
        """First and last moment of every day's trading, in nanoseconds; `end` is the last moment of the last."""
        closes = [self.close] * (len(self.days) - 1) + [self.end]
        return tuple(
            (moment_ns(f"{day} {self.open}", self.first_day), moment_ns(f"{day} {close}", self.first_day))
            for day, close in zip(self.days, closes, strict=True)
        )

    @property
    def last_midnight_ns(self) -> int:
        """Start of the last day, to which times of that day are added."""
        return self.hours_ns[-1][0] // DAY * DAY


class MarketRules(Table):
    """The rules of the exchange."""

    halts_pct: tuple[Percent, ...] = Field(
        default=(7.0, 13.0, 20.0),
        description="falls from the prior close that halt trading; the last one ends the day",
        json_schema_extra={"source": "NYSE rule 7.12"},
    )
    halt_minutes: float = Field(
        default=15.0, gt=0, le=1440, description="length of a halt", json_schema_extra={"source": "NYSE rule 7.12"}
    )
    band_pct: float = Field(
        default=30.0,
        gt=0,
        lt=100,
        description="prices farther below the prior close are refused; in US hours there is no limit above",
        json_schema_extra={"source": "assumed, round; one-sided: CME price limits, S&P 500 FAQ of 22 Sep 2020"},
    )

    @model_validator(mode="after")
    def _halts_rise(self) -> Self:
        if list(self.halts_pct) != sorted(set(self.halts_pct)):
            raise ValueError("halts_pct must rise from one to the next")
        if self.halts_pct and self.halts_pct[-1] >= self.band_pct:
            raise ValueError(f"band_pct = {self.band_pct:g} must be more than the last halt, {self.halts_pct[-1]:g}")
        return self


type Position = tuple[
    date, Annotated[float, Field(gt=0, le=1e6)], Literal["put", "call"], Annotated[int, Field(ge=-(10**9), le=10**9)]
]
"""Expiry, strike in index points, right, contracts the dealers own (+) or have sold (-)."""


class OptionMarket(Table):
    """The options that are open when the scenario starts."""

    book: tuple[Position, ...] = Field(description="CSV file, relative to the scenario, or its positions")
    scale: float = Field(
        1.0,
        ge=-1000,
        le=1000,
        description="factor on the contracts of the book; below 0 dealers have the customers' side",
        json_schema_extra={"unit": "1", "source": "the book as it stands"},
    )

    def positions(self) -> OptionBook:
        """The dealers' book, scaled."""
        holdings = [(Contract(expiry, strike, right == "call"), size) for expiry, strike, right, size in self.book]
        return OptionBook.of(holdings).scaled(self.scale)


class NewsItem(Table):
    """One piece of news: what it does to what agents know, never to the price."""

    at: Moment = Field(description="exchange time")
    name: str = Field(pattern="^[A-Za-z0-9_-]+$", description="short name, used in causes and overrides")
    text: str = Field("", description="what was said")
    value_pct: float | None = Field(None, gt=-100, le=1000, description="change of the level of value")
    value_points: float | None = Field(None, gt=0, le=1e6, description="new level of value")
    event_variance: float = Field(0.0, ge=0, le=1, description="variance of the log price that the event releases")
    sentiment: float = Field(0.0, ge=-1, le=1, description="tone, bad to good")
    bitcoin_pct: float = Field(0.0, gt=-100, le=1000, description="move of bitcoin")

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if self.value_pct is not None and self.value_points is not None:
            raise ValueError("give value_pct or value_points, not both")
        return self

    def value_after(self, value: float) -> float:
        """The level of value once this is out, from that before."""
        return self.value_points or value * (1 + (self.value_pct or 0.0) / 100)

    def at_ns(self, first_day: date) -> int:
        """Nanoseconds from midnight of `first_day` to the news."""
        return moment_ns(self.at, first_day)


class RealDay(Table):
    """What is known of the real day, by the keys of a run's summary: shown beside a run, in which nobody knows it."""

    open: Positive | None = None
    high: Positive | None = None
    low: Positive | None = None
    close: Positive | None = None
    prior_close: Positive | None = None
    high_to_close_pct: float | None = None
    time_of_high: Clock | None = None
    time_6700_lost: Clock | None = None
    volume_contracts: Count | None = None
    trades: Count | None = None
    top_of_book_musd: Positive | None = None
    spread_ticks: Positive | None = None
    share_of_time_one_tick: Share | None = None
    etf_share: Share | None = None
    vix_prior_close: Positive | None = None
    vix_morning_low: Positive | None = None
    vix_high: Positive | None = None
    vix_close: Positive | None = None
    vix1d_prior_close: Positive | None = None
    vix1d_open: Positive | None = None


class RealCourse(Table):
    """The course of the real day, by clock times of its last day: shown beside a run, in which nobody knows it."""

    price_points: tuple[tuple[Clock, Positive], ...] = Field((), description="the index")
    vix: tuple[tuple[Clock, Annotated[float, Field(gt=0, le=1000)]], ...] = Field((), description="the VIX")
    volume_contracts: tuple[tuple[Clock, Count], ...] = Field(
        (), description="contracts traded in the hour that ends then"
    )


class Tables(Table):
    """All of a scenario file but its crowds."""

    title: str
    depth_musd: float = Field(ge=0.001, le=10_000, description="notional at each best quote")
    session: Session
    market: MarketRules = MarketRules()
    options: OptionMarket | None = None
    surface: SurfaceParams = SurfaceParams()
    news: tuple[NewsItem, ...] = ()
    real: RealDay = RealDay()
    real_course: RealCourse | None = None

    @model_validator(mode="after")
    def _options_alive(self) -> Self:
        first = self.session.first_day
        for expiry, *_ in self.options.book if self.options else ():
            if not first <= expiry < first + timedelta(days=LONGEST_OPTION_DAYS):
                raise ValueError(f"options.book: the expiry {expiry} is not in the ten years from {first}")
        return self

    @model_validator(mode="after")
    def _news_in_place(self) -> Self:
        names, first = Counter(item.name for item in self.news), self.session.first_day
        value = self.session.value_points
        for item in sorted(self.news, key=lambda item: item.at_ns(first)):
            if names[item.name] > 1:
                raise ValueError(f"news: the name {item.name!r} is given twice")
            if not 0 <= item.at_ns(first) < LONGEST_OPTION_DAYS * DAY:
                raise ValueError(
                    f"news.{item.name}.at: {item.at!r} is not in the ten years from the first day, {first}"
                )
            value = item.value_after(value)
            if not 1 <= value <= 1e6:
                raise ValueError(f"news.{item.name}: takes the level of value to {value:.3g}, which is not 1 to 1e6")
        return self


class CrowdTable(Table):
    """The keys of an [agents.NAME] table that are not parameters of its class."""

    import_path: str = Field(alias="class", description="import path of the agent's class")
    group: str = Field(
        min_length=1, description="what it is counted in", json_schema_extra={"source": "the crowd's own name"}
    )
    count: int = Field(1, ge=0, le=1_000_000, description="number of agents")


@dataclass(frozen=True)
class Crowd:
    """A number of agents of one class with the same parameters."""

    name: str
    import_path: str
    cls: type
    group: str
    count: int
    params: BaseModel


class Scenario(Tables):
    """A complete scenario; made by `sim.scenario.load`.

    Attributes
    ----------
    title, depth_musd, session, market, options, surface, news, real, real_course
        The tables of the file. `options` is None in a market without options, `real_course` where none is known.
    crowds : tuple of Crowd
        The [agents.NAME] tables, in the file's order.
    path : Path or None
        The file it came from.
    sources : tuple of str
        The texts it came from, with their comments: its bases, the lowest first, and its own.
    """

    crowds: tuple[Crowd, ...]
    path: Path | None
    sources: tuple[str, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups of agents, in the file's order."""
        return tuple(dict.fromkeys(crowd.group for crowd in self.crowds))

    def starting_surface(self, events: Iterable[Event], held: Iterable[date]) -> Surface:
        """The volatility surface a quarter of a day before the first open."""
        session = self.session
        start, days = session.hours_ns[0][0] - DAY // 4, session.days
        return Surface(self.surface, days[0], start, session.prior_close_points, events, held, days[-1])

    @property
    def digest(self) -> str:
        """SHA-256 of the scenario's content."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()

    def to_toml(self) -> str:
        """Text of a scenario file that says everything: defaults, overrides and the book of options."""
        content = self.model_dump(mode="json", exclude_none=True, exclude={"crowds", "path", "sources"})
        tables = [{key: value} for key, value in content.items() if _has_header(value)]
        tables += [{"agents": {crowd.name: _crowd_content(crowd)}} for crowd in self.crowds]
        head = {key: value for key, value in content.items() if not _has_header(value)}
        return "\n".join(_text(json.dumps(table)) for table in [head, *tables])


def _has_header(value: object) -> bool:
    """Whether a value stands under headers of its own."""
    return isinstance(value, dict) or (isinstance(value, list) and bool(value))


@lru_cache(maxsize=1000)
def _text(table: str) -> str:
    """TOML of a table given as JSON; kept, for it takes long and scenarios of a sweep have most tables in common."""
    content = json.loads(table)
    if options := content.get("options"):
        options["book"] = tomlkit.item(options["book"]).multiline(True)
    return tomlkit.dumps(content)


def _crowd_content(crowd: Crowd) -> dict[str, Any]:
    head = {"class": crowd.import_path, "group": crowd.group, "count": crowd.count}
    return head | crowd.params.model_dump(mode="json", exclude_none=True)
