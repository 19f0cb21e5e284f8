"""Comparisons at the moments of their life that tests begin from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from finetune_api.group import Step
from finetune_operator.digests import evaluation_name

from .building import (
    DIGEST,
    NOW,
    OTHER_DIGEST,
    Raw,
    comparison,
    fine_tune_job,
    job_of,
    running,
    with_result,
)
from .deciding import told
from .outcomes import (
    compared,
    comparison_prepared,
    evaluation_succeeded,
    evaluations_of,
    succeeded,
)

SETTLED = NOW + timedelta(seconds=31)
"""When what is not seen is not there."""
BASE, TUNED = evaluation_name(DIGEST), evaluation_name(OTHER_DIGEST)


def trained_job() -> tuple[Raw, Raw]:
    """A FineTuneJob that has succeeded, and its model."""
    job, *_, model = succeeded(fine_tune_job())
    return job, model


def preparing(**spec: Any) -> tuple[Raw, Raw, Raw]:
    job, model = trained_job()
    return told(comparison(**spec), job, model), job, model


def evaluating(**spec: Any) -> tuple[Raw, ...]:
    """Both Evaluations were made, and nothing came of them yet."""
    there, job, model = preparing(**spec)
    children = comparison_prepared(there)
    base, tuned = evaluations_of(there, job, model, *children)
    others = (job, model, *children, base, tuned)
    return told(there, job, model, *children), *others


def comparing() -> tuple[Raw, ...]:
    """Both have succeeded, and the compare Job works."""
    there, job, model, *prepare, base, tuned = evaluating()
    done = (evaluation_succeeded(base), evaluation_succeeded(tuned, OTHER_DIGEST))
    compare = job_of(there, Step.COMPARE)
    others = (job, model, *prepare, *done, compare, running(compare))
    return told(there, *others), *others


def finished() -> tuple[Raw, ...]:
    there, *others, _, _ = comparing()
    compare = job_of(there, Step.COMPARE, ended="Complete")
    children = (*others, compare, with_result(compare, compared()))
    return told(there, *children), *children
