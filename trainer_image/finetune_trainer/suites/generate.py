"""Writes the suite `finance` and the demo's training data, always the same.

python3 -m finetune_trainer.suites.generate --write    writes the files
python3 -m finetune_trainer.suites.generate --check    fails when the files differ from what would be written
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from finetune_trainer.suites import load
from finetune_trainer.suites.writing import companies, eps, filings, instructions, revenue, sentiment
from finetune_trainer.suites.writing.question import Question

SEED = "finance-1"
EXAMPLES_PER_COMPANY = 10
TRAINING_ROWS_PER_COMPANY = 2
SHOTS = 8
"""Of each task: as many as a baseline may be shown."""
_SHOT_TURN = 8
"""Where the patterns begin, so that four shots show profits and losses, every mood, and rises and falls."""
TRAINING_ROWS = 60
"""Of each task: two minutes of training on two cores."""

_FINANCE = "finance"
_STRIDE = 4
"""Ten steps of it go once round the forty patterns, so each company meets ten and each pattern twenty companies."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """What one task asks, and the patterns it asks it in."""

    task: str
    instruction: str
    patterns: Sequence[Any]
    training_patterns: Sequence[Any]
    write: Callable[[Any, str, Random], Question]


SUBJECTS = (
    Subject("eps-extraction", instructions.EPS, eps.PATTERNS, eps.TRAINING_PATTERNS, eps.write),
    Subject(
        "sentiment-analysis",
        instructions.SENTIMENT,
        sentiment.PATTERNS,
        sentiment.TRAINING_PATTERNS,
        sentiment.write,
    ),
    Subject("revenue-analysis", instructions.REVENUE, revenue.PATTERNS, revenue.TRAINING_PATTERNS, revenue.write),
)


def examples(subject: Subject) -> Iterator[Row]:
    """All examples of one task: every company with ten of the patterns."""
    for number, company in enumerate(companies.SUITE_COMPANIES):
        for turn in range(EXAMPLES_PER_COMPANY):
            index = (number + _STRIDE * turn) % len(subject.patterns)
            question = subject.write(subject.patterns[index], company, _random(subject.task, company, turn))
            yield {
                "id": f"{subject.task}-{number * EXAMPLES_PER_COMPANY + turn + 1:04d}",
                "task": subject.task,
                "group": company,
                "pattern": f"{subject.task}-{index + 1:02d}",
                "messages": [{"role": "user", "content": instructions.prompt(subject.instruction, question.text)}],
                "reference": question.reference,
            }


def paragraphs() -> Iterator[Row]:
    """The raw texts: ten sections of each company's report, the sections taken in turn."""
    for number, company in enumerate(companies.SUITE_COMPANIES):
        for turn in range(EXAMPLES_PER_COMPANY):
            count = number * EXAMPLES_PER_COMPANY + turn
            section = filings.SECTIONS[count % len(filings.SECTIONS)]
            yield {
                "id": f"perplexity-{count + 1:04d}",
                "task": "perplexity",
                "group": company,
                "pattern": f"perplexity-{section}",
                "text": filings.write(section, company, _random("perplexity", company, turn)),
            }


def training_rows(of_each_task: int = TRAINING_ROWS) -> list[Row]:
    """The demo's training data, all tasks in mixed order. There are 80 rows of each task at most."""
    rows = [row for subject in SUBJECTS for row in islice(_training_rows(subject), of_each_task)]
    Random(f"{SEED} order").shuffle(rows)
    return rows


def _training_rows(subject: Subject) -> Iterator[Row]:
    for number, company in enumerate(companies.TRAINING_COMPANIES):
        for turn in range(TRAINING_ROWS_PER_COMPANY):
            index = (number * TRAINING_ROWS_PER_COMPANY + turn) % len(subject.training_patterns)
            pattern = subject.training_patterns[index]
            question = subject.write(pattern, company, _random(f"training {subject.task}", company, turn))
            yield {"instruction": subject.instruction, "input": question.text, "output": question.answer}


def shots() -> Iterator[Row]:
    """Worked examples, of companies and in patterns that the suite never asks about."""
    for subject in SUBJECTS:
        for number, company in enumerate(companies.TRAINING_COMPANIES[:SHOTS]):
            pattern = subject.training_patterns[(number + _SHOT_TURN) % len(subject.training_patterns)]
            question = subject.write(pattern, company, _random(f"shot {_SHOT_TURN} {subject.task}", company, number))
            yield {
                "id": f"shot-{subject.task}-{number + 1}",
                "task": subject.task,
                "group": company,
                "messages": [{"role": "user", "content": instructions.prompt(subject.instruction, question.text)}],
                "reference": question.reference,
                "answer": question.answer,
            }


def _random(*parts: object) -> Random:
    """One generator a row, so that a changed pattern changes no other row."""
    return Random(" ".join(map(str, (SEED, *parts))))


def files(repository: Path) -> dict[Path, str]:
    """Every generated file with its content."""
    folder = load.builtin_suite_folder(_FINANCE)
    written = {folder / f"{subject.task}.jsonl": _jsonl(examples(subject)) for subject in SUBJECTS}
    written[folder / "perplexity.jsonl"] = _jsonl(paragraphs())
    written[folder / "shots.jsonl"] = _jsonl(shots())
    written[repository / "examples" / "demo" / "train.jsonl"] = _jsonl(training_rows())
    return written


def _jsonl(rows: Iterator[Row] | Sequence[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def stale_files(repository: Path) -> list[Path]:
    """The files that are missing or differ from what the generator writes."""
    wanted = files(repository)
    return [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python3 -m finetune_trainer.suites.generate", description=__doc__)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write the files")
    mode.add_argument("--check", action="store_true", help="fail when a file is not what would be written")
    parser.add_argument("--repository", type=Path, default=Path.cwd(), help="where examples/ lies (default: here)")
    options = parser.parse_args(arguments)
    return _write(options.repository) if options.write else _check(options.repository)


def _write(repository: Path) -> int:
    for path, text in files(repository).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {text.count(chr(10))} lines, {len(text.encode()) // 1024} KiB")
    return 0


def _check(repository: Path) -> int:
    stale = stale_files(repository)
    for path in stale:
        print(f"{path}: not what the generator writes; run it with --write", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
