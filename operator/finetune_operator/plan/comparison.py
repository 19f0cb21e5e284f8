"""Comparison: wait for the candidate, find or make both Evaluations, then pair their answers and say the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from finetune_api.comparison import CandidateStatus, Recipe
from finetune_api.conditions import ComparisonPhase, ConditionType, Reason
from finetune_api.evaluation import ModelUnderTest
from finetune_api.finetunedmodel import FineTunedModelSpec
from finetune_api.group import Step
from finetune_api.results import CompareResult, PrepareEvaluationResult, cut_name
from finetune_api.runs import Run
from finetune_api.sources import BaseModelSource, ClaimPath
from finetune_operator.manifests import jobs, orders, queueing, volumes
from finetune_operator.manifests.children import report as report_manifest
from finetune_operator.observed import ObservedComparison
from finetune_operator.plan import attempts, kueue, lifecycle, shared_evaluations, verdict
from finetune_operator.plan.actions import NOTHING, Action, KeepReport, Plan
from finetune_operator.plan.attempts import Done, Paused, Running, State, Suspended, Waiting
from finetune_operator.plan.candidate import AllResolved, Awaited, Lost, resolve_all
from finetune_operator.plan.comparison_situation import Situation
from finetune_operator.plan.conditions import Wanted
from finetune_operator.plan.cost import cost_of
from finetune_operator.plan.outcomes import Broken
from finetune_operator.plan.pursuit import Hold, Pursuit, expired_jobs, orphaned_jobs, pursue, superseded_jobs
from finetune_operator.plan.reporting import (
    Report,
    acknowledged,
    attempt_follows,
    failure_report,
    still,
    told,
)

Phase = ComparisonPhase


def plan(observed: ObservedComparison, now: datetime) -> Plan:
    """What to do for a Comparison now."""
    if observed.comparison.deleting:
        return NOTHING
    course = lifecycle.course_of(observed.comparison, observed.children, now)
    situation = Situation(observed, course, now)
    stale = superseded_jobs(observed.children, course.run)
    ended = course.status.phase in (Phase.SUCCEEDED, Phase.FAILED)
    decided = Plan(acknowledged(observed.comparison)) if ended else _work(situation)
    orphans = orphaned_jobs(observed.children, observed.comparison)
    expired = expired_jobs(observed.children, observed.comparison.spec.ttl_seconds_after_finished) if ended else ()
    return replace(decided, actions=(*decided.actions, *stale, *orphans, *expired))


def _work(situation: Situation) -> Plan:
    """The steps in their order. Where the answers are paired already, nothing else is needed any more."""
    if situation.status.phase is None and (situation.left_out or any(item.model is None for item in situation.each)):
        situation = situation.forgetting_the_candidates()
    states = [item.state(Step.COMPARE) for item in situation.each]
    if all(_is_compared(state) for state in states) and situation.evaluation_names:
        return _succeed(_with_results(situation, states), _recipe(states))
    match resolve_all(situation):
        case Awaited(awaiting, message, look_again):
            report = Report(Phase.PENDING, Reason.WAITING_FOR_CANDIDATE, message)
            return Plan(_told(awaiting, report, run=situation.run), look_again)
        case Lost(lost, reason, message, gone):
            ended = _broken(lost, Broken(reason, message, retry=False))
            return ended if gone is None else replace(ended, actions=(gone, *ended.actions))
        case AllResolved(bound, found, missed):
            models = tuple(model.spec for model in found)
            comparing = all(isinstance(state, Running | Waiting | Suspended | Done) for state in states)
            going_on = _compare(bound, models) if comparing and bound.evaluation_names else _prepare(bound, models)
            return replace(going_on, actions=(*missed, *going_on.actions))


Models = tuple[FineTunedModelSpec, ...]
"""The candidates' models, in the order of spec.candidates."""


def _is_compared(state: State) -> bool:
    return isinstance(state, Done) and isinstance(state.result, CompareResult)


