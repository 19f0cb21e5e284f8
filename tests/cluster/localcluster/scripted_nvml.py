"""What NVML tells in a container that was given test GPUs.

NVIDIA's container toolkit puts the driver's libnvidia-ml.so.1 and the allocated GPUs into a container. Here it is the
library of `tests/nvml`, which follows a script, and a script with a line for each allocated GPU.
"""

from __future__ import annotations

from pathlib import Path

IN_CONTAINER = Path("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1")
SCRIPT_IN_CONTAINER = Path("/run/nvml-script")
SCRIPT_VARIABLE = "FINETUNE_SCRIPTED_NVML"
LOAD = "load process\n"


def library(checkout: Path) -> Path:
    """Where make puts it."""
    return checkout / "build" / "nvml" / IN_CONTAINER.name


def describe(run: Path, device: str, **values: float | str) -> None:
    """Says what a GPU is like for containers that get it from now on; the keys are told in `tests/nvml/script.h`."""
    folder = run / "nvml"
    folder.mkdir(exist_ok=True)
    pairs = " ".join(f"{key}={value}" for key, value in values.items())
    (folder / device).write_text(f"gpu uuid={device} {pairs}\n")


def script_of(run: Path, devices: list[str]) -> Path:
    """For one container: GPUs as they are described now, as busy as each process that asks."""
    folder = run / "nvml" / "allocated"
    folder.mkdir(exist_ok=True)
    script = folder / "+".join(sorted(devices))
    script.write_text(LOAD + "".join((run / "nvml" / device).read_text() for device in sorted(devices)))
    return script
