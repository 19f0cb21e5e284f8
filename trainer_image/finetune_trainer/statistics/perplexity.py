"""The guardrail: does the tuned model still find ordinary text of the field as likely as before?"""

from __future__ import annotations

import math

import numpy as np

from finetune_trainer.statistics import inference, verdict
from finetune_trainer.statistics.inference import Sample
from finetune_trainer.statistics.pairing import PairedTexts
from finetune_trainer.statistics.results import PerplexityResult
from finetune_trainer.suites import model

_UNBOUNDED = (-math.inf, math.inf)


def compare_texts(pair: PairedTexts) -> PerplexityResult:
    """The difference in nats per UTF-8 byte. Bytes, since two tokenizers' perplexities cannot be compared."""
    scorer = pair.task.scorer
    if not isinstance(scorer, model.PerplexityScorer):
        raise TypeError(f"task {pair.task.name!r} has a {scorer.kind} scorer, not a perplexity one")
    margin = scorer.margin_nats_per_byte
    found = inference.infer(_sample(pair), _UNBOUNDED)
    identical = bool(np.array_equal(pair.base, pair.tuned))
    finding = verdict.judge(verdict.Evidence(identical, found, margin))
    return PerplexityResult(
        name=pair.task.name,
        title=pair.task.title,
        documents=len(set(pair.documents)),
        base=float(pair.base.sum() / pair.utf8_bytes.sum()),
        tuned=float(pair.tuned.sum() / pair.utf8_bytes.sum()),
        margin=margin,
        inference=found,
        verdict=finding.verdict,
        reason=finding.reason,
        message=finding.message,
        held=identical or (found.is_sufficient and found.low > -margin),
    )


def _sample(pair: PairedTexts) -> Sample:
    """Weighted by bytes, so that the estimate is the difference of the two totals per byte."""
    return Sample((pair.base - pair.tuned) / pair.utf8_bytes, pair.utf8_bytes, pair.documents, pair.patterns)
