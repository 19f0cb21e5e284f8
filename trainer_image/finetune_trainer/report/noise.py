"""What a change of the batch size alone does to the answers, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune_trainer.report.findings import Findings, PredictionFile

if TYPE_CHECKING:
    from finetune_trainer.evaluation.finished import FinishedEvaluation


def noise_caveats(findings: Findings) -> list[str]:
    """One of each model whose answers depend on the batch size."""
    sides = (findings.baseline, findings.candidate)
    sentences = (_sentence(evaluation) for evaluation in sides if not isinstance(evaluation, PredictionFile))
    return [sentence for sentence in sentences if sentence is not None]


def _sentence(evaluation: FinishedEvaluation) -> str | None:
    noise = evaluation.result.noise
    if noise is None:
        return None
    return (
        f"Noise floor: asked again in smaller batches, {evaluation.name} answered {noise.changed_answers} of "
        f"{noise.examples} questions otherwise, {noise.changed_scores} with another score; that much is its number "
        "format's rounding, not its skill."
    )
