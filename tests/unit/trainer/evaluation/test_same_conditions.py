"""Evaluations that were not made alike are not compared; what differs is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluation_desk import Desk
from findings_of import evaluation_of, right_for, small_suite

from finetune_api.conditions import Reason
from finetune_api.evaluation import Decoding
from finetune_api.orders import COMPLETE_MARKER
from finetune_api.quantization import Precision, Quantization
from finetune_trainer import compare
from finetune_trainer.artifacts import MANIFEST_FILE, seal
from finetune_trainer.evaluation.alike import differences
from finetune_trainer.evaluation.record import EvaluationRecord, read_record
from finetune_trainer.failures import UserError

A100, H100 = "NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3"
OTHER = "sha256:" + "07" * 32


def record(*, content: dict[str, Any] | None = None, **changes: Any) -> EvaluationRecord:
    made = evaluation_of(small_suite("eps"), "base", right_for(0.5)).record
    return made.model_copy(update={"content": made.content.model_copy(update=content or {}), **changes})


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        (record(device=A100), record(device=H100), "GPU model"),
        (record(device="cpu"), record(device=H100), "device"),
        (record(), record(precision=Precision.BFLOAT16), "number format"),
        (record(attention="sdpa"), record(attention="eager"), "attention kernel"),
        (record(), record(content={"versions": {"torch": "2.14.0"}}), "version of torch"),
        (record(), record(content={"versions": {}}), "version of torch"),
        (record(), record(content={"template": OTHER}), "chat template"),
        (record(), record(content={"prompts": OTHER}), "prompts' bytes"),
        (record(), record(content={"scoring": "99"}), "version of the scorers"),
        (record(), record(content={"precision_rule": "always float32"}), "number format's rule"),
        (record(), record(content={"decoding": Decoding(max_new_tokens=3)}), "decoding"),
    ],
)
def test_each_condition_that_differs_is_named(one: EvaluationRecord, other: EvaluationRecord, what: str) -> None:
    assert [each.what for each in differences(one, other)] == [what]
    assert [each.what for each in differences(other, one)] == [what]


@pytest.mark.parametrize(
    "other",
    [
        record(),
        record(content={"adapter": OTHER}),
        record(content={"quantization": Quantization.NF4}),
        record(content={"shots": OTHER}, shots=2),
        record(content={"base_model": OTHER, "template": OTHER, "prompts": OTHER}, attention="eager"),
    ],
    ids=["the same", "an adapter", "quantized", "worked examples", "another base model with its own template"],
)
def test_the_model_that_answers_is_no_condition(other: EvaluationRecord) -> None:
    assert differences(record(), other) == ()


def test_a_comparison_across_gpu_models_is_refused_with_the_remedy(desk: Desk, adapter: Path) -> None:
    desk.evaluate("base")
    desk.evaluate("tuned", adapter=adapter)
    moved_to_a_gpu(desk.root / "base", A100)
    moved_to_a_gpu(desk.root / "tuned", H100)
    with pytest.raises(UserError) as failure:
        compare.run(desk.compare_order(), desk.reporter())
    assert failure.value.reason is Reason.CONTENT_CHANGED
    assert f"GPU model: {A100} for base against {H100} for eps-job" in failure.value.message
    assert "spec.resources.nodeSelector" in failure.value.message
    assert not (desk.root / "comparison" / "compare").exists()


def moved_to_a_gpu(directory: Path, product: str) -> None:
    """Seals the evaluation anew as if a GPU had made it."""
    folder = directory / "evaluate"
    identity = json.loads((folder / COMPLETE_MARKER).read_text())["identity"]
    read_record(folder).model_copy(update={"device": product}).write(folder)
    for name in (MANIFEST_FILE, COMPLETE_MARKER):
        (folder / name).unlink()
    seal(folder, identity)
