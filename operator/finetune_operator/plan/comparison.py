"""Comparison: wait for the candidate, find or make both Evaluations, then pair their answers and say the verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from finetune_api.comparison import CandidateStatus, ComparisonSpec, ComparisonStatus, Cost
from finetune_api.conditions import ComparisonPhase, ConditionType, EvaluationPhase, FineTuneJobPhase, Reason
from finetune_api.evaluation import ModelUnderTest
from finetune_api.finetunedmodel import FineTunedModelSpec
from finetune_api.group import Step
from finetune_api.results import CompareResult, PrepareEvaluationResult
from finetune_api.runs import Progress, Run, Summary
from finetune_api.sources import BaseModelSource, ClaimPath
from finetune_api.verdicts import Verdict
from finetune_operator.digests import evaluation_name
from finetune_operator.manifests import children as child_manifests
from finetune_operator.manifests import jobs, orders, volumes
from finetune_operator.observed import ObservedComparison
from finetune_operator.plan import attempts, lifecycle
from finetune_operator.plan.actions import (
    NOTHING,
    Action,
    CreateChild,
    DeleteEvaluation,
    Plan,
    ShareEvaluation,
)
from finetune_operator.plan.attempts import Broken, Done, Waiting
from finetune_operator.plan.conditions import Wanted
from finetune_operator.plan.lifecycle import Course
from finetune_operator.plan.pursuit import Pursuit, pursue, superseded_jobs
from finetune_operator.plan.reporting import Report, attempt_follows, failure_report, told
from finetune_operator.views import EvaluationResource, FineTunedModelResource

Phase = ComparisonPhase


@dataclass(frozen=True)
class Situation:
    """One reconcile's working set: what is observed, and the run that it is about."""

    observed: ObservedComparison
    course: Course[ComparisonSpec, ComparisonStatus]
    now: datetime

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
    def candidate(self) -> CandidateStatus:
        """The candidate as far as it is resolved."""
        name = self.spec.candidates[0].fine_tune_job
        known = next((item for item in self.status.candidates if item.fine_tune_job == name), None)
        return known or CandidateStatus(fine_tune_job=name)

    @property
    def model(self) -> FineTunedModelResource | None:
        name = self.candidate.fine_tuned_model
        return next((model for model in self.observed.models if model.key.name == name), None)

    @property
    def folder(self) -> str:
        return orders.run_folder(self.observed.comparison, self.run.digest)

    @property
    def claim(self) -> str:
        return volumes.artifacts_claim(self.spec.artifacts, self.observed.settings.default_artifacts_claim)

    def evaluation(self, name: str | None) -> EvaluationResource | None:
        return next((item for item in self.observed.evaluations if item.key.name == name), None)

    def having(self, candidate: CandidateStatus, **fields: Any) -> "Situation":
        """The same with more of the status known."""
        status = self.status.model_copy(update={"candidates": (candidate,), **fields})
        return replace(self, course=replace(self.course, status=status))


def plan(observed: ObservedComparison, now: datetime) -> Plan:
    """What to do for a Comparison now."""
    if observed.comparison.deleting:
        return NOTHING
    course = lifecycle.course_of(observed.comparison, observed.children, now)
    situation = Situation(observed, course, now)
    if course.status.phase in (Phase.SUCCEEDED, Phase.FAILED):
        return NOTHING
    stale = superseded_jobs(observed.children, course.run.digest)
    decided = _resolve_candidate(situation)
    return replace(decided, actions=(*stale, *decided.actions))


def _resolve_candidate(situation: Situation) -> Plan:
    """Wait until the job has left a model; from then on the comparison is about that model, whatever the job does."""
    if situation.model is not None:
        return _prepare(situation, situation.model.spec)
    candidate, job = situation.candidate, situation.observed.candidate
    if candidate.fine_tuned_model is not None:
        return _fail(situation, Reason.CANDIDATE_DELETED, f"FineTunedModel {candidate.fine_tuned_model} was deleted.")
    gone = job is None or job.deleting or (candidate.uid is not None and job.uid != candidate.uid)
    if candidate.uid is not None and gone:
        message = f"FineTuneJob {candidate.fine_tune_job} was deleted before it left a model."
        return _fail(situation, Reason.CANDIDATE_DELETED, message)
    if job is None or gone:
        message = (
            f"FineTuneJob {candidate.fine_tune_job} does not exist in this namespace; waiting for it. "
            "Create it, or correct spec.candidates."
        )
        return _wait(situation, message)
    situation = situation.having(candidate.model_copy(update={"uid": job.uid}))
    if job.status.phase is FineTuneJobPhase.FAILED:
        why = next((item.message for item in job.status.conditions if item.type == ConditionType.FAILED), "")
        return _fail(situation, Reason.CANDIDATE_FAILED, f"FineTuneJob {candidate.fine_tune_job} failed: {why}")
    if job.status.phase is not FineTuneJobPhase.SUCCEEDED or job.status.run is None:
        phase = job.status.phase.value if job.status.phase is not None else "new"
        return _wait(situation, f"Waiting for FineTuneJob {candidate.fine_tune_job}, which is {phase}.")
    return _pin(situation, job.status.run.digest, job.status.fine_tuned_model)


