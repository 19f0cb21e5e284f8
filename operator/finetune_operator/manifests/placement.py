"""Where a training pod may run: on GPUs that have the memory which was planned for, and that no other pod takes of. The
smallest of them is preferred, so that the larger ones stay free for those who need them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_api.gpu_choice import eligible, has_memory_of_its_own
from finetune_api.planning import GpuClass, TrainingPlan
from finetune_api.workload import TrainingResources
from finetune_operator.views import (
    GPU_MEMORY_LABEL,
    GPU_PRODUCT_LABEL,
    GPU_REPLICAS_LABEL,
    GPU_SHARING_LABEL,
    GPU_SLICES_LABEL,
)

MOST_WEIGHT = 100
"""What Kubernetes allows; the least is 1."""

Requirement = dict[str, Any]


@dataclass(frozen=True)
class GpuSize:
    """Kinds of GPU with the same memory."""

    memory_mib: int
    products: tuple[str, ...]


def sizes_that_fit(
    plan: TrainingPlan, resources: TrainingResources, classes: Iterable[GpuClass]
) -> tuple[GpuSize, ...]:
    """The smallest first. A kind of GPU counts once: drivers differ in what they tell of its memory."""
    minimum = plan.minimum_gpu_memory_mib or 0
    smallest: dict[str, int] = {}
    for item in eligible(classes, resources.gpus, resources.nodes):
        if item.memory_mib >= minimum:
            smallest.setdefault(item.product, item.memory_mib)
    sizes: dict[int, list[str]] = defaultdict(list)
    for product, memory in smallest.items():
        sizes[memory].append(product)
    return tuple(GpuSize(memory, tuple(sorted(sizes[memory]))) for memory in sorted(sizes))


def affinity(plan: TrainingPlan, resources: TrainingResources, classes: Sequence[GpuClass]) -> dict[str, Any]:
    """For a pod that asks for GPUs. The same classes, in whichever order, make the same."""
    required = {"nodeSelectorTerms": _required(plan, resources, classes)}
    preferred = _preferred(plan, sizes_that_fit(plan, resources, classes))
    fitting: dict[str, Any] = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    if preferred:
        fitting["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    return {"nodeAffinity": fitting}


def _required(plan: TrainingPlan, resources: TrainingResources, classes: Sequence[GpuClass]) -> list[dict[str, Any]]:
    """One term or the other: a number of replicas that must not be above 1 may be missing, where nothing is shared."""
    together = resources.gpus * resources.nodes
    always: list[Requirement] = []
    if plan.minimum_gpu_memory_mib is not None:
        always.append(_requirement(GPU_MEMORY_LABEL, "Gt", str(plan.minimum_gpu_memory_mib - 1)))
    always.append(_requirement(GPU_SHARING_LABEL, "NotIn", "time-slicing", "mps"))
    if together > 1:
        always.append(_requirement(GPU_SLICES_LABEL, "DoesNotExist"))
    unfit = {item.product for item in classes if not has_memory_of_its_own(item, together)}
    unfit -= {item.product for item in classes if has_memory_of_its_own(item, together)}
    if unfit:
        # What the chart's values call shared, the labels need not.
        always.append(_requirement(GPU_PRODUCT_LABEL, "NotIn", *sorted(unfit)))
    unshared = (_requirement(GPU_REPLICAS_LABEL, "DoesNotExist"), _requirement(GPU_REPLICAS_LABEL, "Lt", "2"))
    return [{"matchExpressions": [*always, each]} for each in unshared]


def _preferred(plan: TrainingPlan, sizes: Sequence[GpuSize]) -> list[dict[str, Any]]:
    if not sizes:
        known = (plan.gpu_product,) if plan.gpu_product is not None else ()
        return [_preference(MOST_WEIGHT, *known)] if known else []
    return [_preference(weight, *size.products) for weight, size in zip(weights(len(sizes)), sizes, strict=True)]


def weights(sizes: int) -> list[int]:
    """For the smallest first, down to 1, each the same multiple of the next. The scheduler sets the best node that has
    room to 100 and the others in proportion: so the distance to the next size is the same whichever sizes are full, and
    is not outweighed by a node that has the image already."""
    if sizes == 1:
        return [MOST_WEIGHT]
    return [round(MOST_WEIGHT ** (1 - place / (sizes - 1))) for place in range(sizes)]


def _preference(weight: int, *products: str) -> dict[str, Any]:
    return {"weight": weight, "preference": {"matchExpressions": [_requirement(GPU_PRODUCT_LABEL, "In", *products)]}}


def _requirement(label: str, operator: str, *values: str) -> Requirement:
    return {"key": label, "operator": operator, **({"values": list(values)} if values else {})}


def may_be_a_slice(plan: TrainingPlan, resources: TrainingResources, classes: Iterable[GpuClass]) -> bool:
    """Whether the pod may come to a MIG slice, whose GPU others compute on too. One such class that fits is enough: an
    energy figure that is perhaps another's is worse than none."""
    minimum = plan.minimum_gpu_memory_mib or 0
    there = eligible(classes, resources.gpus, resources.nodes)
    return any(item.is_slice and item.memory_mib >= minimum for item in there)
