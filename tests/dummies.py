"""A small scenario, an agent and a model for the tests of scenario, records and command line."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from sim.recorder import tape_sha256
from sim.records import FRAMES
from sim.tables import Scenario
from sim.trader import Trader

BOOK = """expiry,strike,right,contracts,holder
2025-11-20,6600,put,8000,customer
2025-11-21,6750,call,-5000,customer
"""

DAY = """title = "A small day"
depth_musd = 5.0  # a bank's desk note

[session]
days = ["2025-11-19", "2025-11-20"]
prior_close_points = 6617.32  # exchange

[options]
book = "book.csv"
scale = 0.3

[[news]]
at = "2025-11-19 16:20"
name = "earnings"
value_pct = 0.5  # a guess
sentiment = 0.4

[[news]]
at = "2025-11-20 10:40"
name = "speech"
value_points = 6600.0

[agents.snipers]
class = "dummies:Sniper"
count = 12  # counted by hand
trigger_points = 6700.0  # a newspaper

[agents.snipers.quoting]
levels = 3

[agents.late]
class = "dummies:Sniper"
group = "sleepers"
trigger_points = 6500.0

[real]
close = 6538.76  # exchange
"""


class Quoting(BaseModel):
    """Nested parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    levels: int = Field(5, ge=1, le=10, json_schema_extra={"source": "a textbook"})


class Sniper(Trader):
    """Parameters of every kind."""

    class Params(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)

        trigger_points: float = Field(gt=0, lt=100_000)
        speed: float = Field(1.0, gt=0, json_schema_extra={"unit": "orders/s"}, description="as fast as that")
        style: Literal["calm", "eager"] = "calm"
        sizes: tuple[int, ...] = (1, 2)
        limit_musd: float | None = Field(None, ge=0)
        quoting: Quoting = Quoting()
        rates: dict[str, float] = {}


class FakeModel:
    """Three bars whose tape depends on the scenario and the seed."""

    bars_total = 3

    def __init__(self, config: Scenario, *, rng: int, log_events: bool = False) -> None:
        self.bars_done = 0
        self.running = True
        self.tape = np.array([(rng,), (int(config.digest[:8], 16),)], [("time_ns", np.int64)])

    def step(self) -> None:
        self.bars_done += 1
        self.running = self.bars_done < self.bars_total

    def frames(self) -> dict[str, pd.DataFrame]:
        return {name: pd.DataFrame(self.tape) for name in FRAMES}

    def summary(self, frames: dict[str, pd.DataFrame]) -> dict[str, object]:
        return {"close": np.float64(6540.5), "trades": np.int64(1234), "vix_high": float("nan"), "stages": [1, 2, 3]}

    def tape_sha256(self) -> str:
        return tape_sha256(self.tape)
