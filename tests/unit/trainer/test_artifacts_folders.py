"""A step's folder is there whole, or it is not there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from finetune_api.group import Step
from finetune_api.orders import Location, PrepareEvaluationOrder
from finetune_api.results import EvaluateResult
from finetune_trainer import artifacts

RESULT = EvaluateResult(digest="sha256:d", score="0.5000", tasks=(), seconds="1.0")
CALLS_OF_A_COMMIT = 12
"""fsyncs and renames."""


def write_step(directory: Path, identity: str = "mine", text: str = "answers") -> None:
    with artifacts.staged_step(directory, Step.EVALUATE) as staged:
        (staged.path / "predictions").mkdir()
        (staged.path / "predictions" / "eps.jsonl").write_text(text)
        staged.commit(RESULT, identity)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_finished_step_is_found_with_its_result(tmp_path: Path) -> None:
    write_step(tmp_path)
    assert artifacts.find_complete(tmp_path, Step.EVALUATE, "mine") == RESULT
    assert names_in(tmp_path) == ["evaluate"]
    assert names_in(tmp_path / "evaluate") == ["COMPLETE", "manifest.json", "predictions", "result.json"]


def test_the_manifest_has_the_digest_of_every_file(tmp_path: Path) -> None:
    write_step(tmp_path)
    manifest = json.loads((tmp_path / "evaluate" / "manifest.json").read_text())
    assert set(manifest) == {"predictions/eps.jsonl", "result.json"}
    assert all(digest.startswith("sha256:") for digest in manifest.values())


def test_a_step_that_was_never_done_is_not_found(tmp_path: Path) -> None:
    assert artifacts.find_complete(tmp_path, Step.EVALUATE, "mine") is None


def test_the_answer_to_another_question_is_not_found(tmp_path: Path) -> None:
    write_step(tmp_path, identity="another")
    assert artifacts.find_complete(tmp_path, Step.EVALUATE, "mine") is None
    assert artifacts.find_complete(tmp_path, Step.EVALUATE) == RESULT


def remove_marker(folder: Path) -> None:
    (folder / "COMPLETE").unlink()


def cut_marker(folder: Path) -> None:
    (folder / "COMPLETE").write_text("")


def cut_predictions(folder: Path) -> None:
    (folder / "predictions" / "eps.jsonl").write_text("ans")


def remove_predictions(folder: Path) -> None:
    (folder / "predictions" / "eps.jsonl").unlink()


def change_result(folder: Path) -> None:
    result = folder / "result.json"
    result.write_text(result.read_text().replace("0.5000", "0.9000"))


def change_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{}")


@pytest.mark.parametrize(
    "damage", [remove_marker, cut_marker, cut_predictions, remove_predictions, change_result, change_manifest]
)
def test_a_damaged_step_is_not_found_and_can_be_done_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    write_step(tmp_path)
    damage(tmp_path / "evaluate")
    assert artifacts.find_complete(tmp_path, Step.EVALUATE, "mine") is None
    write_step(tmp_path)
    assert artifacts.find_complete(tmp_path, Step.EVALUATE, "mine") == RESULT
    assert names_in(tmp_path) == ["evaluate"]


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".evaluate.0123").mkdir()
    (tmp_path / ".evaluate.0123" / "half").write_text("x")
    (tmp_path / ".train.0123").mkdir()
    write_step(tmp_path)
    assert names_in(tmp_path) == [".train.0123", "evaluate"]


def test_what_is_not_committed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), artifacts.staged_step(tmp_path, Step.EVALUATE) as staged:
        (staged.path / "half").write_text("x")
        raise RuntimeError("killed")
    assert names_in(tmp_path) == []


def test_of_two_writers_the_first_result_stands(tmp_path: Path) -> None:
    with artifacts.staged_step(tmp_path, Step.EVALUATE) as slower:
        faster = slower.path.with_name(".evaluate.faster")
        faster.mkdir()
        artifacts.StagedStep(tmp_path, Step.EVALUATE, faster).commit(RESULT, "mine")
        later = RESULT.model_copy(update={"seconds": "2.0"})
        assert slower.commit(later, "mine") == RESULT
    assert artifacts.find_complete(tmp_path, Step.EVALUATE, "mine") == RESULT
    assert names_in(tmp_path) == ["evaluate"]


class Killed(BaseException):
    """As if the process ended here."""


@pytest.mark.parametrize("survived_calls", range(CALLS_OF_A_COMMIT + 1))
def test_a_writer_killed_at_any_moment_leaves_the_old_step_or_the_new_one_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived_calls: int
) -> None:
    """Kills the second writer before its n-th fsync or rename; the last case survives all of them."""
    write_step(tmp_path, identity="old", text="old")
    calls = 0

    def dying(original: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            nonlocal calls
            calls += 1
            if calls > survived_calls:
                raise Killed
            original(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", dying(os.fsync))
    monkeypatch.setattr(os, "rename", dying(os.rename))
    monkeypatch.setattr(os, "replace", dying(os.replace))
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with suppress(Killed):
        write_step(tmp_path, identity="new", text="new")
    monkeypatch.undo()
    assert calls == min(survived_calls + 1, CALLS_OF_A_COMMIT)

    folder = tmp_path / "evaluate"
    if folder.exists():
        assert artifacts.is_sealed(folder)
        owner = artifacts.Marker.model_validate_json((folder / "COMPLETE").read_text()).identity
        assert (folder / "predictions" / "eps.jsonl").read_text() == owner
    write_step(tmp_path, identity="new", text="new")
    assert artifacts.find_complete(tmp_path, Step.EVALUATE, "new") == RESULT
    assert names_in(tmp_path) == ["evaluate"]


def test_an_order_is_recognised_wherever_it_is_put_and_however_its_fields_are_named() -> None:
    def order(directory: str, field: str, path: str) -> PrepareEvaluationOrder:
        location = Location(volume="/models", path=path, manifest_field=field)
        return PrepareEvaluationOrder.model_validate(
            {
                "directory": directory,
                "models": [{"name": "base", "base_model": location}],
                "suite": {"builtin": "finance"},
                "decoding": {},
            }
        )

    same = artifacts.order_identity(order("/a", "spec.x", "llama"))
    assert same == artifacts.order_identity(order("/b", "spec.y", "llama"))
    assert same != artifacts.order_identity(order("/a", "spec.x", "qwen"))
