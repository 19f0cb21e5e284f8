"""A cluster with its operator in it: stories are told in virtual time, and end states compared."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from finetune_api.group import Kind, Label
from finetune_operator.settings import Settings

from ..building import SETTINGS, Raw
from . import virtual_time
from .api_server import ApiServer, Write
from .machinery import Machinery
from .operator import SimulatedOperator
from .trainer import Trainer
from .weather import CALM, Weather

QUIET_SECONDS = 150.0
"""How long nothing must change for a story to be over: longer than any pause of the operator's."""
LONGEST_STORY_SECONDS = 4 * 3600.0

DEFAULTS = replace(SETTINGS, workers=3, resync_seconds=30.0, relist_seconds=60.0)


@dataclass
class World:
    """What there is, and who works on it."""

    random: Random
    weather: Weather = CALM
    settings: Settings = DEFAULTS
    server: ApiServer = field(default_factory=ApiServer)
    trainer: Trainer = field(default_factory=Trainer)
    operators: list[SimulatedOperator] = field(default_factory=list)
    killed_at: tuple[int, str] | None = None
    """Before or after which write the operator is killed."""
    kills: int = 0
    came_too_soon: list[tuple[Kind, str]] = field(default_factory=list)
    """Statuses that an operator wrote though the API server had asked to wait longer."""
    _kills_due: set[tuple[int, str]] = field(default_factory=set)
    _writes: int = 0
    _applied: list[Raw] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machinery = Machinery(self.server, self.trainer, self.random)
        if self.killed_at is not None:
            self._kills_due.add(self.killed_at)

    def start_operator(self) -> SimulatedOperator:
        operator = SimulatedOperator(self.server, self.settings, self.random, self.weather, self._watch_writes)
        self.operators.append(operator)
        operator.cluster.came_too_soon = self.came_too_soon
        operator.start()
        return operator

    def _watch_writes(self, moment: str) -> None:
        self._writes += moment == "before"
        if (self._writes, moment) in self._kills_due:
            self.kills += 1
            self.restart_operators()
            raise asyncio.CancelledError

    def end_operator(self, operator: SimulatedOperator) -> None:
        """For good, unless it was killed already, with all others."""
        if operator in self.operators:
            self.operators.remove(operator)
            operator.kill()

    def kill_at_write(self, number: int, moment: str) -> None:
        """Before or after the so-manieth write from now, 1 being the next."""
        self._kills_due.add((self._writes + number, moment))

    def restart_operators(self, pause_seconds: float = 2.0) -> None:
        for operator in self.operators:
            operator.kill()
        number, self.operators = len(self.operators), []
        for _ in range(number):
            asyncio.get_running_loop().call_later(pause_seconds, self.start_operator)

    def apply(self, *bodies: Raw) -> None:
        """As a user does with kubectl."""
        self._applied += bodies
        for body in bodies:
            self.server.create({key: value for key, value in body.items() if key != "status"})

    async def settle(self, quiet_seconds: float = QUIET_SECONDS) -> None:
        """Until nothing changes any more."""
        loop = asyncio.get_running_loop()
        seen, since = -1, loop.time()
        while loop.time() - since < quiet_seconds:
            if self.server.version != seen:
                seen, since = self.server.version, loop.time()
            if loop.time() > LONGEST_STORY_SECONDS:
                raise AssertionError(f"this never comes to rest: {self.server.writes[-12:]}")
            await asyncio.sleep(5)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        loop = asyncio.get_running_loop()
        limit = loop.time() + LONGEST_STORY_SECONDS
        while not condition():
            if loop.time() > limit:
                raise AssertionError(f"never: {what}")
            await asyncio.sleep(0.05)

    # What tests ask

    def status(self, kind: Kind, name: str) -> Raw:
        status: Raw = self.server.read(kind.value, name)["status"]
        return status

    def phase(self, kind: Kind, name: str) -> str | None:
        found = self.server.find(kind.value, name)
        return found["status"].get("phase") if found is not None else None

    def jobs(self, owner: str | None = None) -> list[tuple[str, str, int]]:
        """Owner, step and attempt of every Job that there is."""
        labels = [job["metadata"]["labels"] for job in self.server.all("Job")]
        found = [(item[Label.OWNER_NAME], item[Label.STEP], int(item[Label.ATTEMPT])) for item in labels]
        return sorted(item for item in found if owner in (None, item[0]))

    def operator_writes(self) -> list[Write]:
        """Without what users and controllers write."""
        made = {("create", body["kind"], body["metadata"]["name"]) for body in self._applied}
        return [
            item for item in self.server.writes if item.kind != "Pod" and (item.verb, item.kind, item.name) not in made
        ]

    def made_twice(self) -> list[tuple[str, str]]:
        """Objects, Events apart, of which more than one was ever made."""
        made = Counter((item.kind, item.name) for item in self.server.writes if item.verb == "create")
        return [name for name, number in made.items() if number > 1 and name[0] != "Event"]

    def end_state(self) -> dict[str, Any]:
        """What must not depend on the order of things: no times, and not which Comparison came first."""
        kinds = {kind.value for kind in Kind}
        ours = {name: _timeless(body) for name, body in self.server.objects.items() if name[0] in kinds}
        return {"/".join(name): body for name, body in sorted(ours.items())} | {"jobs": self.jobs()}


TIMES = frozenset({"lastTransitionTime", "startedAt", "finishedAt", "endedAt", "notBefore", "creationTimestamp"})
UNSTEADY = frozenset({"resourceVersion", "generation", "observedGeneration", "labels", "earlierLooks"})


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _timeless(item) for key, item in value.items() if key not in TIMES | UNSTEADY}
        if "ownerReferences" in kept:
            kept["ownerReferences"] = sorted(owner["uid"] for owner in kept["ownerReferences"])
        if "scores" in kept:
            kept["scores"] = sorted(kept["scores"], key=lambda score: score["comparison"])
        return kept
    if isinstance(value, list | tuple):
        return [_timeless(item) for item in value]
    return value


Story = Callable[[World], Awaitable[None]]


def story(tell: Story, *, seed: int = 0, weather: Weather = CALM, operators: int = 1, **world: Any) -> World:
    """Tells a story from an empty cluster to its rest, and returns what there is then."""

    async def whole() -> World:
        made = World(Random(seed), weather, **world)
        for _ in range(operators):
            made.start_operator()
        await tell(made)
        await made.settle()
        return made

    return virtual_time.run(whole())
