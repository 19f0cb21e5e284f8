"""Numbers in answers: what is read, what is refused, and that no input makes it slow."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.scoring import number_answers, numbers

READ = [
    ("$1.23", "1.23"),
    ("€ 3.5", "3.5"),
    ("£5k", "5000"),
    ("US$4", "4"),
    (".45", "0.45"),
    ("1,234.5", "1234.5"),
    ("1,234,567", "1234567"),
    ("1.23.", "1.23"),
    ("EPS—1.23", "1.23"),
    ("(0.45)", "-0.45"),
    ("($0.45)", "-0.45"),
    ("$(0.45)", "-0.45"),
    ("(1.2 million)", "-1200000"),
    ("($1.2) million", "-1200000"),
    ("$(1.2) billion", "-1200000000"),
    ("(1.2)m", "-1200000"),
    ("(1) M. Smith", "-1"),
    ("-$0.45", "-0.45"),
    ("$-0.45", "-0.45"),
    ("\u22120.45", "-0.45"),
    ("\u20130.45", "-0.45"),
    ("\uff0d0.45", "-0.45"),
    ("minus 3", "-3"),
    ("negative $2.50", "-2.50"),
    ("loss of $0.45 per share", "-0.45"),
    ("loss per share of $1.23", "-1.23"),
    ("net loss per share of $1.23", "-1.23"),
    ("loss per diluted share: 1.23", "-1.23"),
    ("net loss per share was 1.23", "-1.23"),
    ("losses of 1.2 million", "-1200000"),
    ("a $1.23 loss", "-1.23"),
    ("$1.23 per share net loss", "-1.23"),
    ("2 thousand", "2000"),
    ("1.23 mil", "1230000"),
    ("1.5 bil", "1500000000"),
    ("3 hundred", "300"),
    ("2 crore", "20000000"),
    ("1.2 million", "1200000"),
    ("$1.2M", "1200000"),
    ("$1.2B", "1200000000"),
    ("1.2bn", "1200000000"),
    ("3\u00a0billion", "3000000000"),
    ("45 cents", "0.45"),
    ("- 1.23", "1.23"),
    ("$ -1.23", "-1.23"),
]
UNREAD = ["", "none", "FY2023", "Q3", "1.2.3", "1,23", "1,2345", "12abc", "10-K", "²", "9" * 31]
UNREAD += ["1.23 hundred million", "1.23 (in millions)", "1.23 in thousands", "1.23 basis points"]


@pytest.mark.parametrize(("text", "value"), READ)
def test_a_number_is_read_with_its_sign_and_scale(text: str, value: str) -> None:
    assert [number.value for number in numbers.find_numbers(text)] == [Decimal(value)]


@pytest.mark.parametrize("text", UNREAD)
def test_what_is_not_one_plain_number_is_not_read(text: str) -> None:
    assert list(numbers.find_numbers(text)) == []


def test_a_percentage_is_known_as_one() -> None:
    found = list(numbers.find_numbers("12.5% or 3 percent, not 7"))
    assert [(number.value, number.is_percent) for number in found] == [(Decimal("12.5"), True), (3, True), (7, False)]
    (loss,) = numbers.find_numbers("(12.5)%")
    assert (loss.value, loss.is_percent, loss.end) == (Decimal("-12.5"), True, 7)


ANSWERED = [
    ("EPS: 1.23", "1.23"),
    ("eps: $1.23 for fiscal 2023, up from 1.10", "1.23"),
    ("EPS: $1.23 versus $1.10", "1.23"),
    ("EPS: $1.23 for Q3 2024", "1.23"),
    ("EPS: 1.23 for the year ended December 31, 2023", "1.23"),
    ("It earned 1.23 a share in the quarter to 30 June 2023", "1.23"),
    ("EPS: 1.23 in Sept. 2023, up from 1.10 in Sept. 2022", "1.23"),
    ("EPS: $1.23, compared with a loss of $0.40", "1.23"),
    ("EPS: $1.23 (1.10 a year earlier)", "1.23"),
    ("EPS: up from 1.10 to 1.23", "1.23"),
    ("EPS: not 1.45 but 1.23", "1.23"),
    ("EPS: 1.23, up 12%", "1.23"),
    ("EPS: $1.23 ($123 million / 100 million shares)", "1.23"),
    ("EPS: 1.23 (that is $1.23)", "1.23"),
    ("EPS: net loss per share of $1.23", "-1.23"),
    ("Net income 500, shares 100. EPS:\n\n 5", "5"),
    ("Net income 500, shares 100.\nEPS: 5\nThe prior year had 4.", "5"),
    ("EPS: 1.23\nEPS: $1.23", "1.23"),
    ("EPS: 2023", "2023"),
    ("Revenue was 40 and the EPS is 1.23", "1.23"),
    ("500 / 100 = 5", "5"),
    ("Net income is 500 or so. Divided by 100 shares it is 5", "5"),
    ("It was 1.23 in 2023", "1.23"),
    ("The EPS was 1.45. Earlier it was 1.23", "1.45"),
    ("The EPS was 1.45; the prior year it was 1.23", "1.45"),
]


@pytest.mark.parametrize(("text", "value"), ANSWERED)
def test_the_value_after_the_marker_counts_else_the_last_number(text: str, value: str) -> None:
    found = number_answers.answer(text, "EPS:")
    assert found is not None
    assert found.value == Decimal(value)


CONFLICTING = [
    "EPS: 1.23 or 1.45",
    "EPS: 1.23 (or 1.45)",
    "EPS: 1.23 or maybe about 1.45",
    "EPS: 1.23 1.45",
    "EPS: 1.23/1.45",
    "EPS: 1.23 - 1.45",
    "EPS: 1.23. No, wait, it should be 1.45",
    "EPS: 1.23 for basic shares and 1.20 for diluted ones",
    "EPS: 1.23 or 1.45 million",
    "EPS: 1.23 or 12%",
    "EPS: 1.23\nEPS: 1.45",
    "It is $1.20 or perhaps $1.30",
    "It is 1.20. Or it could be 1.30",
    "1.20 1.30",
    "1.20 (1.30)",
    "between 1.20 and 1.30",
]
MISSING = [
    "EPS: 1.23 EPS:",
    "Net income was 1.23. EPS: unknown",
    "EPS:",
    "EPS: not 1.23",
    "EPS: isn\u2019t 1.23",
    "EPS: 1.23 is wrong",
    "It is certainly not $1.23",
    "EPS: 1.23 (in millions)",
    "no idea",
    "5 " * 1001,
]


@pytest.mark.parametrize("text", [*CONFLICTING, *MISSING])
def test_conflicting_denied_or_missing_values_give_no_answer(text: str) -> None:
    assert number_answers.answer(text, "EPS:") is None


@pytest.mark.parametrize("hedge", ["or", "(or", "or maybe about", ",", "/", "and", "to", "alternatively", ""])
@pytest.mark.parametrize("lead", ["EPS: ", ""])
def test_no_hedge_earns_the_one_number_that_is_right(lead: str, hedge: str) -> None:
    for one, other in (("1.23", "1.45"), ("1.45", "1.23")):
        assert number_answers.answer(f"{lead}{one} {hedge} {other}", "EPS:") is None


@settings(deadline=None)
@given(st.decimals(min_value=-(10**9), max_value=10**9, places=2), st.sampled_from(["", "$", "€", "£"]))
def test_any_written_amount_is_read_back(value: Decimal, currency: str) -> None:
    sign = "-" if value < 0 else ""
    for written in (
        f"{sign}{currency}{abs(value):,}",
        f"({currency}{abs(value)})" if value < 0 else f"{currency}{value}",
    ):
        found = number_answers.answer(f"EPS: {written}", "EPS:")
        assert found is not None
        assert found.value == value


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_is_an_error(text: str) -> None:
    for number in numbers.find_numbers(text):
        assert number.value.is_finite()
    number_answers.answer(text, "EPS:")


HOSTILE = [
    "1",
    "1,",
    "1,111",
    "(",
    "$",
    "$(",
    "-",
    "1.",
    " ",
    "1 ",
    ".1",
    "US$",
    "EPS:",
    "EPS: 1 ",
    "loss of ",
    "1 or ",
    "1 is not ",
    "from the ",
    "loss per share ",
    "1 (in millions) ",
    "fiscal 2023 ",
    "not 1 ",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_megabyte_of_hostile_text_is_read_in_linear_time(piece: str) -> None:
    """Seconds; a search that is quadratic in the text would take hours."""
    started = time.process_time()
    number_answers.answer(piece * (1_000_000 // len(piece)), "EPS:")
    assert time.process_time() - started < 60
