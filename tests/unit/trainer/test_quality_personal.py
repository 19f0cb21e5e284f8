"""Personal data is told from figures by what its makers check it by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.dataset.quality.passages import Text
from finetune_trainer.dataset.quality.personal import check_personal, find_personal, is_card_number


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Write to jane.doe+x@example.co.uk today.", "an e-mail address"),
        ("Call +49 30 901820 or come by.", "a phone number"),
        ("Call (650) 253-0000.", "a phone number"),
        ("Call 650-253-0000 now", "a phone number"),
        ("Account DE89 3704 0044 0532 0130 00 is meant.", "an IBAN"),
        ("Account GB82WEST12345698765432", "an IBAN"),
        ("Card 4111 1111 1111 1111, expires soon", "a card number"),
        ("Card 4012888888881881.", "a card number"),
        ("Her SSN is 536-22-1234.", "a social security number"),
        ("It came from 8.8.4.40 at noon", "an IP address"),
        ("It came from 2a00:1450:4001:81b::200e at noon", "an IP address"),
    ],
)
def test_it_is_found(text: str, name: str) -> None:
    assert [pattern.name for pattern in find_personal(text)] == [name]


@pytest.mark.parametrize(
    "text",
    [
        "Revenue was 1,234,567,890 dollars.",
        "Revenue was $1234567890 in 2023.",
        "Shares: 1 234 567 890; before: 987 654 321.",
        "Commission file number 001-36743, IRS number 94-2404110.",
        "CUSIP 037833100, ISIN US0378331005",
        "From 2019-2023 margins were 12.5-13.5-14.5.",
        "See section 4.2.1.3 and version 10.2.3.4 of the filing.",
        "The server is at 10.0.0.1 or 127.0.0.1.",
        "Account DE89 3704 0044 0532 0130 01",
        "Card 4111 1111 1111 1112",
        "Zip 94043-1351, at 12:30:45 on 03.04.2024",
        "ratio 1.234.567.890",
        "@company beat by 12%",
    ],
)
def test_figures_are_none(text: str) -> None:
    assert list(find_personal(text)) == []


def test_the_finding_does_not_repeat_what_it_found() -> None:
    finding = check_personal(Text(3, "", "My card is 4111 1111 1111 1111.", "jane@example.com"))
    assert finding is not None
    assert (finding.line, finding.severity, finding.detail) == (3, 1.0, "holds a card number, an e-mail address")


@given(st.decimals("0.01", "99999999999", places=2))
def test_no_amount_of_money_is_personal(amount: object) -> None:
    assert list(find_personal(f"Revenue was ${amount:,} and {amount} in all.")) == []


@given(st.integers(0, 9))
def test_one_digit_in_ten_makes_a_card_number(last: int) -> None:
    assert is_card_number(f"555555555555444{last}") is (last == 4)


@given(st.text())
def test_any_text_can_be_looked_through(text: str) -> None:
    list(find_personal(text))
