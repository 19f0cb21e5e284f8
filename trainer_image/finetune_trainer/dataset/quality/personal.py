"""Patterns of personal data, each verified by what its makers check it by: an order of digits alone is none."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from finetune_trainer.dataset.quality.findings import Finding, FindingKind
from finetune_trainer.dataset.quality.passages import Text


@dataclass(frozen=True)
class PersonalPattern:
    """What it is called, how it looks, what makes it one, and how bad it is."""

    name: str
    regex: re.Pattern[str]
    is_one: Callable[[str], bool]
    severity: float


def check_personal(text: Text) -> Finding | None:
    """Names what was found and where, never the thing itself: the finding goes to logs and reports."""
    found = sorted(set(find_personal(text.whole)), key=lambda pattern: -pattern.severity)
    if not found:
        return None
    names = ", ".join(dict.fromkeys(pattern.name for pattern in found))
    return Finding(FindingKind.PERSONAL_DATA, text.line, f"holds {names}", found[0].severity)


def find_personal(text: str) -> Iterator[PersonalPattern]:
    """Every kind of personal data in a text."""
    for pattern in PATTERNS:
        if any(pattern.is_one(match.group()) for match in pattern.regex.finditer(text)):
            yield pattern


def is_card_number(text: str) -> bool:
    """13 to 19 digits of a known issuer's range whose check digit is right (ISO/IEC 7812: Luhn)."""
    digits = re.sub(r"\D", "", text)
    if not re.fullmatch(r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|6(?:011|5\d\d)\d{12}", digits):
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Remainder 1 of the number that it stands for, divided by 97 (ISO 13616)."""
    written = re.sub(r"\s", "", text)
    if not 15 <= len(written) <= 34:
        return False
    return int("".join(str(int(character, 36)) for character in written[4:] + written[:4])) % 97 == 1


def is_phone_number(text: str) -> bool:
    """A number that exists in some country's plan; without a country code, in the US."""
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(text, None if "+" in text else "US")))
    except phonenumbers.NumberParseException:
        return False


def is_public_address(text: str) -> bool:
    """An IP address of the Internet. 4.2.1.3 is rather a section, and 10.0.0.1 is everybody's."""
    if re.fullmatch(r"\d(?:\.\d){3}", text):
        return False
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def _always(text: str) -> bool:
    return True


PATTERNS = (
    PersonalPattern(
        "a social security number",
        re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"),
        _always,
        1.0,
    ),
    PersonalPattern(
        "a card number",
        re.compile(r"(?<![\w.,$-])\d{4}(?:(?P<gap>[ -]?)\d{2,6})(?:(?P=gap)\d{2,6}){1,3}(?![\w,.-]*\d)"),
        is_card_number,
        1.0,
    ),
    PersonalPattern(
        "an IBAN", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"), is_iban, 0.9
    ),
    PersonalPattern(
        "an e-mail address",
        re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,5}[A-Za-z]{2,24}\b"),
        _always,
        0.6,
    ),
    PersonalPattern(
        "a phone number",
        re.compile(
            r"(?<![\w.,$€£+-])(?:\+\d{1,3}[ .-]?(?:\(0?\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}"
            r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|(?:1-)?\d{3}(?P<mark>[.-])\d{3}(?P=mark)\d{4})(?![\w%]|[.,]\d)"
        ),
        is_phone_number,
        0.6,
    ),
    PersonalPattern(
        "an IP address",
        re.compile(
            r"(?<![\w.:§])(?<!ection )(?<!ersion )(?<!§ )"
            r"(?:(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9a-f]{1,4}:){2,7}(?::?[0-9a-f]{1,4}){1,6})(?![\w:]|\.\d)",
            re.I,
        ),
        is_public_address,
        0.4,
    ),
)
"""Worst first."""
