"""Number formats of a model's weights, and how it computes."""

from enum import StrEnum


class Method(StrEnum):
    AUTO = "auto"
    LORA = "lora"
    QLORA = "qlora"


class Quantization(StrEnum):
    """How the base model's weights are kept in memory."""

    NONE = "none"
    INT8 = "int8"
    NF4 = "nf4"


class Precision(StrEnum):
    """Number format of the weights that are not quantized, and of the computation."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Attention(StrEnum):
    """Kernel of the attention, as transformers names it."""

    EAGER = "eager"
    SDPA = "sdpa"
    FLASH_ATTENTION_2 = "flash_attention_2"


class Sharding(StrEnum):
    """How several GPUs share the work."""

    NONE = "none"
    DDP = "ddp"
    """Each has a whole copy of the model."""
    FSDP = "fsdp"
    """Each keeps a part of every weight."""
