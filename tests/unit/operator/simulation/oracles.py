"""What must hold of every story, whatever befell it: watched while it is told, and judged at its end. Each oracle is
exact: it knows what the trainer computed, and what the same story ends in without faults."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from finetune_api.group import Kind, Label
from finetune_operator.manifests.orders import mounted

from ..building import NAMESPACE, Raw
from .api_server import OUR_KINDS, Change
from .faults import Schedule
from .stories import undisturbed
from .trainer import score_of, trained_in
from .world import Story, World, story

QUIET_SECONDS = 150.0
QUIET_IN_BAD_WEATHER_SECONDS = 600.0
"""Where requests fail, each after 30 seconds perhaps, pauses grow: some time may pass without a change."""
SHOWN = 300
"""Characters of a value that a difference shows."""
FINISHED = frozenset({"Succeeded", "Failed"})
ORDER = ("Pending", "Preparing", "Queued", "Training", "Evaluating", "Comparing", "Suspended", "Succeeded", "Failed")
"""Phases of all kinds, in the order in which a resource goes through those of its own."""
RESULTS = ("training", "fineTunedModel", "score", "tasks", "predictions", "summary", "report", "recipe")
"""What a run leaves in its status: once it is told, it stays as it is."""
FOLLOWS = frozenset({"comparison", "summary", "conditions", "observedGeneration"})
"""What is still told of a FineTuneJob that has succeeded: the Comparison that follows it."""
Step = tuple[str, str, str, str]
"""uid of the owner, run, step and part."""


@dataclass
class Witness:
    """Sees every change of every object, and notes what must not be."""

    world: World
    may_go_back: bool
    violations: list[str] = field(default_factory=list)
    _last: dict[str, Raw] = field(default_factory=dict)
    """The latest body of each resource of ours, by uid."""
    _live: dict[Step, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Names of the Jobs that have not ended, by step."""

    def __post_init__(self) -> None:
        self.world.server.watchers.append(self._see)

    def _note(self, body: Raw, what: str) -> None:
        moment = asyncio.get_running_loop().time()
        self.violations.append(f"{body['kind']} {body['metadata']['name']} at {moment:.1f} s: {what}")

    def _see(self, change: Change) -> None:
        body = change.body
        if body["kind"] == "Job" and Label.STEP in body["metadata"].get("labels", {}):
            self._see_job(change)
        elif body["kind"] == Kind.FINE_TUNED_MODEL.value and change.type == "ADDED":
            self._see_model(body)
        if body["kind"] in OUR_KINDS:
            uid = body["metadata"]["uid"]
            before = self._last.get(uid)
            self._last[uid] = body
            if before is not None and change.type == "MODIFIED" and before["status"] != body["status"]:
                self._see_status(before["status"], body)

    # At most one live Job a step, and none after the end

    def _see_job(self, change: Change) -> None:
        job, name = change.body, change.body["metadata"]["name"]
        step = _step_of(job)
        if change.type == "ADDED":
            if self._live[step]:
                self._note(job, f"made beside {sorted(self._live[step])}, which has not ended")
            if self._has_ended(step):
                self._note(job, "made for a run that has ended")
            self._live[step].add(name)
        if change.type == "DELETED" or job.get("status", {}).get("conditions"):
            self._live[step].discard(name)

    def _has_ended(self, step: Step) -> bool:
        owner = self._last.get(step[0])
        status = owner["status"] if owner is not None else {}
        return status.get("phase") in FINISHED and status["run"]["digest"] == step[1]

    # Results are neither lost nor invented

    def _see_model(self, model: Raw) -> None:
        origin = model["spec"]["fineTuneJob"]
        folder = _folder(origin["uid"], origin["run"])
        if model["spec"]["adapter"]["digest"] != trained_in(folder).training.adapter_digest:
            self._note(model, "holds the adapter of another run")
        if (folder, "train") not in self.world.trainer.volume:
            self._note(model, "registered before it was trained")

    def _see_status(self, before: Raw, body: Raw) -> None:
        after = body["status"]
        if before.get("run") is not None and after.get("run") is None:
            self._note(body, "forgot its run")
        if before.get("run") is None or before["run"]["digest"] == (after.get("run") or before["run"])["digest"]:
            self._see_progress_of_a_run(before, body)
        self._see_results(body)

    def _see_results(self, body: Raw) -> None:
        status, uid = body["status"], body["metadata"]["uid"]
        if body["kind"] == Kind.FINE_TUNE_JOB.value and status.get("training") is not None:
            folder = _folder(uid, status["run"]["digest"])
            told = trained_in(folder).training.to_manifest()
            if (folder, "train") not in self.world.trainer.volume or status["training"] != told:
                self._note(body, f"tells a training that is not its own: {status['training']}")
        if body["kind"] == Kind.EVALUATION.value and status.get("score") is not None:
            computed = (_folder(uid, status["run"]["digest"]), "evaluate") in self.world.trainer.volume
            if not computed or status["score"] != score_of(status["digest"]):
                self._note(body, f"tells a score that is not its own: {status['score']}")

    # Forward only

    def _see_progress_of_a_run(self, before: Raw, body: Raw) -> None:
        after, kind = body["status"], body["kind"]
        attempt, earlier = _attempt(after), _attempt(before)
        if attempt < earlier:
            self._note(body, f"went back from attempt {earlier} to {attempt}")
        if after.get("failures", 0) < before.get("failures", 0):
            self._note(body, "counts fewer failures than before")
        if _goes_back(before, after) and attempt == earlier and not self.may_go_back:
            self._note(body, f"went back from {before['phase']} to {after.get('phase')} in one attempt")
        for result in RESULTS:
            if before.get(result) and after.get(result) != before[result]:
                self._note(body, f"{result} was told, and is another now: {before[result]} -> {after.get(result)}")
        if before.get("phase") in FINISHED and kind != Kind.FINE_TUNED_MODEL.value:
            self._see_change_after_the_end(before, body)

    def _see_change_after_the_end(self, before: Raw, body: Raw) -> None:
        after = body["status"]
        changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        if body["kind"] == Kind.FINE_TUNE_JOB.value and before["phase"] == "Succeeded":
            changed -= FOLLOWS
        if changed:
            self._note(body, f"changed after its end: {sorted(changed)}")


