"""Everything that a report is about."""

from __future__ import annotations

from dataclasses import dataclass, field

from finetune_api.comparison import Cost
from finetune_trainer.evaluation.finished import FinishedEvaluation
from finetune_trainer.statistics.results import ComparisonResult
from finetune_trainer.statistics.slices import Slices
from finetune_trainer.suites.model import LoadedSuite


@dataclass(frozen=True)
class Findings:
    """A candidate against its baseline."""

    comparison: str
    suite: LoadedSuite
    baseline: FinishedEvaluation
    candidate: FinishedEvaluation
    result: ComparisonResult
    cost: Cost | None
    earlier_looks: int | None = None
    """Other Comparisons that had looked at this suite by then; None where nobody counted."""
    slices: Slices = field(default_factory=Slices)
    """Where the difference lies."""

    @property
    def share_a_base_model(self) -> bool:
        """Whether the adapter is all that differs between the two models."""
        one, other = self.baseline.record.content, self.candidate.record.content
        return one.adapter is None and one.base_model == other.base_model and one.quantization == other.quantization

    @property
    def examples(self) -> dict[str, int]:
        """Number of examples of each scored task."""
        return {task.name: len(self.suite.examples[task.name]) for task in self.suite.suite.scored_tasks}
