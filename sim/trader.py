"""The vocabulary of an agent: what it sees (a view), what wakes it (alarms), what it answers (orders and programs).

A trader sleeps until one of its alarms rings. Then `decide` gets a view of the market and the alarm, and answers with
actions; `alarms` says what wakes it next, which replaces all it had armed before. `prepare` is asked once a session,
before the opening auction. Contracts are signed: plus buys, minus sells. Prices are index points, times nanoseconds.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Self

import mesa
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import core_schema

from sim.kernel import codes
from sim.kernel.draws import uniform
from sim.options import Contract

if TYPE_CHECKING:
    from sim.model import MarketModel, View


# What wakes a trader


@dataclass(frozen=True, slots=True)
class At:
    """Ring at a time."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class Below:
    """Ring when the mid is at or below a price."""

    points: float


@dataclass(frozen=True, slots=True)
class Above:
    """Ring when the mid is at or above a price."""

    points: float


@dataclass(frozen=True, slots=True)
class OnNews:
    """Ring at every news item."""


@dataclass(frozen=True, slots=True)
class OnFill:
    """Ring when an order of this trader has traded."""


@dataclass(frozen=True, slots=True)
class OnVol:
    """Ring when the VIX has moved by so many points since it was armed."""

    points: float


@dataclass(frozen=True, slots=True)
class Attention:
    """Ring at a look at the market that catches attention.

    Looks are a Poisson stream, one in `every_seconds`; each rings with the chance `chance` x (volatility /
    `reference_vol`)^`power`, where volatility is `view.realised_vol` and both are in points a square-root minute.
    A trader has one such alarm; armed again unchanged, its stream goes on.
    """

    every_seconds: float
    chance: float
    reference_vol: float
    power: float


type Alarm = At | Below | Above | OnNews | OnFill | OnVol | Attention


@dataclass(frozen=True, slots=True)
class Ring:
    """The alarm that woke a trader.

    `kind` is "auction", "open", "time", "below", "above", "news", "fill", "vol" or "look"; `detail` the level or the
    name of the news.
    """

    kind: str
    detail: float | str = 0.0


# What a trader answers: orders


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What all new orders have."""

    contracts: int

    def prices(self) -> tuple[float, float]:
        """Limit and stop price, points; 0 for none."""
        return 0.0, 0.0


@dataclass(frozen=True, slots=True)
class _Priced(NewOrder):
    points: float

    def prices(self) -> tuple[float, float]:
        return self.points, 0.0


class Market(NewOrder):
    """Trade at once at whatever price."""


class Limit(_Priced):
    """Trade at a price or better; the rest stays in the book."""


class Ioc(_Priced):
    """Trade at a price or better now; the rest is cancelled."""


class Fok(_Priced):
    """Trade all at a price or better now, or nothing."""


class PostOnly(_Priced):
    """Rest at a price; refused where it would trade."""


class Stop(_Priced):
    """A market order that waits until the last trade has reached a price."""

    def prices(self) -> tuple[float, float]:
        return 0.0, self.points


@dataclass(frozen=True, slots=True)
class StopLimit(NewOrder):
    """A limit order that waits until the last trade has reached a price."""

    stop_points: float
    points: float

    def prices(self) -> tuple[float, float]:
        return self.points, self.stop_points


@dataclass(frozen=True, slots=True)
class Order:
    """An own order in the book, as `view.orders` lists them."""

    row: int
    ident: int
    contracts: int
    points: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel an own order."""

    order: Order


@dataclass(frozen=True, slots=True)
class Modify:
    """Change price and open size of an own order."""

    order: Order
    contracts: int
    points: float


class Refusal(IntEnum):
    """Why the market has refused a message; it stayed as it was."""

    BAD_SIZE = codes.BAD_SIZE
    BAD_PRICE = codes.BAD_PRICE
    UNKNOWN_ID = codes.UNKNOWN_ID
    """The order to be cancelled or modified is not there any more."""
    WOULD_TRADE = codes.WOULD_TRADE
    OUTSIDE_BAND = codes.OUTSIDE_BAND
    NO_TRADING = codes.NO_TRADING
    WAITING_STOP = codes.WAITING_STOP
    """A waiting stop cannot be modified."""
    BAD_OP = codes.BAD_OP
    """An auction takes limit orders only."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An own message that was refused, as `view.refused` lists them."""

    action: NewOrder | Cancel | Modify
    why: Refusal


