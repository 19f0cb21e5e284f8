"""From raw objects, as the API server sends them, to the views that are kept."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from finetune_api.fields import ApiModel
from finetune_api.group import MANAGER, RERUN_ANNOTATION, Kind, Label, Step
from finetune_operator.kueue_workloads import QUEUE_LABEL
from finetune_operator.views import (
    GPU_MEMORY_LABEL,
    GPU_PRODUCT_LABEL,
    GPU_REPLICAS_LABEL,
    GPU_SHARING_LABEL,
    INDEX_ANNOTATION,
    MODELS,
    TRAINER_CONTAINER,
    AnyResource,
    JobState,
    JobView,
    Key,
    NodeView,
    Owned,
    PodTrouble,
    PodView,
    Resource,
    Termination,
)

Raw = Mapping[str, Any]


def owned_by_labels(labels: Mapping[str, str]) -> Owned | None:
    """None when the labels are not ours or not whole."""
    if labels.get(Label.MANAGED_BY) != MANAGER:
        return None
    try:
        step = labels.get(Label.STEP)
        return Owned(
            kind=Kind(labels[Label.OWNER_KIND]),
            name=labels[Label.OWNER_NAME],
            uid=labels[Label.OWNER_UID],
            run=labels[Label.RUN],
            step=Step(step) if step else None,
            attempt=int(labels.get(Label.ATTEMPT, "0")),
            part=labels.get(Label.PART, ""),
        )
    except (KeyError, ValueError):
        return None


def resource_view(kind: Kind, body: Raw) -> AnyResource:
    """Raises pydantic.ValidationError where the spec is not of this version."""
    metadata = body["metadata"]
    spec_model, status_model = MODELS[kind]
    status = body.get("status") or {}
    owners = metadata.get("ownerReferences") or []
    return Resource(
        key=Key(kind, metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 0)),
        resource_version=int(metadata.get("resourceVersion", 0)),
        deleting="deletionTimestamp" in metadata,
        rerun=(metadata.get("annotations") or {}).get(RERUN_ANNOTATION, ""),
        owned=owned_by_labels(metadata.get("labels") or {}),
        owner_uids=frozenset(owner["uid"] for owner in owners),
        spec=spec_model.model_validate(body.get("spec") or {}),
        status=_status(status_model, status),
        written_status=status,
    )


def _status(model: type[ApiModel], status: Raw) -> ApiModel:
    """A status that somebody broke by hand counts as lost: it is worked out anew."""
    try:
        return model.model_validate(status)
    except ValidationError:
        return model()


def job_view(body: Raw) -> JobView | None:
    """None for a Job that is not ours."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    owned = owned_by_labels(metadata.get("labels") or {})
    if owned is None:
        return None
    ended = {condition["type"]: condition for condition in status.get("conditions") or [] if _is_true(condition)}
    condition = ended.get("Failed") or ended.get("Complete") or {}
    return JobView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=int(metadata.get("resourceVersion", 0)),
        owned=owned,
        state=_job_state(ended),
        suspended=bool(spec.get("suspend")),
        deleting="deletionTimestamp" in metadata,
        ended_at=condition.get("lastTransitionTime") or "",
        reason=condition.get("reason", ""),
        message=condition.get("message", ""),
        image=_trainer_image(spec),
        pods=int(spec.get("completions") or 1),
        orphaned=not metadata.get("ownerReferences"),
        ttl_seconds=spec.get("ttlSecondsAfterFinished"),
        queue=metadata["labels"].get(QUEUE_LABEL, ""),
    )


def _trainer_image(job_spec: Raw) -> str:
    pod = (job_spec.get("template") or {}).get("spec") or {}
    images = {item["name"]: item.get("image", "") for item in pod.get("containers") or []}
    return str(images.get(TRAINER_CONTAINER, ""))


def _job_state(ended: Mapping[str, Any]) -> JobState:
    if "Failed" in ended:
        return JobState.FAILED
    return JobState.COMPLETE if "Complete" in ended else JobState.ACTIVE


def _is_true(condition: Raw) -> bool:
    return bool(condition.get("status") == "True")


