"""The table of faults in the documentation names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[2]
TABLE = TESTS.parent / "docs" / "faults.md"


def test_the_table_of_faults_names_tests_that_there_are() -> None:
    defined = {
        name
        for source in TESTS.glob("**/test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", source.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", TABLE.read_text()))
    assert len(named) > 20
    assert named - defined == set()