def _prepare(situation: Situation, model: Models) -> Plan:
    """The digests of what is to be evaluated, then the Evaluations of these digests."""
    names = situation.evaluation_names
    if names is not None and all(situation.evaluation(name) is not None for name in names):
        return _evaluate(situation, model)
    refused = kueue.refusal(situation.spec.queue_name, situation.observed.settings)
    if refused is not None:
        return _broken(situation, refused)
    pursuit = _pursue(situation, Step.PREPARE, model)
    match pursuit.state:
        case Done(PrepareEvaluationResult(digests=digests) as found) if len(digests) == 1 + len(model):
            return _evaluate(shared_evaluations.bind(situation, found), model)
        case Done():
            message = "prepare did not name the content of baseline and candidates."
            return _broken(situation, Broken(Reason.INTERNAL_ERROR, message, retry=True), Phase.PREPARING)
        case Broken() as broken:
            return _broken(situation, broken, Phase.PREPARING)
        case Paused():
            return _tell(situation, still(situation.status, Phase.PREPARING, validated=False), pursuit)
        case Suspended(reason=reason, message=message):
            return _tell(situation, Report(Phase.PREPARING, reason, message), pursuit)
        case Waiting(reason, message) if reason is not Reason.STARTING:
            return _tell(situation, Report(Phase.PREPARING, reason, message), pursuit)
        case _:
            message = "Working out what models and suite contain."
            return _tell(situation, Report(Phase.PREPARING, Reason.PREPARING, message), pursuit)


def _evaluate(situation: Situation, model: Models) -> Plan:
    """Make the Evaluations that are missing, share those that others made, and wait for both."""
    both = shared_evaluations.sides(situation, _baseline(situation, model[0]))
    wanted = [shared_evaluations.ensure(situation, side) for side in both]
    hopeless = [shared_evaluations.broken(situation, side) for side in both] + [item.conflict for item in wanted]
    broken = next((item for item in hopeless if item is not None), None)
    if broken is not None:
        return _broken(situation, broken)
    actions = tuple(action for item in wanted for action in item.actions)
    if shared_evaluations.have_succeeded(both):
        compared = _compare(situation, model)  # shared first: once the answers are paired, nobody looks at this again
        return replace(compared, actions=(*actions, *compared.actions))
    obstacle = next((item for item in wanted if item.obstacle is not None), None)
    message = "; ".join(shared_evaluations.standing(side) for side in both)
    report = Report(Phase.EVALUATING, Reason.WAITING_FOR_EVALUATIONS, message, validated=True)
    if obstacle is not None and obstacle.obstacle is not None:
        report = replace(report, reason=obstacle.obstacle.reason, message=obstacle.obstacle.message)
    progress = shared_evaluations.mean_progress(both)
    standing = _told(situation, report, run=situation.run, progress=progress)
    return Plan((*standing, *actions), obstacle.look_again_seconds if obstacle is not None else None)


def _baseline(situation: Situation, model: FineTunedModelSpec) -> ModelUnderTest:
    """The baseline in the form that the candidate is scored in, so that the adapter alone makes the difference."""
    baseline = situation.spec.baseline
    return ModelUnderTest(
        base_model=_baseline_source(situation, model),
        quantization=model.parameters.quantization,
        shots=baseline.shots if baseline is not None else 0,
    )


def _baseline_source(situation: Situation, model: FineTunedModelSpec) -> BaseModelSource:
    baseline = situation.spec.baseline
    named = baseline.base_model if baseline is not None else None
    return named or model.base_model.source


def _compare(situation: Situation, model: Models) -> Plan:
    """A Job a candidate, all at once; what is compared is told while the others are at work."""
    pursuits = [_pursue(item, Step.COMPARE, model) for item in situation.each]
    states = [pursuit.state for pursuit in pursuits]
    situation = _with_results(situation, states)
    if all(_is_compared(state) for state in states):
        return _succeed(situation, _recipe(states))
    pursuit = _together(pursuits)
    match pursuit.state:
        case Broken() as broken:
            return _broken(situation, broken)
        case Paused():
            return _tell(situation, still(situation.status, Phase.COMPARING, validated=True), pursuit)
        case Suspended(reason=reason, message=message):
            return _tell(situation, Report(Phase.COMPARING, reason, message, validated=True), pursuit)
        case Waiting(reason, message) if reason is not Reason.STARTING:
            return _tell(situation, Report(Phase.COMPARING, reason, message, validated=True), pursuit)
        case _:
            message = "Pairing the answers."
            if len(states) > 1:
                done = sum(map(_is_compared, states))
                message = f"Pairing the answers: {done} of {len(states)} candidates are compared."
            return _tell(situation, Report(Phase.COMPARING, Reason.RUNNING, message, validated=True), pursuit)


