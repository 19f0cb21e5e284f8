"""The Evaluations that a Comparison needs: chosen by content, shared with whoever has the same, made where missing."""

from dataclasses import dataclass

from finetune_api.conditions import ConditionType, EvaluationPhase, Reason
from finetune_api.evaluation import ModelUnderTest
from finetune_api.group import Step
from finetune_api.results import PrepareEvaluationResult
from finetune_api.runs import Progress
from finetune_operator.digests import evaluation_name
from finetune_operator.manifests import children as child_manifests
from finetune_operator.manifests.ownership import owner_reference
from finetune_operator.plan.actions import Action, DeleteEvaluation, ShareEvaluation
from finetune_operator.plan.attempts import Done
from finetune_operator.plan.comparison_situation import Situation
from finetune_operator.plan.creation import Creation, create
from finetune_operator.plan.outcomes import Broken
from finetune_operator.views import EvaluationResource


@dataclass(frozen=True)
class Side:
    """Baseline or candidate."""

    name: str
    """Name of its Evaluation."""
    model: ModelUnderTest
    digest: str | None
    """The content that it must have; None when prepare's word is gone, and the Evaluation there."""
    found: EvaluationResource | None


def bind(situation: Situation, found: PrepareEvaluationResult) -> Situation:
    """Each side bound to the Evaluation of its content: one that is there already, or the one to be made.
    prepare answers in the order in which it was asked: baseline, then the candidates as in the spec."""
    baseline, *tuned = found.digests
    fields = {
        "baseline_evaluation": _name_for(situation, baseline.digest),
        "minimum_detectable_effect": found.minimum_detectable_effect,
        "suite_digest": found.suite_digest,
    }
    for name, model in zip(situation.names, tuned, strict=True):
        bound = {"evaluation": _name_for(situation, model.digest), "contaminated": model.contaminated}
        situation = situation.having(situation.of(name).candidate.model_copy(update=bound), **fields)
    return situation


def _name_for(situation: Situation, digest: str) -> str:
    """Succeeded ones first, so that nothing is computed twice; a failed one is of no use."""
    same = [
        item
        for item in situation.observed.evaluations
        if item.status.digest == digest and item.status.phase is not EvaluationPhase.FAILED and not item.deleting
    ]
    best = min(same, key=lambda item: (item.status.phase is not EvaluationPhase.SUCCEEDED, item.key.name), default=None)
    return best.key.name if best is not None else evaluation_name(digest)


def sides(situation: Situation, baseline: ModelUnderTest) -> tuple[Side, ...]:
    """Baseline and candidates of a situation that is bound. Candidates of the same content share their Evaluation."""
    names = situation.evaluation_names
    assert names is not None, "only asked for when all sides are bound"
    models = (baseline, *(ModelUnderTest(fine_tuned_model=item.fine_tuned_model) for item in situation.candidates))
    found = (
        Side(name, model, digest, situation.evaluation(name))
        for name, model, digest in zip(names, models, _digests(situation), strict=True)
    )
    by_name: dict[str, Side] = {}
    for side in found:
        by_name.setdefault(side.name, side)
    return tuple(by_name.values())


def _digests(situation: Situation) -> tuple[str | None, ...]:
    """As this run's prepare found them."""
    sides = 1 + len(situation.names)
    match situation.state(Step.PREPARE):
        case Done(PrepareEvaluationResult(digests=digests)) if len(digests) == sides:
            return tuple(item.digest for item in digests)
    return (None,) * sides


def ensure(situation: Situation, side: Side) -> Creation:
    """Make the Evaluation that is missing, and note on one that another Comparison made that this one uses it too."""
    found, comparison = side.found, situation.observed.comparison
    if found is None:
        return _make(situation, side)
    if found.owned is None or found.deleting:
        return Creation()
    if _failed_before(found, situation):
        return Creation((DeleteEvaluation(side.name, found.uid),))
    if comparison.uid in found.owner_uids:
        return Creation()
    share: Action = ShareEvaluation(side.name, found.uid, (owner_reference(comparison, controller=False),))
    return Creation((share,))


def _make(situation: Situation, side: Side) -> Creation:
    if side.digest is None:
        return Creation()
    manifest = child_manifests.evaluation(
        situation.observed.comparison, situation.run.digest, situation.spec, side.model, side.digest
    )
    return create(situation.observed.children, situation.run, manifest, situation.now)


def broken(situation: Situation, side: Side) -> Broken | None:
    """Why this side will never have answers."""
    found = side.found
    if found is None:
        return None
    if side.digest is not None and found.status.digest not in (None, side.digest):
        message = f"An Evaluation named {side.name} exists and has other content: delete or rename it."
        return Broken(Reason.NAME_CONFLICT, message, retry=False)
    if found.status.phase is not EvaluationPhase.FAILED or (found.owned and _failed_before(found, situation)):
        return None
    why = next((item.message for item in found.status.conditions if item.type == ConditionType.FAILED), "")
    return Broken(Reason.EVALUATION_FAILED, f"Evaluation {side.name} failed: {why}", retry=False)


def _failed_before(evaluation: EvaluationResource, situation: Situation) -> bool:
    """It failed before this run began, or was taken up again: then it deserves to be made anew."""
    run = evaluation.status.run
    ended = run.finished_at if run is not None else None
    failed = evaluation.status.phase is EvaluationPhase.FAILED
    return failed and ended is not None and ended < situation.run.started_at


def have_succeeded(both: tuple[Side, ...]) -> bool:
    return all(_phase(side) is EvaluationPhase.SUCCEEDED for side in both)


def _phase(side: Side) -> EvaluationPhase | None:
    phase: EvaluationPhase | None = side.found.status.phase if side.found is not None else None
    return phase


def standing(side: Side) -> str:
    phase = _phase(side)
    progress = side.found.status.progress if side.found is not None else None
    done = f" ({progress.percentage}%)" if progress is not None else ""
    return f"Evaluation {side.name} is {phase.value if phase is not None else 'new'}{done}"


def mean_progress(both: tuple[Side, ...]) -> Progress:
    """Both sides together; one that has ended counts whole."""
    percentage = sum(_percentage(side) for side in both) // len(both)
    return Progress(percentage=percentage, step=percentage, steps=100, stage="evaluating")


def _percentage(side: Side) -> int:
    if _phase(side) is EvaluationPhase.SUCCEEDED:
        return 100
    progress = side.found.status.progress if side.found is not None else None
    return progress.percentage if progress is not None else 0
