"""The API group, its kinds, and the labels and annotations by which things find each other."""

from dataclasses import dataclass
from enum import StrEnum

GROUP = "finetune.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "finetune"

RERUN_ANNOTATION = f"{GROUP}/rerun"
"""A new value asks for a new run of the same spec."""


class Kind(StrEnum):
    FINE_TUNE_JOB = "FineTuneJob"
    EVALUATION = "Evaluation"
    COMPARISON = "Comparison"
    FINE_TUNED_MODEL = "FineTunedModel"


@dataclass(frozen=True)
class Names:
    """How Kubernetes and kubectl call a kind."""

    kind: Kind
    plural: str
    singular: str
    short: str


NAMES = {
    Kind.FINE_TUNE_JOB: Names(Kind.FINE_TUNE_JOB, "finetunejobs", "finetunejob", "ftj"),
    Kind.EVALUATION: Names(Kind.EVALUATION, "evaluations", "evaluation", "eval"),
    Kind.COMPARISON: Names(Kind.COMPARISON, "comparisons", "comparison", "cmp"),
    Kind.FINE_TUNED_MODEL: Names(Kind.FINE_TUNED_MODEL, "finetunedmodels", "finetunedmodel", "ftm"),
}


class Label(StrEnum):
    """Labels on every child. Links go by the owner's uid, so that a namesake never adopts another's children."""

    MANAGED_BY = "app.kubernetes.io/managed-by"
    OWNER_KIND = f"{GROUP}/owner-kind"
    OWNER_NAME = f"{GROUP}/owner-name"
    OWNER_UID = f"{GROUP}/owner-uid"
    RUN = f"{GROUP}/run"
    STEP = f"{GROUP}/step"
    ATTEMPT = f"{GROUP}/attempt"
    PART = f"{GROUP}/part"
    """Which of several Jobs of one step and attempt it is."""


MANAGER = "finetune-operator"
"""Value of the managed-by label, and the field manager of every write."""


class Step(StrEnum):
    """The four kinds of work. Each runs as a Kubernetes Job from the trainer image."""

    PREPARE = "prepare"
    TRAIN = "train"
    EVALUATE = "evaluate"
    COMPARE = "compare"
