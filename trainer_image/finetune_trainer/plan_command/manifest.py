"""Reads a FineTuneJob from a YAML file; refuses what the API server would refuse of its spec."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from finetune_api.finetunejob import FineTuneJobSpec
from finetune_api.group import API_VERSION
from finetune_api.schema import structural_schema
from finetune_trainer.plan_command.admission import refusals, unknown_fields
from finetune_trainer.plan_command.errors import InputError

KIND = "FineTuneJob"


def read_job(path: Path) -> FineTuneJobSpec:
    """The spec of the one FineTuneJob in the file; other kinds may stand beside it."""
    document = _the_job(_documents(path), path)
    spec = document.get("spec")
    if not isinstance(spec, dict):
        raise InputError(f"{path}: spec is missing: give at least spec.baseModel and spec.dataset")
    return _checked(spec, path)


def _checked(spec: dict[str, Any], path: Path) -> FineTuneJobSpec:
    schema = structural_schema(FineTuneJobSpec)
    _refuse(unknown_fields(schema, spec, "spec"), path)
    try:
        # As JSON, which the API server reads: there, a number is no text, and "yes" not true.
        job = FineTuneJobSpec.model_validate_json(json.dumps(spec, default=str), strict=True)
    except ValidationError as error:
        raise InputError(f"{path}: {_first_problem(error)}") from error
    _refuse(refusals(schema, job.to_manifest(), "spec"), path)
    return job


def _refuse(complaints: Iterator[str], path: Path) -> None:
    """InputError with the first of them, if there is one."""
    for complaint in complaints:
        raise InputError(f"{path}: {complaint}")


def _documents(path: Path) -> list[Any]:
    try:
        return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]
    except OSError as error:
        raise InputError(f"-f: {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also a date that no calendar has
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


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    field = "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
    given = "" if problem["type"] == "missing" else f" (it is {problem['input']!r})"
    return f"{field}: {problem['msg'][:1].lower()}{problem['msg'][1:]}{given}"
