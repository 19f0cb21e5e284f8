"""What the operator makes of raw objects: taken in by the real projections, cache and observation, and planned for by
the real plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from finetune_api.conditions import Condition
from finetune_api.events import ProgressEvent
from finetune_api.group import Kind, Label
from finetune_api.orders import Order, parse_order
from finetune_operator.cache import Cache
from finetune_operator.intake import Intake
from finetune_operator.observe import observe
from finetune_operator.plan.actions import (
    CreateChild,
    DeleteEvaluation,
    DeleteJob,
    EmitEvent,
    Plan,
    ShareEvaluation,
    SuspendJob,
    WriteStatus,
)
from finetune_operator.projections import pod_view
from finetune_operator.reconcile import plan
from finetune_operator.settings import Settings
from finetune_operator.views import Key, Obstacle
from finetune_operator.workqueue import WorkQueue

from .building import NOW, SETTINGS, Raw, key_of, newer, uid_of


@dataclass(frozen=True)
class Decision:
    """A plan, with words for what tests ask of it."""

    plan: Plan

    @property
    def status(self) -> Any:
        """The status that is written."""
        (status,) = [action.status for action in self.plan.actions if isinstance(action, WriteStatus)]
        return status

    @property
    def tells_nothing(self) -> bool:
        return not any(isinstance(action, WriteStatus) for action in self.plan.actions)

    @property
    def phase(self) -> str:
        return str(self.status.phase.value)

    @property
    def reason(self) -> str:
        return self.condition("Complete").reason

    @property
    def message(self) -> str:
        return self.condition("Complete").message

    def condition(self, name: str) -> Condition:
        (found,) = [item for item in self.status.conditions if item.type == name]
        condition: Condition = found
        return condition

    @property
    def holds(self) -> dict[str, str]:
        """Conditions by type, and whether they hold."""
        return {item.type: item.status.value for item in self.status.conditions}

    @property
    def created(self) -> list[Raw]:
        return [dict(action.manifest) for action in self.plan.actions if isinstance(action, CreateChild)]

    @property
    def jobs(self) -> list[tuple[str, int]]:
        """Step and attempt of the Jobs that are asked for."""
        labels = [body["metadata"]["labels"] for body in self.created if body["kind"] == "Job"]
        return [(item[Label.STEP.value], int(item[Label.ATTEMPT.value])) for item in labels]

    def made(self, kind: Kind) -> list[Raw]:
        return [body for body in self.created if body["kind"] == kind.value]

    @property
    def events(self) -> list[EmitEvent]:
        return [action for action in self.plan.actions if isinstance(action, EmitEvent)]

    @property
    def deleted(self) -> list[str]:
        return [action.name for action in self.plan.actions if isinstance(action, DeleteJob | DeleteEvaluation)]

    @property
    def suspended(self) -> list[bool]:
        return [action.suspend for action in self.plan.actions if isinstance(action, SuspendJob)]

    @property
    def shared(self) -> list[str]:
        return [action.name for action in self.plan.actions if isinstance(action, ShareEvaluation)]

    @property
    def kinds_of_actions(self) -> list[str]:
        return [type(action).__name__ for action in self.plan.actions]


@dataclass
class Scene:
    """A cluster as the operator's cache knows it."""

    cache: Cache
    queue: WorkQueue[Key]

    def take(self, *bodies: Raw) -> None:
        intake = Intake(self.cache, self.queue)
        for body in bodies:
            match body["kind"]:
                case "Job":
                    intake.job(body)
                case "Pod":
                    intake.pod(body)
                case "Event":
                    intake.trouble(body)
                case "Workload":
                    intake.workload(body)
                case "Node":
                    intake.node(body)
                case kind:
                    intake.resource(Kind(kind), body)


def scene(*bodies: Raw) -> Scene:
    made = Scene(Cache(), WorkQueue(lambda: 0.0))
    made.take(*bodies)
    return made


def decide(
    about: Raw,
    *others: Raw,
    now: datetime = NOW,
    obstacles: dict[tuple[str, str], Obstacle] | None = None,
    said: tuple[Raw, ProgressEvent] | None = None,
    settings: Settings = SETTINGS,
) -> Decision:
    """What the operator does about a resource, where there is this and nothing else. `said` is a pod and what it told
    of its progress."""
    there = scene(about, *others)
    pod = pod_view(said[0]) if said is not None else None
    if said is not None and pod is not None:
        there.cache.put_progress(pod, said[1])
    for (kind, name), obstacle in (obstacles or {}).items():
        there.cache.note_obstacle(uid_of(about), kind, name, obstacle)
    observed = observe(there.cache, key_of(about), settings)
    assert observed is not None
    return Decision(plan(observed, now))


def told(
    about: Raw,
    *others: Raw,
    now: datetime = NOW,
    said: tuple[Raw, ProgressEvent] | None = None,
    settings: Settings = SETTINGS,
) -> Raw:
    """The resource with the status that the operator writes."""
    decision = decide(about, *others, now=now, said=said, settings=settings)
    changed = newer(about)
    changed["status"] = decision.status.to_manifest()
    return changed


def order_of(manifest: Raw) -> Order:
    """The order that a Job carries."""
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return parse_order(next(item["value"] for item in container["env"] if item["name"] == "FINETUNE_ORDER"))
