"""The memory formula does what memory does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning_subjects import LLAMA_8B, model

from finetune_api.quantization import Attention, Precision, Quantization, Sharding
from finetune_trainer.planning.dimensions import ModelDimensions, read_dimensions
from finetune_trainer.planning.memory import GIB, Setup, adapter_parameters, estimate, total
from finetune_trainer.planning.profiles import PROFILES, Habits, LossKernel

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


@st.composite
def models(draw: st.DrawFn) -> ModelDimensions:
    heads = draw(st.sampled_from([2, 8, 32]))
    return read_dimensions(
        {
            "model_type": draw(st.sampled_from(["llama", "mistral", "qwen3", "gemma2", "phi", "phi3", "gpt_neox"])),
            "hidden_size": heads * draw(st.sampled_from([32, 64, 128])),
            "num_attention_heads": heads,
            "num_key_value_heads": draw(st.sampled_from([1, 2, heads])),
            "intermediate_size": draw(st.integers(64, 30000)),
            "num_hidden_layers": draw(st.integers(2, 80)),
            "vocab_size": draw(st.integers(256, 260_000)),
            "tie_word_embeddings": draw(st.booleans()),
        }
    )


setups = st.builds(
    Setup,
    targets=st.just(("all-linear",)),
    rank=st.integers(1, 256),
    micro_batch_size=st.integers(1, 32),
    length=st.integers(1, 16384),
    quantization=st.sampled_from(Quantization),
    precision=st.sampled_from(Precision),
    checkpointing=st.booleans(),
    attention=st.sampled_from(Attention),
    dropout=st.booleans(),
    dora=st.booleans(),
    habits=st.sampled_from([habits for profile in PROFILES.values() for habits in (profile.lora, profile.qlora)]),
)


def peak(dimensions: ModelDimensions, setup: Setup, **changes: Any) -> int:
    return total(estimate(dimensions, replace(setup, **changes)))


@given(models(), setups)
def test_more_of_anything_never_takes_less(dimensions: ModelDimensions, setup: Setup) -> None:
    usual = peak(dimensions, setup)
    assert peak(dimensions, setup, length=setup.length + 1) >= usual
    assert peak(dimensions, setup, micro_batch_size=setup.micro_batch_size + 1) >= usual
    assert peak(dimensions, setup, rank=setup.rank + 1) >= usual
    assert peak(replace(dimensions, vocabulary=dimensions.vocabulary + 1), setup) >= usual
    assert peak(replace(dimensions, layers=dimensions.layers + 1), setup) >= usual


@given(models(), setups)
def test_checkpointing_never_takes_more(dimensions: ModelDimensions, setup: Setup) -> None:
    assert peak(dimensions, setup, checkpointing=True) <= peak(dimensions, setup, checkpointing=False)


@given(models(), setups)
def test_fewer_bits_are_fewer_bytes(dimensions: ModelDimensions, setup: Setup) -> None:
    def weights(quantization: Quantization) -> int:
        return estimate(dimensions, replace(setup, quantization=quantization)).weights

    assert weights(Quantization.NF4) <= weights(Quantization.INT8) <= weights(Quantization.NONE)


@given(models(), setups, st.integers(2, 16))
def test_more_gpus_hold_less_each(dimensions: ModelDimensions, setup: Setup, ranks: int) -> None:
    def sharded(number: int) -> int:
        return peak(dimensions, setup, sharding=Sharding.FSDP, ranks=number)

    assert sharded(ranks + 1) <= sharded(ranks)


@given(models(), setups)
def test_the_parts_are_whole_and_none_is_negative(dimensions: ModelDimensions, setup: Setup) -> None:
    parts = estimate(dimensions, setup).model_dump()
    assert all(isinstance(size, int) and size >= 0 for size in parts.values())


def test_the_weights_are_those_of_the_published_checkpoint() -> None:
    setup = Setup(targets=ATTENTION, rank=16, micro_batch_size=1, length=1)
    # 8,030,261,248 parameters of Llama 3.1 8B in bfloat16.
    assert estimate(model(), setup).weights == pytest.approx(2 * 8_030_261_248, rel=1e-3)


def test_the_adapter_is_counted_matrix_by_matrix() -> None:
    setup = Setup(targets=("q_proj", "v_proj"), rank=8, micro_batch_size=1, length=1)
    llama_2_7b = read_dimensions(LLAMA_8B | {"num_key_value_heads": 32, "intermediate_size": 11008})
    # As LitGPT reports for r=8 on queries and values of Llama 2 7B.
    assert adapter_parameters(llama_2_7b, setup) == 4_194_304


def test_the_fused_loss_never_holds_all_scores() -> None:
    setup = Setup(targets=ATTENTION, rank=16, micro_batch_size=4, length=2048)
    plain = estimate(model(), replace(setup, habits=Habits(LossKernel.PLAIN))).logits
    assert plain == 4 * 2048 * 128256 * 12
    assert estimate(model(), setup).logits < GIB / 2 < plain


def test_eager_attention_grows_with_the_square_of_the_length() -> None:
    def activations(length: int) -> int:
        eager = Setup(targets=ATTENTION, rank=16, micro_batch_size=1, length=length, attention=Attention.EAGER)
        return (
            estimate(model(), eager).activations
            - estimate(model(), replace(eager, attention=Attention.SDPA)).activations
        )

    assert activations(4096) == pytest.approx(4 * activations(2048), rel=0.01)
