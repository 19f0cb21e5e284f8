"""Where a training pod may run: on nodes whose GPUs have the memory that was planned for."""

from collections.abc import Iterable
from typing import Any

from finetune_api.planning import GpuClass, TrainingPlan
from finetune_operator.views import GPU_MEMORY_LABEL, GPU_PRODUCT_LABEL


def affinity(plan: TrainingPlan) -> dict[str, Any] | None:
    """Required: the memory. Preferred: the GPU that the plan chose, so that larger ones stay free for those who need
    them. None where nothing is known of what the cluster has."""
    if plan.minimum_gpu_memory_mib is None:
        return None
    enough = _term(GPU_MEMORY_LABEL, "Gt", str(plan.minimum_gpu_memory_mib - 1))
    fitting = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [enough]}}
    if plan.gpu_product is None:
        return {"nodeAffinity": fitting}
    chosen = {"weight": 100, "preference": _term(GPU_PRODUCT_LABEL, "In", plan.gpu_product)}
    return {"nodeAffinity": {**fitting, "preferredDuringSchedulingIgnoredDuringExecution": [chosen]}}


def _term(label: str, operator: str, value: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": label, "operator": operator, "values": [value]}]}


def may_share(plan: TrainingPlan, classes: Iterable[GpuClass]) -> bool:
    """Whether the pod may come to a GPU that others compute on too. One such class that fits is enough: an energy
    figure that is perhaps another's is worse than none."""
    minimum = plan.minimum_gpu_memory_mib or 0
    return any(item.shared and item.memory_mib >= minimum for item in classes)
