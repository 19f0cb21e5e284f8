"""GPUs that follow a script: NVML as a library of ours, in `tests/nvml`, which the real nvidia-ml-py loads."""

from __future__ import annotations

import ctypes
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[3] / "build" / "nvml" / "libnvidia-ml.so.1"


class ScriptedNvml:
    """The process's NVML, once `start` was called. The script's language is told in `tests/nvml/script.h`."""

    def __init__(self, folder: Path) -> None:
        if not LIBRARY.exists():
            raise FileNotFoundError(f"{LIBRARY}: make build/nvml/{LIBRARY.name}")
        # Whoever asks for libnvidia-ml.so.1 from here on gets this one: that is its name within the process.
        self._library = ctypes.CDLL(str(LIBRARY), mode=ctypes.RTLD_GLOBAL)
        self._library.scripted_load.argtypes = [ctypes.c_int, ctypes.c_double]
        self._library.scripted_advance.argtypes = [ctypes.c_double]
        self._library.scripted_celsius.restype = ctypes.c_double
        self._library.scripted_joules.restype = ctypes.c_double
        self._script = folder / "nvml-script"

    def start(self, *lines: str) -> None:
        self._script.write_text("".join(f"{line}\n" for line in lines))
        if self._library.scripted_start(str(self._script).encode()) != 0:
            raise ValueError(f"the script was not understood: {lines}")

    def end(self) -> None:
        """As if there were no NVML."""
        self._library.scripted_end()

    def load(self, gpu: int, share: float) -> None:
        self._library.scripted_load(gpu, share)

    def advance(self, seconds: float) -> None:
        """With `clock virtual` only."""
        self._library.scripted_advance(seconds)

    def celsius(self, gpu: int) -> float:
        """The temperature itself, of which NVML tells whole degrees."""
        return float(self._library.scripted_celsius(gpu))

    def joules(self, gpu: int) -> float:
        return float(self._library.scripted_joules(gpu))
