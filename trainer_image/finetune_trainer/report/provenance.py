"""What it takes to make the comparison again."""

from __future__ import annotations

from dataclasses import dataclass

from finetune_trainer.evaluation.finished import FinishedEvaluation
from finetune_trainer.report.findings import Findings


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
    return tuple(Fact(name, base[name], tuned[name]) for name in base)


def _facts(evaluation: FinishedEvaluation) -> dict[str, str]:
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
