"""A training from top to bottom: check, learn, write the adapter and what it took."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from finetune_api.conditions import Reason
from finetune_api.finetunejob import TrainingSummary
from finetune_api.group import Step
from finetune_api.orders import TrainOrder
from finetune_api.results import PrepareTrainingResult, TrainResult
from finetune_trainer.artifacts import staged_step
from finetune_trainer.base_model import base_model_digest, check_base_model
from finetune_trainer.claims import CLAIM_FILE, Claim
from finetune_trainer.digests import folder_digest
from finetune_trainer.failures import UserError
from finetune_trainer.locations import resolve_folder
from finetune_trainer.reporting import Reporter, SilentReporter
from finetune_trainer.restarts import RESTARTS_FILE, counted_restarts
from finetune_trainer.timestamps import utc_now
from finetune_trainer.train.assignment import Assignment
from finetune_trainer.train.checkpoints import Checkpoints, newest_step
from finetune_trainer.train.devices import choose_device
from finetune_trainer.train.export import ADAPTER_FOLDER, MERGED_FOLDER, export_merged, help_with_export
from finetune_trainer.train.guard.opening import watching
from finetune_trainer.train.learning import Learnt, learn
from finetune_trainer.train.ledger import Ledger
from finetune_trainer.train.limits import Deadline
from finetune_trainer.train.loss_watch import StepLoss
from finetune_trainer.train.merging import Difference
from finetune_trainer.train.model_card import CARD_FILE, adapter_card
from finetune_trainer.train.portions import Portions, portions_for
from finetune_trainer.train.team import Team, joined_team
from finetune_trainer.train.tracking.curves import curves_of
from finetune_trainer.train.usage_board import board_of_all_nodes
from finetune_trainer.train.validation import perplexity

LOSSES_FILE = "losses.jsonl"


def train(
    order: TrainOrder, prepared: PrepareTrainingResult, identity: str, checkpoints_folder: Path, reporter: Reporter
) -> TrainResult | None:
    """Learns from the last checkpoint on, and leaves the adapter in the step's folder. Of several processes the first
    one does that, and tells the result."""
    device = choose_device(order.gpus)
    with joined_team(device) as team:
        reporter = reporter if team.is_first else SilentReporter()
        board = board_of_all_nodes(team)
        claim = team.told_by_first(lambda: Claim.take(checkpoints_folder / CLAIM_FILE))
        with (
            _restarts(checkpoints_folder, team),
            curves_of(order, prepared, identity, reporter, are_kept=team.is_first) as curves,
            Ledger(checkpoints_folder, is_kept=lambda: team.is_first and claim.stands) as ledger,
            watching(order.gpus, device, order.guard, ledger, reporter, team, board) as watch,
        ):
            portions = team.told_by_first(
                lambda: portions_for(order.training, prepared.plan, checkpoints_folder, team.size)
            )
            identity_of_steps = _of_these_steps(identity, portions)
            assignment = Assignment(
                order=order,
                prepared=prepared,
                prepared_folder=Path(order.directory) / Step.PREPARE,
                model_folder=team.told_by_first(lambda: _unchanged_base_model(order, prepared, reporter)),
                checkpoints=Checkpoints(checkpoints_folder, identity_of_steps, claim, reporter.problem, team),
                portions=portions,
                device=device,
                watch=watch,
                curves=curves,
                deadline=Deadline(order.deadline_seconds, ledger.running_seconds, team),
            )
            learnt = learn(assignment, ledger, reporter)
            ledger.training_ends(team.largest)
            board.post(watch.usage())
            team.wait()
            if team.is_first:
                claim.require()
                return _write(assignment, identity, learnt, ledger, reporter)
            help_with_export(assignment, learnt)
            return None


def _restarts(checkpoints_folder: Path, team: Team) -> AbstractContextManager[None]:
    """One process counts for all: where it fails, the others lose it."""
    if not team.is_first:
        return nullcontext()
    return counted_restarts(checkpoints_folder / RESTARTS_FILE, newest_step(checkpoints_folder), "step")


def _of_these_steps(identity: str, portions: Portions) -> str:
    """Rows of another length hold other examples, and so do more of them: a step of theirs is not a step of these."""
    if portions.pack_length is None:
        return identity
    return f"{identity} in {portions.rows_per_step} rows of {portions.pack_length} tokens a step"


def _unchanged_base_model(order: TrainOrder, prepared: PrepareTrainingResult, reporter: Reporter) -> Path:
    """The base model's folder, which must still hold what `prepare` saw: the adapter's lineage names its digest."""
    folder = resolve_folder(order.base_model, Reason.MODEL_INVALID)
    model = check_base_model(folder, order.base_model.manifest_field)
    if base_model_digest(model, reporter) != prepared.base_model_digest:
        raise UserError(
            Reason.CONTENT_CHANGED,
            f"{order.base_model.manifest_field}: the base model's files changed after the training was prepared; "
            "ask for a new run (annotation finetune.dev/rerun)",
        )
    return folder


def _write(assignment: Assignment, identity: str, learnt: Learnt, ledger: Ledger, reporter: Reporter) -> TrainResult:
    reporter.stage("writing the adapter")
    with staged_step(Path(assignment.order.directory), Step.TRAIN) as staged:
        adapter = staged.path / ADAPTER_FOLDER
        _write_adapter(assignment, learnt, adapter)
        _write_losses(learnt, staged.path / LOSSES_FILE)
        merged = export_merged(assignment, learnt, staged.path, reporter) if assignment.order.export.merged else None
        ledger.write()
        result = TrainResult(
            training=_summary(assignment, learnt, ledger, folder_digest(adapter), merged),
            adapter_path=f"{Step.TRAIN}/{ADAPTER_FOLDER}",
            merged_path=f"{Step.TRAIN}/{MERGED_FOLDER}" if merged is not None and merged.is_acceptable else None,
            finished_at=utc_now(),
        )
        committed = staged.commit(result, identity)
    return committed if isinstance(committed, TrainResult) else result


def _write_adapter(assignment: Assignment, learnt: Learnt, folder: Path) -> None:
    """As peft reads it. The base model is named by its path in the volume, not by where it was mounted here."""
    for configuration in learnt.model.peft_config.values():
        configuration.base_model_name_or_path = assignment.order.base_model.path
    learnt.model.save_pretrained(folder, save_embedding_layers=False)
    (folder / CARD_FILE).write_text(adapter_card(assignment.order, assignment.prepared, learnt))


def _write_losses(learnt: Learnt, path: Path) -> None:
    path.write_text("".join(json.dumps(_loss_line(entry)) + "\n" for entry in learnt.steps))


def _loss_line(entry: StepLoss) -> dict[str, object]:
    return {"step": entry.step, "skipped": True} if entry.loss is None else {"step": entry.step, "loss": entry.loss}


def _summary(
    assignment: Assignment, learnt: Learnt, ledger: Ledger, adapter_digest: str, merged: Difference | None
) -> TrainingSummary:
    order, memory = assignment.order, assignment.prepared.plan.memory
    before, after = learnt.validation_losses
    return TrainingSummary(
        steps=len(learnt.steps),
        final_loss=f"{learnt.final_loss:.4f}",
        validation_loss=_decimal(after, 4),
        validation_loss_before=_decimal(before, 4),
        perplexity=perplexity(after),
        perplexity_before=perplexity(before),
        best_step=learnt.best_step,
        stopped_early=learnt.stopped_early,
        skipped_steps=learnt.skipped_steps,
        rollbacks=learnt.course.rollbacks,
        learning_rate_scale=f"{learnt.course.lr_scale:g}" if learnt.course.rollbacks else None,
        hours=f"{ledger.hours:.4f}",
        energy_kwh=_decimal(ledger.energy_kilowatt_hours, 4),
        energy_note=ledger.energy_note,
        failed_attempts_energy_kwh=_decimal(ledger.failed_kilowatt_hours, 4),
        mean_watts=_decimal(ledger.mean_watts, 1),
        gpu_product=ledger.gpu_product,
        guard=None if order.guard is None else ledger.guard_report(),
        tokens_per_second=f"{ledger.tokens_per_second:.1f}",
        peak_memory_bytes=ledger.peak_memory_bytes,
        planned_peak_bytes=None if memory is None else memory.peak_bytes,
        adapter_digest=adapter_digest,
        merged_logit_difference=None if merged is None else f"{merged.largest:.4f}",
        merged_logit_limit=None if merged is None else _decimal(merged.limit, 4),
    )


def _decimal(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
