"""Writes the rows of a generated dataset: the same for the same options on any machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import count
from random import Random

from finetune_trainer.dataset_command.names import companies
from finetune_trainer.dataset_command.parts import Part, Window, window, written
from finetune_trainer.dataset_command.subjects import SUBJECTS, Difficulty, Subject, Task
from finetune_trainer.suites.writing import background, figures

_ROWS_PER_COMPANY = 10
_SINGLE = (Difficulty.EASY, Difficulty.MEDIUM, Difficulty.HARD)
_SENTENCES_AROUND = {Difficulty.EASY: 0, Difficulty.MEDIUM: 1, Difficulty.HARD: 2}


@dataclass(frozen=True)
class Recipe:
    """What the rows follow from."""

    seed: int
    difficulty: Difficulty
    tasks: tuple[Task, ...]
    cutoff: date


@dataclass(frozen=True)
class Row:
    """One row in the seed's shape."""

    instruction: str
    input: str
    output: str


def rows(recipe: Recipe, part: Part, wanted: int) -> Iterator[Row]:
    """So many rows of one part, the tasks in turn, no two of them with the same input."""
    known = companies(part, max(2, -(-wanted // _ROWS_PER_COMPANY)), recipe.seed)
    days = window(part, recipe.cutoff)
    seen: set[str] = set()
    for number in range(wanted):
        task = recipe.tasks[number % len(recipe.tasks)]
        # Each row has its own generator, and a doubled one is drawn again: no row depends on another's words.
        drawn = (_row(recipe, task, known, days, Random(f"{recipe.seed} {part} {number} {turn}")) for turn in count())
        row = next(row for row in drawn if row.input not in seen)
        seen.add(row.input)
        yield row


def _row(recipe: Recipe, task: Task, known: tuple[str, ...], days: Window, random: Random) -> Row:
    difficulty = random.choice(_SINGLE) if recipe.difficulty is Difficulty.MIXED else recipe.difficulty
    company, rival = random.sample(known, 2)
    day, subject = days.day(random), SUBJECTS[task]
    # Yearly results are told in the year that follows; news is of its day. No text speaks of a later year.
    year = day.year if task is Task.SENTIMENT else day.year - 1
    question = subject.write(random.choice(subject.patterns[difficulty]), company, random, (year, year))
    text = _surrounded(question.text, task, difficulty, company, rival, year, random)
    return Row(subject.instruction, f"{company}, {written(day)}: {text}", question.answer)


def _surrounded(
    text: str, task: Task, difficulty: Difficulty, company: str, rival: str, year: int, random: Random
) -> str:
    """The text among sentences that are not asked for; where it is hard, one of them tells another company's news."""
    around = random.sample(background.SENTENCES, _SENTENCES_AROUND[difficulty])
    filled = figures.surroundings(random, (year, year))
    others = [figures.fill(sentence, company, filled) for sentence in around]
    if difficulty is Difficulty.HARD:
        others[0] = _of_another(task, rival, year, random)
    sentences = [text, *others]
    random.shuffle(sentences)
    return " ".join(sentences)


def _of_another(task: Task, rival: str, year: int, random: Random) -> str:
    if task is Task.SENTIMENT:
        subject: Subject = SUBJECTS[task]
        theme = random.choice(subject.patterns[Difficulty.EASY])
        return f"In other news: {subject.write(theme, rival, random, (year, year)).text}"
    sentence = random.choice(background.RIVALS[task])
    eps, amount = f"{figures.cents(random, 6, 985):.2f}", figures.shown(figures.tenths(random, 30, 900))
    return sentence.format(rival=rival, rival_eps=eps, rival_amount=amount)
