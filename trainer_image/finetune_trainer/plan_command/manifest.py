"""Reads a FineTuneJob from a YAML file; refuses what the API server would refuse, as far as the plan depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from finetune_api.finetunejob import FineTuneJobSpec
from finetune_api.group import API_VERSION
from finetune_trainer.plan_command.errors import InputError
from finetune_trainer.plan_command.rules import broken_rule

KIND = "FineTuneJob"


def read_job(path: Path) -> FineTuneJobSpec:
    """The spec of the one FineTuneJob in the file; other kinds may stand beside it."""
    document = _the_job(_documents(path), path)
    spec = document.get("spec")
    if not isinstance(spec, dict):
        raise InputError(f"{path}: spec is missing: give at least spec.baseModel and spec.dataset")
    unknown = next(_unknown_fields(FineTuneJobSpec, spec, "spec"), None)
    if unknown is not None:
        raise InputError(f"{path}: {unknown}")
    try:
        job = FineTuneJobSpec.model_validate(spec)
    except ValidationError as error:
        raise InputError(f"{path}: {_first_problem(error)}") from error
    broken = broken_rule(job)
    if broken is not None:
        raise InputError(f"{path}: {broken}")
    return job


def _documents(path: Path) -> list[Any]:
    try:
        return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]
    except OSError as error:
        raise InputError(f"-f: {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


def _the_job(documents: list[Any], path: Path) -> dict[str, Any]:
    jobs = [document for document in documents if isinstance(document, dict) and document.get("kind") == KIND]
    if not jobs:
        kinds = [str(document.get("kind")) if isinstance(document, dict) else "no object" for document in documents]
        raise InputError(f"{path} has no {KIND}; it has {', '.join(kinds) or 'nothing'}")
    if len(jobs) > 1:
        names = ", ".join(str((job.get("metadata") or {}).get("name")) for job in jobs)
        raise InputError(f"{path} has {len(jobs)} FineTuneJobs ({names}): plan one at a time, from a file of its own")
    if jobs[0].get("apiVersion") != API_VERSION:
        raise InputError(f"{path}: apiVersion: '{jobs[0].get('apiVersion')}' is not {API_VERSION}")
    return jobs[0]


def _unknown_fields(model: type[BaseModel], document: dict[Any, Any], where: str) -> Iterator[str]:
    """Fields that kubectl would refuse too: most often misspelt ones, whose defaults would be planned with silently."""
    fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    for key, value in document.items():
        if key not in fields:
            yield f"{where}.{key}: there is no such field; {where} has {', '.join(sorted(fields))}"
        elif isinstance(value, dict) and (inner := _model_in(fields[key])) is not None:
            yield from _unknown_fields(inner, value, f"{where}.{key}")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, also where it may be left out."""
    candidates = (annotation, *get_args(annotation))
    return next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    field = ".".join(("spec", *map(str, problem["loc"])))
    given = "" if problem["type"] == "missing" else f" (it is {problem['input']!r})"
    return f"{field}: {problem['msg'][:1].lower()}{problem['msg'][1:]}{given}"
