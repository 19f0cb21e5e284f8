"""The plan: what prepare decides before a GPU is asked for, and what it decides on."""

from typing import Annotated

from pydantic import Field

from finetune_api.fields import ApiModel, Count, Digest, PositiveCount, ReportedDecimal, Text, WireModel
from finetune_api.quantization import Attention, Method, Precision, Quantization, Sharding


class MemoryParts(ApiModel):
    """Bytes of one GPU's memory, by what they are for."""

    weights: Count
    """The base model, as it is kept."""
    adapters: Count
    """The adapter's weights."""
    gradients: Count
    """The adapter's gradients."""
    optimizer: Count
    """The optimizer's moments."""
    activations: Count
    """What the backward pass needs of the forward pass."""
    logits: Count
    """The output layer's scores and their loss."""
    context: Count
    """The CUDA context, kernels and fragmentation."""


class MemoryPlan(ApiModel):
    """The most memory that one GPU will need."""

    peak_bytes: Count
    """In all."""
    parts: MemoryParts
    """By part."""
    limit_bytes: Count | None = None
    """Memory of the GPU that was planned for; absent on the CPU, or where no GPU is known."""
    reserve_bytes: Count | None = None
    """What must stay free of it, since the figures are estimates."""
    correction: ReportedDecimal | None = None
    """Measured peak over planned peak of earlier trainings of this model on this GPU, which the figures contain."""


class TrainingPlan(ApiModel):
    """What prepare decided before a GPU was asked for."""

    method: Method
    """lora or qlora."""
    quantization: Quantization
    """How the base model's weights are kept."""
    precision: Precision
    """Number format of the weights that are not quantized."""
    micro_batch_size: PositiveCount
    """Rows that go through the model at once, on each GPU."""
    gradient_accumulation: PositiveCount
    """Micro-batches a step, on each GPU."""
    steps: PositiveCount
    """Optimizer steps in all."""
    steps_per_epoch: PositiveCount
    """Optimizer steps in one pass over the training examples."""
    activation_checkpointing: bool = False
    """Whether activations are computed twice instead of being kept."""
    attention: Attention = Attention.SDPA
    """Kernel of the attention."""
    packing: bool = False
    """Whether a row holds several examples."""
    rows_per_step: PositiveCount | None = None
    """Packed rows that hold about effectiveBatchSize examples; absent without packing."""
    rows_note: Text | None = None
    """How rowsPerStep was worked out; absent without packing."""
    gpus: Count | None = None
    """GPUs of each node that it was made for; absent in a plan of an earlier version."""
    nodes: PositiveCount | None = None
    """Nodes that it was made for; likewise."""
    sharding: Sharding = Sharding.NONE
    """How several GPUs share the work."""
    memory: MemoryPlan | None = None
    """The most memory that one GPU will need."""
    gpu_product: Text | None = None
    """The GPU that was planned for, where the cluster's are known."""
    minimum_gpu_memory_mib: Annotated[Count | None, Field(alias="minimumGPUMemoryMiB")] = None
    """Memory that a GPU must have for this plan; the training pod asks for it."""
    hours: ReportedDecimal | None = None
    """Expected hours; absent where nothing was measured that would tell."""
    energy_kwh: Annotated[ReportedDecimal | None, Field(alias="energyKWh")] = None
    """Expected GPU energy; absent where nothing was measured that would tell."""
    hours_note: Text | None = None
    """What hours and energy follow from, or why they are absent."""
    guard_note: Text | None = None
    """What the guard cannot hold with the micro-batch that the spec pins, or with rows so long, and what to set
    instead; absent where all is well, or the speed is not known."""
    minimum_detectable_effect: ReportedDecimal | None = None
    """Smallest true difference of one task that the suite of spec.evaluation finds with 80% probability; absent where
    no evaluation follows. It is larger where examples are not independent."""


class GpuClass(WireModel):
    """One kind of GPU that the cluster has, as GPU Feature Discovery labels its nodes."""

    product: str
    memory_mib: Annotated[int, Field(alias="memoryMiB")]
    """Memory of one GPU, or of one MIG slice."""
    gpus_per_node: int = 1
    nodes: int = 1
    shared: bool = False
    """Time-sliced or MPS: others take of the memory, and what is measured there is not one job's."""

    @property
    def is_slice(self) -> bool:
        """A MIG slice, which a node with the strategy `single` hands out as a GPU: the label tells the slice's memory,
        which nobody else has."""
        return "-MIG-" in self.product


class Measured(WireModel):
    """What a finished training took, from the registry: what the next plan learns from."""

    base_model_digest: Digest
    gpu_product: str | None = None
    """None for the CPU."""
    gpus: int = 1
    method: Method
    quantization: Quantization
    activation_checkpointing: bool = False
    packing: bool = False
    precision: Precision = Precision.BFLOAT16
    dora: bool = False
    tokens_per_second: str
    mean_watts: str | None = None
    peak_memory_bytes: int | None = None
    planned_peak_bytes: int | None = None
    correction: str | None = None
    """The plan's memory.correction, which planned_peak_bytes contains: without it the next correction would be one of
    the correction."""
