"""A finished evaluation, read from the artifacts volume and checked against its digests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from finetune_api.conditions import Reason
from finetune_api.orders import RESULT_FILE, EvaluationLocation
from finetune_api.results import EvaluateResult
from finetune_trainer.artifacts import is_sealed
from finetune_trainer.evaluation.record import PREDICTIONS_FILE, EvaluationRecord, read_record
from finetune_trainer.failures import InfrastructureError
from finetune_trainer.locations import resolve_folder
from finetune_trainer.scoring.predictions import ScoredPrediction, read_predictions


@dataclass(frozen=True)
class FinishedEvaluation:
    """What one model answered, and how that came about."""

    name: str
    record: EvaluationRecord
    predictions: tuple[ScoredPrediction, ...]
    result: EvaluateResult


def read_finished(evaluation: EvaluationLocation) -> FinishedEvaluation:
    """UserError (EvaluationFailed) where it is missing, InfrastructureError where it is damaged."""
    folder = resolve_folder(evaluation.location, Reason.EVALUATION_FAILED)
    if not is_sealed(folder, evaluation.digest):
        raise _damaged(evaluation, folder, "its files are not those of the evaluation with this digest")
    try:
        return FinishedEvaluation(
            evaluation.name,
            read_record(folder),
            read_predictions(folder / PREDICTIONS_FILE),
            EvaluateResult.model_validate_json((folder / RESULT_FILE).read_text()),
        )
    except ValueError as error:
        raise _damaged(evaluation, folder, str(error)) from error


def _damaged(evaluation: EvaluationLocation, folder: Path, why: str) -> InfrastructureError:
    return InfrastructureError(
        Reason.STORAGE_FAILED,
        f"{evaluation.location.manifest_field}: the evaluation of {evaluation.name} in {folder} (digest "
        f"{evaluation.digest}) is not whole: {why}. Delete the Evaluation, so that it is made again",
    )
