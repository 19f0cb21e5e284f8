"""Host memory for a base model that is loaded there: on the CPU, and before several GPUs share its weights out.

For one GPU, or a whole copy on each, weights go from their file to the GPU tensor by tensor, and stay nowhere else.
"""

from __future__ import annotations

from dataclasses import replace

from finetune_api.conditions import Reason
from finetune_api.quantization import Sharding
from finetune_trainer.failures import UserError
from finetune_trainer.planning.demand import Choice, Demand
from finetune_trainer.planning.dimensions import ModelDimensions
from finetune_trainer.planning.memory import GIB, estimate
from finetune_trainer.quantities import quantity

_BESIDE_BYTES = 2 * GIB
"""Of each process, for Python, torch and CUDA's libraries. Only the remedy has it: what is refused is sure to fail."""


def check_host_memory(model: ModelDimensions, demand: Demand, choice: Choice, memory: str | None) -> None:
    """UserError (OrderInvalid) where a pod's `memory`, such as `16Gi`, is less than the weights that its processes
    load into it. Nothing is said where it is not known."""
    amount = None if memory is None else quantity(memory)
    if amount is None or (demand.gpus and choice.sharding is not Sharding.FSDP):
        return
    processes = max(1, demand.gpus)
    weights = estimate(model, demand.setup(replace(choice, sharding=Sharding.NONE))).weights
    if amount >= weights * processes:
        return
    loaded = f"the base model's weights take {weights / GIB:.1f} GiB of host memory"
    if processes > 1:
        loaded += f" in each of a node's {processes} processes, which load them before they share them out"
    enough = -(-(weights + _BESIDE_BYTES) * processes // GIB)
    raise UserError(Reason.ORDER_INVALID, f"spec.resources.memory: {memory}, but {loaded}: set {enough}Gi or more")