# Standing programs, carried out by the kernel: of each kind a trader has one. Work and Touch replace the one that
# stands, of zero contracts they only end it; a Quote or a stream changes it, and its orders and candidates stay.


@dataclass(frozen=True, slots=True)
class Work:
    """Work an order over time.

    `until_ns` spreads it evenly to that time (TWAP), `pov` bounds it to a share of the market's volume (POV); with
    both, the share bounds the pace and the end may come later. Child orders are geometric of mean `child` contracts,
    take no more than the best queue, and keep their size until executed. `limit` is the worst price (0 = none).
    """

    contracts: int
    until_ns: int = 0
    pov: float = 0.0
    child: float = 3.5
    limit: float = 0.0


@dataclass(frozen=True, slots=True)
class Touch:
    """Keep an order at the best price of its own side, following it; from `until_ns` on cross the spread."""

    contracts: int
    until_ns: int = 0
    child: float = 5.0
    looks_per_second: float = 1.0


@dataclass(frozen=True, slots=True)
class Quote:
    """A market maker's ladder on both sides: elastic, skewed by inventory, withdrawn as volatility rises.

    It shows what is missing to `displayed` contracts at the best price, others' orders counted, as far as its own most,
    `contracts`, allows; a level further away shows (1 + shape x ticks) times as much, growing up to `shape_ticks` and
    shown to `levels`. It looks at each side `looks` times a second: too much goes at once, the share `refill` of what
    is missing comes. `fills` is looks a second at an open spread. Inventory is remembered for `memory_seconds`; at
    `max_inventory` one side is nearly gone. Depth shrinks as (reference / one-minute volatility)^withdrawal within
    `bounds`; volatilities in points a square-root minute. Sent again it changes the ladder that stands, whose orders
    and inventory it keeps.
    """

    contracts: float
    displayed: float
    max_inventory: float
    shape: float = 0.35
    shape_ticks: float = 6.0
    levels: int = 10
    looks: float = 2.0
    refill: float = 0.25
    fills: float = 10.0
    skew: float = 1.0
    tilt: float = 0.5
    memory_seconds: float = 40.0
    withdrawal: float = 0.4
    reference_vol: float = 4.0
    bounds: tuple[float, float] = (0.2, 1.5)


@dataclass(frozen=True, slots=True)
class LatentOrders:
    """A stream of limit orders, uniform over `reach_points` behind the opposite best, each for an exponential life.

    Before an auction the book is stocked around `around` with what the stream would have left. Sent again it changes
    the stream that stands: at the same rate its candidates keep their times and draws, and only what they are changes.
    """

    orders_per_second: float
    reach_points: float
    size: float
    life_seconds: float
    around: float
    hollow_points: float


@dataclass(frozen=True, slots=True)
class NoiseOrders:
    """A stream of market orders of random sign; `selective` of them take no more than the best queue.

    `surge` (above 0) is how many times as many come. Sent again with another one more or fewer of the same candidates
    are accepted, at most all: `contracts_per_second` times the largest pace (`Activity`).
    """

    contracts_per_second: float
    size: float = 3.5
    selective: float = 0.9
    surge: float = 1.0


@dataclass(frozen=True, slots=True)
class Metaorders:
    """A stream of metaorders of random sign: Pareto sizes, log-uniform participation in `flow` contracts a second.

    Sent again it changes those to come; what is under way goes on as it was.
    """

    contracts_per_second: float
    flow: float
    size: float = 3.5
    selective: float = 0.9
    smallest: float = 20.0
    largest: float = 6000.0
    tail: float = 1.5
    participation: tuple[float, float] = (0.02, 0.15)


@dataclass(frozen=True, slots=True)
class Activity:
    """How the pace of noise and metaorders follows the time of day and excites itself.

    A share `feedback` of the activity is proportional to past variance over that of `reference_vol` (points a
    square-root minute), up to `cap`; over the session it is `base + rise |2x - 1|^3`. In the course of a session it
    holds from the next time on at which the pace is computed (every ten seconds). A stream knows the largest pace
    (`cap` at the busiest time of day) of when it was last sent: send it again where that has risen.
    """

    feedback: float
    cap: float
    reference_vol: float
    base: float
    rise: float


@dataclass(frozen=True, slots=True)
class TradeOptions:
    """Buy (+) or sell (-) options at the dealers' best quote."""

    contract: Contract
    contracts: int


type Action = (
    NewOrder
    | Cancel
    | Modify
    | Work
    | Touch
    | Quote
    | LatentOrders
    | NoiseOrders
    | Metaorders
    | Activity
    | TradeOptions
)


