"""What finished trainings took goes to the next plan: which of them, and in which words."""

from __future__ import annotations

from typing import Any

from finetune_api.orders import PrepareTrainingOrder
from finetune_api.planning import Measured, MemoryParts, MemoryPlan
from finetune_api.quantization import Method, Precision, Quantization

from .building import (
    DIGEST,
    MODEL_SOURCE,
    NAMESPACE,
    Raw,
    being_deleted,
    fine_tune_job,
    fine_tuned_model,
    key_of,
    uid_of,
    with_status,
)
from .deciding import decide, order_of, scene, told
from .outcomes import TRAINED, model_of, train_done
from .test_training_job import prepared_children

OTHER_SOURCE = {"persistentVolumeClaim": {"claimName": "models", "path": "mistral"}}


def trained_model(
    name: str, day: int = 1, *, source: Raw = MODEL_SOURCE, namespace: str = NAMESPACE, **took: Any
) -> Raw:
    """A registry entry of that day, with what the training took."""
    model = fine_tuned_model(fine_tune_job(name), name, metadata={"namespace": namespace})
    model["spec"] |= {"trainingDate": f"2026-01-{day:02}T00:00:00Z"}
    model["spec"]["baseModel"] = {"source": source, "digest": DIGEST}
    training = TRAINED.training.model_copy(update=took)
    return with_status(model, stage="Candidate", training=training.to_manifest())


def measured(*models: Raw, job: Raw | None = None) -> tuple[Measured, ...]:
    (made,) = decide(job or fine_tune_job(), *models).created
    order = order_of(made)
    assert isinstance(order, PrepareTrainingOrder)
    return order.measured


def speeds(*models: Raw) -> list[str]:
    return [item.tokens_per_second for item in measured(*models)]


def test_a_training_is_told_with_what_it_took_and_how_it_was_done() -> None:
    model = trained_model(
        "a",
        gpu_product="NVIDIA A100-SXM4-80GB",
        mean_watts="310.5",
        tokens_per_second="2413",
        peak_memory_bytes=20 * 2**30,
        planned_peak_bytes=22 * 2**30,
    )
    model["spec"]["parameters"] |= {
        "method": "qlora",
        "quantization": "nf4",
        "gpus": 2,
        "activationCheckpointing": True,
        "memoryCorrection": "1.07",
        "precision": "float32",
        "lora": {"dora": True},
    }
    model["spec"]["parameters"]["training"] = {"packing": True}
    assert measured(model) == (
        Measured(
            base_model_digest=DIGEST,
            gpu_product="NVIDIA-A100-SXM4-80GB",
            gpus=2,
            method=Method.QLORA,
            quantization=Quantization.NF4,
            activation_checkpointing=True,
            packing=True,
            precision=Precision.FLOAT32,
            dora=True,
            tokens_per_second="2413",
            mean_watts="310.5",
            peak_memory_bytes=20 * 2**30,
            planned_peak_bytes=22 * 2**30,
            correction="1.07",
        ),
    )


def test_a_training_on_the_cpu_has_no_product() -> None:
    assert [item.gpu_product for item in measured(trained_model("a"))] == [None]


def test_the_latest_come_first_and_twenty_are_enough() -> None:
    models = [trained_model(f"m{day}", day, tokens_per_second=str(day)) for day in range(1, 29)]
    assert speeds(*models) == [str(day) for day in range(28, 8, -1)]


def test_those_of_the_same_base_model_are_taken_first() -> None:
    old = trained_model("old", 1, tokens_per_second="1")
    others = [trained_model(f"m{day}", day, source=OTHER_SOURCE, tokens_per_second=str(day)) for day in range(2, 28)]
    assert speeds(old, *others) == [*(str(day) for day in range(27, 8, -1)), "1"]


def test_other_namespaces_teach_nothing() -> None:
    assert speeds(trained_model("a", namespace="elsewhere")) == []


def test_a_model_whose_training_is_not_told_yet_teaches_nothing() -> None:
    assert speeds(fine_tuned_model(fine_tune_job(), "a")) == []


def test_a_model_that_was_told_twice_is_one_lesson() -> None:
    assert speeds(trained_model("a", tokens_per_second="1"), trained_model("a", tokens_per_second="2")) == ["2"]


def test_a_deleted_model_teaches_nothing_any_more() -> None:
    model = trained_model("a")
    there = scene(model)
    assert len(there.cache.lessons.of(NAMESPACE)) == 1
    there.cache.drop_resource(key_of(model), uid_of(model))
    assert there.cache.lessons.of(NAMESPACE) == ()


def test_a_model_that_is_being_deleted_is_still_true() -> None:
    assert len(measured(being_deleted(trained_model("a")))) == 1


def test_what_is_registered_teaches_the_next_plan_how_it_was_done() -> None:
    """The way from a plan to a registry entry to the next plan."""
    job = fine_tune_job(resources={"gpus": 2, "nodes": 3})
    memory = MemoryPlan(peak_bytes=7, parts=MemoryParts(**dict.fromkeys(MemoryParts.model_fields, 1)), correction="1.2")
    children = (*prepared_children(job, activation_checkpointing=True, memory=memory), *train_done(job))
    (made,) = decide(told(job), *children).created
    model = with_status(model_of(job), training=TRAINED.training.to_manifest())
    model["spec"] = made["spec"]
    (lesson,) = measured(model, job=fine_tune_job("next"))
    assert (lesson.gpus, lesson.activation_checkpointing, lesson.correction) == (6, True, "1.2")
