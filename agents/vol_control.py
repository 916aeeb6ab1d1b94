"""Volatility-control funds: hold less of the index the more it moves."""

from __future__ import annotations

import math

from agents.closing import CloseTrader
from sim.trader import number
from sim.units import contracts_of
from sim.view import View


class VolControlFund(CloseTrader):
    """Holds target volatility over estimated volatility, up to a cap; part of the change is traded the same day."""

    class Params(CloseTrader.Params):
        """Assets, target and memory."""

        assets_musd: float = number(60_000.0, 0, 1e7, "$M", "S&P assets of all funds", source="guess")
        target_vol: float = number(0.12, 0.01, 2, "1/sqrt(year)", "target volatility", source="guess")
        past_vol: float = number(0.15, 0.01, 2, "1/sqrt(year)", "volatility estimated so far", source="guess")
        memory_days: float = number(20.0, 1, 250, "days", "memory of the estimate", source="guess")
        largest_exposure: float = number(1.5, 0, 5, "1", "cap of the exposure", source="guess")
        same_day: float = number(0.3, 0, 1, "share", "of the change traded the same day", source="guess")

    def exposure(self, vol: float) -> float:
        """Exposure at a volatility."""
        cap, target = self.p.largest_exposure, self.p.target_vol
        return cap if cap * vol <= target else target / vol

    def wanted(self, view: View) -> float:
        """Part of the change of exposure that today's move makes."""
        past = self.p.past_vol
        today = math.log(view.mid / view.prior_close) ** 2 * 252
        now = math.sqrt(max(past**2 + (today - past**2) / self.p.memory_days, 0.0))
        change = self.exposure(now) - self.exposure(past)
        return contracts_of(self.p.assets_musd * change * self.p.same_day, view.mid)
