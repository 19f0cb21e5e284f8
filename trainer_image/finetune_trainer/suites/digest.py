"""A suite's digest: the same content gives the same digest, however the files are laid out."""

from __future__ import annotations

import hashlib
import json

from finetune_trainer.suites import model


def suite_digest(loaded: model.LoadedSuite) -> str:
    """sha256 over the canonical form of the suite and of the examples that are in use."""
    hasher = hashlib.sha256(_canonical(loaded.suite))
    for task in loaded.suite.tasks:
        for example in sorted(loaded.examples[task.name], key=lambda each: each.id):
            hasher.update(b"\n" + _canonical(example))
    return f"sha256:{hasher.hexdigest()}"


def _canonical(part: model.SuiteModel) -> bytes:
    document = part.model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
