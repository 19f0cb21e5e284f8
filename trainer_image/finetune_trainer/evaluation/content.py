"""What an evaluation is named by: everything that its answers and scores follow from."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from finetune_api.evaluation import Decoding
from finetune_api.quantization import Precision, Quantization
from finetune_trainer.digests import document_digest, text_digest
from finetune_trainer.evaluation.prompts import prompts_digest
from finetune_trainer.evaluation.subject import Subject
from finetune_trainer.evaluation.versions import library_versions
from finetune_trainer.scoring.scorers import SCORING_VERSION
from finetune_trainer.suites.digest import suite_digest
from finetune_trainer.suites.model import LoadedSuite
from finetune_trainer.suites.shots import questions_digest
from finetune_trainer.tokenization import Tokenizer

CONTENT_VERSION = 2
"""Raised whenever the same content may give other answers than before."""
PRECISION_RULE = "float32 on a CPU, bfloat16 on a GPU"
"""On a CPU, bfloat16 answers depend on what else is in the batch (15 of 72 answers of SmolLM2-135M differ between
batches of 8 and 32, none in float32). A GPU is bought for bfloat16, and the batches are the same in every run."""


class AdapterForm(StrEnum):
    """How a fine-tuned model computes. One that an adapter was merged into is a base model with weights of its own."""

    NONE = "none"
    OVER_BASE = "adapter over base"


class EvaluationContent(BaseModel):
    """The parts of the digest. Two evaluations with the same parts are the same."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    version: int = CONTENT_VERSION
    base_model: str
    adapter: str | None
    adapter_form: AdapterForm = AdapterForm.NONE
    quantization: Quantization
    suite: str
    shots: str | None = None
    """Digest of the questions with the worked examples before them, where there are any."""
    decoding: Decoding
    scoring: str = SCORING_VERSION
    template: str | None
    """Digest of the chat template; None where the model has none."""
    prompts: str
    """Digest of all prompts' bytes, without worked examples: what base and candidate must have been asked alike."""
    precision_rule: str = PRECISION_RULE
    versions: dict[str, str]
    """Of the libraries that compute, by name."""

    @property
    def digest(self) -> str:
        return document_digest(self.model_dump(mode="json", by_alias=True))


def content_of(
    subject: Subject, tokenizer: Tokenizer, suite: LoadedSuite, decoding: Decoding, put: LoadedSuite | None = None
) -> EvaluationContent:
    """What evaluating this model on this suite is named by; `put` is the suite with worked examples, if there are."""
    template = tokenizer.chat_template
    return EvaluationContent(
        base_model=subject.base_digest,
        adapter=subject.adapter_digest,
        adapter_form=AdapterForm.NONE if subject.adapter is None else AdapterForm.OVER_BASE,
        quantization=subject.quantization,
        suite=suite_digest(suite),
        shots=None if put is None or put is suite else questions_digest(put),
        decoding=decoding,
        template=None if template is None else text_digest(template),
        prompts=prompts_digest(suite, tokenizer),
        versions=library_versions(),
    )


def precision_for(is_gpu: bool) -> Precision:
    """The number format, by the rule above."""
    return Precision.BFLOAT16 if is_gpu else Precision.FLOAT32
