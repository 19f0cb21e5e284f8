"""The verdict in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune_api.comparison import GateName
from finetune_api.quantization import Quantization
from finetune_api.verdicts import Verdict, VerdictReason
from finetune_trainer import figures
from finetune_trainer.report.findings import Findings, PredictionFile
from finetune_trainer.report.noise import noise_caveats
from finetune_trainer.statistics.results import ComparisonResult

_GATES = {GateName.MIN_IMPROVEMENT: "minimum improvement", GateName.MAX_PARSE_FAILURES: "readable answers"}
if TYPE_CHECKING:
    from finetune_trainer.evaluation.finished import FinishedEvaluation

_FORM_UNKNOWN = "The form that was scored is not known: a file of predictions does not tell it."
UNNAMED = "predictions"
"""Name of a suite that nobody named."""


def baseline_name(findings: Findings) -> str:
    return "its base model" if findings.share_a_base_model else "the baseline"


def headline(findings: Findings) -> str:
    """The verdict in one sentence."""
    candidate, baseline = findings.candidate.name, baseline_name(findings)
    suite = findings.suite.suite
    questions = "these questions" if suite.name == UNNAMED else f"the {suite.name} suite"
    match findings.result.verdict:
        case Verdict.IMPROVED:
            return f"{candidate} answers {questions} better than {baseline}."
        case Verdict.REGRESSED:
            return f"{candidate} answers {questions} worse than {baseline}."
        case Verdict.NO_DIFFERENCE if findings.result.reason is VerdictReason.IDENTICAL:
            return f"{candidate} gives the same answers as {baseline}, byte for byte."
        case Verdict.NO_DIFFERENCE:
            return f"{candidate} is as good as {baseline}: a difference beyond {suite.margin:g} is ruled out."
        case _ if findings.result.reason is VerdictReason.TASK_REGRESSED:
            return f"{candidate} is better than {baseline} overall, but worse at {_regressed(findings.result)}."
        case _:
            return f"Whether {candidate} is better than {baseline} cannot be told."


def _regressed(result: ComparisonResult) -> str:
    return ", ".join(task.title for task in result.tasks if task.verdict is Verdict.REGRESSED)


def evidence(result: ComparisonResult) -> str:
    """The overall figures that the verdict rests on, in one sentence."""
    overall = result.overall
    relative = overall.relative_percent
    percent = "" if relative is None else f" ({figures.percent(relative)}%)"
    found = overall.inference
    return (
        f"Overall score {overall.base:.2f} before, {overall.tuned:.2f} after: {overall.difference:+.2f}{percent}, "
        f"with a 95% interval from {found.low:+.2f} to {found.high:+.2f}."
    )


def doubt(result: ComparisonResult) -> str | None:
    """Why nothing could be said, where nothing could."""
    return f"The reason: {result.overall.message}." if result.verdict is Verdict.INCONCLUSIVE else None


def gates_in_a_word(result: ComparisonResult) -> str:
    failed = [gate for gate in result.gates if not gate.passed]
    if not result.gates:
        return "no gate was asked for"
    if not failed:
        return "the gate is passed" if len(result.gates) == 1 else f"all {len(result.gates)} gates are passed"
    named = ", ".join(_GATES.get(gate.gate, gate.task or "") for gate in failed)
    return f"{len(failed)} of {len(result.gates)} gates not passed: {named}"


def caveats(findings: Findings) -> list[str]:
    """What the verdict is about, and what it is not."""
    found = findings.result.overall.inference
    statements = [
        _subject(findings),
        _form_scored(findings),
        f"These questions: {findings.result.overall.examples} examples in {found.groups} independent groups "
        f"(by {found.grouping}){_of_the_suite(findings)}.",
        "Whether the base model saw such texts in its pretraining is unknown.",
        earlier_looks(findings),
    ]
    if findings.contaminated:
        statements.append(
            f"The candidate has learnt from {findings.contaminated} of the suite's examples: that it answers these "
            "proves nothing."
        )
    return statements + noise_caveats(findings) + _differences_beside_the_adapter(findings)


def earlier_looks(findings: Findings) -> str:
    """How much this suite has been looked at before: what is chosen by its figures is no longer independent of it."""
    found = findings.earlier_looks
    if found is None:
        return "How many comparisons have looked at this suite before is not known; each makes it less independent."
    subject = "Comparison has" if found == 1 else "Comparisons have"
    return (
        f"{found} other {subject} looked at this suite before, of those that are still in the namespace; each makes it "
        "less independent. Earlier runs of this one, or of another, are not counted."
    )


def _subject(findings: Findings) -> str:
    recipe = findings.result.recipe
    if recipe is None:
        return (
            "This adapter, not this recipe: it was trained once, with one seed. Training again may come out otherwise."
        )
    return (
        f"This adapter is one of {recipe.seeds} that differ in their seed alone, and its verdict is its own; of the "
        "recipe only the verdict over all seeds tells."
    )


def _of_the_suite(findings: Findings) -> str:
    suite = findings.suite.suite
    return "" if suite.name == UNNAMED else f" of the suite {suite.name}, version {suite.version}"


def _form_scored(findings: Findings) -> str:
    if isinstance(findings.candidate, PredictionFile):
        return _FORM_UNKNOWN
    return f"The form that was scored: {_form(findings.candidate)}. In another form the answers may differ."


def _form(evaluation: FinishedEvaluation) -> str:
    content, precision = evaluation.record.content, evaluation.record.precision
    is_quantized = content.quantization is not Quantization.NONE
    kept = f"{content.quantization}, computed in {precision}" if is_quantized else precision
    adapter = "" if content.adapter is None else ", adapter beside it, not merged"
    return f"base model in {kept}{adapter}"


def _differences_beside_the_adapter(findings: Findings) -> list[str]:
    """Where more than the adapter differs, the difference is not the adapter's alone."""
    baseline, candidate = findings.baseline, findings.candidate
    if isinstance(baseline, PredictionFile) or isinstance(candidate, PredictionFile):
        return ["Whether both models were asked alike is not known: scores and answers are as the files tell them."]
    one, other = baseline.record, candidate.record
    statements = []
    if one.content.base_model != other.content.base_model:
        statements.append("Candidate and baseline have different base models: the difference is not fine-tuning alone.")
    if (one.content.quantization, one.precision) != (other.content.quantization, other.precision):
        statements.append(
            f"The baseline was scored in another form ({_form(baseline)}): part of the difference may be that."
        )
    if one.versions != other.versions:
        statements.append("The two models were evaluated with different versions of the libraries (see below).")
    return statements
