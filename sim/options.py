"""Option contracts and books of them: who is short what.

A book is the position of the option dealers as a group, in contracts of 100 dollars a point, signed: +1 is one contract
the dealers own, -1 one they have sold. Every contract has two sides, so it is minus the position of their customers.

The options are S&P 500 options as the simulator has them: European, settled to the index at 16:00 of the expiry date
(the morning-settled monthly contracts are taken to do the same).
"""

from __future__ import annotations

import csv
import difflib
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

COLUMNS = ("expiry", "strike", "right", "contracts", "holder")
RIGHTS = {"call": True, "put": False}
HOLDERS = {"dealer": 1, "customer": -1}
"""What one contract of the holder is to the dealers."""
RULES = {
    "customers long puts, short calls": (-1, +1),
    "customers long puts, long calls": (+1, +1),
}
"""Customers' (calls, puts) per contract of open interest: +1 they own all of it, -1 they have sold all of it.

Open interest does not say who is long. The first rule is that of the usual dealer-gamma estimates (customers buy puts
for protection and sell calls for income); the second is its counterpart for a market that buys both wings."""


class Contract(NamedTuple):
    """One listed option."""

    expiry: date
    strike: float
    is_call: bool


@dataclass(frozen=True, eq=False)
class OptionBook:
    """The dealers' net position, one row per listed option, in the order of expiry, strike, put before call.

    Attributes
    ----------
    expiry : (k,) datetime64[D]
        Expiry dates.
    strike : (k,) float64
        Strikes in index points.
    is_call : (k,) bool
        True for a call.
    contracts : (k,) int64
        Contracts the dealers own (+) or have sold (-).

    The arrays are read-only.
    """

    expiry: NDArray[np.datetime64]
    strike: NDArray[np.float64]
    is_call: NDArray[np.bool_]
    contracts: NDArray[np.int64]

    def __post_init__(self) -> None:
        for array in (self.expiry, self.strike, self.is_call, self.contracts):
            if array.shape != self.expiry.shape:
                raise ValueError(f"the arrays of an option book must be of one length, not {array.shape}")
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.strike)

    @cached_property
    def listed(self) -> dict[Contract, int]:
        """The options, each with its row."""
        columns = self.expiry.tolist(), self.strike.tolist(), self.is_call.tolist()
        return {Contract(*option): row for row, option in enumerate(zip(*columns, strict=True))}

    @classmethod
    def of(cls, holdings: Iterable[tuple[Contract, int]]) -> Self:
        """Book of (contract, contracts the dealers own); holdings of the same contract add up."""
        net: Counter[Contract] = Counter()
        for contract, contracts in holdings:
            net[contract] += contracts
        rows = sorted(net)
        return cls(
            expiry=np.array([row.expiry for row in rows], dtype="datetime64[D]"),
            strike=np.array([row.strike for row in rows], dtype=np.float64),
            is_call=np.array([row.is_call for row in rows], dtype=np.bool_),
            contracts=np.array([net[row] for row in rows], dtype=np.int64),
        )

    @classmethod
    def from_csv(cls, path: str | Path) -> Self:
        """Read a book from a CSV file with the columns expiry, strike, right, contracts, holder.

        One position a row: expiry YYYY-MM-DD, strike in index points, right `call` or `put`, contracts an integer
        signed for the holder (+ long, - short), holder `customer` or `dealer`. Lines that begin with # are skipped.

        Raises
        ------
        ValueError
            One line: file, row, column, what is wrong and what would be right.
        """
        rows = _csv_rows(Path(path))
        number, header = next(rows, (1, []))
        where = f"{path}, row {number}"
        for name in header:
            if name not in COLUMNS:
                raise ValueError(f"{where}: no column is called {name!r}; {_instead(name, COLUMNS)}")
        if missing := [name for name in COLUMNS if name not in header]:
            raise ValueError(f"{where}: column {missing[0]!r} is missing; the header is {','.join(COLUMNS)}")
        return cls._filled(path, (_holding(f"{path}, row {number}", header, row) for number, row in rows))

    @classmethod
    def from_cboe(cls, path: str | Path, rule: str = "customers long puts, short calls") -> Self:
        """Read the open interest of a Cboe delayed quote table, as it is downloaded (one row per expiry and strike).

        Lines before the header ("Expiration Date,Calls,...,Open Interest,Strike,Puts,...,Open Interest") are skipped.
        Options without open interest are left out.

        Parameters
        ----------
        path
            The CSV file.
        rule
            Who is long, one of the keys of `RULES`: open interest does not tell, so this is an assumption.

        Raises
        ------
        ValueError
            One line: file, row, column, what is wrong and what would be right.
        """
        if rule not in RULES:
            raise ValueError(f"no rule is called {rule!r}; {_instead(rule, RULES)}")
        rows = _csv_rows(Path(path))
        for _, header in rows:
            if header[0] == "Expiration Date":
                break
        else:
            raise ValueError(f"{path}: no line begins with 'Expiration Date'; this is no Cboe quote table")
        interest = [i for i, name in enumerate(header) if name in ("Open Interest", "Open Int")]
        if len(interest) != 2 or "Strike" not in header:
            raise ValueError(f"{path}: the header needs a column 'Strike' and two called 'Open Interest'")
        columns = (0, header.index("Strike"), *interest)
        quotes = ((f"{path}, row {number}", row) for number, row in rows)
        return cls._filled(path, (held for where, row in quotes for held in _open_interest(where, row, columns, rule)))

    @classmethod
    def _filled(cls, path: str | Path, holdings: Iterable[tuple[Contract, int]]) -> Self:
        book = cls.of(holdings)
        if not len(book):
            raise ValueError(f"{path}: no option positions below the header")
        return book

    def listing(self, contract: Contract) -> Self:
        """Book in which one more contract is listed, of which nothing is held."""
        row = bisect_left(list(self.listed), contract)
        return replace(
            self,
            expiry=np.insert(self.expiry, row, np.datetime64(contract.expiry)),
            strike=np.insert(self.strike, row, contract.strike),
            is_call=np.insert(self.is_call, row, contract.is_call),
            contracts=np.insert(self.contracts, row, 0),
        )

    def scaled(self, factor: float) -> Self:
        """Book with every position times `factor`, rounded once to whole contracts, halves away from 0."""
        if not math.isfinite(factor):
            raise ValueError(f"a book is scaled by a finite factor, not {factor}")
        exact = self.contracts * factor
        return self.holding(np.sign(exact) * np.floor(np.abs(exact) + 0.5))

    def holding(self, contracts: ArrayLike) -> Self:
        """Book of the same options with other contracts: a later position, or a change of it."""
        return replace(self, contracts=np.array(contracts, dtype=np.int64))


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every line that is neither empty nor a comment."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file in UTF-8") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip(" ,") and not line.startswith("#"):
            yield number, [cell.strip() for cell in next(csv.reader([line]))]


