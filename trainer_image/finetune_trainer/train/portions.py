"""How the work of a step is cut up. Running out of memory makes the pieces smaller; a step stays the same."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from finetune_api.fields import WireModel
from finetune_api.finetunejob import Training
from finetune_api.planning import TrainingPlan
from finetune_trainer.artifacts import write_durably
from finetune_trainer.planning import largest_divisor, rank_share

FIT_FILE = "fit.json"


class Portions(WireModel):
    """What goes through the model at once, and what is kept of it for the backward pass."""

    micro_batch_size: int
    """Rows that go through the model at once."""
    accumulation: int
    """Micro-batches a step, of one process."""
    activation_checkpointing: bool = False
    """Whether activations are computed twice instead of being kept."""
    pack_length: int | None = None
    """Tokens of a packed row; None where a row holds one example."""
    ranks: int = 1
    """Processes that share a step evenly."""

    @property
    def share(self) -> int:
        """Rows of a step that one process takes."""
        return self.micro_batch_size * self.accumulation

    @property
    def rows_per_step(self) -> int:
        return self.share * self.ranks

    def within(self, limit: Portions) -> Portions:
        """These portions, or smaller ones where an earlier attempt found that only smaller ones fit. Half as long
        rows are twice as many a step, which then holds as many examples as before."""
        rows, pack_length = self.share, self.pack_length
        if pack_length is not None and limit.pack_length is not None and limit.pack_length < pack_length:
            rows, pack_length = rows * pack_length // limit.pack_length, limit.pack_length
        micro_batch_size = largest_divisor(rows, min(self.micro_batch_size, limit.micro_batch_size))
        return Portions(
            micro_batch_size=micro_batch_size,
            accumulation=rows // micro_batch_size,
            activation_checkpointing=self.activation_checkpointing or limit.activation_checkpointing,
            pack_length=pack_length,
            ranks=self.ranks,
        )


def portions_for(training: Training, plan: TrainingPlan, folder: Path, ranks: int = 1) -> Portions:
    """The order's portions or else the plan's, within what an earlier attempt found to fit. UserError where the rows
    of a step cannot be shared evenly."""
    rows = rank_share(plan.rows_per_step or training.effective_batch_size, ranks)
    micro_batch_size = largest_divisor(rows, training.micro_batch_size or plan.micro_batch_size)
    pinned = training.activation_checkpointing
    planned = Portions(
        micro_batch_size=micro_batch_size,
        accumulation=rows // micro_batch_size,
        activation_checkpointing=plan.activation_checkpointing if pinned is None else pinned,
        pack_length=training.sequence_length if plan.packing else None,
        ranks=ranks,
    )
    limit = _read(folder)
    return planned if limit is None else planned.within(limit)


def next_smaller(portions: Portions, longest: int) -> Portions | None:
    """What to try after these did not fit; None when nothing is left. `longest` is the longest example in tokens:
    a packed row gets no shorter than that, so that nothing is cut that the plan did not cut."""
    if (smaller := halved(portions)) is not None:
        return smaller
    if not portions.activation_checkpointing:
        return portions.model_copy(update={"activation_checkpointing": True})
    if portions.pack_length is not None and portions.pack_length // 2 >= longest:
        return portions.model_copy(
            update={"pack_length": portions.pack_length // 2, "accumulation": portions.accumulation * 2}
        )
    return None


def remember(portions: Portions, folder: Path) -> None:
    """The next attempts take no larger ones."""
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / FIT_FILE, portions.model_dump_json(by_alias=True) + "\n")


def halved(portions: Portions) -> Portions | None:
    """The same steps with half as many rows at once; None when it is one already."""
    return None if portions.micro_batch_size == 1 else _with_micro_batch(portions, portions.micro_batch_size // 2)


def _with_micro_batch(portions: Portions, limit: int) -> Portions:
    rows = portions.share
    micro_batch_size = largest_divisor(rows, limit)
    return portions.model_copy(update={"micro_batch_size": micro_batch_size, "accumulation": rows // micro_batch_size})


def _read(folder: Path) -> Portions | None:
    try:
        return Portions.model_validate_json((folder / FIT_FILE).read_text())
    except (OSError, ValidationError):
        return None
