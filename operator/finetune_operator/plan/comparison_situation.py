"""What the parts of a Comparison's plan share: what is observed, the run that it is about, and what is bound to it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from finetune_api.comparison import CandidateStatus, ComparisonSpec, ComparisonStatus
from finetune_api.conditions import ComparisonPhase
from finetune_api.group import Step
from finetune_api.runs import Run
from finetune_operator.digests import part_name
from finetune_operator.manifests import orders, volumes
from finetune_operator.observed import ObservedComparison
from finetune_operator.plan import attempts
from finetune_operator.plan.attempts import State
from finetune_operator.plan.lifecycle import Course
from finetune_operator.views import EvaluationResource, FineTunedModelResource, FineTuneJobResource


@dataclass(frozen=True)
class Situation:
    """One reconcile's working set."""

    observed: ObservedComparison
    course: Course[ComparisonSpec, ComparisonStatus]
    now: datetime
    about: str | None = None
    """The candidate that `candidate`, `job` and `model` tell of; the first one when it is left out."""

    @property
    def run(self) -> Run:
        return self.course.run

    @property
    def spec(self) -> ComparisonSpec:
        return self.course.spec

    @property
    def status(self) -> ComparisonStatus:
        return self.course.status

    @property
    def asked(self) -> tuple[str, ...]:
        """The candidates' FineTuneJobs, as the spec names them."""
        return tuple(item.fine_tune_job for item in self.spec.candidates)

    @property
    def left_out(self) -> tuple[CandidateStatus, ...]:
        """Those of them that left no model, and that the others are compared without."""
        return tuple(item for item in self.asked_candidates if item.left_out is not None)

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are compared."""
        left_out = {item.fine_tune_job for item in self.left_out}
        return tuple(name for name in self.asked if name not in left_out)

    @property
    def each(self) -> tuple["Situation", ...]:
        """The same, told of each candidate."""
        return tuple(self.of(name) for name in self.names)

    @property
    def candidates(self) -> tuple[CandidateStatus, ...]:
        """Those that are compared, as far as they are resolved, in the order of the spec."""
        return tuple(item.candidate for item in self.each)

    @property
    def asked_candidates(self) -> tuple[CandidateStatus, ...]:
        """The same with those that are left out."""
        return tuple(self.of(name).candidate for name in self.asked)

    @property
    def part(self) -> str:
        """What tells the compare Job of this candidate from the others'; empty where there is one candidate."""
        return part_name(self.candidate.fine_tune_job) if len(self.asked) > 1 else ""

    @property
    def compare_folder(self) -> str:
        """Each of several candidates has a folder of its own."""
        return f"{self.folder}/{self.candidate.fine_tune_job}" if len(self.asked) > 1 else self.folder

    @property
    def candidate(self) -> CandidateStatus:
        """The candidate as far as it is resolved."""
        name = self.about or self.asked[0]
        known = next((item for item in self.status.candidates if item.fine_tune_job == name), None)
        return known or CandidateStatus(fine_tune_job=name)

    @property
    def job(self) -> FineTuneJobResource | None:
        """The FineTuneJob that bears the candidate's name now."""
        name = self.candidate.fine_tune_job
        return next((job for job in self.observed.jobs if job.key.name == name), None)

    @property
    def model(self) -> FineTunedModelResource | None:
        name = self.candidate.fine_tuned_model
        return next((model for model in self.observed.models if model.key.name == name), None)

    @property
    def evaluation_names(self) -> tuple[str, ...] | None:
        """The Evaluations of the baseline and of each candidate, once they are bound."""
        names = (self.status.baseline_evaluation, *(item.evaluation for item in self.candidates))
        bound = tuple(name for name in names if name is not None)
        return bound if len(bound) == len(names) else None

    @property
    def earlier_looks(self) -> int | None:
        """Other Comparisons that have succeeded on the same questions; None where it is not known which these are."""
        digest = self.status.suite_digest
        if digest is None:
            return None
        others = (item for item in self.observed.comparisons if item.uid != self.observed.comparison.uid)
        return sum(
            item.status.suite_digest == digest and item.status.phase is ComparisonPhase.SUCCEEDED for item in others
        )

    @property
    def are_replicates(self) -> bool:
        """Whether all candidates were made for the seeds of one run of one FineTuneJob."""
        jobs = [item.job for item in self.each]
        makers = {(job.owned.uid, job.owned.run) if job and job.owned else None for job in jobs}
        return len(jobs) > 1 and len(makers) == 1 and None not in makers

    @property
    def folder(self) -> str:
        return orders.run_folder(self.observed.comparison, self.run.digest)

    @property
    def claim(self) -> str:
        return volumes.artifacts_claim(self.spec.artifacts, self.observed.settings.default_artifacts_claim)

    def evaluation(self, name: str | None) -> EvaluationResource | None:
        return next((item for item in self.observed.evaluations if item.key.name == name), None)

    def state(self, step: Step) -> State:
        children = self.observed.children.of_part(self.part if step is Step.COMPARE else "")
        return attempts.state_of(children, self.run.digest, step, self.run.attempt, self.now)

    def having(self, candidate: CandidateStatus, **fields: Any) -> "Situation":
        """The same with more of the status known."""
        others = {item.fine_tune_job: item for item in self.asked_candidates}
        changed = others | {candidate.fine_tune_job: candidate}
        known = tuple(changed[name] for name in self.asked if changed[name] != CandidateStatus(fine_tune_job=name))
        return self._with(candidates=known, **fields)

    def of(self, name: str) -> "Situation":
        """The same, told of this candidate."""
        return replace(self, about=name)

    def forgetting_the_candidates(self) -> "Situation":
        return self._with(candidates=(), baseline_evaluation=None)

    def _with(self, **fields: Any) -> "Situation":
        status = self.status.model_copy(update=fields)
        return replace(self, course=replace(self.course, status=status))
