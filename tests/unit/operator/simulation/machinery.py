"""Job controller, scheduler, kubelet and garbage collector, each with delays of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from random import Random

from finetune_api.exit_codes import ExitCode
from finetune_api.group import Label

from .api_server import ApiServer, Change, Raw, is_orphan
from .trainer import Ending, Trainer
from .virtual_time import timestamp

GRACE_SECONDS = 3.0
AFTERSHOCK = Ending(ExitCode.DEFECT, "Traceback: connection closed by peer")
STOPPED = Ending(ExitCode.STOPPED, '{"result": "failure", "reason": "Preempted", "message": "Stopped."}')


@dataclass
class Team:
    """The pods of a Job that work together: what becomes of one becomes of all."""

    ending: Ending | None = None
    """How the first of them ended that did."""

    @property
    def aftershock(self) -> Ending:
        """How the others end, when one was stopped or failed."""
        return STOPPED if self.ending is None or self.ending.exit_code == ExitCode.STOPPED else AFTERSHOCK


class Machinery:
    """Makes pods for Jobs, lets them work, and clears away what has lost its owner."""

    def __init__(self, server: ApiServer, trainer: Trainer, random: Random, *, working_seconds: float = 20.0) -> None:
        self._server = server
        self._trainer = trainer
        self._random = random
        self._working_seconds = working_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._pods = 0
        self.most_at_once = 0
        """The most pods that worked on the same step at the same time."""
        self.hold_pods = ""
        """Why no node takes a pod, as the scheduler would say."""
        self.ignored: set[str] = set()
        """Jobs that nobody drives."""
        server.watchers.append(self._see)

    def _see(self, change: Change) -> None:
        name = change.body["metadata"]["name"]
        if change.type == "ADDED" and change.body["kind"] == "Job" and name not in self.ignored:
            self._start(self._drive(change.body))
        if change.type == "MODIFIED" and change.body["kind"] == "Job" and _time_to_live(change.body) is not None:
            self._start(self._expire(change.body))
        if change.type == "ADDED" or change.type == "DELETED":
            self._start(self._collect(change))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pause(self, most: float = 1.0) -> None:
        await asyncio.sleep(self._random.uniform(0.01, most))

    # The garbage collector

    async def _collect(self, change: Change) -> None:
        """What an owner left behind, and what was made for an owner that is gone already."""
        await self._pause()
        metadata = change.body["metadata"]
        added = self._server.find(change.body["kind"], metadata["name"]) if change.type == "ADDED" else None
        for body in [added] if added is not None else list(self._server.owned_by(metadata["uid"])):
            if not is_orphan(self._server, body):
                continue
            if body["kind"] == "Pod":
                self._mark_deleted(body)
            else:
                self._server.remove(body["kind"], body["metadata"]["name"])

    async def _expire(self, job: Raw) -> None:
        """What Kubernetes' TTL controller does with a Job that has ended."""
        await asyncio.sleep((_time_to_live(job) or 0) + 0.01)
        there = self._current(job)
        if there is not None and _time_to_live(there) == _time_to_live(job):
            self._server.remove("Job", job["metadata"]["name"])

    def _mark_deleted(self, pod: Raw) -> None:
        there = self._server.find("Pod", pod["metadata"]["name"])
        if there is not None and there["status"]["phase"] in ("Succeeded", "Failed"):
            self._server.remove("Pod", pod["metadata"]["name"])
        elif there is not None and "deletionTimestamp" not in there["metadata"]:
            there["metadata"]["deletionTimestamp"] = timestamp()
            self._server.report(there)

    def delete_pod(self, name: str) -> None:
        """As `kubectl delete pod`."""
        self._mark_deleted(self._server.read("Pod", name))

    # The Job controller

    async def _drive(self, job: Raw) -> None:
        """Until the Job has ended or is gone: one pod after the other, while it is not suspended."""
        while True:
            await self._pause()
            there = self._current(job)
            if there is None:
                return
            if there["spec"].get("suspend"):
                await asyncio.sleep(1)
                continue
            team = Team()
            ranks = range(there["spec"].get("completions", 1))
            endings = await asyncio.gather(*(self._live(there, rank, team) for rank in ranks))
            codes = {ending.exit_code for ending in endings}
            if codes - {ExitCode.STOPPED, ExitCode.DONE} or codes == {ExitCode.DONE}:
                await self._pause()
                self._end(job, "Complete" if codes == {ExitCode.DONE} else "Failed")
                return

    def _current(self, job: Raw) -> Raw | None:
        there = self._server.peek("Job", job["metadata"]["name"])
        return there if there is not None and there["metadata"]["uid"] == job["metadata"]["uid"] else None

    def _end(self, job: Raw, type_: str) -> None:
        if self._current(job) is not None:
            there = self._server.read("Job", job["metadata"]["name"])
            condition = {"type": type_, "status": "True", "lastTransitionTime": timestamp(), "reason": "Simulated"}
            there["status"] = {"conditions": [condition]}
            self._server.report(there)

    # The kubelet

    async def _live(self, job: Raw, rank: int, team: Team) -> Ending:
        """One pod's life."""
        ending = await self._work(job, rank, team)
        team.ending = team.ending or ending
        return ending

    async def _work(self, job: Raw, rank: int, team: Team) -> Ending:
        self._pods += 1
        pod = self._server.create(_pod(job, self._pods, rank))
        await self._pause()
        await self._schedule(pod)
        self._report(pod, "Running", running={"startedAt": timestamp()})
        if rank == 0:
            self._count(job)
        labels = pod["metadata"]["labels"]
        owner, step = labels[Label.OWNER_NAME], labels[Label.STEP]
        deadline = asyncio.get_running_loop().time() + self._random.uniform(0.5, self._working_seconds)
        while team.ending is None and self._is_busy(owner, step, rank, deadline):
            await asyncio.sleep(1)
            if self._is_to_stop(job, pod):
                return await self._stop(pod, STOPPED)
        if team.ending is not None and team.ending.exit_code != ExitCode.DONE:
            return await self._stop(pod, team.aftershock)
        order = next(item["value"] for item in pod["spec"]["containers"][0]["env"] if item["name"] == "FINETUNE_ORDER")
        ending = self._trainer.work(owner, step, order, rank)
        self._report_end(pod, ending)
        return ending

    def _is_busy(self, owner: str, step: str, rank: int, deadline: float) -> bool:
        """Until its time is up. The first pod ends the work, unless it is another one that is to fail."""
        ends_it = self._trainer.who_ends_it(owner, step)
        return rank != ends_it or asyncio.get_running_loop().time() < deadline

    async def _schedule(self, pod: Raw) -> None:
        while self.hold_pods:
            there = self._server.find("Pod", pod["metadata"]["name"])
            if there is not None:
                condition = {"type": "PodScheduled", "status": "False", "message": self.hold_pods}
                there["status"] = {"phase": "Pending", "conditions": [condition]}
                self._server.report(there)
            await asyncio.sleep(5)

    def _count(self, job: Raw) -> None:
        pods = [body for (kind, _), body in self._server.objects.items() if kind == "Pod"]
        steps = Counter(_step(pod) for pod in pods if pod["status"]["phase"] == "Running")
        self.most_at_once = max(self.most_at_once, steps[_step(job)])

    def _is_to_stop(self, job: Raw, pod: Raw) -> bool:
        there, owner = self._server.peek("Pod", pod["metadata"]["name"]), self._current(job)
        held = owner is None or bool(owner["spec"].get("suspend"))
        return there is None or held or "deletionTimestamp" in there["metadata"]

    async def _stop(self, pod: Raw, ending: Ending) -> Ending:
        """SIGTERM, a checkpoint, an end, and the pod is gone."""
        self._mark_deleted(pod)
        await asyncio.sleep(self._random.uniform(0.1, GRACE_SECONDS))
        self._report_end(pod, ending)
        await self._pause()
        self._server.remove("Pod", pod["metadata"]["name"])
        return ending

    def _report_end(self, pod: Raw, ending: Ending) -> None:
        terminated = {
            "exitCode": int(ending.exit_code),
            "reason": ending.reason or ("Error" if ending.exit_code else "Completed"),
            "message": ending.message,
            "finishedAt": timestamp(),
        }
        self._report(pod, "Failed" if ending.exit_code else "Succeeded", terminated=terminated)

    def _report(self, pod: Raw, phase: str, **state: Raw) -> None:
        there = self._server.find("Pod", pod["metadata"]["name"])
        if there is not None:
            there["status"] = {"phase": phase, "containerStatuses": [{"name": "trainer", "state": state}]}
            self._server.report(there)


def _time_to_live(job: Raw) -> int | None:
    """Of a Job that has ended and has one."""
    seconds: int | None = (
        job["spec"].get("ttlSecondsAfterFinished") if job.get("status", {}).get("conditions") else None
    )
    return seconds


def _step(body: Raw) -> tuple[str, str, str, str]:
    labels = body["metadata"]["labels"]
    return labels[Label.OWNER_UID], labels[Label.RUN], labels[Label.STEP], labels.get(Label.PART, "")


def _pod(job: Raw, number: int, rank: int) -> Raw:
    template = job["spec"]["template"]
    owner = {"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"], "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{job['metadata']['name']}-{number}",
            "namespace": job["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
            "annotations": {"batch.kubernetes.io/job-completion-index": str(rank)},
            "ownerReferences": [owner],
        },
        "spec": {**template["spec"], "nodeName": "node-1"},
        "status": {"phase": "Pending"},
    }
