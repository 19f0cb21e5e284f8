"""What a dataset's examples must be like, and what prepare found them to be like."""

from typing import Annotated

from pydantic import Field

from finetune_api.conditions import list_map
from finetune_api.fields import ApiModel, Count, ReportedDecimal, decimal_string


def _percent(example: str) -> type[str]:
    percent: type[str] = decimal_string(minimum="0", maximum="100", example=example)
    return percent


class DatasetQuality(ApiModel):
    """Limits of what is accepted; a dataset beyond one of them is refused (DatasetInvalid). 100 takes everything."""

    near_duplicate_similarity: decimal_string(minimum="0.5", maximum="1", example="0.85") = "0.85"  # type: ignore[valid-type]
    """Share of common word shingles (Jaccard) from which two examples are one; the first is kept."""
    max_duplicate_percent: _percent("50") = "50"  # type: ignore[valid-type]
    """Percent of the examples that may be exact or near duplicates of earlier ones. They are left out."""
    max_contradiction_percent: _percent("5") = "5"  # type: ignore[valid-type]
    """Percent of the examples that may answer a question otherwise than another one does."""
    max_leakage_percent: _percent("20") = "20"  # type: ignore[valid-type]
    """Percent of the training examples that may stand in the validation split or the suite. They are left out."""
    min_relevant_percent: _percent("0") = "0"  # type: ignore[valid-type]
    """Percent of the examples that must be about finance. 0 only reports how many are."""
    max_inconsistent_percent: _percent("20") = "20"  # type: ignore[valid-type]
    """Percent of the examples whose answer may not follow from their text: a figure, sign or unit that is not there."""
    max_personal_percent: _percent("5") = "5"  # type: ignore[valid-type]
    """Percent of the examples that may hold personal data: names of accounts, cards, addresses, numbers."""


class Share(ApiModel):
    """How many examples have something in common."""

    name: Annotated[str, Field(max_length=63)]
    """What they have in common."""
    count: Count
    """How many they are."""


Shares = Annotated[tuple[Share, ...], Field(max_length=8, json_schema_extra=list_map("name"))]


class QualityReport(ApiModel):
    """What prepare found in the examples; all of it is in dataset_report.html on the artifacts volume."""

    examples: Count
    """Examples that were read."""
    exact_duplicates: Count = 0
    """Left out: the same as an earlier one."""
    near_duplicates: Count = 0
    """Left out: almost the same as an earlier one."""
    contradictions: Count = 0
    """Answer a question otherwise than another one does."""
    leaked_validation: Count = 0
    """Left out of training: in the validation split too."""
    leaked_suite: Count = 0
    """Left out of training: in the suite too."""
    relevance: ReportedDecimal | None = None
    """Mean score of how much the examples are about finance, 0 to 1."""
    irrelevant: Count = 0
    """Not about finance."""
    inconsistent: Count = 0
    """Their answer does not follow from their text."""
    personal: Count = 0
    """Hold patterns of personal data."""
    languages: Shares = ()
    """Languages, most frequent first."""
    labels: Shares = ()
    """Short answers that repeat, most frequent first: how balanced the dataset is."""
    to_review: Count = 0
    """Examples that a person should look at: review.jsonl, worst first."""
    accepted: Count = 0
    """Kept because a person said so."""
    rejected: Count = 0
    """Left out because a person said so."""
    fixed: Count = 0
    """Changed as a person said."""
