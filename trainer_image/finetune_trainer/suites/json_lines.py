"""Files of one JSON object a line, read so that no line can fill the memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_trainer.suites.model import SuiteError

MAX_LINE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Place:
    """Where something was read, for messages."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


def lines(path: Path, file_name: str) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, read so that no line can fill the memory."""
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise SuiteError(f"{Place(file_name, number)}: longer than 1 MiB; one line holds one example")
            if line.strip():
                yield number, line


def parse(place: Place, line: bytes) -> Any:
    """The line as JSON. SuiteError where it is none."""
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SuiteError(f"{place}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:  # also a number of more digits than Python reads
        raise SuiteError(f"{place}: not valid JSON ({error}); each line is one complete JSON object") from error
