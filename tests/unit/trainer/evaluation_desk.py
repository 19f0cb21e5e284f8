"""A small suite, and the orders about it that an operator would send."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.evaluation import Decoding
from finetune_api.orders import (
    CompareOrder,
    EvaluateOrder,
    EvaluationLocation,
    Location,
    ModelLocation,
    PrepareEvaluationOrder,
    SuiteLocation,
)
from finetune_api.quantization import Quantization
from finetune_api.results import EvaluateResult
from finetune_trainer import evaluate, prepare_evaluation
from finetune_trainer.reporting import Reporter

COMPANIES = tuple(f"Company {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWX")


@dataclass
class Desk:
    """Where evaluations are ordered: a suite folder that a test may change, and a volume for results."""

    root: Path
    model: Path
    suite: Path
    events: io.StringIO = field(default_factory=io.StringIO)

    def location(self, path: Path, field: str) -> Location:
        return Location(volume=str(path.parent), path=path.name, manifest_field=field)

    def model_location(self, **changes: Any) -> ModelLocation:
        adapter = changes.pop("adapter", None)
        return ModelLocation(
            name=changes.pop("name", "base"),
            base_model=self.location(changes.pop("model", self.model), "spec.model.baseModel"),
            adapter=None if adapter is None else self.location(adapter, "spec.model.fineTunedModel"),
            quantization=changes.pop("quantization", Quantization.NONE),
            **changes,
        )

    def suite_location(self, limit: int | None = None) -> SuiteLocation:
        return SuiteLocation(location=self.location(self.suite, "spec.suite.configMap"), limit_per_task=limit)

    def prepare_order(self, *models: ModelLocation, limit: int | None = None, **changes: Any) -> PrepareEvaluationOrder:
        return PrepareEvaluationOrder(
            directory=changes.pop("directory", str(self.root / "run")),
            models=models or (self.model_location(),),
            suite=self.suite_location(limit),
            decoding=changes.pop("decoding", Decoding(max_new_tokens=8)),
            **changes,
        )

    def digest(self, *models: ModelLocation, **changes: Any) -> str:
        return prepare_evaluation.run(self.prepare_order(*models, **changes), self.reporter()).digests[0].digest

    def evaluate_order(self, directory: str = "run", **model: Any) -> EvaluateOrder:
        location = self.model_location(**model)
        return EvaluateOrder(
            directory=str(self.root / directory),
            model=location,
            suite=self.suite_location(),
            decoding=Decoding(max_new_tokens=8),
            digest=self.digest(location),
            gpus=0,
        )

    def evaluate(self, directory: str = "run", **model: Any) -> EvaluateResult:
        return evaluate.run(self.evaluate_order(directory, **model), self.reporter())

    def evaluation(self, directory: str, name: str) -> EvaluationLocation:
        marker = json.loads((self.root / directory / "evaluate" / "COMPLETE").read_text())
        place = Location(volume=str(self.root), path=f"{directory}/evaluate", manifest_field="spec.artifacts")
        return EvaluationLocation(name=name, location=place, digest=marker["identity"])

    def compare_order(self, **changes: Any) -> CompareOrder:
        """Of what was evaluated in the folders `base` and `tuned`."""
        fields = {
            "directory": str(self.root / "comparison"),
            "comparison": "tuned-vs-base",
            "suite": self.suite_location(),
            "baseline": self.evaluation("base", "base"),
            "candidate": self.evaluation("tuned", "eps-job"),
        }
        return CompareOrder.model_validate(fields | changes)

    def predictions(self, directory: str = "run") -> str:
        return (self.root / directory / "evaluate" / "predictions.jsonl").read_text()

    def reporter(self) -> Reporter:
        return Reporter(self.events, interval=0)


def questions_asked(monkeypatch: pytest.MonkeyPatch, desk: Desk, **model: Any) -> int:
    """Evaluates to the end; returns how many questions that still took."""
    from finetune_trainer.evaluation.examination import Examiner

    asked: list[int] = []
    original = Examiner.answer

    def answer(self: Examiner, prompts: Sequence[Any], *arguments: Any) -> list[str]:
        asked.append(len(prompts))
        return original(self, prompts, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Examiner, "answer", answer)
        desk.evaluate(**model)
    return sum(asked)


def write_suite(folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Twenty-four questions of each of two tasks, and as many texts, from twenty-four companies."""
    folder.mkdir(exist_ok=True)
    document: dict[str, Any] = {
        "name": "small",
        "version": "1",
        "title": "Small",
        "searchFraction": 0,
        "shots": "shots.jsonl",
        "tasks": [
            {
                "name": "eps",
                "title": "EPS <b>",
                "scorer": {"kind": "number"},
                "maxNewTokens": 6,
                "examples": "eps.jsonl",
            },
            {
                "name": "mood",
                "title": "mood",
                "scorer": {"kind": "label", "labels": ["good", "bad"]},
                "weight": 3,
                "maxNewTokens": 6,
                "examples": "mood.jsonl",
            },
            {"name": "texts", "title": "texts", "scorer": {"kind": "perplexity"}, "examples": "texts.jsonl"},
        ],
    }
    if change is not None:
        change(document)
    (folder / "suite.yaml").write_text(yaml.safe_dump(document))
    write_lines(folder / "eps.jsonl", [_question("eps", number, "1.25") for number in range(24)])
    write_lines(folder / "mood.jsonl", [_question("mood", number, "good") for number in range(24)])
    write_lines(folder / "shots.jsonl", _shots())
    write_lines(folder / "texts.jsonl", [_text(number) for number in range(24)])


def write_lines(path: Path, documents: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))


def write_adapter(base: Path, folder: Path, *, rank: int = 4) -> Path:
    """An adapter whose weights are not zero, so that it changes answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(11)
    model = LlamaForCausalLM.from_pretrained(base)
    adapted = get_peft_model(model, LoraConfig(r=rank, lora_alpha=8, target_modules=["q_proj", "v_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(folder)
    return folder


def _question(task: str, number: int, reference: str) -> dict[str, Any]:
    content = f"What is the {task} of {COMPANIES[number]}?" + " It sold more than before." * (number % 5)
    return {
        "id": f"{task}-{number:02d}",
        "task": task,
        "group": COMPANIES[number],
        "messages": [{"role": "user", "content": content}],
        "reference": reference,
    }


def _shots() -> list[dict[str, Any]]:
    worked = [_question("eps", 0, "1.50"), _question("eps", 1, "-0.25"), _question("mood", 0, "bad")]
    worked.append(_question("mood", 1, "good"))
    asked = [[{"role": "user", "content": f"What of Company {letter}?"}] for letter in "WXYZ"]
    return [
        row | {"id": f"shot-{number}", "group": "shots", "messages": messages}
        for number, (row, messages) in enumerate(zip(worked, asked, strict=True))
    ]


def _text(number: int) -> dict[str, Any]:
    text = f"The sales of {COMPANIES[number]} rose by {number} percent – as expected." * (1 + number % 4)
    return {"id": f"text-{number:02d}", "task": "texts", "group": COMPANIES[number], "text": text}
