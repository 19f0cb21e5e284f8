"""What it takes to make the comparison again."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from finetune_trainer.report.findings import Findings, PredictionFile
from finetune_trainer.statistics import sign_flip

if TYPE_CHECKING:
    from finetune_trainer.evaluation.finished import FinishedEvaluation


@dataclass(frozen=True)
class Fact:
    """One thing that base and candidate may differ in."""

    name: str
    base: str
    tuned: str

    @property
    def is_shared(self) -> bool:
        return self.base == self.tuned


def provenance(findings: Findings) -> tuple[Fact, ...]:
    """Of both models, in the same order."""
    base, tuned = _facts(findings.baseline), _facts(findings.candidate)
    facts = tuple(Fact(name, base.get(name, "not known"), tuned.get(name, "not known")) for name in base | tuned)
    return facts + tuple(Fact(name, value, value) for name, value in _statistics(findings).items())


def _statistics(findings: Findings) -> dict[str, str]:
    """Of the comparison itself."""
    suite = findings.suite.suite
    weights = ", ".join(f"{task.name} {task.weight:g}" for task in suite.scored_tasks)
    return {
        "inference": f"signs of whole groups flipped, {sign_flip.FLIPS} times (all flips up to "
        f"{sign_flip.EXACT_GROUPS} groups), seed {sign_flip.SEED}, level {sign_flip.ALPHA:g}",
        "margin": f"{suite.margin:g}",
        "weights of the tasks": weights,
        "compared with": f"Python {platform.python_version()}, numpy {version('numpy')}",
    }


def _facts(side: FinishedEvaluation | PredictionFile) -> dict[str, str]:
    if isinstance(side, PredictionFile):
        return {"predictions": side.path, "digest of the file": side.digest, "answers": str(len(side.predictions))}
    return _facts_of_evaluation(side)


def _facts_of_evaluation(evaluation: FinishedEvaluation) -> dict[str, str]:
    record = evaluation.record
    content = record.content
    return {
        "evaluation": record.digest,
        "base model": content.base_model,
        "adapter": content.adapter or "none",
        "quantization": content.quantization,
        "number format": f"{record.precision} ({content.precision_rule})",
        "device": record.device,
        "attention kernel": record.attention or "unknown",
        "suite": f"{record.suite_name} {record.suite_version}",
        "suite digest": content.suite,
        "scorers": f"version {content.scoring}",
        "adapter form": content.adapter_form,
        "chat template": content.template or "none",
        "prompts": content.prompts,
        "decoding": f"greedy, at most {content.decoding.max_new_tokens} new tokens or the task's own limit if shorter",
        "perplexity": f"windows of up to {record.window} tokens that overlap by half, each token scored once",
        "scoring took": f"{float(evaluation.result.seconds):.0f} s",
        "versions": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
    }