def _pin(situation: Situation, run: str, model: str | None) -> Plan:
    pinned = situation.candidate.model_copy(update={"run": run, "fine_tuned_model": model})
    resolved = situation.having(pinned)
    if resolved.model is None:
        message = f"FineTuneJob {pinned.fine_tune_job} succeeded, but its FineTunedModel {model} was deleted."
        return _fail(situation, Reason.CANDIDATE_DELETED, message)
    return _prepare(resolved, resolved.model.spec)


def _wait(situation: Situation, message: str) -> Plan:
    return Plan(_told(situation, Report(Phase.PENDING, Reason.WAITING_FOR_CANDIDATE, message), run=situation.run))


def _prepare(situation: Situation, model: FineTunedModelSpec) -> Plan:
    """The digests of what is to be evaluated, then the Evaluations of these digests."""
    named = (situation.status.baseline_evaluation, situation.candidate.evaluation)
    if all(situation.evaluation(name) is not None for name in named):
        return _evaluate(situation, model)
    pursuit = _pursue(situation, Step.PREPARE, model)
    match pursuit.state:
        case Done(PrepareEvaluationResult() as found):
            return _evaluate(_with_evaluations(situation, found), model)
        case Broken() as broken:
            return _broken(situation, broken)
        case Waiting(reason, message) if reason is not Reason.STARTING:
            return _tell(situation, Report(Phase.PREPARING, reason, message), pursuit)
        case _:
            message = "Working out what models and suite contain."
            return _tell(situation, Report(Phase.PREPARING, Reason.PREPARING, message), pursuit)


def _with_evaluations(situation: Situation, found: PrepareEvaluationResult) -> Situation:
    """Each side bound to the Evaluation of its content: one that is there already, or the one to be made."""
    digests = {item.name: item.digest for item in found.digests}
    candidate = situation.candidate
    tuned = _name_for(situation, digests[candidate.fine_tune_job])
    return situation.having(
        candidate.model_copy(update={"evaluation": tuned}),
        baseline_evaluation=_name_for(situation, digests[orders.BASE]),
        minimum_detectable_effect=found.minimum_detectable_effect,
    )


def _name_for(situation: Situation, digest: str) -> str:
    """Succeeded ones first, so that nothing is computed twice; a failed one is of no use."""
    same = [
        item
        for item in situation.observed.evaluations
        if item.status.digest == digest and item.status.phase is not EvaluationPhase.FAILED and not item.deleting
    ]
    best = min(same, key=lambda item: (item.status.phase is not EvaluationPhase.SUCCEEDED, item.key.name), default=None)
    return best.key.name if best is not None else evaluation_name(digest)


def _evaluate(situation: Situation, model: FineTunedModelSpec) -> Plan:
    """Make the Evaluations that are missing, share those that others made, and wait for both."""
    sides = {
        situation.status.baseline_evaluation or "": _baseline(situation, model),
        situation.candidate.evaluation or "": ModelUnderTest(fine_tuned_model=situation.candidate.fine_tuned_model),
    }
    actions = [action for name, side in sides.items() for action in _ensure(situation, name, side)]
    evaluations = [situation.evaluation(name) for name in sides]
    failed = next((item for item in evaluations if _has_failed(item, situation)), None)
    if failed is not None:
        why = next((item.message for item in failed.status.conditions if item.type == ConditionType.FAILED), "")
        return _fail(situation, Reason.EVALUATION_FAILED, f"Evaluation {failed.key.name} failed: {why}")
    if all(item is not None and item.status.phase is EvaluationPhase.SUCCEEDED for item in evaluations):
        return _with_actions(_compare(situation, model), actions)
    message = "; ".join(_standing(name, situation.evaluation(name)) for name in sides)
    report = Report(Phase.EVALUATING, Reason.WAITING_FOR_EVALUATIONS, message, validated=True)
    told_now = _told(situation, report, run=situation.run, progress=_mean_progress(evaluations))
    return Plan((*actions, *told_now))


def _with_actions(decided: Plan, actions: list[Action]) -> Plan:
    return replace(decided, actions=(*actions, *decided.actions))


def _baseline(situation: Situation, model: FineTunedModelSpec) -> ModelUnderTest:
    """The baseline in the form that the candidate is scored in, so that the adapter alone makes the difference."""
    return ModelUnderTest(base_model=_baseline_source(situation, model), quantization=model.parameters.quantization)