def _instead(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"write one of {', '.join(known)}"


def _holding(where: str, header: Sequence[str], row: Sequence[str]) -> tuple[Contract, int]:
    """Contract and the dealers' position of one row of our own CSV."""
    if len(row) != len(header):
        raise ValueError(f"{where}: {len(row)} cells under {len(header)} columns; one is wanted for each")
    cell = dict(zip(header, row, strict=True))
    for column, known in (("right", RIGHTS), ("holder", HOLDERS)):
        if cell[column] not in known:
            raise ValueError(
                f"{where}, column '{column}': {cell[column]!r} is unknown; {_instead(cell[column], known)}"
            )
    contract = Contract(
        _day(where, "expiry", cell["expiry"], ("%Y-%m-%d",)), _strike(where, cell["strike"]), RIGHTS[cell["right"]]
    )
    return contract, HOLDERS[cell["holder"]] * _whole(where, "contracts", cell["contracts"])


def _open_interest(
    where: str, row: Sequence[str], columns: tuple[int, ...], rule: str
) -> Iterator[tuple[Contract, int]]:
    """Contracts and the dealers' positions of one row of a Cboe table: its call and its put."""
    if len(row) <= max(columns):
        raise ValueError(f"{where}: only {len(row)} cells; a quote table has a call and a put on every row")
    day, strike, *interest = (row[i] for i in columns)
    expiry = _day(where, "Expiration Date", day, ("%a %b %d %Y", "%m/%d/%Y", "%Y-%m-%d"))
    for is_call, customers, text in zip((True, False), RULES[rule], interest, strict=True):
        if contracts := _whole(where, "Open Interest", text):
            yield Contract(expiry, _strike(where, strike), is_call), HOLDERS["customer"] * customers * contracts


def _day(where: str, column: str, text: str, forms: Sequence[str]) -> date:
    for form in forms:
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    raise ValueError(f"{where}, column '{column}': {text!r} is no date; write one like {date(2025, 11, 21):{forms[0]}}")


def _strike(where: str, text: str) -> float:
    try:
        strike = float(text)
    except ValueError:
        strike = math.nan
    if not 0 < strike < math.inf:
        raise ValueError(f"{where}, column 'strike': {text!r} is no strike; write index points above 0, like 6650")
    return strike


def _whole(where: str, column: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"{where}, column '{column}': {text!r} is no whole number; write contracts like 8000 or -8000"
        ) from None
