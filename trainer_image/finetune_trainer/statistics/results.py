"""What a comparison finds, as plain values."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic.alias_generators import to_camel

from finetune_api.comparison import GateName
from finetune_api.verdicts import Verdict, VerdictReason
from finetune_trainer.statistics.inference import Inference
from finetune_trainer.statistics.parse_split import ParseSplit
from finetune_trainer.statistics.ranking import Rank, Standing
from finetune_trainer.statistics.recipe import RecipeResult


@dataclass(frozen=True)
class TaskResult:
    """One task, or the weighted mean over all that are scored."""

    name: str
    title: str
    examples: int
    base: float
    tuned: float
    inference: Inference
    p_holm: float | None
    verdict: Verdict
    reason: VerdictReason
    message: str
    parse_split: ParseSplit
    base_unparsable: int
    tuned_unparsable: int
    changed_answers: int
    mcnemar_p: float | None

    @property
    def difference(self) -> float:
        """Tuned minus base."""
        return self.inference.estimate

    @property
    def relative_percent(self) -> float | None:
        """The difference in percent of the base's score; none when that is zero."""
        return None if self.base == 0 else 100 * self.difference / self.base


@dataclass(frozen=True)
class PerplexityResult:
    """How likely both models find raw text, in nats per UTF-8 byte: less is better. A positive difference is a gain."""

    name: str
    title: str
    documents: int
    base: float
    tuned: float
    margin: float
    inference: Inference
    verdict: Verdict
    reason: VerdictReason
    message: str
    held: bool


@dataclass(frozen=True)
class GateResult:
    """Whether one condition for using the candidate is met: whether the bound lies above the limit, or for a maximum
    not above it."""

    gate: GateName
    name: str
    task: str | None
    passed: bool
    bound: float
    limit: float
    message: str


@dataclass(frozen=True)
class ComparisonResult:
    """All that is said of a candidate against its baseline on one suite."""

    suite: str
    suite_version: str
    tasks: tuple[TaskResult, ...]
    overall: TaskResult
    guardrails: tuple[PerplexityResult, ...]
    gates: tuple[GateResult, ...]
    standing: Standing | None = None
    """Among several candidates; None where there is one."""
    ranking: tuple[Rank, ...] = ()
    """All of the several candidates, this one among them, the first place first."""
    recipe: RecipeResult | None = None
    """Of all candidates together, where they are replicates of one recipe."""

    @property
    def verdict(self) -> Verdict:
        """The overall verdict: the one primary test."""
        return self.overall.verdict

    @property
    def reason(self) -> VerdictReason:
        """Why the overall verdict is the one it is."""
        return self.overall.reason

    @property
    def gates_passed(self) -> bool:
        """Whether every gate that was asked for is passed."""
        return all(gate.passed for gate in self.gates)

    def as_document(self) -> dict[str, Any]:
        """The result for a JSON file: camelCase keys, an unbounded end of an interval is null."""
        document: dict[str, Any] = plain(dataclasses.asdict(self))
        for result, entry in zip((*self.tasks, self.overall), (*document["tasks"], document["overall"]), strict=True):
            entry["difference"] = result.difference
            entry["relativePercent"] = result.relative_percent
        return document | {"verdict": self.verdict.value, "reason": self.reason.value, "gatesPassed": self.gates_passed}


def plain(value: Any) -> Any:
    """A value for a JSON file: camelCase keys, and null for what is no finite number."""
    match value:
        case dict():
            return {to_camel(key): plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case StrEnum():
            return value.value
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
