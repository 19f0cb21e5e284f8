"""Comparisons with answers as a test wants them, without a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from finetune_api.comparison import Cost
from finetune_api.evaluation import Decoding
from finetune_api.quantization import Precision, Quantization
from finetune_api.results import EvaluateResult
from finetune_trainer.evaluation.content import EvaluationContent
from finetune_trainer.evaluation.finished import FinishedEvaluation
from finetune_trainer.evaluation.record import EvaluationRecord
from finetune_trainer.report.findings import Findings
from finetune_trainer.scoring.predictions import ScoredPrediction, likelihood_record, scored_prediction
from finetune_trainer.statistics import ranking
from finetune_trainer.statistics.comparison import among_candidates, compare_scores
from finetune_trainer.statistics.gates import GatePolicy
from finetune_trainer.statistics.recipe import judge_recipe
from finetune_trainer.suites.model import Example, LoadedSuite, Message, Suite

AnswerOf = Callable[[int], str]

COMPANIES = 40
PER_COMPANY = 3


def small_suite(*names: str, title: str = "") -> LoadedSuite:
    """Number tasks of 120 questions about 40 companies, and raw texts about the same ones."""
    tasks: list[dict[str, Any]] = [
        {"name": name, "title": title or name, "scorer": {"kind": "number"}, "examples": "e.jsonl"} for name in names
    ]
    tasks.append({"name": "texts", "title": "texts", "scorer": {"kind": "perplexity"}, "examples": "t.jsonl"})
    suite = Suite.model_validate({"name": "small", "version": "3", "title": "Small", "tasks": tasks})
    examples = {name: tuple(_question(name, number) for number in range(COMPANIES * PER_COMPANY)) for name in names}
    texts = tuple(_text(number) for number in range(COMPANIES))
    return LoadedSuite(suite, examples | {"texts": texts})


def findings_of(
    suite: LoadedSuite,
    base: AnswerOf,
    tuned: AnswerOf,
    *,
    gate: GatePolicy | None = None,
    cost: Cost | None = None,
    tuned_form: dict[str, Any] | None = None,
    earlier_looks: int | None = None,
) -> Findings:
    """What comparing these answers finds; the right answer to every question is 1.5."""
    before = evaluation_of(suite, "base", base)
    after = evaluation_of(suite, "eps-job", tuned, adapter="sha256:" + "ad" * 32, **tuned_form or {})
    result = compare_scores(before.predictions, after.predictions, suite.suite, gate)
    return Findings("tuned-vs-base", suite, before, after, result, cost, earlier_looks)


def findings_among(
    suite: LoadedSuite, base: AnswerOf, candidates: Mapping[str, AnswerOf], about: str, *, replicates: bool = False
) -> Findings:
    """What is found of one of several candidates."""
    before = evaluation_of(suite, "base", base)
    after = {name: evaluation_of(suite, name, answer, adapter="sha256:ad") for name, answer in candidates.items()}
    answers = {name: each.predictions for name, each in after.items()}
    standings = ranking.stand(suite.suite, before.predictions, answers)
    alone = compare_scores(before.predictions, answers[about], suite.suite)
    recipe = judge_recipe(suite.suite, before.predictions, answers) if replicates else None
    result = replace(among_candidates(alone, about, standings, suite.suite.margin), recipe=recipe)
    return Findings("several-vs-base", suite, before, after[about], result, cost=None)


def evaluation_of(suite: LoadedSuite, name: str, answer: AnswerOf, **form: Any) -> FinishedEvaluation:
    content = EvaluationContent(
        base_model=form.get("base_model", "sha256:" + "ba" * 32),
        adapter=form.get("adapter"),
        quantization=form.get("quantization", Quantization.NONE),
        suite="sha256:" + "50" * 32,
        decoding=Decoding(),
        template=None,
        prompts="sha256:" + "99" * 32,
        versions={"torch": "2.13.0"},
    )
    record = EvaluationRecord(
        digest=content.digest,
        content=content,
        suite_name=suite.suite.name,
        suite_version=suite.suite.version,
        precision=form.get("precision", Precision.FLOAT32),
        device="cpu",
        window=2048,
        versions={"torch": "2.13.0"},
    )
    result = EvaluateResult(digest=content.digest, score="0.5000", tasks=(), seconds="12.5")
    return FinishedEvaluation(name, record, tuple(_predictions(suite, answer)), result)


def right_for(share: float) -> AnswerOf:
    """Right answers to that share of the questions, spread over the companies."""
    return lambda number: "1.5" if (number * 0.618) % 1 < share else f"{number}.25"


def at_least(percent: str, *tasks: str) -> GatePolicy:
    return GatePolicy(Decimal(percent), tasks or None)


def _predictions(suite: LoadedSuite, answer: AnswerOf) -> Sequence[ScoredPrediction]:
    answers = [
        scored_prediction(task, example, answer(number))
        for task in suite.suite.scored_tasks
        for number, example in enumerate(suite.examples[task.name])
    ]
    return [
        *answers,
        *(likelihood_record(text, 80.0 + number % 7, 100) for number, text in enumerate(suite.examples["texts"])),
    ]


def _question(task: str, number: int) -> Example:
    content = f"What is question {number}? <i>&amp;"
    return Example(
        id=f"{task}-{number:03d}",
        task=task,
        group=f"company {number % COMPANIES}",
        messages=(Message(role="user", content=content),),
        reference="1.5",
    )


def _text(number: int) -> Example:
    return Example(id=f"text-{number:03d}", task="texts", group=f"company {number}", text="raw text")
