"""Number formats of a model's weights."""

from enum import StrEnum


class Quantization(StrEnum):
    """How the base model's weights are kept in memory."""

    NONE = "none"
    INT8 = "int8"
    NF4 = "nf4"


class Precision(StrEnum):
    """Number format of the weights that are not quantized, and of the computation."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
