"""The widest result of one compare step fits a termination message: 8 candidates, 12 tasks, every optional field."""

from __future__ import annotations

import random
import string

from finetune_api.comparison import (
    CandidateStatus,
    Cost,
    Effect,
    ErrorCause,
    FlipCount,
    GateName,
    GateOutcome,
    PairwiseEffect,
    ParseFailures,
    PerplexityEffect,
    Ranking,
    TaskEffect,
)
from finetune_api.results import TERMINATION_MESSAGE_LIMIT, CompareResult, parse_result
from finetune_api.verdicts import Verdict, VerdictReason
from finetune_trainer.termination import bounded_document

DICE = random.Random(5)


def a_name(length: int) -> str:
    return "".join(DICE.choice(string.ascii_lowercase + string.digits) for _ in range(length))


def a_figure() -> str:
    return f"{DICE.uniform(-1, 1):+.4f}"


def an_effect() -> dict[str, object]:
    numbers = {name: a_figure() for name in ("base", "tuned", "delta", "delta_percent", "lower", "upper", "p")}
    words = {"verdict": Verdict.NO_DIFFERENCE, "reason": VerdictReason.NOT_SIGNIFICANT_AFTER_HOLM}
    return {"n": DICE.randrange(10**5), "groups": DICE.randrange(10**4), **numbers, **words}


def a_task() -> TaskEffect:
    return TaskEffect(
        **an_effect(),
        name=a_name(63),
        title=a_name(40),
        p_holm=a_figure(),
        parse_failures=ParseFailures(base=DICE.randrange(10**5), tuned=DICE.randrange(10**5)),
        became_parsable=a_figure(),
        became_right=a_figure(),
    )


def the_widest() -> CandidateStatus:
    tasks = tuple(a_task() for _ in range(12))
    gates = [GateOutcome(gate=GateName.MUST_NOT_REGRESS, task=task.name, passed=False, limit="-0.03") for task in tasks]
    gates += [GateOutcome(gate=gate, passed=False, bound=a_figure(), limit=a_figure()) for gate in list(GateName)[:4]]
    return CandidateStatus(
        fine_tune_job=a_name(63),
        verdict=Verdict.NO_DIFFERENCE,
        overall=Effect(**an_effect()),
        tasks=tasks,
        perplexity=PerplexityEffect(documents=10**5, **{name: a_figure() for name in ("base", "tuned", "delta")}),
        gates=tuple(gates),
        flips=tuple(FlipCount(cause=cause, improved=DICE.randrange(10**4), regressed=7) for cause in ErrorCause),
        ranking=Ranking(rank=8, p_holm=a_figure(), lower=a_figure(), upper=a_figure()),
        versus=tuple(
            PairwiseEffect(candidate=a_name(63), delta=a_figure(), lower=a_figure(), upper=a_figure()) for _ in range(7)
        ),
        cost=Cost(
            training_hours="12.3456", energy_note="not measured: no GPU", evaluation_hours="1.2345", money="9.99"
        ),
    )


def test_the_widest_result_fits_a_termination_message() -> None:
    result = CompareResult(candidate=the_widest(), report_path="compare/report.html")
    document = bounded_document(result)
    assert len(document.encode()) <= TERMINATION_MESSAGE_LIMIT
    assert parse_result(document) == result
