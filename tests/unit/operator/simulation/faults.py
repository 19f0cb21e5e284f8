"""Faults that befall an operator, drawn by a seed: which ones, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from .weather import Weather
from .world import World

INACTIVITY_SECONDS = 70.0
"""How long a watch may be silent before kopf connects anew."""
LATEST_SECONDS = 60.0
"""No fault begins later: the stories are about to end by then."""


class Fault(Protocol):
    def strike(self, world: World) -> Awaitable[None]:
        """From the beginning of the story to the fault's end."""
        ...


@dataclass(frozen=True)
class Killed:
    """SIGKILL at any time."""

    at: float

    async def strike(self, world: World) -> None:
        await asyncio.sleep(self.at)
        world.restart_operators()


@dataclass(frozen=True)
class KilledAtWrite:
    """SIGKILL right before or after a write is carried out."""

    at: float
    number: int
    moment: str

    async def strike(self, world: World) -> None:
        await asyncio.sleep(self.at)
        world.kill_at_write(self.number, self.moment)


@dataclass(frozen=True)
class WatchesFrozen:
    """The watches stay open and bring nothing, until kopf gives up on them; `expired` when that took too long for the
    API server to remember what came meanwhile (410)."""

    at: float
    expired: bool
    seconds: float = INACTIVITY_SECONDS

    async def strike(self, world: World) -> None:
        await asyncio.sleep(self.at)
        frozen = list(world.operators)
        for operator in frozen:
            operator.freeze_watches()
        await asyncio.sleep(self.seconds)
        for operator in frozen:
            operator.connect_anew(expired=self.expired)


@dataclass(frozen=True)
class ApiServerGone:
    """No request is answered, no watch brings anything."""

    at: float
    seconds: float
    expired: bool

    async def strike(self, world: World) -> None:
        await asyncio.sleep(self.at)
        world.server.down = True
        await WatchesFrozen(0, self.expired, self.seconds).strike(world)
        world.server.down = False


@dataclass(frozen=True)
class HeardAgain:
    """The last events come once more: news that are old."""

    at: float
    number: int

    async def strike(self, world: World) -> None:
        await asyncio.sleep(self.at)
        for operator in world.operators:
            operator.hear_again(self.number)


@dataclass(frozen=True)
class SecondOperator:
    """For a while two operators work at once."""

    at: float
    seconds: float

    async def strike(self, world: World) -> None:
        await asyncio.sleep(self.at)
        second = world.start_operator()
        await asyncio.sleep(self.seconds)
        world.end_operator(second)


@dataclass(frozen=True)
class PodsDeleted:
    """Every pod that runs at that moment, as by a drain: its Job makes another one."""

    at: float

    async def strike(self, world: World) -> None:
        await asyncio.sleep(self.at)
        for pod in world.server.all("Pod"):
            if pod["status"]["phase"] == "Running":
                world.machinery.delete_pod(pod["metadata"]["name"])


@dataclass(frozen=True)
class Schedule:
    """What befalls a story."""

    seed: int
    weather: Weather
    faults: tuple[Fault, ...]

    @property
    def may_lose_sight(self) -> bool:
        """An attempt may be given up then whose pod was not heard of in time: its result is found on the volume, by one
        attempt more. A frozen watch keeps a pod's end back for longer than the operator waits, but not the end of its
        Job, which another operator, or a list that took long, may tell of."""
        frozen = any(isinstance(fault, WatchesFrozen | ApiServerGone) for fault in self.faults)
        expired = any(getattr(fault, "expired", False) for fault in self.faults)
        two = any(isinstance(fault, SecondOperator) for fault in self.faults)
        lost = self.weather.lost > 0 or self.weather.lost_event is not None
        return lost or expired or (frozen and (two or self.weather.failing > 0))

    @property
    def may_go_back(self) -> bool:
        """A phase may then: the next pod has to wait once more; and of two operators, one is told later of the pods
        than of what the other has made of them."""
        return any(isinstance(fault, PodsDeleted | SecondOperator) for fault in self.faults)

    async def strike(self, world: World) -> None:
        await asyncio.gather(*(fault.strike(world) for fault in self.faults))


def schedule(seed: int) -> Schedule:
    """One to four faults, in a weather of their own."""
    random = Random(seed)
    faults = tuple(_fault(random) for _ in range(random.randint(1, 4)))
    return Schedule(seed, _weather(random), faults)


def _weather(random: Random) -> Weather:
    """Fair in one of three schedules: what only calm uncovers would be missed."""
    if random.random() < 1 / 3:
        return Weather()
    return Weather(
        event_delay_seconds=random.choice([0.05, 1.0, 6.0]),
        repeated=random.choice([0.0, 0.3]),
        lost=random.choice([0.0, 0.0, 0.1, 0.3]),
        failing=random.choice([0.0, 0.1, 0.3]),
        throttled=random.choice([0.0, 0.1]),
        request_seconds=random.choice([0.01, 0.5, 3.0]),
    )


def _fault(random: Random) -> Fault:
    at = random.uniform(0, LATEST_SECONDS)
    before_or_after = random.choice(["before", "after"])
    expired = random.random() < 0.5
    seconds = random.uniform(1, INACTIVITY_SECONDS)
    made: list[Fault] = [
        Killed(at),
        KilledAtWrite(at / 2, random.randint(1, 8), before_or_after),
        WatchesFrozen(at, expired),
        ApiServerGone(at, seconds, expired),
        HeardAgain(at, random.randint(1, 60)),
        SecondOperator(at, seconds),
        PodsDeleted(at),
    ]
    return random.choice(made)
