"""How the plan follows from the order, the dataset and the device."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workplaces import TRAINING, Workplace

from finetune_api.conditions import Reason
from finetune_api.quantization import Method, Precision, Quantization
from finetune_trainer import cpu_features, planning, prepare_training
from finetune_trainer.failures import UserError
from finetune_trainer.planning import largest_divisor, make_plan, resolve_method


@pytest.mark.parametrize(
    ("method", "quantization", "resolved"),
    [
        (Method.AUTO, None, (Method.LORA, Quantization.NONE)),
        (Method.AUTO, Quantization.NONE, (Method.LORA, Quantization.NONE)),
        (Method.AUTO, Quantization.INT8, (Method.QLORA, Quantization.INT8)),
        (Method.AUTO, Quantization.NF4, (Method.QLORA, Quantization.NF4)),
        (Method.LORA, None, (Method.LORA, Quantization.NONE)),
        (Method.LORA, Quantization.NONE, (Method.LORA, Quantization.NONE)),
        (Method.QLORA, None, (Method.QLORA, Quantization.NF4)),
        (Method.QLORA, Quantization.INT8, (Method.QLORA, Quantization.INT8)),
    ],
)
def test_what_is_left_open_is_resolved(
    method: Method, quantization: Quantization | None, resolved: tuple[Method, Quantization]
) -> None:
    assert resolve_method(method, quantization) == resolved


@pytest.mark.parametrize(
    ("method", "quantization"), [(Method.LORA, Quantization.NF4), (Method.QLORA, Quantization.NONE)]
)
def test_what_contradicts_itself_is_refused(method: Method, quantization: Quantization) -> None:
    with pytest.raises(UserError, match=r"spec\.quantization") as caught:
        resolve_method(method, quantization)
    assert caught.value.reason is Reason.ORDER_INVALID


@pytest.mark.parametrize(
    ("gpus", "longest", "micro_batch_size"), [(0, 93, 16), (0, 300, 4), (0, 5000, 1), (1, 2048, 4), (1, 93, 16)]
)
def test_long_examples_go_through_in_smaller_portions(
    workplace: Workplace, gpus: int, longest: int, micro_batch_size: int
) -> None:
    training = TRAINING | {"effective_batch_size": 16, "sequence_length": 8192}
    plan = make_plan(workplace.prepare_order(gpus=gpus, training=training), examples=100, longest=longest)
    assert plan.micro_batch_size == micro_batch_size
    assert plan.gradient_accumulation == 16 // micro_batch_size
    assert plan.steps == 14


def test_a_pinned_micro_batch_size_is_kept(workplace: Workplace) -> None:
    plan = make_plan(workplace.prepare_order(training=TRAINING | {"micro_batch_size": 2}), examples=9, longest=10)
    assert (plan.micro_batch_size, plan.gradient_accumulation, plan.steps_per_epoch) == (2, 4, 2)


def test_a_pinned_micro_batch_size_must_divide_the_effective_one(workplace: Workplace) -> None:
    order = workplace.prepare_order(training=TRAINING | {"micro_batch_size": 3})
    with pytest.raises(UserError, match=r"spec\.training\.microBatchSize: 3 must divide effectiveBatchSize 8"):
        prepare_training.run(order, workplace.reporter)


def test_several_gpus_are_refused_rather_than_left_idle(workplace: Workplace) -> None:
    with pytest.raises(UserError, match=r"spec\.resources\.gpus: a training uses one GPU at most"):
        prepare_training.run(workplace.prepare_order(gpus=2), workplace.reporter)


@pytest.mark.parametrize(
    ("information", "precision"),
    [
        ("processor: 0\nflags\t: fpu sse2 avx512f avx512_bf16 erms\n", Precision.BFLOAT16),
        ("processor: 0\nFeatures\t: fp asimd bf16 i8mm\n", Precision.BFLOAT16),
        ("processor: 0\nflags\t: fpu sse2 avx2\n", Precision.FLOAT32),
        ("", Precision.FLOAT32),
    ],
)
def test_a_cpu_computes_in_the_format_that_it_has_instructions_for(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, information: str, precision: Precision
) -> None:
    (tmp_path / "cpuinfo").write_text(information)
    multiplies_bfloat16 = partial(cpu_features.multiplies_bfloat16, tmp_path / "cpuinfo")
    monkeypatch.setattr(planning, "multiplies_bfloat16", multiplies_bfloat16)
    assert planning.make_plan(workplace.prepare_order(), examples=8, longest=8).precision is precision
    assert planning.make_plan(workplace.prepare_order(gpus=1), examples=8, longest=8).precision is Precision.BFLOAT16


@given(number=st.integers(1, 4096), limit=st.integers(1, 5000))
def test_the_largest_divisor_divides_and_no_larger_one_does(number: int, limit: int) -> None:
    divisor = largest_divisor(number, limit)
    assert number % divisor == 0
    assert divisor <= limit
    assert not any(number % larger == 0 for larger in range(divisor + 1, min(number, limit) + 1))