def _together(pursuits: Sequence[Pursuit]) -> Pursuit:
    """As one: told is the worst of them, done is what each asks for. One that broke waits until no other works, so
    that an attempt ends before the next begins."""
    open_ones = [item for item in pursuits if not _is_compared(item.state)]
    working = [item for item in open_ones if not isinstance(item.state, Broken)]
    told_of = min(working or open_ones, key=lambda item: not isinstance(item.state, Waiting | Paused | Suspended))
    again = [item.look_again_seconds for item in open_ones if item.look_again_seconds is not None]
    return Pursuit(
        told_of.state,
        actions=tuple(action for item in open_ones for action in item.actions),
        before=tuple(action for item in open_ones for action in item.before),
        look_again_seconds=min(again, default=None),
    )


def _with_results(situation: Situation, states: Sequence[State]) -> Situation:
    """Each status entry as far as its candidate is compared."""
    for name, state in zip(situation.names, states, strict=True):
        if isinstance(state, Done) and isinstance(state.result, CompareResult):
            situation = situation.having(_filled(situation.of(name), state.result))
    return situation


def _filled(situation: Situation, result: CompareResult) -> CandidateStatus:
    pinned = situation.candidate
    identity = {
        "fine_tune_job": pinned.fine_tune_job,
        "uid": pinned.uid,
        "run": pinned.run,
        "fine_tuned_model": pinned.fine_tuned_model,
        "evaluation": pinned.evaluation,
        "contaminated": pinned.contaminated,
        "report": ClaimPath(claim_name=situation.claim, path=f"{situation.compare_folder}/{result.report_path}"),
    }
    return _with_whole_names(situation, result.candidate).model_copy(update=identity)


def _with_whole_names(situation: Situation, told: CandidateStatus) -> CandidateStatus:
    """The others as the spec names them: long names may be cut in a result."""
    whole = {cut_name(name): name for name in situation.names}
    versus = (each.model_copy(update={"candidate": whole.get(each.candidate, each.candidate)}) for each in told.versus)
    return told.model_copy(update={"versus": tuple(versus)})


def _recipe(states: Sequence[State]) -> Recipe | None:
    """All that were compared say the same of it."""
    results = (state.result for state in states if isinstance(state, Done))
    told = (result.recipe for result in results if isinstance(result, CompareResult))
    return next((recipe for recipe in told if recipe is not None), None)


def _succeed(situation: Situation, recipe: Recipe | None) -> Plan:
    """All candidates are compared: the best one is what the summary is about, and whose gates decide the reason."""
    candidates = situation.candidates
    best = verdict.best(candidates)
    reason = Reason.COMPARED if verdict.passed(best) else Reason.GATE_FAILED
    left_out = (f"Left out: {item.left_out}" for item in situation.left_out)
    message = " ".join((verdict.sentences(candidates, recipe), *left_out))
    report = Report(Phase.SUCCEEDED, reason, message, validated=True)
    fields = {
        "candidates": situation.asked_candidates,
        "recipe": recipe,
        "summary": verdict.summary(best) if recipe is None else verdict.summary_of_recipe(candidates, recipe),
        "report": best.report,
        "earlier_looks": situation.earlier_looks,
        "progress": None,
    }
    kept = _keep_report(situation.of(best.fine_tune_job))
    if kept is not None:
        fields["report_config_map"] = kept.manifest["metadata"]["name"]
    ended = _told(situation, report, run=lifecycle.ended(situation.run, situation.now), **fields)
    return Plan(ended if kept is None else (kept, *ended))


def _keep_report(situation: Situation) -> KeepReport | None:
    """None where the pod's log tells none, or is gone, or the report could not be kept: the volume has it anyway."""
    children = situation.observed.children
    state = situation.state(Step.COMPARE)
    child = attempts.latest(children.of_part(situation.part), situation.run.digest, Step.COMPARE)
    pods = [pod for pod in child.pods if pod.termination is not None] if child is not None else []
    manifest = report_manifest(situation.observed.comparison, situation.run.digest)
    stood_in_the_way = ("ConfigMap", manifest["metadata"]["name"]) in children.obstacles
    digest = state.result.report_digest if isinstance(state, Done) and isinstance(state.result, CompareResult) else None
    if digest is None or not pods or stood_in_the_way:
        return None
    return KeepReport(pods[-1].name, digest, manifest)


