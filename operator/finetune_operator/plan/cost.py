"""What a candidate took: its training, from the job while it is there, else from the registry, and its evaluation."""

from decimal import Decimal

from finetune_api.comparison import Cost, Costs
from finetune_api.finetunejob import TrainingSummary
from finetune_operator.plan.comparison_situation import Situation


def cost_of(situation: Situation, evaluation_seconds: tuple[str | None, ...]) -> Cost | None:
    """None where nothing is known of the training."""
    training = _training(situation)
    if training is None:
        return None
    costs = situation.spec.costs
    money = _money(training, costs, situation.model.spec.parameters.gpus if situation.model is not None else 0)
    return Cost(
        training_hours=training.hours,
        energy_kwh=training.energy_kwh,
        energy_note=training.energy_note,
        failed_attempts_energy_kwh=training.failed_attempts_energy_kwh,
        evaluation_hours=_hours(evaluation_seconds),
        money=money,
        currency=costs.currency if costs is not None and money is not None else None,
    )


def _training(situation: Situation) -> TrainingSummary | None:
    job, model, pinned = situation.job, situation.model, situation.candidate
    known = model.status.training if model is not None else None
    if job is not None and job.uid == pinned.uid and job.status.run is not None and job.status.run.digest == pinned.run:
        return job.status.training or known
    return known


def _hours(seconds: tuple[str | None, ...]) -> str | None:
    if any(each is None for each in seconds):
        return None
    return f"{sum(Decimal(each) for each in seconds if each is not None) / 3600:.4f}"


def _money(training: TrainingSummary, costs: Costs | None, gpus: int) -> str | None:
    """GPU hours and energy of the training over all attempts, the failed ones too: they were paid for. Absent where a
    price was given for energy that was not measured: a part of the price would be taken for the whole."""
    if costs is None or (costs.per_kwh is not None and training.energy_kwh is None):
        return None
    hours = Decimal(costs.per_gpu_hour or 0) * Decimal(training.hours) * gpus
    kilowatt_hours = Decimal(training.energy_kwh or 0) + Decimal(training.failed_attempts_energy_kwh or 0)
    energy = Decimal(costs.per_kwh or 0) * kilowatt_hours
    return f"{hours + energy:.2f}"
