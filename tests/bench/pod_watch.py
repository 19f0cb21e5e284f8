"""When pods start and end, told by one watch for a whole measurement: polling would cost more than what is measured."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from localcluster import ClusterError
from workbench import Workbench

PATIENCE_SECONDS = 180.0
COLUMNS = r'{.type} {.object.metadata.name} {.object.status.phase}{"\n"}'
STARTED = frozenset({"Running", "Succeeded", "Failed"})


@dataclass(frozen=True)
class Seen:
    at: float
    """Seconds, as time.monotonic() counts."""
    event: str
    pod: str
    phase: str


@dataclass
class PodWatch:
    """The pods of a namespace, each known by the name that it begins with: that of the resource it is made for."""

    _news: queue.SimpleQueue[Seen] = field(default_factory=queue.SimpleQueue)
    _phases: dict[str, str] = field(default_factory=dict)

    def until_created(self, prefix: str) -> float:
        """When the first such pod was seen."""
        return self._until(lambda: bool(self._of(prefix)), f"{prefix}* is created")

    def until_started(self, prefix: str) -> float:
        """When the first such pod was seen running."""
        return self._until(lambda: any(phase in STARTED for phase in self._of(prefix).values()), f"{prefix}* starts")

    def until_gone(self, prefix: str) -> None:
        """A pod that is still ending would take its share of the machine from the next one."""
        self._until(lambda: not self._of(prefix), f"{prefix}* is gone")

    def follow(self, lines: IO[str]) -> None:
        """Reads until the watch ends; on a thread of its own, so that each event has the time at which it came."""
        for line in lines:
            event, pod, phase = line.split()
            self._news.put(Seen(time.monotonic(), event, pod, phase))

    def _of(self, prefix: str) -> dict[str, str]:
        return {pod: phase for pod, phase in self._phases.items() if pod.startswith(prefix)}

    def _until(self, come_true: Callable[[], bool], what: str) -> float:
        """When the event came that made it true."""
        at = time.monotonic()
        while not come_true():
            try:
                seen = self._news.get(timeout=PATIENCE_SECONDS)
            except queue.Empty as error:
                raise ClusterError(f"{what}: no news within {PATIENCE_SECONDS:.0f} s") from error
            at = seen.at
            self._take_in(seen)
        return at

    def _take_in(self, seen: Seen) -> None:
        if seen.event == "DELETED":
            self._phases.pop(seen.pod, None)
        else:
            self._phases[seen.pod] = seen.phase


@contextmanager
def watching_pods(bench: Workbench) -> Iterator[PodWatch]:
    command = ["get", "pods", "--namespace", bench.namespace, "--watch", "--output-watch-events"]
    with subprocess.Popen(
        [bench.cluster.tools.kubectl, *command, "--output", f"jsonpath={COLUMNS}"],
        env=bench.cluster.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        watch = PodWatch()
        assert process.stdout is not None
        threading.Thread(target=watch.follow, args=[process.stdout], daemon=True).start()
        try:
            yield watch
        finally:
            process.terminate()
