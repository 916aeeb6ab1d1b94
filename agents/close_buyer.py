"""Market-on-close buyers."""

from __future__ import annotations

from agents.closing import CloseTrader
from sim.trader import number
from sim.view import View


class CloseBuyer(CloseTrader):
    """Customers of the closing auction, whose orders were given before; the future has none, and they are worked."""

    class Params(CloseTrader.Params):
        """Imbalance of the market-on-close orders."""

        contracts: float = number(2000.0, -1e6, 1e6, "contracts", "bought by all on the close", source="study")

    def wanted(self, view: View) -> float:
        """What customers have ordered."""
        return float(self.p.contracts)
