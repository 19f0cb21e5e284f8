"""Which GPUs a training may be planned for, and placed on. Planning and placement go by the same rule."""

from collections.abc import Iterable

from finetune_api.planning import GpuClass


def eligible(classes: Iterable[GpuClass], gpus: int, nodes: int) -> list[GpuClass]:
    """The smallest first. Those with too few GPUs a node, or too few nodes, only where there are no others: their
    numbers may grow."""
    known = sorted(classes, key=lambda item: (item.memory_mib, item.product))
    own = [item for item in known if has_memory_of_its_own(item, gpus * nodes)]
    return [item for item in own if item.gpus_per_node >= gpus and item.nodes >= nodes] or own


def has_memory_of_its_own(item: GpuClass, together: int) -> bool:
    """Whether each of so many processes that work together has for itself the memory that the label tells. With time
    slicing and MPS others take of it. A MIG slice has its own, but slices cannot talk to each other."""
    return not item.shared and not (item.is_slice and together > 1)
