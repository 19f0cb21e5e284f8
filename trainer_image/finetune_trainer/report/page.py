"""The page: all that the template shows, worked out before it is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_api.comparison import GateName
from finetune_api.finetunejob import DatasetSummary
from finetune_trainer import figures
from finetune_trainer.escaping_templates import environment
from finetune_trainer.flips.flips import counts
from finetune_trainer.report import several, slices, wording
from finetune_trainer.report.answers import changed_answers
from finetune_trainer.report.cost import cost_in_a_word, cost_lines
from finetune_trainer.report.findings import Findings, PredictionFile
from finetune_trainer.report.forest_plot import forest_plot
from finetune_trainer.report.learning_curve import learning_curve
from finetune_trainer.report.provenance import provenance
from finetune_trainer.report.table import lines
from finetune_trainer.statistics.power import CHANGED, overall_effect, task_effect
from finetune_trainer.statistics.results import GateResult, PerplexityResult, TaskResult
from finetune_trainer.suites.model import OVERALL

_WORDS = {
    GateName.MIN_IMPROVEMENT: "overall score surely improved enough",
    GateName.MAX_PERPLEXITY_RISE: "held-out text surely predicted about as well",
    GateName.MAX_PARSE_FAILURES: "answers surely readable often enough",
}
_TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class Reading:
    """Of one task: answers that could not be read, and where the difference comes from."""

    title: str
    n: int
    base_unreadable: int
    tuned_unreadable: int
    became_readable: str
    became_right: str


@dataclass(frozen=True)
class Guardrail:
    """How well raw text is still predicted."""

    title: str
    documents: int
    base: str
    tuned: str
    delta: str
    interval: str
    margin: str
    held: bool


@dataclass(frozen=True)
class Gate:
    """A gate in words, and what decided."""

    what: str
    why: str
    passed: bool


@dataclass(frozen=True)
class Detectable:
    """The smallest true difference that is found in four cases of five."""

    title: str
    n: int
    points: str


def render(findings: Findings, written: str, most_flips: int | None = None) -> str:
    """The report as one HTML document that needs nothing else; with all flips, or about as many as are said."""
    return environment(_TEMPLATES).get_template("report.html.j2").render(_content(findings, written, most_flips))


def _content(findings: Findings, written: str, most_flips: int | None) -> dict[str, Any]:
    result = findings.result
    return {
        "findings": findings,
        "result": result,
        "suite": findings.suite.suite,
        "written": written,
        "headline": wording.headline(findings),
        "evidence": wording.evidence(result),
        "doubt": wording.doubt(result),
        "gates_in_a_word": wording.gates_in_a_word(result),
        "baseline_name": wording.baseline_name(findings),
        "caveats": wording.caveats(findings),
        "lines": lines(result),
        "plot": forest_plot((*result.tasks, result.overall), findings.suite.suite.margin),
        "readings": [_reading(task) for task in (*result.tasks, result.overall)],
        "gates": [_gate(gate, findings) for gate in result.gates],
        "guardrails": [_guardrail(each) for each in result.guardrails],
        "detectable": detectable(findings),
        "changed_share": f"{CHANGED:.0%}",
        "cost": cost_in_a_word(findings.cost),
        "cost_lines": cost_lines(findings),
        "place_in_a_word": several.place_in_a_word(result),
        "places": several.places(result),
        "ranking_note": several.RANKING_NOTE,
        "rivals": several.rivals(result),
        "versus_note": several.VERSUS_NOTE,
        "recipe_sentence": None if result.recipe is None else several.recipe_sentence(result.recipe),
        "recipe_facts": several.recipe_facts(result.recipe),
        "answers": changed_answers(findings, most_flips),
        "causes": counts(findings.flips),
        "curve": None if findings.losses is None else learning_curve(findings.losses),
        "dataset_facts": _dataset_facts(findings.dataset),
        "from_files": isinstance(findings.candidate, PredictionFile),
        "scores_alone": isinstance(findings.candidate, PredictionFile) and bool(findings.candidate.untold),
        "slice_rows": slices.rows(findings.slices),
        "slice_note": slices.NOTE,
        "provenance": provenance(findings),
    }


def detectable(findings: Findings) -> list[Detectable]:
    """Of each task, and of the overall score."""
    numbers = findings.examples
    found = [
        Detectable(task.title, numbers[task.name], _points(task_effect(findings.suite.examples[task.name])))
        for task in findings.suite.suite.scored_tasks
    ]
    return [*found, Detectable(OVERALL, sum(numbers.values()), _points(overall_effect(findings.suite)))]


def _points(effect: float) -> str:
    return f"{100 * effect:.1f}"


def _reading(task: TaskResult) -> Reading:
    return Reading(
        title=task.title,
        n=task.examples,
        base_unreadable=task.base_unparsable,
        tuned_unreadable=task.tuned_unparsable,
        became_readable=f"{task.parse_split.became_parsable:+.3f}",
        became_right=f"{task.parse_split.became_right:+.3f}",
    )


def _gate(gate: GateResult, findings: Findings) -> Gate:
    if gate.gate in _WORDS:
        return Gate(_WORDS[gate.gate], gate.message, gate.passed)
    assert gate.task is not None, "the other gates are about a task"
    task = findings.suite.suite.task(gate.task)
    return Gate(f"{task.title} surely not worse", gate.message if task.is_scored else _nats(gate), gate.passed)


def _nats(gate: GateResult) -> str:
    """More nats are worse, so here the upper end decides, where there is one."""
    if math.isinf(gate.bound):
        return gate.message
    return f"the upper end of the 95% interval is {-gate.bound:+.3f} nats per byte, the limit {-gate.limit:+g}"


def _guardrail(result: PerplexityResult) -> Guardrail:
    """Turned around: the statistics count a gain as positive, nats per byte are better when there are fewer."""
    found = result.inference
    return Guardrail(
        title=result.title,
        documents=result.documents,
        base=f"{result.base:.3f}",
        tuned=f"{result.tuned:.3f}",
        delta=f"{-found.estimate:+.3f}",
        interval=figures.interval(-found.high, -found.low),
        margin=f"{result.margin:g}",
        held=result.held,
    )


def _dataset_facts(dataset: DatasetSummary | None) -> list[tuple[str, str]]:
    """Every figure of the summary, under its name in the status."""
    if dataset is None:
        return []
    return [(name, str(value)) for name, value in dataset.to_manifest().items() if isinstance(value, str | int | float)]
