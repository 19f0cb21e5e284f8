"""Tells a full or broken artifacts volume from a defect of ours, whichever library ran into it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from finetune_api.conditions import Reason
from finetune_trainer.failures import InfrastructureError

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_BROKEN_VOLUME = frozenset({errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EROFS, errno.EHOSTDOWN})
_REFUSED = frozenset({errno.EACCES, errno.EPERM})
# safetensors (Rust) and torch.save (C++) do not raise OSError; these are their words for a failed write.
_NO_SPACE_WORDS = ("No space left on device", "os error 28", "Disk quota exceeded", "os error 122")
_FAILED_WRITE_WORDS = ("PytorchStreamWriter", "inline_container", "iostream error", "Error while serializing")
_NEARLY_FULL_BYTES = 1024 * 1024


def as_storage_failure(error: BaseException, directory: Path) -> InfrastructureError | None:
    """What a volume did to us, when it was a volume; `directory` is the run's folder on the artifacts volume."""
    if _is_out_of_space(error, directory):
        return InfrastructureError(Reason.STORAGE_FULL, _full_message(directory))
    if _is_failed_write(error) or _is_refused_write(error, directory) or _number(error) in _BROKEN_VOLUME:
        return InfrastructureError(
            Reason.STORAGE_FAILED,
            f"a volume failed: {error}. The run's folder is {directory}; check that the artifacts volume is mounted "
            f"read-write and that user {os.getuid()} or group {os.getgid()} may write to it",
        )
    return None


def mount_point(path: Path) -> Path:
    """The volume that a path is on."""
    existing = next(place for place in (path, *path.parents) if place.exists())
    return next(place for place in (existing, *existing.parents) if os.path.ismount(place))


def _is_out_of_space(error: BaseException, directory: Path) -> bool:
    if _number(error) in _NO_SPACE or any(words in str(error) for words in _NO_SPACE_WORDS):
        return True
    return _is_failed_write(error) and shutil.disk_usage(mount_point(directory)).free < _NEARLY_FULL_BYTES


def _is_failed_write(error: BaseException) -> bool:
    is_library_error = isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError"
    return is_library_error and any(words in str(error) for words in _FAILED_WRITE_WORDS)


def _is_refused_write(error: BaseException, directory: Path) -> bool:
    if _number(error) not in _REFUSED or not isinstance(error, OSError) or error.filename is None:
        return False
    named = Path(os.fsdecode(error.filename))
    return named.is_relative_to(directory) or directory.is_relative_to(named)


def _number(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _full_message(directory: Path) -> str:
    volume = mount_point(directory)
    usage = shutil.disk_usage(volume)
    return (
        f"the artifacts volume (mounted at {volume}) is full: {_mebibytes(usage.free)} of "
        f"{_mebibytes(usage.total)} free while writing {directory}. Enlarge the claim of spec.artifacts, or delete "
        "folders of runs that are no longer needed; what was finished before is kept"
    )


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"
