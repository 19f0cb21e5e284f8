"""What the report shows of the training, and how it marks where two answers differ."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from finetune_api.orders import Location
from finetune_trainer.report.flip_cards import marked
from finetune_trainer.report.learning_curve import Losses, learning_curve
from finetune_trainer.report.training_folder import TrainingFolder, read_losses, read_training
from finetune_trainer.train.tracking.points import Point
from finetune_trainer.train.tracking.tensorboard_files import TensorBoardFiles


def write_curves(folder: Path, after_step: int, losses: dict[int, float], validation: dict[int, float]) -> None:
    files = TensorBoardFiles(folder, after_step)
    for step, loss in losses.items():
        files.add(Point(step, {"grad_norm": 1.0, "loss": loss}))
    for step, loss in validation.items():
        files.add(Point(step, {"validation_loss": loss}))
    files.close()


def test_losses_that_a_rollback_took_back_are_not_drawn(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "tensorboard"
    write_curves(folder, 0, {1: 4.0, 2: 3.0, 3: 9.0}, {0: 5.0})
    write_curves(folder, 2, {3: 2.0, 4: 1.0}, {4: 1.5})
    assert read_losses(folder) == Losses({1: 4.0, 2: 3.0, 3: 2.0, 4: 1.0}, {0: 5.0, 4: 1.5})
    place = Location(volume=str(tmp_path), path="run", manifest_field="spec.adapter")
    assert read_training(place).losses == read_losses(folder)


def test_a_file_that_ends_in_the_middle_of_a_record_is_read_up_to_there(tmp_path: Path) -> None:
    write_curves(tmp_path, 0, {1: 4.0, 2: 3.0}, {})
    (path,) = tmp_path.glob("events.*")
    path.write_bytes(path.read_bytes()[:-5])
    assert read_losses(tmp_path) == Losses({1: 4.0}, {})


def test_a_training_that_is_not_there_or_left_rubbish_is_not_shown(tmp_path: Path) -> None:
    nothing = TrainingFolder()
    assert read_training(None) == nothing
    assert read_training(Location(volume=str(tmp_path), path="gone", manifest_field="spec.adapter")) == nothing
    (tmp_path / "run" / "tensorboard").mkdir(parents=True)
    (tmp_path / "run" / "tensorboard" / "events.1").write_bytes(b"\x08" + bytes(11) + b"no record" * 9)
    assert read_training(Location(volume=str(tmp_path), path="run", manifest_field="spec.adapter")) == nothing


def test_the_curve_falls_from_the_left_to_the_right() -> None:
    curve = learning_curve(Losses({1: 4.0, 100: 1.0}, {0: 4.5}))
    assert curve is not None
    (left, top), (right, bottom) = (map(float, place.split(",")) for place in curve.training.split())
    assert left < right and top < bottom
    assert (curve.lowest, curve.highest, curve.last_step) == ("1.00", "4.50", 100)
    assert learning_curve(Losses({}, {})) is None


def test_of_a_number_that_differs_the_whole_number_is_marked() -> None:
    one, other = marked("EPS: 2.14", "EPS: 2.41")
    assert [span.text for span in one if span.differs] == ["2.14"]
    assert [span.text for span in other if span.differs] == ["2.41"]


@given(st.text(max_size=40), st.text(max_size=40))
def test_marking_changes_no_text_and_marks_nothing_of_equal_ones(one: str, other: str) -> None:
    left, right = marked(one, other)
    assert ("".join(span.text for span in left), "".join(span.text for span in right)) == (one, other)
    assert not any(span.differs for side in marked(one, one) for span in side)
