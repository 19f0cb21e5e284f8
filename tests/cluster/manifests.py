"""The manifests that tests apply: short ones, with what a test is about as argument."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]
API_VERSION = "finetune.dev/v1alpha1"
TINY_RESOURCES = {"gpus": 1, "cpu": "900m", "memory": "2Gi"}


def fine_tune_job(
    name: str,
    *,
    model: str = "tiny",
    dataset: str = "train.jsonl",
    training: Json | None = None,
    resources: Json | None = None,
    **spec: Any,
) -> Json:
    """A FineTuneJob of the tiny model on the datasets volume, with one test GPU."""
    return {
        "apiVersion": API_VERSION,
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": {
            "baseModel": {"persistentVolumeClaim": {"claimName": "models", "path": model}},
            "dataset": {"persistentVolumeClaim": {"claimName": "datasets", "path": dataset}},
            "lora": {"rank": 4, "alpha": 8},
            "training": {
                "epochs": 1,
                "sequenceLength": 64,
                "effectiveBatchSize": 4,
                "checkpointEverySteps": 5,
                **(training or {}),
            },
            "resources": {**TINY_RESOURCES, **(resources or {})},
            "retry": {"limit": 2, "backoffSeconds": 1},
            **spec,
        },
    }


def comparison(name: str, candidate: str, **spec: Any) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "Comparison",
        "metadata": {"name": name},
        "spec": {
            "candidates": [{"fineTuneJob": candidate}],
            "suite": {"builtin": "finance", "limitPerTask": 4},
            "decoding": {"maxNewTokens": 4},
            "resources": TINY_RESOURCES,
            "retry": {"limit": 2, "backoffSeconds": 1},
            **spec,
        },
    }


def evaluation(name: str, model: Json, **spec: Any) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "Evaluation",
        "metadata": {"name": name},
        "spec": {
            "model": model,
            "suite": {"builtin": "finance", "limitPerTask": 4},
            "decoding": {"maxNewTokens": 4},
            "resources": TINY_RESOURCES,
            **spec,
        },
    }


def base_model(path: str) -> Json:
    return {"persistentVolumeClaim": {"claimName": "models", "path": path}}


def examples(count: int, answer: str = "EPS: {cents}") -> list[str]:
    """Distinct questions with short answers, in the instruction shape."""
    return [
        json.dumps(
            {
                "instruction": "What were the earnings per share?",
                "input": f"Company {number} earned {number % 9}.{number % 7}5 dollars a share.",
                "output": answer.format(cents=f"{number % 9}.{number % 7}5"),
            }
        )
        for number in range(count)
    ]
