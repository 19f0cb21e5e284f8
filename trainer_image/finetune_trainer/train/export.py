"""The merged model, where the manifest asks for it (spec.export.merged)."""

from __future__ import annotations

import shutil
from pathlib import Path

from finetune_trainer.reporting import Reporter
from finetune_trainer.train.assignment import Assignment
from finetune_trainer.train.examples import examples_of
from finetune_trainer.train.learning import Learnt
from finetune_trainer.train.memory import MERGING, loading_fits
from finetune_trainer.train.merging import LARGEST_SHARE, Difference, Ingredients, reference_of, write_merged
from finetune_trainer.train.model_card import CARD_FILE, merged_card
from finetune_trainer.train.tokens import Tokens

ADAPTER_FOLDER = "adapter"
MERGED_FOLDER = "merged"


def export_merged(assignment: Assignment, learnt: Learnt, staged: Path, reporter: Reporter) -> Difference:
    """Beside the adapter in the staged folder. What differs too much is not left there: the training stands, and the
    user is told."""
    folder = staged / MERGED_FOLDER
    ingredients = Ingredients(
        assignment.model_folder, staged / ADAPTER_FOLDER, assignment.prepared.plan, assignment.device
    )
    with loading_fits(assignment.device, MERGING):
        difference = write_merged(ingredients, learnt.model, _probes(assignment), folder, reporter)
    if difference.is_acceptable:
        card = merged_card(assignment.order, assignment.prepared, learnt, f"{difference.largest:.4f}")
        (folder / CARD_FILE).write_text(card)
    else:
        shutil.rmtree(folder)
        reporter.problem(_too_different(difference))
    return difference


def help_with_export(assignment: Assignment, learnt: Learnt) -> None:
    """What the other processes do while the first one exports: without their parts of a sharded base model it computes
    no logits."""
    if assignment.order.export.merged and assignment.is_sharded:
        reference_of(learnt.model, _probes(assignment))


def _probes(assignment: Assignment) -> Tokens:
    examples = examples_of(assignment)
    return examples.validation if len(examples.validation) else examples.train


def _too_different(difference: Difference) -> str:
    return (
        f"the merged model is not kept: its logits differ from those of base model and adapter by up to "
        f"{difference.largest:.3f}, more than {difference.limit:.3f}, which is {LARGEST_SHARE} of what the adapter "
        f"changes ({difference.changed:.3f}) and what rounding may cost; use the adapter beside the base model"
    )
