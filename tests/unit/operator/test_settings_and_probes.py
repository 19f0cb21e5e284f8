"""What the environment says, what the kubelet and Prometheus are told, and how the process begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp
import kopf
import pytest
from prometheus_client import CollectorRegistry

from finetune_api.group import Kind
from finetune_api.planning import GpuClass
from finetune_operator import __main__ as program
from finetune_operator.cache import Cache
from finetune_operator.main import configure
from finetune_operator.metrics import collectors
from finetune_operator.probes import Probes
from finetune_operator.settings import (
    KueueSettings,
    ListedServer,
    Settings,
    SettingsError,
    StepResources,
    settings_from_environment,
)
from finetune_operator.views import Key
from finetune_operator.workqueue import WorkQueue

IMAGE = {"FINETUNE_TRAINER_IMAGE": "registry.example/trainer:1"}


def test_a_watch_that_freezes_is_opened_anew_in_seventy_seconds() -> None:
    settings = kopf.OperatorSettings()
    settings.watching.inactivity_timeout = 0
    configure(settings)
    assert settings.watching.inactivity_timeout == 70


def test_only_the_image_must_be_given() -> None:
    assert settings_from_environment(IMAGE) == Settings(trainer_image="registry.example/trainer:1")


def test_everything_can_be_given() -> None:
    settings = settings_from_environment(
        {
            **IMAGE,
            "FINETUNE_TRAINER_IMAGE_PULL_POLICY": "Always",
            "FINETUNE_NAMESPACES": "research,,risk",
            "FINETUNE_ARTIFACTS_CLAIM": "results",
            "FINETUNE_STEP_RESOURCES": '{"cpu": "500m", "memory": "1Gi"}',
            "FINETUNE_GPU_CLASSES": '[{"product": "Tesla-T4", "memoryMiB": 15360, "shared": true}]',
            "FINETUNE_TRACKING_SERVERS": "https://wandb.example.com:8443,mlflow.example.com",
            "FINETUNE_KUEUE_ENABLED": "true",
            "FINETUNE_KUEUE_CPU_STEPS": "false",
            "FINETUNE_KUEUE_PRIORITY_BOOST": "true",
            "FINETUNE_PROGRESS_INTERVAL_SECONDS": "7.5",
            "FINETUNE_RESYNC_SECONDS": "10",
            "FINETUNE_RELIST_SECONDS": "60",
            "FINETUNE_WORKERS": "4",
            "FINETUNE_PROBE_PORT": "9090",
            "FINETUNE_STUCK_AFTER_SECONDS": "30",
        }
    )
    assert settings == Settings(
        trainer_image="registry.example/trainer:1",
        trainer_image_pull_policy="Always",
        namespaces=("research", "risk"),
        default_artifacts_claim="results",
        step_resources=StepResources("500m", "1Gi"),
        gpu_classes=(GpuClass(product="Tesla-T4", memory_mib=15360, shared=True),),
        tracking_servers=(
            ListedServer("wandb.example.com", "https", 8443),
            ListedServer("mlflow.example.com"),
        ),
        kueue=KueueSettings(enabled=True, priority_boost=True),
        progress_interval_seconds=7.5,
        resync_seconds=10,
        relist_seconds=60,
        workers=4,
        probe_port=9090,
        stuck_after_seconds=30,
    )


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("FINETUNE_TRAINER_IMAGE", "", "must name the trainer image"),
        ("FINETUNE_WORKERS", "many", "must be a number, not 'many'"),
        ("FINETUNE_WORKERS", "1.5", "must be a number"),
        ("FINETUNE_WORKERS", "0", "must be above 0"),
        ("FINETUNE_RESYNC_SECONDS", "-1", "must be above 0"),
        ("FINETUNE_RELIST_SECONDS", "nan", "must be above 0"),
        ("FINETUNE_PROGRESS_INTERVAL_SECONDS", "inf", "must be above 0"),
        ("FINETUNE_PROBE_PORT", "http", "must be a number"),
        ("FINETUNE_KUEUE_ENABLED", "yes", "must be true or false, not 'yes'"),
        ("FINETUNE_STEP_RESOURCES", "1 CPU", "must be JSON such as"),
        ("FINETUNE_STEP_RESOURCES", '{"gpu": "1"}', "must be JSON such as"),
        ("FINETUNE_STEP_RESOURCES", "[]", "must be JSON such as"),
        ("FINETUNE_TRACKING_SERVERS", "https://wandb.example.com/team", "must be servers such as"),
        ("FINETUNE_TRACKING_SERVERS", "ftp://wandb.example.com", "must be servers such as"),
        ("FINETUNE_TRACKING_SERVERS", "*", "must be servers such as"),
        ("FINETUNE_GPU_CLASSES", "a T4", "must be JSON such as"),
        ("FINETUNE_GPU_CLASSES", '[{"product": "Tesla-T4"}]', "must be JSON such as"),
        ("FINETUNE_GPU_CLASSES", '[{"product": "Tesla-T4", "memoryMiB": 15360, "size": 1}]', "must be JSON such as"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_with_its_remedy(variable: str, value: str, remedy: str) -> None:
    with pytest.raises(SettingsError, match=variable) as caught:
        settings_from_environment({**IMAGE, variable: value})
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("namespaces", "classes", "watches"),
    [
        ("", "[]", True),
        ("research", "[]", False),
        ("", '[{"product": "Tesla-T4", "memoryMiB": 15360}]', False),
    ],
)
def test_nodes_are_watched_only_where_they_may_be_and_must_be(namespaces: str, classes: str, watches: bool) -> None:
    chosen = {"FINETUNE_NAMESPACES": namespaces, "FINETUNE_GPU_CLASSES": classes}
    assert settings_from_environment({**IMAGE, **chosen}).watches_nodes is watches


def test_a_missing_image_is_told_in_a_line_and_not_in_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FINETUNE_TRAINER_IMAGE", raising=False)
    assert program.main() == 2
    words = capsys.readouterr().err
    assert words.startswith("FINETUNE_TRAINER_IMAGE must name the trainer image")
    assert words.count("\n") == 1


Answer = tuple[int, str]
Ask = Callable[[str], Awaitable[Answer]]


async def served(probes: Probes, questions: Callable[[Ask], Awaitable[None]]) -> None:
    runner = await probes.serve(0)
    port = next(address[1] for address in runner.addresses if address[0] == "0.0.0.0")
    try:
        async with aiohttp.ClientSession() as session:

            async def ask(path: str) -> Answer:
                async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                    return response.status, await response.text()

            await questions(ask)
    finally:
        await runner.cleanup()


async def test_liveness_fails_when_the_queue_is_stuck() -> None:
    clock = [0.0]
    queue: WorkQueue[Key] = WorkQueue(lambda: clock[0])
    queue.add(Key(Kind.FINE_TUNE_JOB, "research", "tuned"))

    async def questions(ask: Ask) -> None:
        assert (await ask("/healthz"))[0] == 200
        clock[0] = 119
        assert (await ask("/healthz"))[0] == 200
        clock[0] = 121
        status, words = await ask("/healthz")
        assert (status, "121 s" in words) == (503, True)
        await queue.get()
        assert (await ask("/healthz"))[0] == 200

    await served(Probes(queue, 120), questions)


async def test_liveness_fails_when_a_task_of_the_operator_has_died() -> None:
    probes = Probes(WorkQueue(lambda: 0.0), 120)

    async def questions(ask: Ask) -> None:
        assert (await ask("/healthz"))[0] == 200
        probes.defect = "a background task ended: ValueError('boom')"
        assert await ask("/healthz") == (503, "a background task ended: ValueError('boom')\n")

    await served(probes, questions)


async def test_readiness_waits_for_the_watches() -> None:
    probes = Probes(WorkQueue(lambda: 0.0), 120)

    async def questions(ask: Ask) -> None:
        assert (await ask("/readyz"))[0] == 503
        probes.ready = True
        assert (await ask("/readyz"))[0] == 200

    await served(probes, questions)


async def test_prometheus_is_told_of_the_queue() -> None:
    queue: WorkQueue[Key] = WorkQueue(lambda: 0.0)
    queue.add(Key(Kind.FINE_TUNE_JOB, "research", "tuned"))
    registry = CollectorRegistry()
    collectors.register(registry, Cache(), queue)

    async def questions(ask: Ask) -> None:
        status, words = await ask("/metrics")
        assert status == 200
        assert "finetune_operator_queue_depth 1.0" in words

    await served(Probes(queue, 120, registry), questions)
