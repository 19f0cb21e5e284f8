"""What this machine's CPU computes well."""

from __future__ import annotations

from pathlib import Path

_CPU_INFORMATION = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""x86 twice, and Arm."""


def multiplies_bfloat16(information: Path = _CPU_INFORMATION) -> bool:
    """Whether bfloat16 is faster than 32 bits: 1.5 times with these instructions, many times slower without."""
    try:
        lines = information.read_text().splitlines()
    except OSError:
        return False
    features = (line for line in lines if line.startswith(("flags", "Features")))
    return bool(_BFLOAT16_FLAGS & set(next(features, "").split()))
