"""What a test does in one namespace: apply as a user would, look, and wait for what is to come."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster import Cluster

Json = Mapping[str, Any]
TRAINER_UID = 65532
PATIENCE_SECONDS = 180.0
"""Far more than anything takes; a test that waits so long has failed."""


@dataclass(frozen=True)
class Workbench:
    cluster: Cluster
    namespace: str

    # Doing

    def kubectl(self, *arguments: str, check: bool = True, **options: Any) -> str:
        finished = self.cluster.kubectl("-n", self.namespace, *arguments, check=False, capture_output=True, **options)
        if check and finished.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {finished.stderr}")
        return finished.stdout or ""

    def apply(self, *manifests: Json) -> None:
        items = [
            {**manifest, "metadata": {"namespace": self.namespace, **manifest["metadata"]}} for manifest in manifests
        ]
        self.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def delete(self, kind: str, name: str, *, wait: bool = True) -> None:
        self.kubectl("delete", kind, name, "--ignore-not-found", f"--wait={str(wait).lower()}")

    def patch_spec(self, kind: str, name: str, spec: Json) -> None:
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def wipe_status(self, kind: str, name: str) -> None:
        """As a restore from a backup without status would."""
        patch = [{"op": "replace", "path": "/status", "value": {"observedGeneration": -1}}]
        self.kubectl("patch", kind, name, "--subresource=status", "--type=json", "-p", json.dumps(patch))

    def annotate(self, kind: str, name: str, annotation: str) -> None:
        self.kubectl("annotate", kind, name, annotation, "--overwrite")

    # Looking

    def get(self, kind: str, name: str) -> Json | None:
        text = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        found: Json | None = json.loads(text) if text.strip() else None
        return found

    def items(self, kind: str, selector: str = "") -> list[Json]:
        found: list[Json] = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]
        return found

    def status(self, kind: str, name: str) -> Json:
        found: Json = (self.get(kind, name) or {}).get("status", {})
        return found

    def jobs_of(self, kind: str, name: str, step: str = "") -> list[Json]:
        """The Jobs that work for one resource, by its uid."""
        resource = self.get(kind, name)
        assert resource is not None, f"{kind} {name} does not exist"
        selector = f"finetune.dev/owner-uid={resource['metadata']['uid']}"
        return self.items("jobs", f"{selector},finetune.dev/step={step}" if step else selector)

    def pods_of(self, kind: str, name: str, step: str) -> list[Json]:
        resource = self.get(kind, name)
        assert resource is not None, f"{kind} {name} does not exist"
        uid = resource["metadata"]["uid"]
        return self.items("pods", f"finetune.dev/owner-uid={uid},finetune.dev/step={step}")

    def events(self, name: str) -> list[Json]:
        found = json.loads(
            self.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}", "-o", "json")
        )
        items: list[Json] = found["items"]
        return items

    def volume(self, claim: str) -> Path:
        return self.cluster.volume(self.namespace, claim)

    # Waiting

    def wait_until(self, look: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """What `look` returned when it was first true; an AssertionError that shows the namespace otherwise."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = look()
            if found:
                return found
            time.sleep(0.25)
        raise AssertionError(f"{what}: not within {seconds:.0f} s\n{self.overview()}")

    def wait_for_phase(self, kind: str, name: str, *phases: str, seconds: float = PATIENCE_SECONDS) -> Json:
        """The status when one of the phases is reached; an unexpected end is told at once."""

        def look() -> Json | None:
            status = self.status(kind, name)
            phase = status.get("phase")
            ended = phase in ("Succeeded", "Failed") and phase not in phases
            assert not ended, f"{kind} {name} is {phase}: {condition(status, 'Complete')}\n{self.overview()}"
            return status if phase in phases else None

        found: Json = self.wait_until(look, f"{kind} {name} {' or '.join(phases)}", seconds)
        return found

    def wait_for_reason(self, kind: str, name: str, reason: str) -> Json:
        """The Complete condition as soon as it gives this reason."""

        def look() -> Json | None:
            found = condition(self.status(kind, name), "Complete")
            return found if found.get("reason") == reason else None

        found: Json = self.wait_until(look, f"{kind} {name}: {reason}")
        return found

    def overview(self) -> str:
        """For whoever reads a failed test."""
        kinds = "finetunejobs,evaluations,comparisons,finetunedmodels,jobs,pods"
        return self.kubectl("get", kinds, "-o", "wide", check=False) + self.kubectl(
            "get", "events", "--sort-by=.lastTimestamp", check=False
        )

    # Files that a user would have put on the volumes

    def write(self, claim: str, path: str, lines: Iterable[str]) -> None:
        target = self.volume(claim) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(f"{line}\n" for line in lines))
        _hand_over(target)

    def copy_model(self, folder: Path, name: str) -> None:
        target = self.volume("models") / name
        shutil.copytree(folder, target, dirs_exist_ok=True)
        for path in (target, *target.rglob("*")):
            _hand_over(path)


def _hand_over(path: Path) -> None:
    shutil.chown(path, TRAINER_UID, TRAINER_UID)


def condition(status: Json, kind: str) -> Json:
    """A condition of a status; empty when it is not there."""
    found: Json = next((item for item in status.get("conditions", []) if item["type"] == kind), {})
    return found
