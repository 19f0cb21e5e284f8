"""In which portions a step's rows go through the model. The rows of a step never change."""

from __future__ import annotations

from finetune_api.conditions import Reason
from finetune_api.finetunejob import Training
from finetune_trainer.failures import UserError

GPU_TOKENS_AT_ONCE = 8192
"""A GPU wants a few thousand tokens at once: reading 4-bit weights costs the same for 256 tokens as for 4096."""
CPU_TOKENS_AT_ONCE = 2048
"""A CPU is busy with a few hundred; more only takes memory."""


def rank_share(rows: int, ranks: int) -> int:
    """Rows of a step that each GPU takes. UserError (OrderInvalid) where they cannot be shared evenly."""
    if rows % ranks:
        raise UserError(
            Reason.ORDER_INVALID,
            f"spec.training.effectiveBatchSize: {rows} cannot be shared evenly by {ranks} GPUs (spec.resources.gpus x "
            f"spec.resources.nodes): make it a multiple of {ranks}",
        )
    return rows // ranks


def possible_micro_batches(share: int, pinned: int | None, at_once: int, rows: str = "rows") -> tuple[int, ...]:
    """Micro-batches that divide a GPU's share, largest first, of at most so many rows but at least one.
    `rows` is what a message calls them.

    UserError (OrderInvalid) where the spec gives one that does not divide the share.
    """
    if pinned is None:
        return tuple(size for size in range(min(share, max(1, at_once)), 0, -1) if share % size == 0)
    if share % pinned:
        raise UserError(
            Reason.ORDER_INVALID,
            f"spec.training.microBatchSize: {pinned} must divide the {share} {rows} of a step that each GPU takes; set "
            f"a divisor of {share}, or leave microBatchSize out",
        )
    return (pinned,)


def check_portions(training: Training, gpus: int, nodes: int) -> None:
    """What can be said before the dataset is read. UserError (OrderInvalid) where the examples cannot be shared out."""
    if not training.packing:
        share = rank_share(training.effective_batch_size, max(1, gpus) * nodes)
        possible_micro_batches(share, training.micro_batch_size, share)


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of a number that is not above a limit."""
    return next(divisor for divisor in range(min(number, limit), 0, -1) if number % divisor == 0)
