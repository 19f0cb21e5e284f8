"""The noise floor: what is asked again, when, and what is told of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evaluation_desk import Desk, write_lines, write_suite
from findings_of import findings_of, right_for, small_suite
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.evaluation import Decoding, NoiseFloor
from finetune_api.quantization import Precision, Quantization
from finetune_api.results import EvaluateResult
from finetune_trainer import compare, evaluate
from finetune_trainer.evaluation import noise
from finetune_trainer.evaluation.examination import Examiner
from finetune_trainer.evaluation.noise import depends_on_batches, noise_floor, selected
from finetune_trainer.report.wording import caveats
from finetune_trainer.scoring.predictions import ScoredPrediction

IDS = st.sets(st.text(min_size=1, max_size=6), min_size=1, max_size=60)


def prediction(name: str, answer: str, score: float) -> ScoredPrediction:
    return ScoredPrediction(id=name, task="eps", group="A", prediction=answer, score=score, parsed=True)


class Answers:
    """All answers that the model gives, by its prompt, in the order of asking, with the number of rows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: defaultdict[Any, list[str]] = defaultdict(list)
        self.rows: list[int] = []
        original = Examiner.answer

        def answer(examiner: Examiner, prompts: Sequence[Any], *arguments: Any) -> list[str]:
            found = original(examiner, prompts, *arguments)
            self.rows.append(len(prompts))
            for prompt, each in zip(prompts, found, strict=True):
                self.given[prompt].append(each)
            return found

        monkeypatch.setattr(Examiner, "answer", answer)

    @property
    def twice(self) -> list[list[str]]:
        return [each for each in self.given.values() if len(each) > 1]


def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number format that a GPU computes in."""
    monkeypatch.setattr(evaluate, "precision_for", lambda is_gpu: Precision.BFLOAT16)


@given(IDS)
def test_a_tenth_is_selected_at_least_one_and_always_the_same(ids: set[str]) -> None:
    chosen = selected(ids)
    assert len(chosen) == -(-len(ids) // 10) and chosen <= ids
    assert chosen == selected(sorted(ids)) == selected(sorted(ids, reverse=True))


@given(IDS, st.text(min_size=1, max_size=6))
def test_an_example_more_puts_at_most_one_other_out(ids: set[str], another: str) -> None:
    assert len(selected(ids) - selected(ids | {another})) <= 1


@pytest.mark.parametrize(
    ("precision", "quantization", "expected"),
    [
        (Precision.FLOAT32, Quantization.NONE, False),
        (Precision.BFLOAT16, Quantization.NONE, True),
        (Precision.FLOAT32, Quantization.NF4, True),
        (Precision.FLOAT32, Quantization.INT8, True),
    ],
)
def test_answers_depend_on_the_batch_in_all_but_plain_float32(
    precision: Precision, quantization: Quantization, expected: bool
) -> None:
    assert depends_on_batches(precision, quantization) is expected


def test_other_words_with_the_same_score_change_the_answer_alone() -> None:
    first = {"a": prediction("a", "1.5", 1), "b": prediction("b", "2", 0), "c": prediction("c", "1.5", 1)}
    again = {"a": prediction("a", "EPS: 1.5", 1), "b": prediction("b", "2", 0), "c": prediction("c", "3", 0)}
    assert noise_floor(first, again) == NoiseFloor(examples=3, changed_answers=2, changed_scores=1)


def test_in_float32_nothing_is_asked_twice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(monkeypatch)
    assert desk.evaluate().noise is None
    assert len(answers.given) == 48 and answers.twice == []


@pytest.mark.parametrize("form", ["bfloat16", "nf4"])
def test_a_tenth_is_asked_again_in_smaller_batches_and_what_changed_is_counted(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    answers = Answers(monkeypatch)
    if form == "bfloat16":
        as_on_a_gpu(monkeypatch)
    result = desk.evaluate(quantization=Quantization.NF4 if form == "nf4" else Quantization.NONE)
    assert result.noise is not None and result.noise.examples == len(answers.twice) == 2 * 3
    assert answers.rows == [24, 24, 3, 3]
    assert result.noise.changed_answers == sum(one != other for one, other in answers.twice)
    assert result.noise.changed_scores <= result.noise.changed_answers
    assert kept(desk, "run") == result


def kept(desk: Desk, directory: str) -> EvaluateResult:
    return EvaluateResult.model_validate_json((desk.root / directory / "evaluate" / "result.json").read_text())


def test_long_answers_in_bfloat16_do_change_with_the_batch(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """9 of 48 did; in float32, at the same batch sizes, none does (test_evaluate.py)."""

    def at_length(document: dict[str, Any]) -> None:
        for task in document["tasks"][:2]:
            task["maxNewTokens"] = 64

    write_suite(desk.suite, at_length)
    as_on_a_gpu(monkeypatch)
    monkeypatch.setattr(noise, "ONE_IN", 1)
    answers = Answers(monkeypatch)
    decoding = Decoding(max_new_tokens=64)
    order = desk.evaluate_order().model_copy(update={"decoding": decoding, "digest": desk.digest(decoding=decoding)})
    found = evaluate.run(order, desk.reporter()).noise
    assert found is not None and found.examples == len(answers.twice) == 48
    assert 0 < found.changed_answers == sum(one != other for one, other in answers.twice)


def test_the_first_answers_stand_whatever_the_second_ones_are(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_a_gpu(monkeypatch)
    answers = Answers(monkeypatch)
    desk.evaluate()
    lines = [json.loads(line) for line in desk.predictions().splitlines()]
    scored = [line["prediction"] for line in lines if "prediction" in line]
    assert sorted(scored) == sorted(each[0] for each in answers.given.values())


def test_choices_are_made_again_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(document: dict[str, Any]) -> None:
        document["tasks"] = [
            {"name": "mood", "title": "mood", "scorer": {"kind": "choice"}, "examples": "mood.jsonl"},
        ]
        document.pop("shots")

    write_suite(desk.suite, choose)
    lines = [json.loads(line) for line in (desk.suite / "mood.jsonl").read_text().splitlines()]
    write_lines(desk.suite / "mood.jsonl", [line | {"choices": ["good", "bad"]} for line in lines])
    as_on_a_gpu(monkeypatch)
    found = desk.evaluate().noise
    assert found is not None and found.examples == 3


def test_the_report_tells_the_noise_of_each_model(desk: Desk, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_a_gpu(monkeypatch)
    found = [desk.evaluate("base").noise, desk.evaluate("tuned", adapter=adapter).noise]
    compare.run(desk.compare_order(), desk.reporter())
    report = json.loads((desk.root / "comparison" / "compare" / "report.json").read_text())
    told = [NoiseFloor.model_validate(report[side]["noiseFloor"]) for side in ("baseline", "candidate")]
    assert told == found
    assert sum(caveat.startswith("Noise floor: ") for caveat in report["caveats"]) == 2


def test_a_caveat_says_how_many_answers_are_noise_and_none_where_there_is_none() -> None:
    findings = findings_of(small_suite("eps"), right_for(0.2), right_for(0.9))
    assert not any("Noise floor" in caveat for caveat in caveats(findings))
    floor = NoiseFloor(examples=12, changed_answers=4, changed_scores=1)
    noisy = replace(findings.candidate, result=findings.candidate.result.model_copy(update={"noise": floor}))
    sentence = next(each for each in caveats(replace(findings, candidate=noisy)) if "Noise floor" in each)
    assert "eps-job answered 4 of 12 questions otherwise, 1 with another score" in sentence
