"""What a plan has to answer: the spec as far as memory and portions depend on it, and what it leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from finetune_api.conditions import Reason
from finetune_api.finetunejob import Lora, Training
from finetune_api.quantization import Attention, Method, Precision, Quantization, Sharding
from finetune_trainer.failures import UserError
from finetune_trainer.planning.memory import Setup
from finetune_trainer.planning.method import method_of, possible_quantizations
from finetune_trainer.planning.portions import (
    CPU_TOKENS_AT_ONCE,
    GPU_TOKENS_AT_ONCE,
    possible_micro_batches,
    rank_share,
)
from finetune_trainer.planning.profiles import OWN, Profile
from finetune_trainer.planning.throughput import Form


@dataclass(frozen=True)
class Choice:
    """One answer to a demand."""

    quantization: Quantization
    checkpointing: bool
    sharding: Sharding
    micro_batch_size: int = 1


@dataclass(frozen=True)
class Demand:
    """None is what the plan may choose."""

    targets: tuple[str, ...]
    rank: int
    dropout: bool
    dora: bool
    method: Method
    quantization: Quantization | None
    precision: Precision
    attention: Attention
    checkpointing: bool | None
    micro_batch_size: int | None
    rows_per_step: int
    length: int
    """Tokens of the longest row that goes through the model."""
    packing: bool
    gpus: int
    """On each node; 0 computes on the CPU."""
    nodes: int
    only_eager: bool = False
    """Whether the model has no other attention."""
    profile: Profile = OWN
    """Whose training it is."""

    @property
    def ranks(self) -> int:
        return max(1, self.gpus) * self.nodes

    @property
    def share(self) -> int:
        """Rows of a step that each GPU takes."""
        return rank_share(self.rows_per_step, self.ranks)

    def choices(self) -> Iterator[Choice]:
        """Forms that the spec leaves open, the fastest first. Sharding costs most, so it is what is tried last."""
        quantizations = possible_quantizations(self.method, self.quantization)
        checkpointings = (False, True) if self.checkpointing is None else (self.checkpointing,)
        for sharding in self._shardings():
            for quantization in quantizations:
                # bitsandbytes cannot share 8-bit weights out.
                if sharding is Sharding.FSDP and quantization is Quantization.INT8:
                    continue
                for checkpointing in checkpointings:
                    yield Choice(quantization, checkpointing, sharding)

    def micro_batches(self, most_tokens: float | None = None) -> tuple[int, ...]:
        """Sizes to try, largest first; `most_tokens` is a limit of the guard's."""
        at_once = GPU_TOKENS_AT_ONCE if self.gpus else CPU_TOKENS_AT_ONCE
        limit = at_once if most_tokens is None else min(at_once, most_tokens)
        rows = f"packed rows of {self.length} tokens" if self.packing else "rows"
        return possible_micro_batches(self.share, self.micro_batch_size, int(limit // self.length), rows)

    def setup(self, choice: Choice) -> Setup:
        return Setup(
            targets=self.targets,
            rank=self.rank,
            micro_batch_size=choice.micro_batch_size,
            length=self.length,
            quantization=choice.quantization,
            precision=self.precision,
            checkpointing=choice.checkpointing,
            attention=self.attention,
            dropout=self.dropout,
            dora=self.dora,
            sharding=choice.sharding,
            ranks=self.ranks,
            habits=self.profile.habits(choice.quantization),
        )

    def form(self, choice: Choice) -> Form:
        """What the speed of such a training depends on."""
        method, quantization = method_of(choice.quantization)
        return Form(method, quantization, choice.checkpointing, self.packing, self.precision, self.dora)

    def _shardings(self) -> tuple[Sharding, ...]:
        if self.ranks == 1:
            return (Sharding.NONE,)
        return (Sharding.DDP, Sharding.FSDP) if self.gpus else (Sharding.DDP,)


def demand_of(
    lora: Lora,
    training: Training,
    *,
    method: Method,
    quantization: Quantization | None,
    precision: Precision,
    attention: Attention,
    gpus: int,
    nodes: int,
    rows_per_step: int,
    longest: int,
) -> Demand:
    """`precision` and `attention` are taken where the spec says nothing. `longest` is the longest example's tokens;
    packed rows are always filled up to the sequence length.

    UserError (OrderInvalid) where the spec asks for an attention that the model does not have.
    """
    if training.attention is Attention.SDPA and attention is Attention.EAGER:
        raise UserError(
            Reason.ORDER_INVALID,
            "spec.training.attention: the model caps its attention's scores, which sdpa cannot; set eager, or leave "
            "it out",
        )
    length = training.sequence_length if training.packing else min(longest, training.sequence_length)
    return Demand(
        targets=lora.target_modules,
        rank=lora.rank,
        dropout=float(lora.dropout) > 0,
        dora=lora.dora,
        method=method,
        quantization=quantization,
        precision=training.precision or precision,
        attention=training.attention or attention,
        checkpointing=training.activation_checkpointing,
        micro_batch_size=training.micro_batch_size,
        rows_per_step=rows_per_step,
        length=max(1, length),
        packing=training.packing,
        gpus=gpus,
        nodes=nodes,
        only_eager=attention is Attention.EAGER,
    )
