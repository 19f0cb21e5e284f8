"""The command line of the local cluster."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from localcluster import cluster, lifecycle, node, preparation, progress, run_in_image, toolchain
from localcluster.buildah import Buildah
from localcluster.configuration import Graphics
from localcluster.errors import ClusterError
from localcluster.images import ImageBuilder, Target, load_into_node
from localcluster.lifecycle import NodeOptions
from localcluster.locations import Cache, Checkout

INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, _as_interrupt)
    options = _parser().parse_args(arguments)
    try:
        _check_user()
        code: int = options.run(options)
    except ClusterError as error:
        progress.say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        progress.say("interrupted")
        return INTERRUPTED
    return code


def _packages(options: argparse.Namespace) -> int:
    toolchain.install_packages(Cache.of_user())
    return 0


def _run_logged(options: argparse.Namespace) -> int:
    """Of a command that may say nothing for long."""
    log = Cache.of_user().logs / f"{options.log}.log"
    progress.run_logged(options.title, options.command, log=log)
    return 0


def _toolchain(options: argparse.Namespace) -> int:
    tools = toolchain.install(Checkout.of_this_package(), Cache.of_user())
    progress.say(f"ready: {tools.kubernetes}, {tools.helm}")
    return 0


def _up(options: argparse.Namespace) -> int:
    checkout, cache = Checkout.of_this_package(), Cache.of_user()
    graphics = Graphics(options.gpus, options.gpu_product, options.gpu_memory_mib)
    lifecycle.up(checkout, cache, toolchain.find(checkout, cache), NodeOptions(graphics, options.python))
    running = cluster.load()
    for namespace in options.namespace:
        running.create_namespace(namespace)
    progress.say(f"up: kubectl --kubeconfig {checkout.kubeconfig} get nodes")
    return 0


def _down(options: argparse.Namespace) -> int:
    left = lifecycle.down(Checkout.of_this_package(), Cache.of_user())
    progress.say(f"left behind: {left}")
    return 0


def _images(options: argparse.Namespace) -> int:
    """Builds and stores; brings them to the node when one is up."""
    checkout = Checkout.of_this_package()
    cache = Cache.of_user()
    images = ImageBuilder(checkout, cache).build_and_store(options.target or list(Target))
    first = node.first_process(checkout)
    if first is None:
        progress.say("no cluster is up: run this again after `up`, and the node gets them")
        return 0
    for target, reference in load_into_node(checkout, cache, first, images).items():
        print(f"{target} {reference}")
    return 0


def _push(options: argparse.Namespace) -> int:
    checkout, cache = Checkout.of_this_package(), Cache.of_user()
    builder = ImageBuilder(checkout, cache)
    for image in builder.build_and_store(list(Target)):
        destination = f"{options.prefix}/{image.target}:{image.tag}"
        builder.push(image, destination)
        print(f"{image.target} {destination}")
    return 0


def _prepare(options: argparse.Namespace) -> int:
    """Compilers and downloads wait for different things: Kubernetes and the images are built at the same time."""
    checkout, cache = Checkout.of_this_package(), Cache.of_user()
    toolchain.install_packages(cache)
    preparation.run_together(
        lambda: (toolchain.build(checkout, cache), toolchain.build_coredns(checkout, cache)),
        lambda: ImageBuilder(checkout, cache).build_and_store(list(Target)),
    )
    return 0


def _run_in_image(options: argparse.Namespace) -> int:
    checkout, cache = Checkout.of_this_package(), Cache.of_user()
    image = ImageBuilder(checkout, cache).build_one(options.target)
    invocation = run_in_image.Invocation(
        image.image_id,
        options.command,
        options.volume,
        options.small_volume,
        options.env,
        options.user,
        options.workdir,
    )
    return run_in_image.run(Buildah(cache), invocation)


def _status(options: argparse.Namespace) -> int:
    print(json.dumps(cluster.load().status(), indent=2))
    return 0


def _kubectl(options: argparse.Namespace) -> int:
    return cluster.load().kubectl(*options.arguments, check=False).returncode


def _helm(options: argparse.Namespace) -> int:
    return cluster.load().helm(*options.arguments, check=False).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localcluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("packages", help="install the Debian packages that are missing").set_defaults(run=_packages)
    commands.add_parser("toolchain", help="install and build what is missing").set_defaults(run=_toolchain)
    _add_up(commands.add_parser("up", help="start the cluster of this checkout"))
    prepare = commands.add_parser("prepare", help="toolchain and images, side by side: all that `up` and a test need")
    prepare.set_defaults(run=_prepare)
    images = commands.add_parser("images", help="build what has changed, and bring it to the node")
    images.add_argument("--target", action="append", type=Target, choices=list(Target), help="default: all")
    images.set_defaults(run=_images)
    push = commands.add_parser("push", help="build what has changed, and push it to a registry of one's own")
    push.add_argument("prefix", metavar="HOST/PREFIX")
    push.set_defaults(run=_push)
    _add_run_in_image(commands.add_parser("run-in-image", help="run a command in an image's root filesystem"))
    logged = commands.add_parser("run-logged", help="run a command, its output in a log, and tell that it goes on")
    logged.add_argument("title")
    logged.add_argument("--log", required=True, metavar="NAME", help="of the log, in the cache's folder of logs")
    logged.add_argument("command", nargs="+", metavar="COMMAND", help="after --")
    logged.set_defaults(run=_run_logged)
    commands.add_parser("down", help="end it and leave nothing behind").set_defaults(run=_down)
    commands.add_parser("status", help="paths and addresses, as JSON").set_defaults(run=_status)
    for name, run in (("kubectl", _kubectl), ("helm", _helm)):
        tool = commands.add_parser(name, help=f"{name} with this cluster's kubeconfig", prefix_chars="\0")
        tool.add_argument("arguments", nargs=argparse.REMAINDER)
        tool.set_defaults(run=run)
    return parser


def _add_up(up: argparse.ArgumentParser) -> None:
    graphics = Graphics()
    default_python = os.environ.get("LOCALCLUSTER_PYTHON") or Checkout.of_this_package().root / ".venv/bin/python"
    up.add_argument("--gpus", type=int, default=graphics.count, help="test GPUs that the node offers (default 2)")
    up.add_argument("--gpu-product", default=graphics.product)
    up.add_argument("--gpu-memory-mib", type=int, default=graphics.memory_mib)
    up.add_argument("--namespace", action="append", default=[], help="make it, restricted, with bound claims")
    up.add_argument(
        "--python", type=Path, default=Path(default_python), help="an interpreter with grpcio-tools (default: .venv's)"
    )
    up.set_defaults(run=_up)


def _add_run_in_image(run: argparse.ArgumentParser) -> None:
    run.add_argument("target", type=Target, choices=list(Target))
    run.add_argument("-v", "--volume", action="append", default=[], metavar="HOST:INSIDE[:ro]")
    run.add_argument("--small-volume", action="append", default=[], metavar="INSIDE:SIZE", help="in memory, soon full")
    run.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("--user", default="0:0", help="pods run as 65532:65532")
    run.add_argument("--workdir", default="/tmp")
    run.add_argument("command", nargs="+", metavar="COMMAND", help="after --")
    run.set_defaults(run=_run_in_image)


def _check_user() -> None:
    if os.geteuid() != 0:
        raise ClusterError("packages, images and a node's namespaces are root's to make", remedy="run this as root")


def _as_interrupt(signal_number: int, frame: FrameType | None) -> None:
    """A polite request to end is treated like Ctrl-C: what was started is ended first."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
