"""Examples that are longer than the sequence length, where the spec says that none may be cut."""

from __future__ import annotations

from finetune_api.conditions import Reason
from finetune_trainer.dataset.counting import CountsByLine
from finetune_trainer.failures import UserError


def refuse_overlong(counts: CountsByLine, sequence_length: int, manifest_field: str) -> None:
    """UserError (DatasetInvalid) with the length of each such line, when there are any."""
    overlong = {line: count.longest for line, count in sorted(counts.items()) if count.truncated}
    if overlong:
        longest = max(overlong.values())
        raise UserError(
            Reason.DATASET_INVALID,
            f"{manifest_field}: {len(overlong)} of {len(counts)} examples are longer than "
            f"spec.training.sequenceLength ({sequence_length} tokens), the longest has {longest}: raise it, shorten "
            "them, or set spec.training.overlong: Truncate",
            errors=[f"line {line}: {length} tokens" for line, length in overlong.items()],
        )