def _broken(situation: Situation, broken: Broken, phase: Phase = Phase.COMPARING) -> Plan:
    """Another attempt after a pause, or the end."""
    retry = situation.spec.retry
    after = lifecycle.after(
        broken,
        situation.observed.comparison.uid,
        situation.run,
        situation.status.failures,
        retry.limit,
        retry.backoff_seconds,
        situation.now,
    )
    validated = situation.status.baseline_evaluation is not None
    if after.final:
        report = failure_report(situation.observed.comparison, Phase.FAILED, broken, validated)
        run = lifecycle.ended(after.run, situation.now)
        return Plan(_told(situation, report, run=run, failures=after.failures, progress=None))
    report = Report(phase, broken.reason, f"{broken.message} {attempt_follows(after.run)}", validated=validated)
    actions = _told(situation, report, run=after.run, failures=after.failures)
    return Plan(actions, lifecycle.pause_left(after.run, situation.now))


def _tell(situation: Situation, report: Report, pursuit: Pursuit) -> Plan:
    actions = _told(situation, report, run=situation.run)
    return Plan((*pursuit.before, *actions, *pursuit.actions), pursuit.look_again_seconds)


def _told(situation: Situation, report: Report, /, *, run: Run, **fields: Any) -> tuple[Action, ...]:
    valid = True if report.validated else (False if report.failed else None)
    evaluated = report.phase is Phase.COMPARING or report.succeeded
    sound = (Reason.CONTENT_RESOLVED, "Models and suite are sound.")
    answered = (Reason.EVALUATED, "Both sides are evaluated.")
    standing = (report.reason, report.message)
    aspects = (
        Wanted(ConditionType.VALIDATED, valid, *(sound if valid else standing)),
        Wanted(ConditionType.EVALUATED, evaluated, *(answered if evaluated else standing)),
        *kueue.conditions(situation.observed.children, run, over=report.over),
    )
    report = replace(report, aspects=aspects)
    return told(situation.observed.comparison, situation.status, run, report, situation.now, situation.course, **fields)


def _pursue(situation: Situation, step: Step, model: Models) -> Pursuit:
    return pursue(
        situation.observed.children.of_part(situation.part if step is Step.COMPARE else ""),
        situation.run,
        step,
        lambda attempt: _job(situation, step, attempt, model),
        situation.now,
        Hold(),
    )


def _job(situation: Situation, step: Step, attempt: int, model: Models) -> Mapping[str, Any]:
    if step is Step.PREPARE:
        baseline = _baseline_source(situation, model[0])
        named = dict(zip(situation.names, model, strict=True))
        order: Any = orders.prepare_comparison(situation.spec, baseline, named, situation.folder)
        sources: tuple[Any, ...] = (
            baseline,
            *(item.base_model.source for item in model),
            *(item.adapter.persistent_volume_claim for item in model),
            situation.spec.suite,
        )
    else:
        order, sources = _compare_order(situation, model)
    workload = jobs.Workload(
        resources=None,
        priority_class_name=situation.spec.priority_class_name,
        image_pull_secrets=situation.spec.image_pull_secrets,
        part=situation.part if step is Step.COMPARE else "",
        queue=queueing.queue_of(situation.spec.queue_name, None, situation.observed.settings),
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


def _compare_order(situation: Situation, models: Models) -> tuple[Any, tuple[Any, ...]]:
    baseline = situation.evaluation(situation.status.baseline_evaluation)
    tuned = situation.evaluation(situation.candidate.evaluation)
    rivals = {
        item.candidate.fine_tune_job: item.evaluation(item.candidate.evaluation)
        for item in situation.each
        if item.candidate.fine_tune_job != situation.candidate.fine_tune_job
    }
    assert baseline is not None and tuned is not None, "only compared when both have succeeded"
    others = {name: found.status for name, found in rivals.items() if found is not None}
    own = dict(zip(situation.names, models, strict=True))[situation.candidate.fine_tune_job]
    training = orders.training_folder(own)
    order = orders.compare(
        situation.observed.comparison.key.name,
        situation.spec,
        situation.candidate,
        baseline.status,
        tuned.status,
        others,
        cost_of(situation, (baseline.status.seconds, tuned.status.seconds)),
        situation.earlier_looks,
        training,
        situation.compare_folder,
        left_out=situation.left_out,
        replicates=situation.are_replicates,
    )
    answers = (baseline.status, tuned.status, *others.values())
    return order, (*(item.predictions for item in answers), situation.spec.suite, training)
