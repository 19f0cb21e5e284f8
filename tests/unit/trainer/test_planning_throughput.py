"""Hours and kWh follow from what was measured, or are not told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from planning_subjects import A100, DIGEST, demand, gpu, measurement, model, situation

from finetune_api.planning import Measured
from finetune_api.quantization import Method, Precision, Quantization
from finetune_trainer.planning.decision import decide
from finetune_trainer.planning.memory import CUDA_CONTEXT
from finetune_trainer.planning.throughput import LARGEST_CORRECTION, SMALLEST_CORRECTION, Experience, Form

LORA = Form(Method.LORA, Quantization.NONE, activation_checkpointing=False, packing=False)
TOKENS = 7_200_000  # an hour at 2000 tokens a second


def experience(*measured: Measured, product: str | None = A100) -> Experience:
    return Experience(measured, DIGEST, product)


def test_hours_follow_from_a_finished_training() -> None:
    forecast = experience(measurement(mean_watts="300")).forecast(LORA, TOKENS, gpus=1)
    assert forecast.hours == pytest.approx(1)
    assert forecast.energy_kwh == pytest.approx(0.3)
    assert "1 finished training(s)" in forecast.note and "2000 tokens a second" in forecast.note


def test_the_cpu_learns_from_a_finished_training_on_the_cpu() -> None:
    on_cpu = measurement(gpu_product=None, gpus=0)
    forecast = experience(on_cpu, product=None).forecast(LORA, TOKENS, gpus=1)
    assert (forecast.hours, forecast.energy_kwh) == (pytest.approx(1), None)
    assert "on the CPU: 2000 tokens a second" in forecast.note and "scaled" not in forecast.note


def test_without_watts_there_are_hours_but_no_energy() -> None:
    forecast = experience(measurement()).forecast(LORA, TOKENS, gpus=1)
    assert (forecast.hours, forecast.energy_kwh) == (pytest.approx(1), None)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_model_digest": "sha256:" + "b" * 64},
        {"gpu_product": "NVIDIA-L40S"},
        {"gpu_product": None},
        {"method": Method.QLORA, "quantization": Quantization.NF4},
        {"activation_checkpointing": True},
        {"packing": True},
        {"precision": Precision.FLOAT32},
        {"dora": True},
    ],
)
def test_another_training_tells_nothing_about_this_one(changes: dict[str, Any]) -> None:
    forecast = experience(measurement(**changes)).forecast(LORA, TOKENS, gpus=1)
    assert (forecast.hours, forecast.energy_kwh) == (None, None)
    assert "no finished training of this model as lora without activation checkpointing" in forecast.note
    assert A100 in forecast.note


@pytest.mark.parametrize(
    ("changes", "words"), [({"precision": Precision.FLOAT32}, ", in float32"), ({"dora": True}, ", with DoRA")]
)
def test_hours_are_those_of_the_number_format_and_the_adapter_that_are_asked_for(
    changes: dict[str, Any], words: str
) -> None:
    known, asked = situation(gpu(80, product=A100), measured=(measurement(**changes),)), demand(**changes)
    plain = situation(gpu(80, product=A100), measured=(measurement(),))
    decision = decide(model(), replace(asked, checkpointing=False), known)
    assert known.forecast(decision, asked, TOKENS).hours == pytest.approx(1)
    assert words in known.forecast(decision, asked, TOKENS).note
    assert plain.forecast(decision, asked, TOKENS).hours is None
    assert known.forecast(decision, demand(), TOKENS).hours is None


def test_the_name_that_nvml_gives_a_gpu_is_that_of_its_nodes_label() -> None:
    measured = measurement(gpu_product="NVIDIA A100-SXM4-80GB")
    assert experience(measured).forecast(LORA, TOKENS, gpus=1).hours == pytest.approx(1)


def test_the_median_of_the_latest_five_counts() -> None:
    speeds = ("2000", "1000", "4000", "2000", "2000", "9000", "9000")
    measured = [measurement(tokens_per_second=speed) for speed in speeds]
    assert experience(*measured).tokens_per_second(LORA) == 2000


def test_another_number_of_gpus_is_scaled_and_said() -> None:
    measured = measurement(gpus=2, tokens_per_second="4000", mean_watts="600")
    forecast = experience(measured).forecast(LORA, TOKENS, gpus=4)
    assert forecast.hours == pytest.approx(0.25)
    assert forecast.energy_kwh == pytest.approx(0.3)
    assert "scaled to 4 GPU(s)" in forecast.note


@pytest.mark.parametrize(("limit", "hours"), [(150, 2.0), (225, 4 / 3), (300, 1.0), (400, 1.0), (None, 1.0)])
def test_a_limit_below_what_was_measured_makes_hours_longer_and_takes_no_less_energy(
    limit: int | None, hours: float
) -> None:
    forecast = experience(measurement(mean_watts="300")).forecast(LORA, TOKENS, gpus=1, max_watts=limit)
    assert forecast.hours == pytest.approx(hours)
    assert forecast.energy_kwh == pytest.approx(0.3)
    assert ("they drew 300 W each, the guard allows" in forecast.note) is (hours > 1)


def test_without_measured_watts_no_rest_is_told() -> None:
    forecast = experience(measurement()).forecast(LORA, TOKENS, gpus=1, max_watts=150)
    assert (forecast.hours, forecast.energy_kwh) == (pytest.approx(1), None)


def test_the_correction_is_the_measured_peak_over_the_uncorrected_plan() -> None:
    first = measurement(planned_peak_bytes=20 * 10**9, peak_memory_bytes=22 * 10**9 - CUDA_CONTEXT)
    assert experience(first).correction == pytest.approx(1.1)
    second = measurement(planned_peak_bytes=22 * 10**9, peak_memory_bytes=22 * 10**9 - CUDA_CONTEXT, correction="1.1")
    assert experience(second).correction == pytest.approx(1.1)


@pytest.mark.parametrize(("peak", "correction"), [(10**9, SMALLEST_CORRECTION), (90 * 10**9, LARGEST_CORRECTION)])
def test_a_correction_stays_within_bounds(peak: int, correction: float) -> None:
    assert experience(measurement(planned_peak_bytes=20 * 10**9, peak_memory_bytes=peak)).correction == correction


def test_without_a_measured_peak_nothing_is_corrected() -> None:
    assert experience(measurement()).correction is None
