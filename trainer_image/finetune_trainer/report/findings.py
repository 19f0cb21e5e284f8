"""Everything that a report is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from finetune_api.comparison import Cost
from finetune_api.finetunejob import DatasetSummary
from finetune_api.orders import LeftOut
from finetune_trainer.flips.flips import Flip, flips
from finetune_trainer.report.learning_curve import Losses
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.statistics.results import ComparisonResult
from finetune_trainer.statistics.slices import Slices
from finetune_trainer.suites.model import LoadedSuite

if TYPE_CHECKING:
    # Reading evaluations takes the tokenizer, which a comparison of two files has no need of.
    from finetune_trainer.evaluation.finished import FinishedEvaluation


@dataclass(frozen=True)
class PredictionFile:
    """What a model answered, of which only the file is known, not how the answers came about."""

    name: str
    predictions: tuple[ScoredPrediction, ...]
    path: str
    digest: str
    untold: frozenset[str] = frozenset()
    """Ids of answers of which the file tells the score alone."""


@dataclass(frozen=True)
class Findings:
    """A candidate against its baseline."""

    comparison: str
    suite: LoadedSuite
    baseline: FinishedEvaluation | PredictionFile
    candidate: FinishedEvaluation | PredictionFile
    result: ComparisonResult
    cost: Cost | None
    earlier_looks: int | None = None
    """Other Comparisons that had looked at this suite by then; None where nobody counted."""
    contaminated: int = 0
    """Examples of the suite that the candidate has learnt from, as far as that is known."""
    losses: Losses | None = None
    """Of the training, where its folder was at hand."""
    dataset: DatasetSummary | None = None
    """What the candidate learnt from, likewise."""
    left_out: tuple[LeftOut, ...] = ()
    """Candidates that left no model to compare."""
    slices: Slices = field(default_factory=Slices)
    """Where the difference lies."""

    @cached_property
    def flips(self) -> tuple[Flip, ...]:
        """The examples that got better or worse."""
        untold = {id_ for side in (self.baseline, self.candidate) for id_ in _untold(side)}
        return flips(self.suite, self.baseline.predictions, self.candidate.predictions, untold)

    @property
    def share_a_base_model(self) -> bool:
        """Whether the adapter is all that differs between the two models."""
        if isinstance(self.baseline, PredictionFile) or isinstance(self.candidate, PredictionFile):
            return False
        one, other = self.baseline.record.content, self.candidate.record.content
        return one.adapter is None and one.base_model == other.base_model and one.quantization == other.quantization

    @property
    def examples(self) -> dict[str, int]:
        """Number of examples of each scored task."""
        return {task.name: len(self.suite.examples[task.name]) for task in self.suite.suite.scored_tasks}


def _untold(side: FinishedEvaluation | PredictionFile) -> frozenset[str]:
    return side.untold if isinstance(side, PredictionFile) else frozenset()
