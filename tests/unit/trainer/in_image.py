"""Runs the trainer's tests inside the trainer image: what is tested is what ships, and torch is installed once.

`python3 in_image.py VIRTUALENV [pytest arguments]`: pytest and hypothesis come from the development environment, whose
packages stand behind the image's own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

SMALL_VOLUME = Path("/small")
"""A few MiB, which tests may fill up."""
EVERYTHING = ["tests/unit/trainer", "--numprocesses", "auto"]


def main(virtualenv: Path, arguments: list[str]) -> int:
    packages = virtualenv / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    if not packages.is_dir():
        print(f"{packages} is missing: image and {virtualenv} must have the same Python version", file=sys.stderr)
        return 2
    sys.path.append(str(packages))
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = "/tmp/hypothesis"
    import pytest

    return int(pytest.main(["-p", "no:cacheprovider", *(arguments or EVERYTHING)]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
