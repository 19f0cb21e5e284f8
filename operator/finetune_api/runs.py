"""What the status of every kind of work has in common: the run, its progress, its outcome in a line, earlier runs."""

from typing import Annotated, Any

from pydantic import Field

from finetune_api.conditions import list_map
from finetune_api.fields import ApiModel, Count, Digest, ReportedDecimal, Text, Timestamp
from finetune_api.verdicts import Verdict


class Progress(ApiModel):
    """How far the running step is."""

    percentage: Annotated[int, Field(ge=0, le=100)]
    """Share of the steps that are done."""
    step: Count
    """Steps, or examples, that are done."""
    steps: Count
    """Steps, or examples, in all."""
    eta: Annotated[str, Field(max_length=32)] | None = None
    """Time still needed, such as 12m30s."""
    loss: ReportedDecimal | None = None
    """Training loss at the last report."""
    stage: Text | None = None
    """What the pod is doing."""
    throttled_seconds: Count | None = None
    """Time that the guard has taken so far to keep the limits; absent when none was passed."""


class Run(ApiModel):
    """One run: named by the digest of what goes into it, and bound to the spec that it started with."""

    digest: Digest
    """Name of the run."""
    started_at: Timestamp
    """When the run started."""
    finished_at: Timestamp | None = None
    """When it ended."""
    attempt: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Number of the attempt that is going on or ended last. Every attempt has Jobs of its own."""
    not_before: Timestamp | None = None
    """When the attempt may start, where it waits for a pause after a failure."""
    spec: Annotated[
        dict[str, Any] | None,
        Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
    ] = None
    """The part of the spec that the run is named by, as it was when the run started."""


class Attempt(ApiModel):
    """One attempt of the step that computes, as far as it is known."""

    number: Annotated[int, Field(ge=1, le=10_000)]
    """Number of the attempt."""
    started_at: Timestamp | None = None
    """When its container started; absent while none has."""
    ended_at: Timestamp | None = None
    """When it ended; absent while it goes on."""
    node: Text | None = None
    """The node that it ran on; of several, the first one and how many more."""
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = None
    """What its container ended with; absent where none told."""
    reason: Annotated[str, Field(max_length=64)] | None = None
    """Why it ended, in a word; absent while it goes on."""
    counted: bool = False
    """Whether it counted against retry.limit."""
    step_reached: Count | None = None
    """The last step, or example, that it told of."""


Attempts = Annotated[tuple[Attempt, ...], Field(max_length=10, json_schema_extra=list_map("number"))]


class Placement(ApiModel):
    """Where the work was put, and why there."""

    node: Text
    """The node; of several, the first one and how many more."""
    gpu_product: Text | None = None
    """Its GPUs, as the node's label names them; absent where the operator does not see it, or on the CPU."""
    message: Text
    """Why this GPU."""


class QueuePosition(ApiModel):
    """An estimate, worked out now and then for those that wait in front."""

    position: Annotated[int, Field(ge=1, le=10_000_000)]
    """1 is next."""
    ahead: Count
    """Pods of this namespace that wait in front."""
    ahead_elsewhere: Count
    """Those of other namespaces."""
    starts_in: Annotated[str, Field(max_length=32)] | None = None
    """Time until it may start, such as 2h10m, from the plans of those in front; absent where one has none."""
    estimated_at: Timestamp
    """When this was worked out."""


class PastRun(ApiModel):
    """An earlier run of this resource."""

    digest: Digest
    """Name of the run."""
    phase: Annotated[str, Field(max_length=32)]
    """How it ended."""
    reason: Annotated[str, Field(max_length=64)]
    """Why."""
    finished_at: Timestamp | None = None
    """When it ended."""
    fine_tuned_model: Annotated[str, Field(max_length=253)] | None = None
    """The model that it registered."""


History = Annotated[tuple[PastRun, ...], Field(max_length=10, json_schema_extra=list_map("digest"))]


class Summary(ApiModel):
    """The outcome in a line, for the columns of kubectl get."""

    base: ReportedDecimal | None = None
    """Overall score of the baseline, 0 to 1."""
    tuned: ReportedDecimal | None = None
    """Overall score of the candidate, 0 to 1."""
    delta: ReportedDecimal | None = None
    """Difference of the two, with its sign."""
    verdict: Verdict | None = None
    """What the evidence allows to be said."""
