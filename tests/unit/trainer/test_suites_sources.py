"""A suite from the image, a ConfigMap and a volume, as they are mounted into a pod."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from finetune_api.conditions import Reason
from finetune_api.orders import Location, SuiteLocation
from finetune_api.sources import SuiteSplit
from finetune_trainer.evaluation.questions import load_questions
from finetune_trainer.failures import UserError
from finetune_trainer.scoring.predictions import PredictionsError, read_predictions
from finetune_trainer.suites.json_lines import MAX_LINE_BYTES


def write_suite(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    task = {"name": "eps", "title": "EPS", "scorer": {"kind": "number"}, "examples": "eps.jsonl"}
    document = {"name": "mine", "version": "1", "title": "Mine", "tasks": [task]}
    (folder / "suite.yaml").write_text(yaml.safe_dump(document))
    rows = [
        {"id": f"{number:03d}", "task": "eps", "group": f"g{number}", "prompt": "?", "reference": "1"}
        for number in range(100)
    ]
    (folder / "eps.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def mounted_config_map(volume: Path, *, without: str | None = None) -> SuiteLocation:
    """As the kubelet does it: the keys are links into a dated folder behind the link ..data."""
    write_suite(volume / "..2026_01_01")
    (volume / "..data").symlink_to("..2026_01_01")
    for key in {"suite.yaml", "eps.jsonl"} - {without}:
        (volume / key).symlink_to(Path("..data") / key)
    location = Location(volume=str(volume), path=".", manifest_field="spec.suite.configMap")
    return SuiteLocation(location=location, split=SuiteSplit.ALL)


def test_a_config_map_is_read_as_it_is_mounted(tmp_path: Path) -> None:
    assert len(load_questions(mounted_config_map(tmp_path)).examples["eps"]) == 100


def test_a_folder_on_a_volume_is_read(tmp_path: Path) -> None:
    write_suite(tmp_path / "suites" / "mine")
    location = Location(
        volume=str(tmp_path), path="suites/mine", manifest_field="spec.suite.persistentVolumeClaim.path"
    )
    sizes = [
        len(load_questions(SuiteLocation(location=location, split=split)).examples["eps"])
        for split in (SuiteSplit.HOLDOUT, SuiteSplit.SEARCH)
    ]
    assert sum(sizes) == 100
    assert min(sizes) > 5


def test_the_built_in_suite_is_asked_from_its_holdout() -> None:
    loaded = load_questions(SuiteLocation(builtin="finance", limit_per_task=200))
    assert {len(examples) for examples in loaded.examples.values()} == {200}


def test_a_config_map_without_a_file_that_its_suite_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"spec\.suite\.configMap: .*'eps\.jsonl' does not exist") as failure:
        load_questions(mounted_config_map(tmp_path, without="eps.jsonl"))
    assert failure.value.to_failure().reason is Reason.SUITE_INVALID


def test_a_config_map_without_suite_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"spec\.suite\.configMap: .*suite\.yaml: no such file"):
        load_questions(mounted_config_map(tmp_path, without="suite.yaml"))


def test_an_endless_line_of_predictions_is_refused_by_its_length(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.touch()
    os.truncate(path, 100 * MAX_LINE_BYTES)
    with pytest.raises(PredictionsError, match="line 1: longer than 1 MiB"):
        read_predictions(path)
