"""Where a training was put, and why there: what the status keeps of it."""

from collections.abc import Mapping, Sequence

from finetune_api.planning import GpuClass, TrainingPlan
from finetune_api.runs import Placement
from finetune_api.workload import TrainingResources
from finetune_operator.manifests.placement import sizes_that_fit
from finetune_operator.plan import attempt_history
from finetune_operator.views import Child, NodeView


def placement_of(
    known: Placement | None,
    child: Child | None,
    plan: TrainingPlan | None,
    resources: TrainingResources,
    classes: Sequence[GpuClass],
    nodes: Mapping[str, NodeView],
) -> Placement | None:
    """Once the pods of the latest attempt have begun. On the same node what was told stays told: which GPUs there were
    when the scheduler chose is what counts, and nodes that come later cost no write."""
    names = attempt_history.nodes(child) if child is not None and attempt_history.began(child) else []
    if plan is None or not names:
        return known
    where = attempt_history.in_short(names)
    node = nodes.get(names[0]) if resources.gpus else None
    if known is not None and known.node == where and (known.gpu_product is not None or node is None):
        return known
    product = node.product if node is not None else None
    return Placement(node=where, gpu_product=product, message=_why(product, plan, resources, classes))


def _why(product: str | None, plan: TrainingPlan, resources: TrainingResources, classes: Sequence[GpuClass]) -> str:
    if not resources.gpus:
        return "any node would do: no GPU is asked for"
    if plan.minimum_gpu_memory_mib is None:
        return "any GPU would do that is not shared: none of the cluster's was known to the plan"
    need = f"{plan.minimum_gpu_memory_mib / 1024:.1f} GiB"
    if product is None:
        return f"a GPU that holds {need}, by its node's label, which the operator does not see"
    sizes = sizes_that_fit(plan, resources, classes)
    place = next((place for place, size in enumerate(sizes) if product in size.products), None)
    if place is None:
        return f"a GPU that holds {need}"
    return _rank(place, len(sizes)) + f" {need}{_among(resources)}" + _taken(place)


def _rank(place: int, sizes: int) -> str:
    if sizes == 1:
        return "the only GPU class that holds"
    ranks = ["smallest", "second smallest", "third smallest"]
    rank = ranks[place] if place < len(ranks) else f"number {place + 1} by size"
    return f"{rank} of {sizes} GPU classes that hold"


def _among(resources: TrainingResources) -> str:
    return " and that spec.resources.nodeSelector allows" if resources.node_selector else ""


def _taken(place: int) -> str:
    return "; the scheduler took none of the smaller ones" if place else ""
