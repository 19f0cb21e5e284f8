"""Names that follow from content: a run's, and those of its children."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from finetune_api.fields import ApiModel
from finetune_api.group import Kind, Step

RUN_DIGEST_VERSION = 1
RELEVANT_FIELDS: Mapping[Kind, frozenset[str]] = {
    Kind.FINE_TUNE_JOB: frozenset({"base_model", "dataset", "method", "quantization", "lora", "training", "export"}),
    Kind.EVALUATION: frozenset({"model", "suite", "decoding", "digest"}),
    Kind.COMPARISON: frozenset({"candidates", "baseline", "suite", "decoding", "gate"}),
}
"""Fields of the spec that a run is named by. The others act on the next pod, or at once, and start no run."""

BOUND_FIELDS: Mapping[Kind, frozenset[str]] = {
    kind: relevant | {"artifacts"} for kind, relevant in RELEVANT_FIELDS.items()
}
"""What a run keeps of the spec that it started with. Where its files lie does not name it, but must not change."""

NAME_LIMIT = 40
"""Characters of the owner's name that a child's name keeps; 63 are allowed in all."""


def frozen_spec(kind: Kind, spec: ApiModel) -> dict[str, Any]:
    """The part of the spec that a run is bound to, as JSON."""
    return _part(spec, BOUND_FIELDS[kind])


def _part(spec: ApiModel, fields: frozenset[str]) -> dict[str, Any]:
    """Fields at their default are left out, so that a field that a later version adds renames no run of today."""
    return spec.model_dump(mode="json", by_alias=True, include=set(fields), exclude_defaults=True, exclude_none=True)


def run_digest(kind: Kind, spec: ApiModel, rerun: str) -> str:
    """16 hexadecimal digits that name the run of this spec."""
    content = {
        "version": RUN_DIGEST_VERSION,
        "kind": kind.value,
        "rerun": rerun,
        "spec": _part(spec, RELEVANT_FIELDS[kind]),
    }
    return _digest(json.dumps(content, sort_keys=True, separators=(",", ":")))[:16]


def child_name(name: str, step: Step, uid: str, run: str, attempt: int, part: str = "") -> str:
    """Name of the Job of one attempt. The same attempt has the same name whoever works it out."""
    content = f"{uid}/{run}/{attempt}" + (f"/{part}" if part else "")
    return f"{_cut(name)}-{step.value}-{_digest(content)[:10]}"


def part_name(candidate: str) -> str:
    """What the Job of one of several candidates is labelled with: a name may be longer than a label's value."""
    return _digest(candidate)[:10]


def model_name(name: str, uid: str, run: str) -> str:
    """Name of the FineTunedModel that a run leaves, and of the Comparison that follows by itself."""
    return f"{_cut(name)}-{_digest(f'{uid}/{run}')[:8]}"


def replicate_name(name: str, uid: str, run: str, seed: int) -> str:
    """Name of the FineTuneJob that trains one of the seeds of a run."""
    return f"{_cut(name)}-seed-{seed}-{_digest(f'{uid}/{run}')[:8]}"


def service_name(name: str, uid: str, run: str) -> str:
    """Name of the Service by which the pods of a run find each other. A Service's name begins with a letter."""
    return f"run-{model_name(name, uid, run)}"


def report_name(name: str, uid: str, run: str) -> str:
    """Name of the ConfigMap with the report of a run: it is never written anew, so each run has its own."""
    return f"{_cut(name)}-report-{_digest(f'{uid}/{run}')[:8]}"


def evaluation_name(digest: str) -> str:
    """Name of the Evaluation of this content: whoever needs it next finds it."""
    return f"eval-{digest.removeprefix('sha256:')[:16]}"


def event_name(name: str, *parts: str) -> str:
    return f"{name[:200]}.{_digest('/'.join(parts))[:16]}"


def _cut(name: str) -> str:
    return name[:NAME_LIMIT].rstrip("-.").replace(".", "-")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