def _baseline_source(situation: Situation, model: FineTunedModelSpec) -> BaseModelSource:
    baseline = situation.spec.baseline
    return baseline.base_model if baseline is not None else model.base_model.source


def _ensure(situation: Situation, name: str, model: ModelUnderTest) -> tuple[Action, ...]:
    found = situation.evaluation(name)
    if found is None:
        digest_pin = _pinned_digest(situation, name)
        comparison = situation.observed.comparison
        manifest = child_manifests.evaluation(comparison, situation.run.digest, situation.spec, model, digest_pin)
        return (CreateChild(manifest),) if digest_pin else ()
    if found.owned is None or found.deleting:
        return ()
    if _failed_before(found, situation):
        return (DeleteEvaluation(name, found.uid),)
    if situation.observed.comparison.uid in found.owner_uids:
        return ()
    return (ShareEvaluation(name, (jobs.owner_reference(situation.observed.comparison, controller=False),)),)


def _pinned_digest(situation: Situation, name: str) -> str:
    """The content that an Evaluation of this name stands for, as this run's prepare found it."""
    state = attempts.state_of(situation.observed.children, situation.run.digest, Step.PREPARE, situation.run.attempt)
    if not isinstance(state, Done) or not isinstance(state.result, PrepareEvaluationResult):
        return ""
    return next((item.digest for item in state.result.digests if evaluation_name(item.digest) == name), "")


def _has_failed(evaluation: EvaluationResource | None, situation: Situation) -> bool:
    if evaluation is None or evaluation.status.phase is not EvaluationPhase.FAILED:
        return False
    return evaluation.owned is None or not _failed_before(evaluation, situation)


def _failed_before(evaluation: EvaluationResource, situation: Situation) -> bool:
    """It failed before this run began: a rerun of the Comparison deserves a new one."""
    run = evaluation.status.run
    ended = run.finished_at if run is not None else None
    failed = evaluation.status.phase is EvaluationPhase.FAILED
    return failed and ended is not None and ended < situation.run.started_at


def _standing(name: str, evaluation: EvaluationResource | None) -> str:
    phase = evaluation.status.phase if evaluation is not None else None
    percentage = evaluation.status.progress.percentage if evaluation and evaluation.status.progress else None
    done = f" ({percentage}%)" if percentage is not None else ""
    return f"Evaluation {name} is {phase.value if phase else 'new'}{done}"


def _mean_progress(evaluations: list[EvaluationResource | None]) -> Progress:
    """Both sides together; one that has ended counts whole."""
    parts = [_percentage(evaluation) for evaluation in evaluations]
    percentage = sum(parts) // len(parts)
    return Progress(percentage=percentage, step=percentage, steps=100, stage="evaluating")


def _percentage(evaluation: EvaluationResource | None) -> int:
    if evaluation is None:
        return 0
    if evaluation.status.phase is EvaluationPhase.SUCCEEDED:
        return 100
    return evaluation.status.progress.percentage if evaluation.status.progress else 0


def _compare(situation: Situation, model: FineTunedModelSpec) -> Plan:
    pursuit = _pursue(situation, Step.COMPARE, model)
    match pursuit.state:
        case Done(CompareResult() as result):
            return _succeed(situation, result)
        case Broken() as broken:
            return _broken(situation, broken)
        case Waiting(reason, message) if reason is not Reason.STARTING:
            return _tell(situation, Report(Phase.COMPARING, reason, message, validated=True), pursuit)
        case _:
            message = "Pairing the answers."
            return _tell(situation, Report(Phase.COMPARING, Reason.RUNNING, message, validated=True), pursuit)


def _succeed(situation: Situation, result: CompareResult) -> Plan:
    pinned = situation.candidate
    identity = {
        "uid": pinned.uid,
        "run": pinned.run,
        "fine_tuned_model": pinned.fine_tuned_model,
        "evaluation": pinned.evaluation,
    }
    candidate = result.candidate.model_copy(update=identity)
    passed = all(gate.passed for gate in candidate.gates)
    report = Report(
        Phase.SUCCEEDED,
        Reason.COMPARED if passed else Reason.GATE_FAILED,
        _sentence(candidate, passed),
        validated=True,
    )
    fields = {
        "candidates": (candidate,),
        "summary": _summary(candidate),
        "report": ClaimPath(claim_name=situation.claim, path=f"{situation.folder}/{result.report_path}"),
        "progress": None,
    }
    return Plan(_told(situation, report, run=lifecycle.ended(situation.run, situation.now), **fields))


def _summary(candidate: CandidateStatus) -> Summary:
    overall = candidate.overall
    if overall is None:
        return Summary(verdict=candidate.verdict)
    return Summary(base=overall.base, tuned=overall.tuned, delta=overall.delta, verdict=candidate.verdict)


