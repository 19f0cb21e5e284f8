"""The suite `finance` and the demo's training data: sizes, variety, disjointness, and that every reference is right."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_trainer.scoring import scorers
from finetune_trainer.suites import generate, load
from finetune_trainer.suites.model import Example, LoadedSuite
from finetune_trainer.suites.writing import (
    companies,
    eps,
    eps_patterns,
    filing_sentences,
    revenue,
    revenue_patterns,
    sentiment_patterns,
)

REPOSITORY = Path(__file__).resolve().parents[3]
SCORED = ("eps-extraction", "sentiment-analysis", "revenue-analysis")
LOSSES = {*eps_patterns.LOSSES, *eps_patterns.TRAINING_LOSSES}
TOLD = r"[\d,]+(?:\.\d+)?"


@pytest.fixture(scope="module")
def finance() -> LoadedSuite:
    return load.load_suite(load.builtin_suite_folder("finance"))


@pytest.fixture(scope="module")
def training_rows() -> list[dict[str, str]]:
    text = (REPOSITORY / "examples" / "demo" / "train.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def text_of(example: Example) -> str:
    if example.text is not None:
        return example.text
    assert example.messages is not None
    return example.messages[0].content.split("\n\n", 1)[1]


def as_expression(pattern: str) -> re.Pattern[str]:
    """What the pattern can become: its figures as named groups."""
    parts, seen = [], set()
    for literal, name, _, _ in string.Formatter().parse(pattern):
        parts.append(re.escape(literal))
        if name:
            told = ".+?" if name == "company" else r"\w+" if name == "quarter" else TOLD
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{told})")
            seen.add(name)
    return re.compile("".join(parts))


def told_in(text: str, patterns: tuple[str, ...]) -> tuple[str, dict[str, Fraction]]:
    """The one pattern that the text was made from, and the amounts it tells."""
    found = [(pattern, match) for pattern in patterns if (match := as_expression(pattern).fullmatch(text))]
    assert len(found) == 1, text
    pattern, match = found[0]
    amounts = {name: value for name, value in match.groupdict().items() if name not in {"company", "quarter"}}
    return pattern, {name: Fraction(value.replace(",", "")) for name, value in amounts.items()}


def eps_of(text: str, patterns: tuple[str, ...]) -> Fraction:
    pattern, told = told_in(text, patterns)
    size = told["eps"] if "eps" in told else told["net_income"] / told["shares"]
    return -size if pattern in LOSSES else size


def growth_of(text: str, patterns: tuple[str, ...]) -> Fraction:
    _, told = told_in(text, patterns)
    before = told.get("before") or 1000 * told["before_billion"]
    now = told.get("now") or told.get("now_million") or 1000 * told["now_billion"]
    return 100 * (now - before) / before


def signed(growth: str) -> Fraction:
    direction, size = growth.removesuffix("%").split()
    return Fraction(size) * {"up": 1, "down": -1}[direction]


def test_the_committed_files_are_what_the_generator_writes() -> None:
    assert generate.stale_files(REPOSITORY) == []


def test_the_check_fails_when_a_file_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load, "builtin_suite_folder", lambda name: tmp_path / name)
    assert generate.main(["--write", "--repository", str(tmp_path)]) == 0
    assert generate.main(["--check", "--repository", str(tmp_path)]) == 0
    changed = tmp_path / "finance" / "eps-extraction.jsonl"
    changed.write_text(changed.read_text(encoding="utf-8").replace("1", "2", 1), encoding="utf-8")
    assert generate.main(["--check", "--repository", str(tmp_path)]) == 1
    assert str(changed) in capsys.readouterr().err


def test_each_task_has_its_examples_companies_and_patterns(finance: LoadedSuite) -> None:
    for task in SCORED:
        examples = finance.examples[task]
        assert len(examples) >= 800
        assert len({example.group for example in examples}) == 80
        assert len({example.pattern for example in examples}) == 40
        assert set(Counter(example.pattern for example in examples).values()) == {20}
        assert len({text_of(example) for example in examples}) == len(examples)


def test_each_example_names_its_company(finance: LoadedSuite) -> None:
    for examples in finance.examples.values():
        assert [example.id for example in examples if example.group not in text_of(example)] == []


def test_every_eps_reference_follows_from_the_text(finance: LoadedSuite) -> None:
    for example in finance.examples["eps-extraction"]:
        assert example.reference is not None
        assert eps_of(text_of(example), eps.PATTERNS) == Fraction(example.reference), example.id


def test_every_growth_reference_follows_from_the_text(finance: LoadedSuite) -> None:
    for example in finance.examples["revenue-analysis"]:
        assert example.reference is not None
        growth = growth_of(text_of(example), revenue.PATTERNS)
        assert abs(growth - signed(example.reference)) <= Fraction(1, 20), example.id
        assert abs(growth) >= 1, example.id


def test_every_sentiment_reference_is_the_telling_that_was_used(finance: LoadedSuite) -> None:
    tellings = {telling: label for theme in sentiment_patterns.SUITE for label, telling in theme._asdict().items()}
    for example in finance.examples["sentiment-analysis"]:
        telling, _ = told_in(text_of(example), tuple(tellings))
        assert tellings[telling] == example.reference, example.id


def test_every_reference_scores_full_marks_in_the_form_that_is_asked_for(finance: LoadedSuite) -> None:
    for name in SCORED:
        prefix = "EPS: " if name == "eps-extraction" else ""
        for example in finance.examples[name]:
            assert scorers.score(finance.suite.task(name), f"{prefix}{example.reference}", example).value == 1.0


def test_no_answer_can_be_had_by_saying_always_the_same(finance: LoadedSuite) -> None:
    labels = Counter(example.reference for example in finance.examples["sentiment-analysis"])
    directions = Counter(str(example.reference).split()[0] for example in finance.examples["revenue-analysis"])
    assert min(labels.values()) > 0.28 * labels.total()
    assert min(directions.values()) > 0.4 * directions.total()


def test_prompts_and_answers_are_short(finance: LoadedSuite) -> None:
    for name in SCORED:
        for example in finance.examples[name]:
            assert example.messages is not None
            assert len(example.messages) == 1
            assert len(example.messages[0].content) <= 330


def test_the_raw_texts_are_paragraphs_of_many_documents(finance: LoadedSuite) -> None:
    texts = finance.examples["perplexity"]
    words = [len(text_of(example).split()) for example in texts]
    assert len(texts) >= 800
    assert len({example.group for example in texts}) == 80
    assert len({example.pattern for example in texts}) >= 40
    assert set(Counter(example.pattern for example in texts).values()) == {20}
    assert len({text_of(example) for example in texts}) == len(texts)
    assert min(words) >= 60 and max(words) <= 120


@pytest.mark.parametrize(
    ("suite", "training"),
    [
        (companies.SUITE_COMPANIES, companies.TRAINING_COMPANIES),
        (eps.PATTERNS, eps.TRAINING_PATTERNS),
        (revenue_patterns.SUITE, revenue_patterns.TRAINING),
        (sum(sentiment_patterns.SUITE, ()), sum(sentiment_patterns.TRAINING, ())),
    ],
)
def test_suite_and_training_data_share_no_company_and_no_pattern(
    suite: tuple[str, ...], training: tuple[str, ...]
) -> None:
    assert len({*suite, *training}) == len(suite) + len(training)
    assert not {as_skeleton(each) for each in suite} & {as_skeleton(each) for each in training}


def as_skeleton(pattern: str) -> str:
    """Only the words, so that another placeholder or comma makes no new pattern."""
    return " ".join(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", pattern.casefold())))


def test_no_company_pattern_or_text_of_the_suite_is_in_the_training_data(
    finance: LoadedSuite, training_rows: list[dict[str, str]]
) -> None:
    suite_texts = {text_of(example) for examples in finance.examples.values() for example in examples}
    tellings = sum(sentiment_patterns.SUITE, ())
    suite_patterns = [as_expression(pattern) for pattern in (*eps.PATTERNS, *revenue.PATTERNS, *tellings)]
    for row in training_rows:
        assert row["input"] not in suite_texts
        assert not any(company in row["input"] for company in companies.SUITE_COMPANIES)
        assert not any(pattern.fullmatch(row["input"]) for pattern in suite_patterns), row["input"]


def test_the_training_data_are_right_mixed_and_small(training_rows: list[dict[str, str]]) -> None:
    by_instruction = {subject.instruction: subject for subject in generate.SUBJECTS}
    subjects = [by_instruction[row["instruction"]] for row in training_rows]
    for row, subject in zip(training_rows, subjects, strict=True):
        if subject.task == "eps-extraction":
            assert eps_of(row["input"], eps.TRAINING_PATTERNS) == Fraction(row["output"].removeprefix("EPS: "))
        elif subject.task == "revenue-analysis":
            growth = growth_of(row["input"], revenue.TRAINING_PATTERNS)
            assert abs(growth - signed(row["output"])) <= Fraction(1, 20)
    assert set(Counter(subject.task for subject in subjects).values()) == {60}
    assert len({subject.task for subject in subjects[:20]}) == 3
    assert len({row["input"] for row in training_rows}) == len(training_rows)
    assert all(len(subject.training_patterns) >= 16 for subject in generate.SUBJECTS)
    assert (REPOSITORY / "examples" / "demo" / "train.jsonl").stat().st_size < 200_000


@settings(deadline=None)
@given(st.integers(), st.sampled_from(eps.PATTERNS + eps.TRAINING_PATTERNS))
def test_any_eps_question_is_right(seed: int, pattern: str) -> None:
    question = eps.write(pattern, "Acme", Random(seed))
    assert eps_of(question.text, (pattern,)) == Fraction(question.reference)


@settings(deadline=None)
@given(st.integers(), st.sampled_from(revenue.PATTERNS + revenue.TRAINING_PATTERNS))
def test_any_growth_question_is_right(seed: int, pattern: str) -> None:
    question = revenue.write(pattern, "Acme", Random(seed))
    assert abs(growth_of(question.text, (pattern,)) - signed(question.reference)) <= Fraction(1, 20)


@settings(deadline=None)
@given(st.integers(1, 99_999), st.integers(1, 99_999))
def test_growth_is_rounded_to_a_tenth_of_a_point(before: int, now: int) -> None:
    words = revenue.growth_in_words(Decimal(before) / 10, Decimal(now) / 10)
    assert abs(Fraction(100 * (now - before), before) - signed(words)) <= Fraction(1, 20)


def test_the_sections_of_reports_share_no_sentence() -> None:
    sentences = [as_skeleton(each) for section in filing_sentences.SECTIONS.values() for each in section]
    assert len(set(sentences)) == len(sentences)


def test_every_section_of_a_report_can_fill_a_paragraph() -> None:
    for name, sentences in filing_sentences.SECTIONS.items():
        assert len(sentences) >= 6, name
        assert any("{company}" in sentence for sentence in sentences), name
