"""Unfinished work on the volume, after every kind of end."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_trainer.evaluation.partial import PARTIAL_FOLDER, PartialPredictions
from finetune_trainer.failures import StoppedError
from finetune_trainer.scoring.predictions import ScoredPrediction


def prediction(name: str) -> ScoredPrediction:
    return ScoredPrediction(id=name, task="eps", group="A", prediction="a\nb\u2028c", score=1.0, parsed=True)


@pytest.fixture
def two_batches(tmp_path: Path) -> Path:
    partial = PartialPredictions(tmp_path, "sha256:one")
    partial.append([prediction("a"), prediction("b")], 1.5, "sdpa")
    partial.append([prediction("c")], 2.0, "sdpa")
    return tmp_path / PARTIAL_FOLDER / "batches.jsonl"


def test_finished_batches_are_found_again(tmp_path: Path, two_batches: Path) -> None:
    found = PartialPredictions(tmp_path, "sha256:one")
    assert found.predictions == {name: prediction(name) for name in "abc"}
    assert (found.seconds, found.attention) == (3.5, "sdpa")


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_torn_last_batch_is_dropped_and_the_file_goes_on(tmp_path: Path, two_batches: Path, cut: int) -> None:
    content = two_batches.read_bytes()
    two_batches.write_bytes(content[:-cut])
    torn = PartialPredictions(tmp_path, "sha256:one")
    assert torn.predictions.keys() == {"a", "b"}
    torn.append([prediction("d")], 1.0, "sdpa")
    assert PartialPredictions(tmp_path, "sha256:one").predictions.keys() == {"a", "b", "d"}


def test_what_follows_a_damaged_batch_is_dropped(tmp_path: Path, two_batches: Path) -> None:
    header, first, second = two_batches.read_bytes().splitlines()
    assert b'"score":1.0' in first
    two_batches.write_bytes(b"\n".join([header, first.replace(b'"score":1.0', b'"score":7.0'), second, b""]))
    damaged = PartialPredictions(tmp_path, "sha256:one")
    assert damaged.predictions == {}
    damaged.append([prediction("e")], 1.0, "sdpa")
    assert PartialPredictions(tmp_path, "sha256:one").predictions.keys() == {"e"}


def test_predictions_of_other_content_are_not_taken_up(tmp_path: Path, two_batches: Path) -> None:
    assert PartialPredictions(tmp_path, "sha256:other").predictions == {}
    assert PartialPredictions(tmp_path, "sha256:one").predictions == {}


def test_a_torn_header_starts_over(tmp_path: Path, two_batches: Path) -> None:
    two_batches.write_bytes(two_batches.read_bytes()[:10])
    assert PartialPredictions(tmp_path, "sha256:one").predictions == {}


def test_nothing_is_left_when_it_is_removed(tmp_path: Path, two_batches: Path) -> None:
    PartialPredictions(tmp_path, "sha256:one").remove()
    assert list(tmp_path.iterdir()) == []


def test_a_pod_that_comes_back_adds_nothing_to_its_successors_work(tmp_path: Path, two_batches: Path) -> None:
    lost, successor = (PartialPredictions(tmp_path, "sha256:one") for _ in range(2))
    with pytest.raises(StoppedError, match="another pod has gone on"):
        lost.append([prediction("d")], 1.0, "sdpa")
    successor.append([prediction("e")], 1.0, "sdpa")
    assert PartialPredictions(tmp_path, "sha256:one").predictions.keys() == {"a", "b", "c", "e"}
