"""A language model small enough to train in a second, and orders about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from finetune_api.group import Step
from finetune_api.orders import COMPLETE_MARKER, Location, OrderBase, PrepareTrainingOrder, TrainOrder
from finetune_api.results import PrepareTrainingResult, TrainResult
from finetune_trainer import prepare_training
from finetune_trainer.artifacts import MANIFEST_FILE, order_identity, staged_step
from finetune_trainer.reporting import Reporter
from finetune_trainer.train import step

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL_TOKENS = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
_NUMBERS = [f"{units}.{cents:02}" for units in range(10) for cents in range(0, 100, 7)]
_SENTENCES = ["What are the earnings per share? Answer with the number.", "The company earned $ per share this year."]


def make_tiny_model(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True)
    vocabulary = write_tokenizer(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=0,
            tie_word_embeddings=False,
            # Large enough for an adapter to make a difference within ten steps.
            initializer_range=0.2,
        )
    ).save_pretrained(folder)


def write_tokenizer(folder: Path) -> int:
    """Returns the number of its tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*_NUMBERS, *_SENTENCES], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    configuration = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<|pad|>",
        "eos_token": "<|end|>",
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(configuration))
    return tokenizer.get_vocab_size(with_added_tokens=True)


def eps_rows(count: int) -> list[dict[str, str]]:
    """Examples of the shape instruction/input/output that a tiny model can learn."""
    return [
        {
            "instruction": "What are the earnings per share? Answer with the number.",
            "input": f"The company earned ${_NUMBERS[index % len(_NUMBERS)]} per share this year.",
            "output": _NUMBERS[index % len(_NUMBERS)],
        }
        for index in range(count)
    ]


@dataclass
class Workplace:
    """Volumes with a model and a dataset, a run's folder, and what the steps say."""

    root: Path
    model: Path
    said: StringIO = field(default_factory=StringIO)

    @property
    def directory(self) -> Path:
        return self.root / "artifacts" / "run"

    @property
    def dataset(self) -> Path:
        return self.root / "datasets" / "train.jsonl"

    @property
    def reporter(self) -> Reporter:
        return Reporter(self.said, interval=0)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said.getvalue().splitlines()]

    @property
    def problems(self) -> list[str]:
        return [event["message"] for event in self.events if event["event"] == "problem"]

    def write_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.write_dataset("".join(json.dumps(row) + "\n" for row in rows).encode())

    def write_dataset(self, content: bytes) -> None:
        self.dataset.parent.mkdir(parents=True, exist_ok=True)
        self.dataset.write_bytes(content)

    def model_location(self) -> Location:
        return Location(
            volume=str(self.model.parent),
            path=self.model.name,
            manifest_field="spec.baseModel.persistentVolumeClaim.path",
        )

    def dataset_location(self, path: str = "train.jsonl") -> Location:
        return Location(
            volume=str(self.dataset.parent), path=path, manifest_field="spec.dataset.persistentVolumeClaim.path"
        )

    def prepare_order(self, **changes: Any) -> PrepareTrainingOrder:
        fields = {
            "directory": str(self.directory),
            "base_model": self.model_location(),
            "dataset": self.dataset_location(),
            "validation_fraction": "0.1",
            "method": "auto",
            "lora": {},
            "training": TRAINING,
            "gpus": 0,
        }
        return PrepareTrainingOrder.model_validate(fields | changes)

    def train_order(self, **changes: Any) -> TrainOrder:
        fields = {
            "directory": str(self.directory),
            "base_model": self.model_location(),
            "lora": {},
            "training": TRAINING,
            "gpus": 0,
        }
        return TrainOrder.model_validate(fields | changes)


TRAINING: dict[str, Any] = {
    "epochs": 2,
    "learning_rate": "3e-2",
    "sequence_length": 128,
    "effective_batch_size": 8,
    "checkpoint_every_steps": 4,
}
"""40 rows, 4 of them held out: 5 steps an epoch, 10 in all."""


MakeWorkplace = Callable[[str], Workplace]


def trained(workplace: Workplace, **changes: Any) -> TrainResult:
    """Prepares and trains."""
    prepare_training.run(workplace.prepare_order(**_fields_of(PrepareTrainingOrder, changes)), workplace.reporter)
    return step.run(workplace.train_order(**_fields_of(TrainOrder, changes)), workplace.reporter)


def _fields_of(order: type[OrderBase], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name in order.model_fields}


def losses(workplace: Workplace) -> list[float]:
    """Loss of every step of a finished training."""
    lines = (workplace.directory / "train" / "losses.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def prepared_with(workplace: Workplace, changes: Mapping[str, Any], **order: Any) -> PrepareTrainingResult:
    """Prepares, and puts another plan in place of the one that was made."""
    prepared = prepare_training.run(workplace.prepare_order(**order), workplace.reporter)
    planned = prepared.model_copy(update={"plan": prepared.plan.model_copy(update=dict(changes))})
    place = workplace.directory / Step.PREPARE
    with staged_step(workplace.directory, Step.PREPARE) as staged:
        shutil.copytree(
            place, staged.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(COMPLETE_MARKER, MANIFEST_FILE)
        )
        shutil.rmtree(place)
        staged.commit(planned, order_identity(workplace.prepare_order(**order)))
    return planned
