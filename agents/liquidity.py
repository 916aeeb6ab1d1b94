"""What the makers of liquidity have in common: it stands all day, and shrinks while the VIX is above its prior close.

Risk capacity is fixed and risk is not, so liquidity is scarce when volatility is high (Adrian and Shin 2010; Nagel
2012). It is never more than usual: liquidity that also grew while the VIX was low would hold the fall up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from sim.trader import Action, Alarm, OnVol, Ring, Trader, number
from sim.view import View


class LiquidityProvider(Trader, ABC):
    """Keeps a standing offer, and changes it where the VIX has moved."""

    class Params(Trader.Params):
        """How it shrinks."""

        fear_power: float = number(
            1.0,
            0,
            4,
            "1",
            "exponent of the risk borne against the VIX above its prior close",
            source="Adrian and Shin 2010: value at risk is fixed",
        )
        vix_points: float = number(
            1.0, 0.01, 100, "points", "move of the VIX after which it is reviewed", source="guess"
        )

    calm = 1.0
    """The risk borne, over the usual."""

    @abstractmethod
    def offer(self, view: View) -> Action:
        """The program that stands."""

    def prepare(self, view: View) -> Iterable[Action]:
        """Stand before the auction."""
        self.calm = self.calm_at(view)
        return [self.offer(view)]

    def decide(self, view: View, ring: Ring) -> Iterable[Action]:
        """Change the offer where the VIX has changed what may be borne."""
        before, self.calm = self.calm, self.calm_at(view)
        return [self.offer(view)] if self.calm != before else []

    def alarms(self, view: View) -> Iterable[Alarm]:
        """Watch the VIX."""
        return [OnVol(self.p.vix_points)]

    def calm_at(self, view: View) -> float:
        """The risk that may be borne at the present VIX, over the usual."""
        return float(min(view.prior_vix / view.vix, 1.0) ** self.p.fear_power)