def pod_view(body: Raw) -> PodView | None:
    """None for a pod that is not ours."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    owned = owned_by_labels(metadata.get("labels") or {})
    if owned is None:
        return None
    conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
    scheduled, disruption = conditions.get("PodScheduled", {}), conditions.get("DisruptionTarget", {})
    state = _container_state(status)
    waiting, running = state.get("waiting") or {}, state.get("running") or {}
    return PodView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=int(metadata.get("resourceVersion", 0)),
        job_uid=_controller_uid(metadata),
        owned=owned,
        phase=status.get("phase", ""),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        created_at=metadata.get("creationTimestamp", ""),
        node=spec.get("nodeName", ""),
        unschedulable=scheduled.get("message", "") if scheduled.get("status") == "False" else "",
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        started_at=running.get("startedAt", ""),
        termination=_termination(state.get("terminated")),
        disruption=disruption.get("message", "") if _is_true(disruption) else "",
        deleting="deletionTimestamp" in metadata,
        silent=_is_silent(conditions, running),
        rank=int((metadata.get("annotations") or {}).get(INDEX_ANNOTATION, "0")),
        priority=int(spec.get("priority") or 0),
        volumes=_volumes(spec),
    )


def _is_silent(conditions: Mapping[str, Raw], running: Raw) -> bool:
    """Whether somebody else than its kubelet, which knows that all containers work, has called the pod not ready: the
    node controller does so when a node no longer answers."""
    ready, containers = conditions.get("Ready", {}), conditions.get("ContainersReady", {})
    return bool(running) and ready.get("status") == "False" and _is_true(containers)


def _volumes(spec: Raw) -> Mapping[str, str]:
    claims = {item["name"]: item.get("persistentVolumeClaim") for item in spec.get("volumes") or []}
    maps = {item["name"]: item.get("configMap") for item in spec.get("volumes") or []}
    return {
        **{name: f"PersistentVolumeClaim {claim['claimName']}" for name, claim in claims.items() if claim},
        **{name: f"ConfigMap {source['name']}" for name, source in maps.items() if source},
    }


def _container_state(status: Raw) -> Raw:
    """That of our container: a service mesh or a logging agent may have put others beside it."""
    containers = {item.get("name"): item.get("state") or {} for item in status.get("containerStatuses") or []}
    ours: Raw = containers.get(TRAINER_CONTAINER, {})
    return ours


def _controller_uid(metadata: Raw) -> str:
    owners = metadata.get("ownerReferences") or []
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


def _termination(terminated: Raw | None) -> Termination | None:
    if not terminated:
        return None
    return Termination(
        exit_code=int(terminated.get("exitCode", 0)),
        reason=terminated.get("reason", ""),
        message=terminated.get("message", ""),
        finished_at=terminated.get("finishedAt") or "",
        started_at=terminated.get("startedAt") or "",
    )


UNSTEADY_LABELS = frozenset({"nvidia.com/gfd.timestamp"})
"""Labels that change though nothing did."""
UNSHARED = frozenset({"", "none"})
"""Values of the label with the sharing strategy, where each pod has its GPUs to itself."""


def node_view(body: Raw) -> NodeView | None:
    """None for a node whose GPUs' memory is not labelled: nothing can be said of what fits there. None, too, for one
    that has no GPU to hand out."""
    labels = body["metadata"].get("labels") or {}
    product, memory = labels.get(GPU_PRODUCT_LABEL, ""), _number(labels.get(GPU_MEMORY_LABEL))
    if not product or not memory or _hands_out_only_profiles(labels):
        return None
    return NodeView(
        name=body["metadata"]["name"],
        resource_version=int(body["metadata"].get("resourceVersion", 0)),
        product=product,
        memory_mib=memory,
        gpus=_number(labels.get("nvidia.com/gpu.count")) or 1,
        shared=_is_shared(labels, product),
        labels={key: value for key, value in labels.items() if key not in UNSTEADY_LABELS},
    )


def _hands_out_only_profiles(labels: Mapping[str, str]) -> bool:
    """With MIG's strategy `mixed` slices are resources of their own, such as nvidia.com/mig-1g.5gb. Where all GPUs are
    cut, the labels tell of the whole GPU still, with 0 replicas, but none can be asked for as nvidia.com/gpu."""
    return labels.get("nvidia.com/mig.strategy") == "mixed" and labels.get(GPU_REPLICAS_LABEL) == "0"


def _is_shared(labels: Mapping[str, str], product: str) -> bool:
    """By time slicing or MPS, of whole GPUs or of MIG slices. It shows in one label or another, by the version."""
    strategy = labels.get(GPU_SHARING_LABEL, "")
    return _number(labels.get(GPU_REPLICAS_LABEL)) > 1 or strategy not in UNSHARED or product.endswith("-SHARED")


def _number(text: str | None) -> int:
    """0 for what is missing or is no number."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() else 0


TROUBLE_REASONS = frozenset({"FailedCreate", "FailedMount", "FailedAttachVolume"})
"""Reasons of the Events that alone tell why a pod cannot be made or mounted."""


def trouble_view(body: Raw) -> PodTrouble | None:
    """None for an Event that tells nothing that objects do not tell themselves."""
    if body.get("reason") not in TROUBLE_REASONS:
        return None
    time = body.get("lastTimestamp") or body.get("eventTime") or body["metadata"].get("creationTimestamp") or ""
    return PodTrouble(
        uid=(body.get("involvedObject") or {}).get("uid", ""),
        reason=body["reason"],
        message=body.get("message", ""),
        time=time,
    )
