"""Several examples in a row do not see each other, and are learnt as they would be one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from interruptions import checkpoints_folder, stages, stopped
from transformers import AutoModelForCausalLM
from trl import pack_dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from workplaces import TRAINING, MakeWorkplace, Workplace, eps_rows, losses, prepared_with

from finetune_trainer.train import step
from finetune_trainer.train.completion_trainer import completion_loss
from finetune_trainer.train.examples import one_a_row, packed
from finetune_trainer.train.packing import fill_rows
from finetune_trainer.train.tokens import IGNORED, Tokens

ROW = 64
PACKING: dict[str, Any] = TRAINING | {"sequence_length": 256, "packing": True}
TWO_ROWS_A_STEP = {"packing": True, "rows_per_step": 2, "micro_batch_size": 2, "gradient_accumulation": 1}


# Which examples go into which row

LENGTHS = st.lists(st.integers(1, 100), min_size=1, max_size=200)


@given(LENGTHS)
def test_every_example_is_in_one_row_and_no_row_overflows(lengths: list[int]) -> None:
    rows = fill_rows(lengths, ROW)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(sum(min(lengths[index], ROW) for index in row) <= ROW for row in rows)


@given(LENGTHS)
def test_no_two_rows_could_be_one(lengths: list[int]) -> None:
    fills = [sum(min(lengths[index], ROW) for index in row) for row in fill_rows(lengths, ROW)]
    emptiest = sorted(fills)[:2]
    assert len(emptiest) < 2 or sum(emptiest) > ROW


@settings(max_examples=25)
@given(LENGTHS)
def test_rows_are_as_many_as_trl_makes(lengths: list[int]) -> None:
    dataset = Dataset.from_dict({"input_ids": [[1] * length for length in lengths]})
    assert len(fill_rows(lengths, ROW)) == len(pack_dataset(dataset, ROW, "bfd"))


def test_rows_are_the_same_every_time() -> None:
    lengths = np.random.default_rng(3).integers(1, 60, 500).tolist()
    assert fill_rows(lengths, ROW) == fill_rows(lengths, ROW)


# What the model computes


def some_tokens() -> Tokens:
    generator = np.random.default_rng(1)
    lengths = generator.integers(5, 30, 12).astype(np.int32)
    values = generator.integers(5, 200, int(lengths.sum())).astype(np.int32)
    return Tokens(values, lengths, (lengths // 2).astype(np.int32))


def collated(rows: Dataset) -> dict[str, Any]:
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    batch: dict[str, Any] = collate(list(rows))
    return batch


def inputs_of(batch: dict[str, Any]) -> dict[str, Any]:
    """As the training passes them. With a cache, transformers would not look at the positions."""
    return {"input_ids": batch["input_ids"], "position_ids": batch["position_ids"], "use_cache": False}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_logits_are_those_of_each_example_alone(tiny_model: Path, attention: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation=attention)
    batch = collated(packed(some_tokens(), ROW))
    starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    spans = list(zip(starts, [*starts[1:], batch["input_ids"].shape[1]], strict=True))
    with torch.no_grad():
        together = model(**inputs_of(batch)).logits[0]
        for start, end in spans:
            alone = model(batch["input_ids"][:, start:end]).logits[0]
            assert torch.allclose(together[start:end], alone, atol=1e-5, rtol=0)
    assert len(spans) == 12


def test_a_mask_of_all_ones_would_let_the_examples_see_each_other(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    batch = collated(packed(some_tokens(), ROW))
    assert "attention_mask" not in batch
    with torch.no_grad():
        right, wrong = (
            model(**inputs_of(batch)),
            model(**inputs_of(batch), attention_mask=torch.ones_like(batch["input_ids"])),
        )
    assert (right.logits - wrong.logits).abs().max() > 0.1


def test_the_packed_loss_is_the_sum_of_the_examples_losses(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        together, tokens = completion_loss(model, collated(packed(some_tokens(), ROW)))
        alone = [completion_loss(model, collated(one_a_row(some_tokens()).select([index]))) for index in range(12)]
    assert tokens == sum(count for _, count in alone)
    assert float(together) == pytest.approx(sum(float(loss) for loss, _ in alone), rel=1e-5)


def test_labels_stay_with_their_tokens() -> None:
    tokens = some_tokens()
    alone = one_a_row(tokens)
    pairs = {(tuple(row["input_ids"]), tuple(row["labels"])) for row in alone}
    for row in packed(tokens, ROW):
        start = 0
        for length in row["seq_lengths"]:
            end = start + length
            assert (tuple(row["input_ids"][start:end]), tuple(row["labels"][start:end])) in pairs
            assert row["labels"][start] == IGNORED
            start = end
        assert start == len(row["input_ids"])


# A whole training


def rows_said(workplace: Workplace) -> int:
    (packing,) = {stage for stage in stages(workplace) if stage.startswith("packed 36 examples into ")}
    return int(packing.split()[4])


def test_a_packed_training_learns_and_says_how_many_rows_it_has(workplace: Workplace) -> None:
    prepared = prepared_with(workplace, TWO_ROWS_A_STEP, training=PACKING)
    result = step.run(workplace.train_order(training=PACKING), workplace.reporter)
    assert losses(workplace)[-1] < losses(workplace)[0] * 0.7
    rows = rows_said(workplace)
    assert prepared.dataset.train_tokens / 256 <= rows < 18
    assert result.training.steps == -(-rows // 2) * 2


@pytest.mark.usefixtures("stop_request")
def test_a_packed_training_counts_every_token_once_an_epoch(workplace: Workplace) -> None:
    prepared = prepared_with(workplace, TWO_ROWS_A_STEP, training=PACKING)
    stopped(workplace, "validating", at=0, training=PACKING)
    ledger = json.loads((checkpoints_folder(workplace) / "attempts.json").read_text())
    assert [attempt["tokens"] for attempt in ledger["attempts"]] == [prepared.dataset.train_tokens * 2]


@pytest.mark.usefixtures("stop_request")
@pytest.mark.parametrize("told_at", [1, 4])
def test_a_resumed_packed_training_takes_the_same_steps(make_workplace: MakeWorkplace, told_at: int) -> None:
    whole, interrupted = make_workplace("whole"), make_workplace("interrupted")
    for workplace in (whole, interrupted):
        prepared_with(workplace, TWO_ROWS_A_STEP, training=PACKING)
    expected = step.run(whole.train_order(training=PACKING), whole.reporter)
    stopped(interrupted, at=told_at, training=PACKING)
    resumed = step.run(interrupted.train_order(training=PACKING), interrupted.reporter)
    assert losses(interrupted) == pytest.approx(losses(whole), abs=1e-6)
    assert resumed.training.adapter_digest == expected.training.adapter_digest


@pytest.mark.usefixtures("stop_request")
def test_a_packed_training_that_is_prepared_again_with_other_steps_starts_anew(workplace: Workplace) -> None:
    """For another number of GPUs a step may hold more rows: a checkpoint of the smaller steps is none of these."""
    prepared_with(workplace, TWO_ROWS_A_STEP, training=PACKING)
    stopped(workplace, at=2, training=PACKING)
    prepared_with(workplace, TWO_ROWS_A_STEP | {"rows_per_step": 3, "gradient_accumulation": 3}, training=PACKING)
    result = step.run(workplace.train_order(training=PACKING), workplace.reporter)
    assert not [stage for stage in stages(workplace) if stage.startswith("training on")]
    assert result.training.steps == len(losses(workplace)) == -(-rows_said(workplace) // 3) * 2


def test_steps_that_the_plan_did_not_expect_are_reported(workplace: Workplace) -> None:
    prepared_with(workplace, TWO_ROWS_A_STEP | {"steps": 999}, training=PACKING)
    result = step.run(workplace.train_order(training=PACKING), workplace.reporter)
    assert workplace.problems == [f"the packed examples take {result.training.steps} steps; the plan expected 999"]


def test_packed_and_unpacked_see_the_same_tokens(workplace: Workplace) -> None:
    tokens = Tokens(np.arange(5, 25, dtype=np.int32), np.asarray([8, 5, 7], np.int32), np.asarray([2, 1, 3], np.int32))
    rows = packed(tokens, 15)
    assert [row["seq_lengths"] for row in rows] == [[8, 7], [5]]
    assert sorted(token for row in rows for token in row["input_ids"]) == list(range(5, 25))


def test_rows_can_be_longer_than_any_example_that_was_prepared(workplace: Workplace) -> None:
    workplace.write_rows(eps_rows(3))
    prepared_with(workplace, TWO_ROWS_A_STEP | {"steps": 2}, training=PACKING, validation_fraction="0")
    assert step.run(workplace.train_order(training=PACKING), workplace.reporter).training.steps == 2
