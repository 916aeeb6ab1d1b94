"""Books of options: reading, scaling, and the messages for a bad file."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.options import COLUMNS, RULES, Contract, OptionBook
from sim.scenario import load

BOOKS = Path(__file__).parents[1] / "configs" / "books"
HEADER = ",".join(COLUMNS)
FIELDS = "Last Sale,Net,Bid,Ask,Volume,IV,Delta,Gamma,Open Interest"
CBOE = f"""
S&P 500 INDEX,Last: 6642.16,Change: 24.84
"Date: November 19, 2025 at 4:14 PM EST",Bid: 6640.1,Ask: 6645.2,Size: 1*1,Volume: 0
Expiration Date,Calls,{FIELDS},Strike,Puts,{FIELDS}
Fri Nov 21 2025,SPXW251121C06600000,81,1,80,82,9,0.2,0.6,0.002,100,6600.00,SPXW251121P06600000,40,1,39,41,9,0,0,0,2500
Fri Dec 19 2025,SPX251219C06700000,150,1,149,151,9,0.2,0.5,0,0,6700.00,SPX251219P06700000,160,1,159,161,9,0,0,0,70
"""
PUT = Contract(date(2025, 11, 21), 6600.0, False)
CALL = PUT._replace(is_call=True)


@pytest.fixture
def write(tmp_path):
    def write_file(text):
        path = tmp_path / "book.csv"
        path.write_text(text)
        return path

    return write_file


def holdings(book):
    rows = zip(book.expiry.tolist(), book.strike, book.is_call, book.contracts, strict=True)
    return {Contract(day, float(strike), bool(right)): int(held) for day, strike, right, held in rows}


SHIPPED = {"article": 254_000, "conventional": 223_000, "both_wings": 87_000, "no_overwriting": 167_000}


@pytest.mark.parametrize(("name", "gross"), SHIPPED.items())
def test_shipped_books(name, gross):
    book = OptionBook.from_csv(BOOKS / f"{name}.csv")
    assert np.abs(book.contracts).sum() == gross
    assert (BOOKS / f"{name}.csv").read_text().startswith("#")
    assert holdings(book)[PUT] < 0  # customers own this week's puts in all of them


@pytest.mark.parametrize("name", ["sep15", "oct10", "aug05"])
def test_books_of_other_days_are_that_of_the_20th_moved(name):
    """Strikes by the ratio of the prior closes, to 25 points; the first options expire on the day."""
    book, own = (OptionBook.from_csv(BOOKS / f"{file}.csv") for file in (name, "no_overwriting"))
    session = load(BOOKS.parent / f"{name}.toml").session
    assert book.contracts.tolist() == own.contracts.tolist()
    assert book.strike == pytest.approx(own.strike * session.prior_close_points / 6642.16, abs=12.5)
    assert min(book.expiry.tolist()) == session.first_day


def test_the_book_of_the_day_after_is_what_has_not_expired():
    left, own = (holdings(OptionBook.from_csv(BOOKS / f"{file}.csv")) for file in ("nov21", "no_overwriting"))
    assert left == {contract: held for contract, held in own.items() if contract.expiry > date(2025, 11, 20)}


def test_no_overwriting_is_the_articles_book_without_what_customers_wrote():
    article, without = (holdings(OptionBook.from_csv(BOOKS / f"{name}.csv")) for name in ("article", "no_overwriting"))
    assert without == {contract: held for contract, held in article.items() if held < 0}


def test_customers_and_dealers_are_two_sides(write):
    text = f"# a comment\n{HEADER}\n2025-11-21,6600,put,8000,customer\n2025-11-21,6600,call,-5,dealer\n"
    assert holdings(OptionBook.from_csv(write(text))) == {PUT: -8000, CALL: -5}


def test_listing_one_more_option_changes_no_position():
    book = OptionBook.from_csv(BOOKS / "article.csv")
    for day, strike, is_call in [(19, 6000.0, False), (20, 6600.0, True), (28, 6920.0, False), (30, 9000.0, True)]:
        one_more = Contract(date(2025, 11, day), strike, is_call)
        longer = book.listing(one_more)
        assert holdings(longer) == holdings(book) | {one_more: 0}
        assert list(longer.listed) == sorted(longer.listed)


def test_rows_of_one_contract_add_up_and_order_does_not_matter(write):
    rows = ["2025-11-21,6600,put,8,customer", "2025-11-21,6600.0,put,3,dealer", "2025-11-20,6700,call,1,dealer"]
    first = OptionBook.from_csv(write("\n".join([HEADER, *rows])))
    assert holdings(first)[PUT] == -5
    assert first.expiry.tolist() == sorted(first.expiry.tolist())
    assert holdings(first) == holdings(OptionBook.from_csv(write("\n".join([HEADER, *rows[::-1]]))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("expiry,strike,rihgt,contracts,holder", "row 1: no column is called 'rihgt'; did you mean 'right'?"),
        ("expiry,strike,right,contracts", "row 1: column 'holder' is missing; the header is expiry,strike,"),
        (
            f"#\n{HEADER}\n2025-11-21,6600,putt,1,dealer",
            "row 3, column 'right': 'putt' is unknown; did you mean 'put'?",
        ),
        (f"{HEADER}\n2025-11-21,6600,put,1,bank", "row 2, column 'holder': 'bank' is unknown; write one of dealer, "),
        (
            f"{HEADER}\n21.11.2025,6600,put,1,dealer",
            "row 2, column 'expiry': '21.11.2025' is no date; write one like 20",
        ),
        (
            f"{HEADER}\n2025-11-21,-1,put,1,dealer",
            "row 2, column 'strike': '-1' is no strike; write index points above",
        ),
        (f"{HEADER}\n2025-11-21,6600,put,1.5,dealer", "row 2, column 'contracts': '1.5' is no whole number; write con"),
        (f"{HEADER}\n2025-11-21,6600,put,1", "row 2: 4 cells under 5 columns; one is wanted for each"),
        (HEADER, "no option positions below the header"),
        ("", "row 1: column 'expiry' is missing"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(write, text, message):
    path = write(text)
    with pytest.raises(ValueError, match=r"book\.csv") as raised:
        OptionBook.from_csv(path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_cboe_table_with_customers_long_puts_and_short_calls(write):
    december = Contract(date(2025, 12, 19), 6700.0, False)
    book = OptionBook.from_cboe(write(CBOE))
    assert holdings(book) == {PUT: -2500, CALL: 100, december: -70}


def test_cboe_table_with_customers_long_both(write):
    book = OptionBook.from_cboe(write(CBOE), "customers long puts, long calls")
    assert (book.contracts < 0).all()
    assert set(RULES.values()) == {(-1, 1), (1, 1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Expiration Date", "Expiry"), "no line begins with 'Expiration Date'"),
        (("Strike,Puts", "K,Puts"), "needs a column 'Strike'"),
        ((",2500", ",many"), "row 5, column 'Open Interest': 'many' is no whole number"),
        (("Fri Nov 21 2025", "soon"), "row 5, column 'Expiration Date': 'soon' is no date"),
        ((",0,2500", ""), "row 5: only 20 cells"),
    ],
)
def test_a_bad_cboe_table_is_refused(write, change, message):
    with pytest.raises(ValueError, match=r"book\.csv") as raised:
        OptionBook.from_cboe(write(CBOE.replace(*change)))
    assert message in str(raised.value)


def test_an_unknown_rule_is_refused(write):
    with pytest.raises(ValueError, match="did you mean 'customers long puts, short calls'"):
        OptionBook.from_cboe(write(CBOE), "customers long puts short calls")


def test_scaling_rounds_halves_away_from_zero():
    book = OptionBook.of([(PUT, -5), (CALL, 5), (CALL._replace(strike=6700.0), 4)])
    assert sorted(book.scaled(0.1).contracts.tolist()) == [-1, 0, 1]
    assert sorted(book.scaled(0.5).contracts.tolist()) == [-3, 2, 3]


@given(st.lists(st.integers(-50_000, 50_000), min_size=1, max_size=20), st.floats(-3, 3))
def test_scaling_is_odd_and_within_half_a_contract(contracts, factor):
    book = OptionBook.of([(PUT._replace(strike=float(6000 + row)), held) for row, held in enumerate(contracts)])
    scaled = book.scaled(factor).contracts
    assert (np.abs(scaled - factor * book.contracts) <= 0.5 + 1e-9).all()
    assert (book.holding(-book.contracts).scaled(factor).contracts == -scaled).all()


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), -float("inf")])
def test_a_senseless_factor_is_refused(factor):
    with pytest.raises(ValueError, match="finite factor"):
        OptionBook.of([(PUT, 1)]).scaled(factor)


def test_a_book_cannot_be_changed():
    book = OptionBook.of([(PUT, 1)])
    with pytest.raises(ValueError, match="read-only"):
        book.contracts[0] = 2
    with pytest.raises(ValueError, match="one length"):
        book.holding([1, 2])
