"""A base model that cannot be trained is refused by `prepare`, with what is missing and what to do."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from workplaces import Workplace

from finetune_api.conditions import Reason
from finetune_trainer import prepare_training
from finetune_trainer.base_model import base_model_digest, check_base_model
from finetune_trainer.failures import UserError


def refusal(workplace: Workplace, **changes: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        prepare_training.run(workplace.prepare_order(**changes), workplace.reporter)
    return caught.value


def remove(*names: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return damage


def with_config(**fields: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text()) | fields
        (folder / "config.json").write_text(json.dumps(config))

    return damage


def write(name: str, content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return damage


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def only_gguf(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.Q4_1.gguf")


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def cut_header(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])


def with_more_bytes(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"more")


def with_another_shape(folder: Path) -> None:
    """As many bytes as before, in the header and below it."""
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    assert b"[64,128]" in content
    weights.write_bytes(content.replace(b"[64,128]", b"[64,129]"))


def missing_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def shard_outside(folder: Path) -> None:
    index = {"weight_map": {"a": "../../etc/model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def of_few_tokens(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = weights[name][:100].contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with_config(vocab_size=100)(folder)


def only_sentencepiece(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (remove("config.json"), "the folder has no config.json, so it is no model; it holds "),
        (write("config.json", b"{"), "config.json is not JSON"),
        (write("config.json", b"{}"), "config.json names no model_type"),
        (
            with_config(model_type="homemade"),
            "the model type 'homemade' is not one that the trainer's transformers knows",
        ),
        (with_config(architectures=["T5ForConditionalGeneration"]), "only causal language models"),
        (with_config(quantization_config={"quant_method": "gptq"}), "already quantized (gptq): give the model as it"),
        (remove("model.safetensors"), "the folder has no safetensors weights; it holds config.json"),
        (only_pickle, "the weights are pickles, which can run code when they are read, so they are refused: save the"),
        (only_gguf, "the folder holds a GGUF file: turn it into safetensors"),
        (cut_weights, "it was not copied whole"),
        (cut_header, "model.safetensors has a broken header, or was not copied whole"),
        (with_more_bytes, "bytes where its header tells of"),
        (with_another_shape, "model.safetensors has a broken header"),
        (write("model.safetensors", b""), "model.safetensors is no safetensors file"),
        (write("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n"), "but a Git LFS pointer"),
        (write("model.safetensors", struct.pack("<Q", 2) + b"{}"), "the weight files hold no weights"),
        (missing_shard, "1 of 2 weight files are missing, such as model-00002-of-00002.safetensors"),
        (shard_outside, "names files outside of the folder"),
        (remove("tokenizer.json"), "the folder has no tokenizer (tokenizer.json)"),
        (only_sentencepiece, "the folder has tokenizer.model but no tokenizer.json: make it with"),
        (write("tokenizer.json", b"{"), "tokenizer.json cannot be read"),
        (write("tokenizer_config.json", b"{"), "tokenizer_config.json is not JSON"),
        (write("chat_template.jinja", b"{% for %}"), "the model's chat template is broken"),
        (of_few_tokens, "tokenizer.json belongs to another model"),
        (with_config(vocab_size=100), "config.json is another model's; take it and the weights from the same folder"),
        (
            with_config(num_hidden_layers=3),
            "lack 7 of the 23 matrices that config.json tells of, such as layers.2.self",
        ),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(
    workplace: Workplace, own_model: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(own_model)
    error = refusal(workplace)
    assert error.reason is Reason.MODEL_INVALID
    assert said in error.message
    assert not (workplace.directory / "prepare").exists()


def test_the_field_of_the_manifest_is_named(workplace: Workplace, own_model: Path) -> None:
    remove("config.json")(own_model)
    assert refusal(workplace).message.startswith("spec.baseModel.persistentVolumeClaim.path: ")


def test_a_model_folder_that_does_not_exist_is_refused_with_those_that_do(workplace: Workplace) -> None:
    missing = workplace.model_location().model_copy(update={"path": "llama"})
    error = refusal(workplace, base_model=missing)
    assert error.reason is Reason.MODEL_INVALID
    assert "'llama' does not exist: the volume holds tiny/" in error.message


def test_code_that_the_folder_brings_is_not_run(workplace: Workplace, own_model: Path) -> None:
    with_config(auto_map={"AutoModelForCausalLM": "evil.Model"})(own_model)
    (own_model / "evil.py").write_text("raise SystemExit('run')")
    assert prepare_training.run(workplace.prepare_order(), workplace.reporter).dataset.train == 36


def test_messages_need_a_chat_template(workplace: Workplace, own_model: Path) -> None:
    write("tokenizer_config.json", b'{"eos_token": "<|end|>"}')(own_model)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    workplace.write_rows([{"messages": turns}])
    error = refusal(workplace)
    assert error.reason is Reason.MODEL_INVALID
    assert "the model has no chat template (chat_template.jinja)" in error.message


def test_without_chat_template_prompt_and_completion_are_plain_text(workplace: Workplace, own_model: Path) -> None:
    write("tokenizer_config.json", b'{"eos_token": "<|end|>"}')(own_model)
    workplace.write_rows([{"prompt": "a", "completion": "b"}])
    result = prepare_training.run(workplace.prepare_order(validation_fraction="0"), workplace.reporter)
    # a | b <|end|>
    assert (result.dataset.train_tokens, result.dataset.trainable_tokens) == (3, 2)


PLAIN_ROWS = [
    {"prompt": "a", "completion": "b"},
    {"instruction": "a", "input": "b", "output": "c"},
]
ENDLESS_TEMPLATE = "{% for message in messages %}<|user|>{{ message.content }}{{ eos_token }}\n{% endfor %}"


@pytest.mark.parametrize("row", PLAIN_ROWS)
@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({}, "tokenizer_config.json names no eos_token and there is no chat template"),
        (
            {"eos_token": None},
            "set eos_token there, to the token whose id generation_config.json gives as eos_token_id",
        ),
        ({"eos_token": ""}, "the model would never stop"),
        ({"eos_token": "</stop>"}, "the eos_token '</stop>' of tokenizer_config.json is not one token"),
        ({"eos_token": "share"}, None),
        ({"chat_template": ENDLESS_TEMPLATE}, "writes nothing after an answer"),
        ({"chat_template": ENDLESS_TEMPLATE, "eos_token": "</stop>"}, "is not one token of tokenizer.json"),
        ({"chat_template": ENDLESS_TEMPLATE, "eos_token": "<|end|>"}, None),
        ({"chat_template": ENDLESS_TEMPLATE.replace("{{ eos_token }}", "<|end|>")}, None),
    ],
)
def test_a_model_that_could_not_learn_to_stop_is_refused(
    workplace: Workplace, own_model: Path, row: dict[str, str], configuration: dict[str, Any], said: str | None
) -> None:
    write("tokenizer_config.json", json.dumps(configuration).encode())(own_model)
    workplace.write_rows([row])
    if said is None:
        assert prepare_training.run(workplace.prepare_order(validation_fraction="0"), workplace.reporter)
        return
    error = refusal(workplace, validation_fraction="0")
    assert error.reason is Reason.MODEL_INVALID
    assert error.message.startswith("spec.baseModel.persistentVolumeClaim.path: ")
    assert said in error.message


def test_target_modules_that_do_not_exist_are_refused_with_those_that_do(workplace: Workplace) -> None:
    error = refusal(workplace, lora={"target_modules": ["q_proj", "query", "foo.q_proj", "lm_head"]})
    assert error.reason is Reason.ORDER_INVALID
    assert "spec.lora.targetModules: the model has no linear layer called query, foo.q_proj, lm_head" in error.message
    assert "it has down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in error.message


@pytest.mark.parametrize("targets", [["all-linear"], ["self_attn.q_proj"], ["up_proj", "down_proj"]])
def test_target_modules_that_exist_are_accepted(workplace: Workplace, targets: list[str]) -> None:
    prepare_training.run(workplace.prepare_order(lora={"target_modules": targets}), workplace.reporter)


def test_the_digest_is_about_the_model_not_about_what_lies_beside_it(workplace: Workplace, own_model: Path) -> None:
    def digest() -> str:
        return base_model_digest(check_base_model(own_model, "field"), workplace.reporter)

    before = digest()
    (own_model / "README.md").write_text("# Tiny")
    assert digest() == before
    with_config(rope_theta=500)(own_model)
    assert digest() != before
