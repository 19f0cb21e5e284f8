"""A base model that does not fit one GPU: each process keeps a part of every weight (FSDP2), and gathers a layer when
it computes it. The adapter stays whole in each process: it is small, and trained and saved as with any base model."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, PeftModel, get_peft_model
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, set_seed

from finetune_api.conditions import Reason
from finetune_trainer.failures import UserError
from finetune_trainer.train.devices import Device
from finetune_trainer.train.team import Team

_TOLERANCE = 0.1
"""So much more than its part may be in one process: the rows of a weight are not always a multiple of the processes."""


def sharded_with_adapter(
    base: PreTrainedModel, adapter: LoraConfig, seed: int, device: Device, team: Team
) -> PeftModel:
    """Of a base model that was loaded into host memory. One layer at a time goes to the device, where only this
    process's part of it stays. The seed is the one that trl sets before it makes an adapter."""
    if getattr(base, "is_loaded_in_8bit", False):
        raise UserError(
            Reason.ORDER_INVALID,
            "spec.quantization: int8 weights cannot be kept in parts on several GPUs: set nf4 or none",
        )
    set_seed(seed)
    model = get_peft_model(base, adapter)
    mesh = init_device_mesh("cuda" if device.is_gpu else "cpu", (team.size,), mesh_dim_names=("fsdp",))
    trained = {parameter for parameter in model.parameters() if parameter.requires_grad}
    for piece in _pieces(base):
        _keep_quantization_here(piece, device)
        # By itself the outermost piece would stay gathered after a validation, until the process that writes a
        # checkpoint reads its weights; then it alone would gather them again, and all would wait for ever.
        fully_shard(piece, mesh=mesh, reshard_after_forward=True, ignored_params=trained)
    for parameter in trained:
        parameter.data = parameter.data.to(device.name)
    check_sharded(model, team.size)
    return model


def _pieces(base: PreTrainedModel) -> Iterator[torch.nn.Module]:
    """What is gathered at once: a layer, the embedding, the output layer, and at last what remains."""
    names = set(base._no_split_modules or ())
    layers = [module for module in base.modules() if type(module).__name__ in names]
    ends = [base.get_input_embeddings(), base.get_output_embeddings()]
    is_tied = ends[0].weight is ends[1].weight
    yield from (*layers, *(() if is_tied else ends), base)


def _keep_quantization_here(piece: torch.nn.Module, device: Device) -> None:
    """What bitsandbytes needs to read 4-bit weights is small, and is no parameter that would be sharded."""
    for module in piece.modules():
        if isinstance(module, Linear4bit):
            module.quant_state.to(device.name)


def _bytes(tensor: torch.Tensor) -> int:
    return int(tensor.numel()) * int(tensor.element_size())


def check_sharded(model: torch.nn.Module, processes: int) -> None:
    """UserError unless every weight of the base model is in parts, of which about one in so many is here. Libraries
    fall back to a whole copy in each process without a word, and would do so again: it is not tried again."""
    base = [(name, weight) for name, weight in model.named_parameters() if not weight.requires_grad]
    whole = [name for name, weight in base if not isinstance(weight, DTensor)]
    if whole or not base:
        _fail(f"{len(whole)} of its {len(base)} weights are whole in each process, such as {whole[:1]}")
    here = sum(_bytes(weight.to_local()) for _, weight in base)
    in_all = sum(_bytes(weight) for _, weight in base)
    if here * processes > in_all * (1 + _TOLERANCE):
        _fail(f"{here} of its {in_all} bytes are in one of {processes} processes")


def _fail(what: str) -> None:
    raise UserError(
        Reason.INTERNAL_ERROR,
        f"the plan keeps a part of the base model on each GPU, but {what}: it would not fit. Ask for GPUs with more "
        "memory, or set spec.quantization: nf4",
    )
