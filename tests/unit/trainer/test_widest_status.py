"""The widest result of one compare step fits a termination message: 8 candidates, 12 tasks, every optional field, the
longest names, and titles that do not compress."""

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
    Recipe,
    TaskEffect,
)
from finetune_api.results import TERMINATION_MESSAGE_LIMIT, CompareResult, cut_name, parse_result
from finetune_api.verdicts import Verdict, VerdictReason
from finetune_trainer.termination import bounded_document

DICE = random.Random(5)
RECIPE = Recipe(
    seeds=8,
    delta="+0.1234",
    lower="-0.0567",
    upper="+0.2891",
    spread="0.0345",
    verdict=Verdict.INCONCLUSIVE,
    reason=VerdictReason.INTERVAL_TOO_WIDE,
)


def a_name(length: int) -> str:
    return "".join(DICE.choice(string.ascii_lowercase + string.digits) for _ in range(length))


def a_text(length: int) -> str:
    """Of characters that take four bytes each."""
    return "".join(chr(DICE.randrange(0x20000, 0x2A000)) for _ in range(length))


def a_figure() -> str:
    return f"{DICE.uniform(-1, 1):+.4f}"


def an_effect() -> dict[str, object]:
    numbers = {name: a_figure() for name in ("base", "tuned", "delta", "delta_percent", "lower", "upper", "p")}
    words = {"verdict": Verdict.NO_DIFFERENCE, "reason": VerdictReason.NOT_SIGNIFICANT_AFTER_HOLM}
    return {"n": DICE.randrange(10**5), "groups": DICE.randrange(10**4), **numbers, **words}


def a_task(title: str) -> TaskEffect:
    return TaskEffect(
        **an_effect(),
        name=a_name(63),
        title=title,
        p_holm=a_figure(),
        parse_failures=ParseFailures(base=DICE.randrange(10**5), tuned=DICE.randrange(10**5)),
        became_parsable=a_figure(),
        became_right=a_figure(),
    )


def the_widest(*titles: str, name_length: int = 253, note: str = "not measured: no GPU") -> CandidateStatus:
    tasks = tuple(a_task(title) for title in titles)
    gates = [
        GateOutcome(gate=GateName.MUST_NOT_REGRESS, task=task.name, passed=False, bound=a_figure(), limit="-0.03")
        for task in tasks
    ]
    gates += [GateOutcome(gate=gate, passed=False, bound=a_figure(), limit=a_figure()) for gate in list(GateName)[:4]]
    return CandidateStatus(
        fine_tune_job=a_name(name_length),
        verdict=Verdict.NO_DIFFERENCE,
        overall=Effect(**an_effect()),
        tasks=tasks,
        perplexity=PerplexityEffect(
            documents=10**5, **{name: a_figure() for name in ("base", "tuned", "delta", "lower", "upper")}
        ),
        gates=tuple(gates),
        flips=tuple(FlipCount(cause=cause, improved=DICE.randrange(10**4), regressed=7) for cause in ErrorCause),
        ranking=Ranking(rank=8, p_holm=a_figure(), lower=a_figure(), upper=a_figure()),
        versus=tuple(
            PairwiseEffect(candidate=a_name(name_length), delta=a_figure(), lower=a_figure(), upper=a_figure())
            for _ in range(7)
        ),
        cost=Cost(
            training_hours="12.3456",
            energy_note=note,
            failed_attempts_energy_kwh="12.3456",
            evaluation_hours="1.2345",
            money="1234567.89",
            currency="E" * 16,
        ),
    )


def read_back(candidate: CandidateStatus) -> CandidateStatus:
    document = bounded_document(CompareResult(candidate=candidate, recipe=RECIPE, report_path="compare/report.html"))
    assert len(document.encode()) <= TERMINATION_MESSAGE_LIMIT
    result = parse_result(document)
    assert isinstance(result, CompareResult) and result.recipe == RECIPE
    return result.candidate


def without_words(candidate: CandidateStatus) -> dict[str, object]:
    """All but what may be cut."""
    tasks = tuple(task.model_copy(update={"title": ""}) for task in candidate.tasks)
    versus = tuple(each.model_copy(update={"candidate": ""}) for each in candidate.versus)
    assert candidate.cost is not None
    cost = candidate.cost.model_copy(update={"energy_note": None})
    changed = {"tasks": tasks, "versus": versus, "cost": cost, "fine_tune_job": ""}
    return candidate.model_copy(update=changed).to_manifest()


def test_a_wide_result_with_names_and_titles_as_people_give_them_is_told_whole() -> None:
    candidate = the_widest(*(f"Earnings per share, kind {number}" for number in range(12)), name_length=40)
    assert read_back(candidate) == candidate


def test_the_widest_result_fits_with_every_figure_whole() -> None:
    candidate = the_widest(*(a_text(256) for _ in range(12)), note=a_text(1024))
    told = read_back(candidate)
    assert without_words(told) == without_words(candidate)
    for before, after in zip(candidate.tasks, told.tasks, strict=True):
        assert after.title.endswith(" ...") and before.title.startswith(after.title.removesuffix(" ..."))


def test_names_are_cut_before_titles_and_still_tell_candidates_apart() -> None:
    titles = [f"Task number {number}" for number in range(12)]
    candidate = the_widest(*titles)
    told = read_back(candidate)
    assert [task.title for task in told.tasks] == titles
    assert [each.candidate for each in told.versus] == [cut_name(each.candidate) for each in candidate.versus]
    alike = [f"{'x' * 252}{number}" for number in range(8)]
    assert len({cut_name(name) for name in alike}) == 8


def test_a_short_name_is_never_cut() -> None:
    assert cut_name("eps-job") == "eps-job"
