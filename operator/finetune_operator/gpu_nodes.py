"""Which GPUs the cluster has: the nodes that GPU Feature Discovery has labelled, grouped into classes."""

from collections import Counter
from collections.abc import Iterable, Mapping

from finetune_api.planning import GpuClass
from finetune_operator.views import GPU_MEMORY_LABEL, GPU_PRODUCT_LABEL, NodeView

CLASSES_IN_AN_ORDER = 32
"""How many classes an order may name."""

Selector = Mapping[str, str]


class GpuNodes:
    """The labelled nodes. They send a heartbeat every few minutes: one that changes nothing costs a comparison, and a
    change makes nobody plan anew, since only a training that is prepared next looks at them."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeView] = {}
        self._classes: dict[frozenset[tuple[str, str]], tuple[GpuClass, ...]] = {}
        """By node selector, until a node changes."""

    def put(self, node: NodeView) -> None:
        known = self._nodes.get(node.name)
        if known is not None and known.resource_version > node.resource_version:
            return
        self._nodes[node.name] = node
        if known != node:
            self._classes.clear()

    def drop(self, name: str) -> None:
        if self._nodes.pop(name, None) is not None:
            self._classes.clear()

    def of(self, names: Iterable[str]) -> dict[str, NodeView]:
        """Those of these nodes that are known."""
        return {name: self._nodes[name] for name in names if name in self._nodes}

    def all(self) -> list[NodeView]:
        return list(self._nodes.values())

    def classes(self, selector: Selector) -> tuple[GpuClass, ...]:
        """The GPUs of the nodes that a pod with this selector may run on, the largest first."""
        key = frozenset(selector.items())
        if key not in self._classes:
            self._classes[key] = classes_of(node for node in self._nodes.values() if selects(selector, node.labels))
        return self._classes[key]


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def classes_of(nodes: Iterable[NodeView]) -> tuple[GpuClass, ...]:
    """One class for all nodes with the same GPUs, the largest first."""
    found = Counter((node.memory_mib, node.product, node.gpus, node.shared) for node in nodes)
    return tuple(
        GpuClass(product=product, memory_mib=memory, gpus_per_node=gpus, nodes=number, shared=shared)
        for (memory, product, gpus, shared), number in sorted(found.items(), reverse=True)
    )[:CLASSES_IN_AN_ORDER]


def among_given(classes: Iterable[GpuClass], selector: Selector) -> tuple[GpuClass, ...]:
    """Those of the chart's value that the selector does not rule out. Two labels of their nodes follow from them."""
    return tuple(item for item in classes if not _is_ruled_out(item, selector))


def _is_ruled_out(item: GpuClass, selector: Selector) -> bool:
    known = {GPU_PRODUCT_LABEL: item.product, GPU_MEMORY_LABEL: str(item.memory_mib)}
    return any(selector.get(label, value) != value for label, value in known.items())