DRAWS_BITS = 20
"""An event of a trader has 2**20 draws."""


@dataclass(frozen=True, slots=True)
class Each:
    """Bounds (inclusive) of each number of a tuple, for pydantic."""

    ge: float
    le: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Check the tuple after its types."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, values: tuple[float, ...]) -> tuple[float, ...]:
        for value in values:
            if not self.ge <= value <= self.le:
                raise ValueError(f"{value:.12g} is not from {self.ge:.12g} to {self.le:.12g}")
        return values


def number(default: Any, low: float, high: float, unit: str, description: str, *, source: str) -> Any:
    """Field of a `Params` class: a number with its bounds (inclusive), unit, meaning and source ("guess" is one)."""
    about: dict[str, Any] = {"unit": unit, "source": source}
    return Field(default, ge=low, le=high, description=description, json_schema_extra=about)


def numbers(default: tuple[float, ...], low: float, high: float, unit: str, description: str, *, source: str) -> Any:
    """The same for a tuple of numbers; the bounds are those of each."""
    field: Any = Field(default, description=description, json_schema_extra={"unit": unit, "source": source})
    field.metadata.append(Each(low, high))
    return field


OPPOSITES = {"low": "high", "nearest": "furthest", "smallest": "largest"}
"""Words in the names of two parameters of which the first must not be above the second."""


def stream_key(seed: int, *parts: object) -> int:
    """Key of a random stream: an int64 that depends on the seed and the stream's name alone."""
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


class Draws:
    """A trader's random numbers: the n-th of an event is a function of the key, the event's number and n.

    Every `prepare`, `decide` and `alarms` is an event: how many numbers a decision has used changes none of the next.
    """

    def __init__(self, key: int) -> None:
        self._key, self._event, self._index = key, 0, 0

    def next_event(self) -> None:
        """Begin the next event."""
        self._event, self._index = self._event + 1, 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Uniform on [low, high)."""
        self._index += 1
        return low + (high - low) * float(uniform(self._key, (self._event << DRAWS_BITS) + self._index, 0))

    def normal(self) -> float:
        """Standard normal (Box and Muller)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
        return radius * math.cos(2.0 * math.pi * self.uniform())

    def exponential(self) -> float:
        """Exponential of mean one."""
        return -math.log(1.0 - self.uniform())


class Trader(mesa.Agent):
    """A participant; subclasses give `Params`, `decide` and `alarms`.

    Attributes
    ----------
    name, crowd, group, index, crowd_size
        Such as "dealers[3]", its table in the scenario and the group it is counted in, its place among how many.
    owner
        Its number in the ledger and on the tape, from 1.
    p
        Its parameters.
    draw
        Its random numbers.
    """

    class Params(BaseModel):
        """Parameters of the crowd, from its table in the scenario; ranges rise, in a pair or by name (`OPPOSITES`)."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        @model_validator(mode="after")
        def _ranges_rise(self) -> Self:
            for name, field in type(self).model_fields.items():
                value = getattr(self, name)
                if field.annotation == tuple[float, float] and value[0] > value[1]:
                    raise ValueError(f"{name}: the first must not be above the second")
                other = "_".join(OPPOSITES.get(word, word) for word in name.split("_"))
                if other != name and value > getattr(self, other, math.inf):
                    raise ValueError(f"{name}: above {other}")
            return self

    latency_ns: int = 0
    """Time that a message (an order, its cancel or change) takes from this trader to the book."""

    def __init__(
        self, model: MarketModel, *, crowd: str, group: str, index: int, crowd_size: int, owner: int, params: Any
    ) -> None:
        super().__init__(model)
        self.name = f"{crowd}[{index}]"
        self.crowd, self.group, self.index, self.crowd_size = crowd, group, index, crowd_size
        self.owner = owner
        self.p = params
        self.key = stream_key(model.seed, crowd, index)
        self.draw = Draws(self.key)
        self.begin()

    def begin(self) -> None:
        """Set up what this trader remembers, once."""

    @classmethod
    def gather(cls, crowd: Sequence[Any]) -> None:
        """Let the traders of one crowd meet, once, before the first session."""

    def prepare(self, view: View) -> Iterable[Action]:
        """Answer before a session's opening auction: limit orders, liquidity."""
        return ()

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Answer when an alarm rings; asked at the open, too."""
        return ()

    def alarms(self, view: View) -> Iterable[Alarm]:
        """Say what wakes this trader next."""
        return ()
