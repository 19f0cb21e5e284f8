"""Asking for a child, and what to say while it cannot be made."""

from dataclasses import dataclass
from datetime import datetime

from finetune_api.conditions import Reason
from finetune_api.runs import Run
from finetune_operator.plan.actions import Action, CreateChild, Manifest
from finetune_operator.plan.outcomes import Broken
from finetune_operator.views import Children, Obstacle


@dataclass(frozen=True)
class Creation:
    """What to do about a child that is wanted, and what stands in its way."""

    actions: tuple[Action, ...] = ()
    obstacle: Obstacle | None = None
    look_again_seconds: float | None = None

    @property
    def conflict(self) -> Broken | None:
        """The end, where a stranger's object has the name."""
        if self.obstacle is None or self.obstacle.reason is not Reason.NAME_CONFLICT:
            return None
        return Broken(Reason.NAME_CONFLICT, self.obstacle.message, retry=False)


def create(
    children: Children, run: Run, manifest: Manifest, now: datetime, needs: tuple[Manifest, ...] = ()
) -> Creation:
    """POST, unless that was refused a moment ago; a refusal is tried again now and then, with the same words."""
    obstacle = _obstacle(children, run, (*needs, manifest))
    if obstacle is None:
        return Creation((CreateChild(manifest, needs),))
    left = obstacle.retry_seconds - (now - obstacle.noted_at).total_seconds()
    if left > 0 or obstacle.reason is Reason.NAME_CONFLICT:
        return Creation((), obstacle, max(left, 0.0))
    return Creation((CreateChild(manifest, needs),), obstacle)


def _obstacle(children: Children, run: Run, manifests: tuple[Manifest, ...]) -> Obstacle | None:
    """The first that stands in the way of one of them."""
    met = (children.obstacles.get((manifest["kind"], manifest["metadata"]["name"])) for manifest in manifests)
    return next((obstacle for obstacle in met if obstacle is not None and not _was_before(obstacle, run)), None)


def _was_before(obstacle: Obstacle, run: Run) -> bool:
    """It was met before the run began, or was taken up again after an edit."""
    return obstacle.noted_at.replace(microsecond=0) < datetime.fromisoformat(run.started_at)
