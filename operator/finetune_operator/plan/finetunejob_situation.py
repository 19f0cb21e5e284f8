"""What the parts of a FineTuneJob's plan share: what is observed, the run that it is about, and its steps' objects."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from finetune_api.finetunejob import FineTuneJobSpec, FineTuneJobStatus
from finetune_api.group import Step
from finetune_api.results import TrainResult
from finetune_api.runs import Run
from finetune_api.sources import ClaimPath
from finetune_operator.digests import model_name
from finetune_operator.manifests import children as child_manifests
from finetune_operator.manifests import (
    jobs,
    object_storage,
    orders,
    placement,
    queueing,
    rendezvous,
    tracking,
    volumes,
)
from finetune_operator.observed import ObservedFineTuneJob
from finetune_operator.plan import attempt_history, attempts, placed
from finetune_operator.plan.attempts import Done, State
from finetune_operator.plan.lifecycle import Course
from finetune_operator.views import Child, FineTunedModelResource

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Situation:
    """One reconcile's working set."""

    observed: ObservedFineTuneJob
    course: Course[FineTuneJobSpec, FineTuneJobStatus]
    now: datetime

    @property
    def run(self) -> Run:
        return self.course.run

    @property
    def spec(self) -> FineTuneJobSpec:
        return self.course.spec

    @property
    def status(self) -> FineTuneJobStatus:
        return self.course.status

    @property
    def folder(self) -> str:
        return orders.run_folder(self.observed.job, self.run.digest)

    @property
    def claim(self) -> str:
        return volumes.artifacts_claim(self.spec.artifacts, self.observed.settings.default_artifacts_claim)

    @property
    def name(self) -> str:
        """Of the FineTunedModel that this run leaves, and of the Comparison that follows by itself."""
        return model_name(self.observed.job.key.name, self.observed.job.uid, self.run.digest)

    @property
    def namesake(self) -> FineTunedModelResource | None:
        """The FineTunedModel that has this name: the one that this run left, or a stranger's."""
        return next((model for model in self.observed.models if model.key.name == self.name), None)

    @property
    def prepared(self) -> bool:
        return None not in (self.status.plan, self.status.dataset, self.status.base_model_digest)

    @property
    def is_planned_for_other_gpus(self) -> bool:
        """Whether resources were edited since prepare: portions, sharding and memory follow from the number of GPUs. A
        plan that does not say what it was made for is taken as it is."""
        plan, wanted = self.status.plan, self.spec.resources
        if plan is None or plan.gpus is None or plan.nodes is None:
            return False
        return (plan.gpus, plan.nodes) != (wanted.gpus, wanted.nodes)

    def planned_anew(self) -> "Situation":
        """The same run, with its checkpoints, in an attempt that prepares it again."""
        found_in_this_attempt = isinstance(self.state(Step.PREPARE), Done)
        attempt = self.run.attempt + 1 if found_in_this_attempt else self.run.attempt
        forgotten = self.status.model_copy(update={"dataset": None, "plan": None, "placement": None})
        course = replace(self.course, run=self.run.model_copy(update={"attempt": attempt}), status=forgotten)
        return replace(self, course=course)

    def on_the_volume(self, path: str | None) -> ClaimPath | None:
        """A file of the run's folder."""
        return None if path is None else ClaimPath(claim_name=self.claim, path=f"{self.folder}/{path}")

    def with_attempts(self) -> "Situation":
        """The status with what is seen of the training's attempts."""
        known, children, run = self.status.attempts, self.observed.children, self.run.digest
        seen = attempt_history.with_what_is_seen(known, children, run, Step.TRAIN, self.now)
        return self._knowing(attempts=seen)

    def with_placement(self) -> "Situation":
        """The status with where the training runs: both are seen at the same moment, and told in one write."""
        observed, status = self.observed, self.status
        sight = (self.latest(Step.TRAIN), status.plan, self.spec.resources, observed.gpu_classes, observed.gpu_nodes)
        return self._knowing(placement=placed.placement_of(status.placement, *sight))

    def _knowing(self, **seen: Any) -> "Situation":
        return replace(self, course=replace(self.course, status=self.status.model_copy(update=seen)))

    def state(self, step: Step) -> State:
        return attempts.state_of(self.observed.children, self.run.digest, step, self.run.attempt, self.now)

    def latest(self, step: Step) -> Child | None:
        return attempts.latest(self.observed.children, self.run.digest, step)


def prepare_job(situation: Situation, attempt: int) -> Manifest:
    spec, observed = situation.spec, situation.observed
    stored = object_storage.object_location(spec.dataset, observed.job.key.namespace, observed.settings.object_stores)
    order = orders.prepare_training(spec, situation.folder, stored, observed.gpu_classes, observed.lessons)
    questions = (spec.evaluation.suite,) if spec.evaluation is not None else ()
    decisions = (spec.dataset.decisions,) if spec.dataset.decisions is not None else ()
    mounts = volumes.mounts(situation.claim, spec.base_model, spec.dataset, *decisions, *questions)
    credentials = object_storage.credentials_of(spec.dataset)
    queue = queueing.queue_of(spec.queue_name, None, observed.settings)
    workload = jobs.Workload(
        None, spec.priority_class_name, spec.image_pull_secrets, credentials=credentials, queue=queue
    )
    return jobs.job(
        observed.job, situation.run.digest, Step.PREPARE, attempt, order, mounts, workload, observed.settings
    )


def train_job(situation: Situation, attempt: int) -> Manifest:
    spec, observed, plan = situation.spec, situation.observed, situation.status.plan
    together = spec.resources.gpus > 1 or spec.resources.nodes > 1
    mounts = volumes.mounts(situation.claim, spec.base_model, shared_memory=together)
    placed_by = plan if spec.resources.gpus else None
    asked = (spec.resources, observed.gpu_classes)
    workload = jobs.Workload(
        spec.resources,
        spec.priority_class_name,
        spec.image_pull_secrets,
        affinity=placement.affinity(placed_by, *asked) if placed_by is not None else None,
        shares_gpus=placed_by is not None and placement.may_be_a_slice(placed_by, *asked),
        credentials=tracking.credentials_of(spec.tracking),
        rendezvous=rendezvous.rendezvous(observed.job, situation.run.digest, spec.resources.nodes),
        queue=queueing.queue_of(spec.queue_name, spec.resources, observed.settings),
    )
    namespace, servers = observed.job.key.namespace, observed.settings.tracking_servers
    order = orders.train(spec, situation.folder, tracking.reached(spec.tracking, namespace, servers))
    return jobs.job(observed.job, situation.run.digest, Step.TRAIN, attempt, order, mounts, workload, observed.settings)


def train_needs(situation: Situation) -> tuple[Manifest, ...]:
    """What must be there before the training's Job."""
    if situation.spec.resources.nodes == 1:
        return ()
    return (rendezvous.service(situation.observed.job, situation.run.digest),)


def registry_entry(situation: Situation, trained: TrainResult) -> Manifest:
    status = situation.status
    assert status.dataset is not None and status.plan is not None, "only registered after prepare"
    trainer = situation.latest(Step.TRAIN)
    return child_manifests.fine_tuned_model(
        situation.observed.job,
        situation.run.digest,
        situation.spec,
        status.dataset,
        status.plan,
        status.base_model_digest or "",
        trained,
        ClaimPath(claim_name=situation.claim, path=f"{situation.folder}/{trained.adapter_path}"),
        (trainer.job.image if trainer is not None else "") or situation.observed.settings.trainer_image,
    )
