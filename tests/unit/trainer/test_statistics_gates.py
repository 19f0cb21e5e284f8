"""Gates beside minimum improvement and must-not-regress, each with the bound that decided."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from findings_of import evaluation_of, right_for, small_suite

from finetune_api.comparison import Gate, GateName
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.statistics import readability
from finetune_trainer.statistics.comparison import compare_scores
from finetune_trainer.statistics.gates import GatePolicy
from finetune_trainer.statistics.results import GateResult
from finetune_trainer.suites.model import LoadedSuite

SUITE = small_suite("eps", "general")


def answers(share: float, *, unreadable: int = 0, nats: float = 0.0) -> tuple[ScoredPrediction, ...]:
    """The first so many answers of each task are no numbers; the texts take so many nats more a byte."""

    def answer(number: int) -> str:
        return "nothing" if number < unreadable else right_for(share)(number)

    found = evaluation_of(SUITE, "any", answer).predictions
    return tuple(_dearer(each, nats) for each in found)


def _dearer(each: ScoredPrediction, nats: float) -> ScoredPrediction:
    if each.negative_log_likelihood is None or not nats:
        return each
    more = each.negative_log_likelihood + 100 * nats * (0.9 + 0.2 * (int(each.id[-2:]) % 2))
    return each.model_copy(update={"negative_log_likelihood": more})


def judged(tuned: tuple[ScoredPrediction, ...], suite: LoadedSuite = SUITE, **gate: object) -> dict[str, GateResult]:
    policy = GatePolicy.of(Gate.model_validate(gate))
    result = compare_scores(answers(0.5), tuned, suite.suite, policy)
    return {each.name: each for each in result.gates}


@pytest.mark.parametrize(("nats", "passed"), [(0.02, True), (0.05, False), (-0.1, True)])
def test_the_rise_of_perplexity_is_judged_by_the_upper_end(nats: float, passed: bool) -> None:
    gate = judged(answers(0.7, nats=nats), maxPerplexityRise="0.03")["maxPerplexityRise: texts"]
    assert (gate.gate, gate.passed, gate.limit) == (GateName.MAX_PERPLEXITY_RISE, passed, 0.03)
    assert gate.bound > nats
    assert (gate.bound < gate.limit) == passed


def test_a_limit_on_perplexity_takes_the_place_of_the_margin() -> None:
    names = judged(answers(0.7, nats=0.05), maxPerplexityRise="0.1").keys()
    assert names == {"mustNotRegress: eps", "mustNotRegress: general", "maxPerplexityRise: texts"}


def test_the_same_likelihoods_pass() -> None:
    assert judged(answers(0.7), maxPerplexityRise="0.01")["maxPerplexityRise: texts"].passed


@pytest.mark.parametrize(("unreadable", "passed"), [(0, True), (3, True), (6, False), (60, False)])
def test_too_many_answers_that_cannot_be_read_fail(unreadable: int, passed: bool) -> None:
    gate = judged(answers(0.7, unreadable=unreadable), maxParseFailurePercent="9")["maxParseFailurePercent"]
    assert (gate.gate, gate.task, gate.passed) == (GateName.MAX_PARSE_FAILURES, None, passed)
    assert gate.bound > 100 * unreadable / 120


def test_no_unreadable_answer_among_few_proves_little() -> None:
    few = readability.unreadable_share(np.zeros(10, dtype=bool), [f"c{number}" for number in range(10)])
    assert few.share == 0 and few.high > 0.2


def test_unreadable_answers_of_one_company_count_as_few() -> None:
    unreadable = np.array([number < 20 for number in range(200)])
    spread = readability.unreadable_share(unreadable, [f"c{number % 20}" for number in range(200)])
    together = readability.unreadable_share(unreadable, [f"c{number // 20}" for number in range(200)])
    assert together.share == spread.share and together.high > spread.high


@pytest.mark.parametrize(("share", "passed"), [(0.7, True), (0.3, False)])
def test_a_task_that_is_to_be_retained_must_surely_not_be_worse(share: float, passed: bool) -> None:
    gate = judged(answers(share), retention="general", mustNotRegress=[])["retention: general"]
    assert (gate.gate, gate.task, gate.passed, gate.limit) == (GateName.RETENTION, "general", passed, -0.03)


def test_doubt_fails_a_task_that_is_to_be_retained() -> None:
    few = SUITE.suite.model_copy(update={"margin": 0.0001})
    assert not judged(answers(0.51), replace(SUITE, suite=few), retention="general")["retention: general"].passed


@pytest.mark.parametrize("field", ["minImprovementPercent", "maxPerplexityRise", "maxParseFailurePercent"])
def test_a_limit_below_zero_is_none(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        GatePolicy.of(Gate.model_validate({field: "-1"}))


def test_a_limit_that_is_no_number_is_none() -> None:
    with pytest.raises(ValueError, match="minImprovementPercent"):
        GatePolicy(min_improvement_percent=Decimal("NaN"))
