"""Financial PhraseBank: sentences of financial news, labelled by people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from finetune_trainer.suite_command.clusters import clusters
from finetune_trainer.suite_command.published import files
from finetune_trainer.suite_command.published.converted import Converted
from finetune_trainer.suite_command.published.moods import MOODS, Mood, moods
from finetune_trainer.suites.model import SuiteError

TAKEN_OF_ARCHIVE = "Sentences_AllAgree.txt"
"""Of the four files in the published archive: the sentences on which all annotators agreed."""

_Labelled = tuple[str, str, str]
"""Place, sentence, mood."""


def phrasebank(paths: Sequence[Path]) -> Converted:
    """Sentences that share much of their wording are one group."""
    rows = [row for path in paths for row in _rows(path)]
    groups = clusters([sentence for _, sentence, _ in rows])
    found = [
        Mood(place, sentence, mood, group=f"cluster-{group + 1:05d}")
        for (place, sentence, mood), group in zip(rows, groups, strict=True)
    ]
    return moods("phrasebank", "Financial PhraseBank", found)


def _rows(path: Path) -> Iterator[_Labelled]:
    if files.is_zip(path):
        name = f"{path.name}: {TAKEN_OF_ARCHIVE}"
        return _of_text(name, files.member(path, TAKEN_OF_ARCHIVE))
    if files.is_parquet(path) or path.suffix.lower() in (".json", ".jsonl"):
        return _of_table(path)
    if path.suffix.lower() == ".csv":
        return _of_csv(path)
    return _of_text(path.name, files.text(path))


def _of_text(name: str, content: str) -> Iterator[_Labelled]:
    """`sentence@label`."""
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        sentence, _, mood = line.rstrip().rpartition("@")
        if mood not in MOODS or not sentence.strip():
            raise SuiteError(
                f"{name}, line {number}: expected sentence@label with one of {', '.join(MOODS)}; join a sentence that "
                "is broken over two lines, or take the line out"
            )
        yield f"{name}, line {number}", sentence.strip(), mood


def _of_csv(path: Path) -> Iterator[_Labelled]:
    """With a header, or, as one much-used copy has it, without: label and sentence."""
    _, first = next(files.csv_rows(path), (1, [""]))
    if first[0].strip().lower() not in MOODS:
        yield from _of_table(path)
        return
    for number, cells in files.csv_rows(path):
        place = f"{path.name}, line {number}"
        if len(cells) != 2 or not cells[1].strip():
            raise SuiteError(f"{place}: expected label and sentence; put a sentence with commas in double quotes")
        yield place, cells[1].strip(), _mood(place, cells[0])


def _of_table(path: Path) -> Iterator[_Labelled]:
    for place, row in files.table(path):
        label = files.column(place, row, "label", "sentiment")
        yield place, files.words(place, row, "sentence", "text"), _mood(place, label)


def _mood(place: str, label: object) -> str:
    """A word, or its number."""
    told = str(label).strip().lower()
    if told in MOODS:
        return told
    if told in {str(number) for number in range(len(MOODS))}:
        return MOODS[int(told)]
    numbered = ", ".join(f"{name} ({number})" for number, name in enumerate(MOODS))
    raise SuiteError(f"{place}: label: {str(label)[:80]!r} is none of {numbered}")
