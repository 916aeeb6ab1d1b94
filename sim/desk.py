"""The options market: who holds which contracts, what the dealers quote, premiums and positions.

Options trade over the counter at the best quote among the dealers. A quote is the surface's volatility plus what the
dealer asks on top for a trade that adds to its risk. Positions add up to zero in every contract, and so does cash:
what was open before the first day is held against the customers outside (owner 0). At the close of its last day a
contract is settled in cash, and is no longer traded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

import numpy as np

from sim.greeks import Floats, Ints, black76
from sim.options import Contract, OptionBook
from sim.surface import Quotes, Surface
from sim.units import OPTION_FUTURES, OPTION_POINT_CENTS

type QuoteVol = Callable[[float], float]
"""A dealer's answer: volatility on top of the surface's for a trade of so many dollars of vega (+ it sells).

Vega here is for a volatility of 1.00; the surface counts it by the volatility point.
"""


class OptionsDesk:
    """Contracts (columns) and holdings of the owners (rows), int64, and premiums and settlements received, in cents.

    `book` lists the contracts, with what the dealers held of them at the start.
    """

    def __init__(self, opening: OptionBook, n_owners: int) -> None:
        self.book = opening
        self.holdings = np.zeros((n_owners + 1, len(opening)), np.int64)
        self.cash_cents = np.zeros(n_owners + 1, np.int64)
        self.traded = 0
        self._rows: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    def divide(self, shares: Mapping[int, float]) -> None:
        """Give the opening book to the dealers by their shares (owner -> share, summing to 1), without a remainder."""
        owners = list(shares)
        ends = np.cumsum([shares[owner] for owner in owners])
        ends[-1] = 1.0
        cuts = np.rint(np.outer(np.concatenate([[0.0], ends]), self.book.contracts)).astype(np.int64)
        self.holdings[owners] = np.diff(cuts, axis=0)
        self.holdings[0] = -self.holdings[1:].sum(axis=0)

    def rows(self, surface: Surface) -> Ints:
        """Row of the surface for each contract."""
        if self._rows[0] != len(self.book):
            self._rows = len(self.book), surface.rows(self.book)
        return self._rows[1]

    def greeks(self, owners: int | list[int], quotes: Quotes, rows: Ints, spot: float) -> Floats:
        """Delta, gamma (per point), vanna (per volatility point), charm (per year) of owners, (4, ...), in futures."""
        totals = quotes.totals(spot, self.book, rows, self.holdings[owners])
        values = OPTION_FUTURES * np.array(totals)
        values[2] /= 100
        return values

    def owners(self) -> list[int]:
        """Owners who hold or have sold options, those outside (0) left out."""
        return [int(owner) for owner in np.flatnonzero(self.holdings.any(axis=1)) if owner]

    def options_of(self, owner: int, quotes: Quotes, rows: Ints, spot: float) -> list[tuple[Contract, int, float]]:
        """An owner's options: contract, contracts, delta of one contract."""
        held = np.flatnonzero(self.holdings[owner])
        delta = quotes.black76(spot, self.book.strike[held], rows[held], self.book.is_call[held]).delta
        options = list(self.book.listed)
        return [(options[k], int(self.holdings[owner, k]), float(d)) for k, d in zip(held, delta, strict=True)]

    def change(self, dealers: list[int]) -> OptionBook:
        """The dealers' position now less that at the start."""
        return self.book.holding(self.holdings[dealers].sum(axis=0) - self.book.contracts)

    def trade(
        self,
        customer: int,
        contract: Contract,
        contracts: int,
        dealers: Mapping[int, QuoteVol],
        surface: Surface,
        now: int,
        spot: float,
    ) -> tuple[int, float]:
        """Trade at the best quote of the dealers; who took the other side, and the dollars of vega it has sold.

        The premium is rounded to cents once. With no other dealer, or in a contract that
        has expired, there is no trade: the answer is (0, 0.0).
        """
        if not set(dealers) - {customer} or contracts == 0:
            return 0, 0.0
        column = self._column(contract)
        row = self.rows(surface)[column]
        quotes = surface.at(now)
        if quotes.term[0][row] <= 0:
            return 0, 0.0
        strike = np.array([contract.strike])
        vol = float(quotes.vols(spot, strike, np.array([row]))[0])
        years = float(quotes.term[0][row])
        vega = 100.0 * float(black76(spot, contract.strike, years, vol, contract.is_call).vega) * contracts
        sign = 1 if contracts > 0 else -1
        asked = {owner: sign * quote(vega) for owner, quote in dealers.items() if owner != customer}
        dealer = min(asked, key=lambda owner: (asked[owner], owner))
        price = float(
            black76(spot, contract.strike, years, max(vol + sign * asked[dealer], 0.01), contract.is_call).price
        )
        premium = round(price * OPTION_POINT_CENTS * contracts)
        self.holdings[[customer, dealer], column] += [contracts, -contracts]
        self.cash_cents[[customer, dealer]] += [-premium, premium]
        self.traded += abs(contracts)
        return dealer, vega

    def settle(self, day: date, spot: float) -> None:
        """Pay what contracts that expire by a day are worth at that day's close, `spot` points; they are gone then."""
        due = np.flatnonzero(self.book.expiry <= np.datetime64(day))
        strike, is_call = self.book.strike[due], self.book.is_call[due]
        worth = np.maximum(np.where(is_call, spot - strike, strike - spot), 0.0)
        self.cash_cents += self.holdings[:, due] @ np.rint(worth * OPTION_POINT_CENTS).astype(np.int64)
        self.holdings[:, due] = 0

    def _column(self, contract: Contract) -> int:
        if contract not in self.book.listed:
            self.book = self.book.listing(contract)
            column = self.book.listed[contract]
            self.holdings = np.insert(self.holdings, column, 0, axis=1)
        return self.book.listed[contract]

    def check(self) -> None:
        """Raise AssertionError unless every contract and the premiums add up to zero."""
        if self.holdings.sum(axis=0).any() or self.cash_cents.sum():
            raise AssertionError("the options ledger does not add up")
