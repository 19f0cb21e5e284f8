"""What the chart tells the operator, through its environment."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class StepResources:
    """What the pods ask for that compute nothing: prepare and compare."""

    cpu: str = "1"
    memory: str = "2Gi"


@dataclass(frozen=True)
class Settings:
    trainer_image: str
    trainer_image_pull_policy: str = "IfNotPresent"
    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; all when empty."""
    default_artifacts_claim: str = "artifacts"
    step_resources: StepResources = field(default_factory=StepResources)
    progress_interval_seconds: float = 30.0
    """Time between two looks at one pod's log."""
    resync_seconds: float = 30.0
    workers: int = 16
    probe_port: int = 8080
    stuck_after_seconds: float = 120.0
    """Age of the oldest work item from which the liveness probe fails."""


def settings_from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises KeyError with the variable's name when the trainer image is not given."""
    namespaces = tuple(name for name in environment.get("FINETUNE_NAMESPACES", "").split(",") if name)
    return Settings(
        trainer_image=environment["FINETUNE_TRAINER_IMAGE"],
        trainer_image_pull_policy=environment.get("FINETUNE_TRAINER_IMAGE_PULL_POLICY", "IfNotPresent"),
        namespaces=namespaces,
        default_artifacts_claim=environment.get("FINETUNE_ARTIFACTS_CLAIM", "artifacts"),
        step_resources=StepResources(**json.loads(environment.get("FINETUNE_STEP_RESOURCES", "{}"))),
        progress_interval_seconds=float(environment.get("FINETUNE_PROGRESS_INTERVAL_SECONDS", "30")),
        resync_seconds=float(environment.get("FINETUNE_RESYNC_SECONDS", "30")),
        workers=int(environment.get("FINETUNE_WORKERS", "16")),
        probe_port=int(environment.get("FINETUNE_PROBE_PORT", "8080")),
        stuck_after_seconds=float(environment.get("FINETUNE_STUCK_AFTER_SECONDS", "120")),
    )
