"""Leveraged funds: must trade with the day's move before the close to keep their leverage."""

from __future__ import annotations

from agents.closing import CloseTrader
from sim.trader import number
from sim.units import contracts_of
from sim.view import View


class LeveragedFund(CloseTrader):
    """A fund of leverage m must trade m (m - 1) x assets x return (Cheng and Madhavan 2009)."""

    class Params(CloseTrader.Params):
        """Exposure to be rebalanced."""

        musd_per_pct: float = number(
            750.0,
            0,
            1e5,
            "$M per 1 %",
            "traded with the day's move by all funds, S&P part",
            source="Cheng and Madhavan 2009 for the form; JPMorgan note, Apr 2025, for the size",
        )

    def wanted(self, view: View) -> float:
        """With the move of the day."""
        move_pct = 100 * (view.mid / view.prior_close - 1)
        return contracts_of(self.p.musd_per_pct * move_pct, view.mid)