def _folder(uid: str, run: str) -> str:
    return mounted(f"{NAMESPACE}/{uid}/{run}")


def _step_of(job: Raw) -> Step:
    labels = job["metadata"]["labels"]
    return labels[Label.OWNER_UID], labels[Label.RUN], labels[Label.STEP], labels.get(Label.PART, "")


def _attempt(status: Raw) -> int:
    attempt: int = (status.get("run") or {}).get("attempt", 0)
    return attempt


def _goes_back(before: Raw, after: Raw) -> bool:
    phases = before.get("phase"), after.get("phase")
    if None in phases:
        return phases[0] is not None
    return ORDER.index(str(phases[1])) < ORDER.index(str(phases[0]))


def told_under(plan: Schedule, tell: Story) -> list[str]:
    """What is wrong with a story when it is told under these faults."""
    witnesses: list[Witness] = []

    async def whole(world: World) -> None:
        witnesses.append(Witness(world, plan.may_go_back))
        await tell(world)
        await plan.strike(world)
        await _until_quiet(world, witnesses[0])

    world = story(whole, seed=plan.seed, weather=plan.weather)
    return judge(world, witnesses[0], undisturbed(tell), plan)


async def _until_quiet(world: World, witness: Witness) -> None:
    """The story's rest, and that nothing at all is written in it."""
    await world.settle(QUIET_SECONDS if world.weather.failing == 0 else QUIET_IN_BAD_WEATHER_SECONDS)
    before = len(world.server.writes)
    await asyncio.sleep(QUIET_SECONDS)
    late = world.server.writes[before:]
    if late:
        witness.violations.append(f"written though nothing happens: {late}")


def judge(world: World, witness: Witness, reference: World, schedule: Schedule) -> list[str]:
    """All that is wrong with a story that has come to its end."""
    wrong = list(witness.violations)
    wrong += [f"made twice: {name}" for name in world.made_twice()]
    wrong += [f"asked again too soon after a 429: {name}" for name in world.came_too_soon]
    if world.machinery.most_at_once > 1:
        wrong.append(f"{world.machinery.most_at_once} pods worked on one step at once")
    computed, expected = Counter(world.trainer.computed), Counter(reference.trainer.computed)
    wrong += [f"computed {number} times: {name}" for name, number in (computed - expected).items()]
    wrong += [f"never computed: {name}" for name in expected - computed]
    ends = (end_of(item, attempts_count=not schedule.may_lose_sight) for item in (world, reference))
    wrong += _differences("", *ends)
    return wrong


def end_of(world: World, *, attempts_count: bool) -> Any:
    """What a story ends in; how many attempts it took may be left out."""
    end = world.end_state()
    return end if attempts_count else _without_attempts(end)


ATTEMPTS = frozenset({"jobs", "attempt", "attempts", "failures"})


def _without_attempts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_attempts(item) for key, item in value.items() if key not in ATTEMPTS}
    return [_without_attempts(item) for item in value] if isinstance(value, list) else value


def _differences(path: str, found: Any, expected: Any) -> list[str]:
    if isinstance(found, dict) and isinstance(expected, dict):
        names = sorted({*found, *expected})
        return [line for name in names for line in _differences(f"{path}.{name}", found.get(name), expected.get(name))]
    if found == expected:
        return []
    return [f"the end differs at {path[1:]}: {_short(found)}, without faults {_short(expected)}"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
