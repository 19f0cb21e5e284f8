"""GPUs, as a training meets them: planned for, measured, and kept within their limits. The device plugin and the NVML
library are test ones; the kubelet, the scheduler and all of our own code are not."""

from __future__ import annotations

import re

import pytest
from graphics import all_gpus_broken, all_gpus_like, gpu_memory_of_node

from manifests import examples, fine_tune_job
from workbench import Workbench, condition

LONG = {"epochs": 40, "checkpointEverySteps": 20}
"""Long enough for a few looks at the GPU, one a second."""


@pytest.fixture(scope="module")
def bench(shared_workbench: Workbench) -> Workbench:
    shared_workbench.write("datasets", "train.jsonl", examples(24))
    return shared_workbench


def test_the_plan_is_told_before_there_is_a_gpu_and_places_the_pod(bench: Workbench) -> None:
    with all_gpus_broken(bench.cluster):
        bench.apply(fine_tune_job("planned", method="auto"))
        bench.wait_for_reason("finetunejob", "planned", "WaitingForGPU")
        plan = bench.status("finetunejob", "planned")["plan"]
        (pod,) = bench.pods_of("finetunejob", "planned", "train")
    memory = plan["memory"]
    assert memory["peakBytes"] == sum(memory["parts"].values())
    assert (plan["method"], plan["microBatchSize"] * plan["gradientAccumulation"]) == ("lora", 4)
    assert plan["minimumGPUMemoryMiB"] * 2**20 >= memory["peakBytes"]
    assert ("hours" in plan, "energyKWh" in plan) == (False, False)
    assert "no finished training" in plan["hoursNote"]
    placed = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    enough = {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": [str(plan["minimumGPUMemoryMiB"] - 1)]}
    assert all(enough in term["matchExpressions"] for term in placed["nodeSelectorTerms"])
    bench.wait_for_phase("finetunejob", "planned", "Succeeded")


def test_a_training_that_no_gpu_can_hold_is_refused_before_it_asks_for_one(bench: Workbench) -> None:
    with gpu_memory_of_node(bench.cluster, 1024):
        bench.apply(fine_tune_job("too-large"))
        status = bench.wait_for_phase("finetunejob", "too-large", "Failed")
    complete = condition(status, "Complete")
    assert complete["reason"] == "InsufficientGPUMemory"
    assert "the largest GPU is" in complete["message"] and "use a GPU with" in complete["message"]
    assert not bench.jobs_of("finetunejob", "too-large", "train")


def test_energy_is_the_difference_of_the_gpus_own_counter_and_the_next_plan_learns_from_it(bench: Workbench) -> None:
    bench.apply(fine_tune_job("measured", training=LONG))
    training = bench.wait_for_phase("finetunejob", "measured", "Succeeded")["training"]
    # Between an idle and a busy GPU's draw, since a training is both.
    assert 50 <= float(training["meanWatts"]) <= 250
    assert 0 < float(training["energyKWh"]) <= 0.25 * float(training["hours"]) * 1.5 + 0.002
    bench.apply(fine_tune_job("foretold", training={**LONG, "seed": 7}))
    plan = bench.wait_for_phase("finetunejob", "foretold", "Succeeded")["plan"]
    assert {"hours", "energyKWh"} <= set(plan)
    assert re.match(r"from \d+ finished training", plan["hoursNote"])


def test_a_guard_rests_between_micro_batches_and_says_so(bench: Workbench) -> None:
    # The limit is on a mean over 30 seconds, which a shorter training does not have; a GPU draws 100 W (idle 50, busy
    # 250) also where other work leaves the training a quarter of the machine.
    bench.apply(fine_tune_job("throttled", training={**LONG, "epochs": 350}, guard={"maxPowerWatts": 100}))
    told = bench.wait_for_reason("finetunejob", "throttled", "Throttled")
    assert "spec.guard.maxPowerWatts (100 W)" in told["message"]
    guard = bench.wait_for_phase("finetunejob", "throttled", "Succeeded", seconds=300)["training"]["guard"]
    assert float(guard["throttledSeconds"]) > 1
    assert float(guard["highestMeanWatts"]) <= 100


def test_an_overheated_gpu_pauses_the_training_which_goes_on_when_it_is_cool(bench: Workbench) -> None:
    # Idle 60 °C, busy 100 °C, and 70 °C within 5 seconds, so that a fast machine is not done before; with a quarter of
    # the machine it still gets there.
    with all_gpus_like(bench.cluster, ambient=50, resistance=0.2, tau=5):
        bench.apply(
            fine_tune_job(
                "hot",
                training={**LONG, "epochs": 400},
                guard={"maxTemperatureCelsius": 70, "action": "Pause"},
                retry={"limit": 0, "backoffSeconds": 10},  # a pause is not a failure
            )
        )

        def told() -> str | None:
            status = bench.status("finetunejob", "hot")
            is_over = status.get("run", {}).get("attempt") == 2
            return condition(status, "Complete")["message"] if is_over else None

        message = bench.wait_until(told, "a pause")
        assert "°C" in message and "is saved" in message
    status = bench.wait_for_phase("finetunejob", "hot", "Succeeded")
    assert status["training"]["steps"] == status["plan"]["steps"]
    assert status["training"]["guard"]["pauses"] >= 1
