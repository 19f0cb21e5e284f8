"""What the chart tells the operator, through its environment."""

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from finetune_api.planning import GpuClass


@dataclass(frozen=True)
class StepResources:
    """What the pods ask for that compute nothing: prepare and compare."""

    cpu: str = "1"
    memory: str = "2Gi"


@dataclass(frozen=True)
class KueueSettings:
    """What there is to do with Kueue."""

    enabled: bool = False
    """Whether spec.queueName may be used, and Kueue's Workloads are watched."""
    cpu_steps: bool = False
    """Whether Jobs that ask for no GPU wait in the queue too."""
    priority_boost: bool = False
    """Whether Kueue is told what a preemption would cost."""


@dataclass(frozen=True)
class ListedServer:
    """A server outside the cluster that pods may speak to."""

    host: str
    scheme: str | None = None
    """Either, and any port, when left out."""
    port: int | None = None
    """With a scheme, that scheme's own when left out; else any."""


@dataclass(frozen=True)
class Settings:
    trainer_image: str
    trainer_image_pull_policy: str = "IfNotPresent"
    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; all when empty."""
    default_artifacts_claim: str = "artifacts"
    step_resources: StepResources = field(default_factory=StepResources)
    gpu_classes: tuple[GpuClass, ...] = ()
    """GPUs that the cluster has. When empty, the nodes' labels tell, unless only some namespaces are served."""
    tracking_servers: tuple[ListedServer, ...] = ()
    """Servers outside the cluster that curves may be sent to."""
    object_stores: tuple[ListedServer, ...] = ()
    """Servers outside the cluster that datasets may be read from."""
    kueue: KueueSettings = KueueSettings()
    progress_interval_seconds: float = 30.0
    """Time between two looks at one pod's log."""
    resync_seconds: float = 30.0
    """Time between two reconciles of every resource, from what is known."""
    relist_seconds: float = 300.0
    """Time between two comparisons of what is known with what there is."""
    workers: int = 16
    probe_port: int = 8080
    stuck_after_seconds: float = 120.0
    """Age of the oldest work item from which the liveness probe fails."""

    @property
    def watches_nodes(self) -> bool:
        """Nodes belong to the whole cluster: who serves some namespaces has no right to see them."""
        return not self.namespaces and not self.gpu_classes


class SettingsError(ValueError):
    """A variable of the environment that is missing or makes no sense."""


Value = TypeVar("Value")


def settings_from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingsError, which names the variable and what would be right."""
    default = Settings(trainer_image=_trainer_image(environment))

    def number(variable: str, read: Callable[[str], Value], otherwise: Value) -> Value:
        return _number(environment, variable, read, otherwise)

    return Settings(
        trainer_image=default.trainer_image,
        trainer_image_pull_policy=environment.get("FINETUNE_TRAINER_IMAGE_PULL_POLICY", "IfNotPresent"),
        namespaces=tuple(name for name in environment.get("FINETUNE_NAMESPACES", "").split(",") if name),
        default_artifacts_claim=environment.get("FINETUNE_ARTIFACTS_CLAIM", "artifacts"),
        step_resources=_step_resources(environment),
        gpu_classes=_gpu_classes(environment),
        tracking_servers=_listed_servers(environment, "FINETUNE_TRACKING_SERVERS"),
        object_stores=_listed_servers(environment, "FINETUNE_OBJECT_STORES"),
        kueue=KueueSettings(
            enabled=_flag(environment, "FINETUNE_KUEUE_ENABLED"),
            cpu_steps=_flag(environment, "FINETUNE_KUEUE_CPU_STEPS"),
            priority_boost=_flag(environment, "FINETUNE_KUEUE_PRIORITY_BOOST"),
        ),
        progress_interval_seconds=number(
            "FINETUNE_PROGRESS_INTERVAL_SECONDS", float, default.progress_interval_seconds
        ),
        resync_seconds=number("FINETUNE_RESYNC_SECONDS", float, default.resync_seconds),
        relist_seconds=number("FINETUNE_RELIST_SECONDS", float, default.relist_seconds),
        workers=number("FINETUNE_WORKERS", int, default.workers),
        probe_port=number("FINETUNE_PROBE_PORT", int, default.probe_port),
        stuck_after_seconds=number("FINETUNE_STUCK_AFTER_SECONDS", float, default.stuck_after_seconds),
    )


def _trainer_image(environment: Mapping[str, str]) -> str:
    image = environment.get("FINETUNE_TRAINER_IMAGE", "")
    if not image:
        raise SettingsError("FINETUNE_TRAINER_IMAGE must name the trainer image; the chart sets it from trainerImage")
    return image


def _number(environment: Mapping[str, str], variable: str, read: Callable[[str], Value], otherwise: Value) -> Value:
    text = environment.get(variable)
    if text is None:
        return otherwise
    try:
        value = read(text)
    except ValueError as error:
        raise SettingsError(f"{variable} must be a number, not {text!r}") from error
    if not 0 < float(str(value)) < math.inf:
        raise SettingsError(f"{variable} must be above 0, not {text!r}")
    return value


def _flag(environment: Mapping[str, str], variable: str) -> bool:
    text = environment.get(variable, "false")
    if text not in ("true", "false"):
        raise SettingsError(f"{variable} must be true or false, not {text!r}")
    return text == "true"


def _step_resources(environment: Mapping[str, str]) -> StepResources:
    text = environment.get("FINETUNE_STEP_RESOURCES", "{}")
    try:
        return StepResources(**json.loads(text))
    except (TypeError, ValueError) as error:
        example = '{"cpu": "1", "memory": "2Gi"}'
        raise SettingsError(f"FINETUNE_STEP_RESOURCES must be JSON such as {example}, not {text!r}") from error


def _gpu_classes(environment: Mapping[str, str]) -> tuple[GpuClass, ...]:
    text = environment.get("FINETUNE_GPU_CLASSES", "[]")
    try:
        return TypeAdapter(tuple[GpuClass, ...]).validate_json(text)
    except ValidationError as error:
        example = '[{"product": "NVIDIA-A100-SXM4-80GB", "memoryMiB": 81920}]'
        raise SettingsError(f"FINETUNE_GPU_CLASSES must be JSON such as {example}, not {text!r}") from error


_LISTED_SERVER = re.compile(r"((?P<scheme>https?)://)?(?P<host>[a-z0-9]([-.a-z0-9]*[a-z0-9])?)(:(?P<port>[0-9]{1,5}))?")


def _listed_servers(environment: Mapping[str, str], variable: str) -> tuple[ListedServer, ...]:
    named = environment.get(variable, "").split(",")
    return tuple(_listed_server(server, variable) for server in named if server)


def _listed_server(text: str, variable: str) -> ListedServer:
    found = _LISTED_SERVER.fullmatch(text)
    if found is None:
        example = "https://server.example.com or server.example.com:9000"
        raise SettingsError(f"{variable} must be servers such as {example}, not {text!r}")
    port = found["port"]
    return ListedServer(found["host"], found["scheme"], int(port) if port else None)