def _sentence(candidate: CandidateStatus, passed: bool) -> str:
    verdict = candidate.verdict or Verdict.INCONCLUSIVE
    words = f"{candidate.fine_tune_job} against its baseline: {verdict.value}"
    if candidate.overall is not None:
        overall = candidate.overall
        words += f" ({overall.base} to {overall.tuned}, 95% interval {overall.lower} to {overall.upper})"
    failed = [gate.gate.value + (f" {gate.task}" if gate.task else "") for gate in candidate.gates if not gate.passed]
    return f"{words}." if passed else f"{words}. Gates not passed: {', '.join(failed)}."


def _fail(situation: Situation, reason: Reason, message: str) -> Plan:
    return _broken(situation, Broken(reason, message, retry=False))


def _broken(situation: Situation, broken: Broken) -> Plan:
    """Another attempt after a pause, or the end."""
    retry = situation.spec.retry
    verdict = lifecycle.after(
        broken, situation.run, situation.status.failures, retry.limit, retry.backoff_seconds, situation.now
    )
    validated = situation.status.baseline_evaluation is not None
    if verdict.final:
        report = failure_report(situation.observed.comparison, Phase.FAILED, broken, validated)
        run = lifecycle.ended(verdict.run, situation.now)
        return Plan(_told(situation, report, run=run, failures=verdict.failures, progress=None))
    phase = Phase.COMPARING if validated else Phase.PREPARING
    report = Report(phase, broken.reason, f"{broken.message} {attempt_follows(verdict.run)}", validated=validated)
    actions = _told(situation, report, run=verdict.run, failures=verdict.failures)
    return Plan(actions, lifecycle.pause_left(verdict.run, situation.now))


def _tell(situation: Situation, report: Report, pursuit: Pursuit) -> Plan:
    actions = (*pursuit.actions, *_told(situation, report, run=situation.run))
    return Plan(actions, pursuit.look_again_seconds)


def _told(situation: Situation, report: Report, *, run: Run, **fields: Any) -> tuple[Action, ...]:
    valid = True if report.validated else (False if report.failed else None)
    evaluated = report.phase is Phase.COMPARING or report.succeeded
    aspects = (
        Wanted(ConditionType.VALIDATED, valid, Reason.CONTENT_RESOLVED if valid else report.reason, report.message),
        Wanted(ConditionType.EVALUATED, evaluated, Reason.EVALUATED if evaluated else report.reason, report.message),
    )
    report = replace(report, aspects=aspects)
    return told(situation.observed.comparison, situation.status, run, report, situation.now, situation.course, **fields)


def _pursue(situation: Situation, step: Step, model: FineTunedModelSpec) -> Pursuit:
    return pursue(
        situation.observed.children,
        situation.run,
        step,
        lambda attempt: _job(situation, step, attempt, model),
        situation.now,
    )


def _job(situation: Situation, step: Step, attempt: int, model: FineTunedModelSpec) -> Mapping[str, Any]:
    if step is Step.PREPARE:
        baseline = _baseline_source(situation, model)
        order: Any = orders.prepare_comparison(situation.spec, baseline, model, situation.folder)
        sources: tuple[Any, ...] = (
            baseline,
            model.base_model.source,
            model.adapter.persistent_volume_claim,
            situation.spec.suite,
        )
    else:
        order, sources = _compare_order(situation)
    workload = jobs.Workload(
        resources=None,
        priority_class_name=situation.spec.priority_class_name,
        image_pull_secrets=situation.spec.image_pull_secrets,
    )
    return jobs.job(
        situation.observed.comparison,
        situation.run.digest,
        step,
        attempt,
        order,
        volumes.mounts(situation.claim, *sources),
        workload,
        situation.observed.settings,
    )


def _compare_order(situation: Situation) -> tuple[Any, tuple[Any, ...]]:
    baseline = situation.evaluation(situation.status.baseline_evaluation)
    tuned = situation.evaluation(situation.candidate.evaluation)
    assert baseline is not None and tuned is not None, "only compared when both have succeeded"
    order = orders.compare(
        situation.observed.comparison.key.name,
        situation.spec,
        situation.candidate,
        baseline.status,
        tuned.status,
        _cost(situation),
        situation.folder,
    )
    return order, (baseline.status.predictions, tuned.status.predictions, situation.spec.suite)


def _cost(situation: Situation) -> Cost | None:
    """What the training took, from the job while it is there, else from the registry."""
    job, model = situation.observed.candidate, situation.model
    same_run = job is not None and job.status.run is not None and job.status.run.digest == situation.candidate.run
    training = job.status.training if job is not None and same_run else None
    training = training or (model.status.training if model is not None else None)
    if training is None:
        return None
    return Cost(training_hours=training.hours, energy_kwh=training.energy_kwh, energy_note=training.energy_note)
