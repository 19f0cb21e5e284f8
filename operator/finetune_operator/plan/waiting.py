"""Why no pod runs yet, in a word and a sentence."""

import re

from finetune_api.conditions import Reason
from finetune_operator.plan import refusals
from finetune_operator.views import Child, PodView

IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
GPU_RESOURCE = "nvidia.com/gpu"
FAILED_CREATE = "FailedCreate"
NODE_IS_GONE = ("PodGC: node", "NoExecute")
"""Words of Kubernetes' own, where it gives up a pod with its node, and not for another pod's sake."""
STARTING = "The pod is being started."
"""The same words until it runs: each other word would be one more write."""


def cause(child: Child, pod: PodView | None) -> tuple[Reason, str]:
    """The cause and what to do about it; (Starting, ...) when nothing is wrong."""
    if pod is None:
        return _no_pod(child)
    if pod.silent:
        return Reason.NODE_LOST, _lost(pod)
    if pod.deleting:
        return replaced(pod)
    if pod.unschedulable:
        return _unschedulable(pod)
    if pod.waiting_reason in IMAGE_REASONS:
        return Reason.WAITING_FOR_IMAGE, f"The image cannot be pulled: {pod.waiting_message or pod.waiting_reason}"
    if pod.waiting_reason in CONFIG_REASONS:
        return Reason.POD_REFUSED, f"The container cannot start: {pod.waiting_message or pod.waiting_reason}"
    if child.warning is not None and child.warning.reason != FAILED_CREATE:
        return Reason.WAITING_FOR_VOLUME, _unmounted(pod, child.warning.message)
    return Reason.STARTING, STARTING


def _unmounted(pod: PodView, message: str) -> str:
    """The kubelet tells the volume by its name in the pod, which nobody knows; what is behind it is in the spec."""
    named = re.search(r'for volume "([^"]+)"|unmounted volumes=\[([^\],]+)', message)
    volume = (named[1] or named[2]) if named is not None else ""
    what = pod.volumes.get(volume, "A volume")
    return f"{what} cannot be mounted: {message}"


def _lost(pod: PodView) -> str:
    """The pod may still compute there, so Kubernetes makes no other one until somebody says that the node is off."""
    waits = "waits" if pod.deleting else "waits a few minutes, then gives the pod up, and waits again"
    return (
        f"Node {pod.node} does not answer, and pod {pod.name} may still run there: Kubernetes {waits} until somebody "
        f"says that the machine is off. For good: kubectl delete node {pod.node}. For now: kubectl taint nodes "
        f"{pod.node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute. Another pod then goes on from the last "
        "checkpoint."
    )


def replaced(pod: PodView) -> tuple[Reason, str]:
    """A pod that was ended from outside, and whose Job makes another one."""
    lost = any(word in pod.disruption for word in NODE_IS_GONE)
    why = pod.disruption or "it was told to stop"
    message = f"Pod {pod.name} was ended ({why}); another one follows and goes on from the last checkpoint."
    return Reason.NODE_LOST if lost else Reason.PREEMPTED, message


def refused(message: str) -> tuple[Reason, str]:
    """What the API server says when it does not take an object."""
    return refusals.refusal(message, "it")


def _no_pod(child: Child) -> tuple[Reason, str]:
    if child.warning is None or child.warning.reason != FAILED_CREATE:
        return Reason.STARTING, STARTING
    return refusals.refusal(child.warning.message, "the pod")


def _unschedulable(pod: PodView) -> tuple[Reason, str]:
    message = pod.unschedulable
    if "persistentvolumeclaim" in message.lower() or "unbound" in message.lower():
        return Reason.WAITING_FOR_VOLUME, f"No node can mount the volumes: {message}"
    if GPU_RESOURCE in message:
        return Reason.WAITING_FOR_GPU, (
            f"No node has the GPUs free that spec.resources.gpus asks for; the pod waits. {message}"
        )
    return Reason.WAITING_FOR_NODE, f"No node fits; see spec.resources. {message}"
