"""Figures of finished trainings from a file, for planning hours without a cluster."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from finetune_api.planning import Measured
from finetune_trainer.plan_command.errors import InputError

_ADAPTER: TypeAdapter[tuple[Measured, ...]] = TypeAdapter(tuple[Measured, ...])


def read_measured(path: Path | None) -> tuple[Measured, ...]:
    """The file's list; empty without a file."""
    if path is None:
        return ()
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"--measured: {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        raise InputError(f"--measured: {path}: {where}: {problem['msg']}; give a JSON list of objects") from error


def the_only(values: set[str], option: str, wanted: str | None) -> str | None:
    """What was wanted, or the one value that there is; InputError where there are several to choose from."""
    if wanted is not None or not values:
        return wanted
    if len(values) > 1:
        raise InputError(f"--measured has figures of {', '.join(sorted(values))}: say which with {option}")
    return next(iter(values))
