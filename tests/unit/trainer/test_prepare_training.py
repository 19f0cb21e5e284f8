"""What `prepare` says before a GPU is asked for: in counts, in a plan, or in an error that names field and remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from workplaces import TRAINING, MakeWorkplace, Workplace, eps_rows

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.quantization import Method, Quantization
from finetune_trainer import prepare_training
from finetune_trainer.dataset.quality.passages import example_id
from finetune_trainer.dataset.reading import read_dataset
from finetune_trainer.failures import TrainerFailure, UserError


def refusal(workplace: Workplace, **changes: Any) -> TrainerFailure:
    with pytest.raises(UserError) as caught:
        prepare_training.run(workplace.prepare_order(**changes), workplace.reporter)
    assert caught.value.exit_code is ExitCode.USER
    return caught.value


def test_the_result_counts_splits_and_plans(workplace: Workplace) -> None:
    result = prepare_training.run(workplace.prepare_order(), workplace.reporter)
    assert (result.dataset.train, result.dataset.validation, result.dataset.truncated) == (36, 4, 0)
    assert 0 < result.dataset.trainable_tokens < result.dataset.train_tokens
    assert (result.plan.method, result.plan.quantization) == (Method.LORA, Quantization.NONE)
    assert result.plan.micro_batch_size * result.plan.gradient_accumulation == 8
    assert (result.plan.steps_per_epoch, result.plan.steps) == (5, 10)
    assert result.trained is None


def test_the_folder_holds_both_parts_the_report_and_the_plan(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    folder = workplace.directory / "prepare"
    train = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    held_out = [json.loads(line) for line in (folder / "validation.jsonl").read_text().splitlines()]
    assert (len(train), len(held_out)) == (36, 4)
    assert train[0].keys() == {"prompt", "completion"}
    assert json.loads((folder / "plan.json").read_text())["microBatchSize"] == 8
    report = json.loads((folder / "dataset_report.json").read_text())
    assert (report["shape"], report["examples"], len(report["validationLines"])) == ("instruction/input/output", 40, 4)


def test_the_tokens_are_counted_as_the_model_sees_them(workplace: Workplace) -> None:
    workplace.write_rows([{"prompt": "a", "completion": "b"}])
    result = prepare_training.run(workplace.prepare_order(validation_fraction="0"), workplace.reporter)
    # <|user|> a <|end|> <|assistant|> | b <|end|>
    assert (result.dataset.train_tokens, result.dataset.trainable_tokens, result.dataset.longest) == (6, 2, 6)


def test_the_same_order_is_not_prepared_twice(workplace: Workplace) -> None:
    first = prepare_training.run(workplace.prepare_order(), workplace.reporter)
    workplace.dataset.unlink()
    assert prepare_training.run(workplace.prepare_order(), workplace.reporter) == first


def test_another_order_is_prepared_anew(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    again = prepare_training.run(workplace.prepare_order(training=TRAINING | {"epochs": 3}), workplace.reporter)
    assert again.plan.steps == 15


def test_the_digests_follow_from_the_contents(make_workplace: MakeWorkplace) -> None:
    here, there = make_workplace("here"), make_workplace("there")
    assert prepare_training.run(here.prepare_order(), here.reporter) == prepare_training.run(
        there.prepare_order(), there.reporter
    )
    there.write_rows(eps_rows(39))
    changed = prepare_training.run(there.prepare_order(training=TRAINING | {"epochs": 3}), there.reporter)
    unchanged = prepare_training.run(here.prepare_order(training=TRAINING | {"epochs": 3}), here.reporter)
    assert changed.dataset.digest != unchanged.dataset.digest
    assert changed.base_model_digest == unchanged.base_model_digest


def test_whitespace_of_the_file_does_not_change_the_datasets_digest(workplace: Workplace) -> None:
    before = prepare_training.run(workplace.prepare_order(), workplace.reporter)
    rows = [json.dumps(dict(reversed(row.items())), separators=(" , ", " : ")) for row in eps_rows(40)]
    workplace.dataset.write_text("\n\n".join(rows) + "\n")
    (workplace.directory / "prepare" / "COMPLETE").unlink()
    again = prepare_training.run(workplace.prepare_order(), workplace.reporter)
    assert again.dataset.digest == before.dataset.digest


def decided(workplace: Workplace) -> dict[str, Any]:
    """The first example is accepted, which changes nothing of the rows."""
    first = read_dataset(workplace.dataset).examples[0].example
    decision = {"id": example_id(first), "decision": "accept"}
    (workplace.dataset.parent / "decisions.jsonl").write_text(json.dumps(decision))
    location = {"volume": str(workplace.dataset.parent), "path": "decisions.jsonl"}
    return {"decisions": location | {"manifestField": "spec.dataset.decisions"}}


def dataset_digest(workplace: Workplace, **changes: Any) -> str:
    return prepare_training.run(workplace.prepare_order(**changes), workplace.reporter).dataset.digest


def test_the_datasets_digest_follows_from_the_settings_of_the_pipeline(workplace: Workplace) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"quality": {"maxDuplicatePercent": "60"}},
        {"validation_fraction": "0.2"},
        {"training": TRAINING | {"seed": 8}},
        decided(workplace),
    ]
    assert len({dataset_digest(workplace, **changes) for changes in settings}) == len(settings)


@pytest.mark.parametrize("same", [{"quality": {"maxDuplicatePercent": "50"}}, {"validation_fraction": "0.10"}])
def test_what_says_the_same_of_the_pipeline_makes_the_same_digest(workplace: Workplace, same: dict[str, Any]) -> None:
    assert dataset_digest(workplace, **same) == dataset_digest(workplace)


def test_what_the_evaluation_that_follows_will_detect_is_told_before_the_training(workplace: Workplace) -> None:
    order = workplace.prepare_order(suite={"builtin": "finance", "limit_per_task": 40})
    assert prepare_training.run(order, workplace.reporter).plan.minimum_detectable_effect == "0.2287"
    (note,) = [event["message"] for event in workplace.events if event["event"] == "note"]
    assert "spec.evaluation: the suite finance detects a difference of 22.9 points" in note


def test_another_suite_is_told_anew_and_prepares_no_other_training(workplace: Workplace) -> None:
    first = prepare_training.run(workplace.prepare_order(), workplace.reporter)
    assert first.plan.minimum_detectable_effect is None
    workplace.dataset.unlink()
    order = workplace.prepare_order(suite={"builtin": "finance", "limit_per_task": 10})
    again = prepare_training.run(order, workplace.reporter)
    assert again.plan == first.plan.model_copy(update={"minimum_detectable_effect": "1.0000"})


def test_a_suite_that_is_missing_is_found_before_the_training(workplace: Workplace) -> None:
    folder = {"volume": str(workplace.root), "path": "questions", "manifest_field": "spec.evaluation.suite.configMap"}
    error = refusal(workplace, suite={"location": folder})
    assert (error.reason, "spec.evaluation.suite.configMap" in error.message) == (Reason.SUITE_INVALID, True)


def test_torch_is_not_loaded(workplace: Workplace) -> None:
    order = workplace.prepare_order(suite={"builtin": "finance"}).to_json()
    script = (
        "import sys; from finetune_api.orders import parse_order; from finetune_trainer.reporting import Reporter; "
        "from finetune_trainer.steps import carry_out; carry_out(parse_order(sys.argv[1]), Reporter()); "
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry)}
    done = subprocess.run(
        [sys.executable, "-c", script, order], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_empty_dataset_is_refused(workplace: Workplace) -> None:
    workplace.write_dataset(b"")
    error = refusal(workplace)
    assert error.reason is Reason.DATASET_INVALID
    assert "'train.jsonl' has no examples: give one JSON object a line" in error.message


def test_a_dataset_of_blank_lines_is_refused(workplace: Workplace) -> None:
    workplace.write_dataset(b"\n \n\r\n")
    assert "has no examples" in refusal(workplace).message


def test_five_bad_lines_are_in_the_result_fifty_in_the_log_and_all_on_the_volume(workplace: Workplace) -> None:
    workplace.write_dataset(b'{"prompt": "a", "completion": "b"}\n' + b"{}\n" * 70)
    error = refusal(workplace)
    failure = error.to_failure()
    assert (len(failure.errors), failure.error_count) == (5, 70)
    assert failure.errors[0].startswith("line 2: keys of no known shape")
    assert "spec.dataset.persistentVolumeClaim.path: 70 of 71 lines cannot be used, first line 2:" in failure.message
    assert len(workplace.problems) == 50
    listed = [json.loads(line) for line in (workplace.directory / "prepare-errors.jsonl").read_text().splitlines()]
    assert [entry["line"] for entry in listed] == list(range(2, 72))


def test_the_list_of_errors_goes_away_with_the_errors(workplace: Workplace) -> None:
    workplace.write_dataset(b"{}\n")
    refusal(workplace)
    workplace.write_rows(eps_rows(8))
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    assert not (workplace.directory / "prepare-errors.jsonl").exists()


def test_an_example_that_teaches_nothing_after_cutting_is_refused(workplace: Workplace) -> None:
    workplace.write_rows([*eps_rows(2), {"instruction": "long " * 200, "output": "short"}])
    error = refusal(workplace)
    assert error.errors[0].startswith("line 3: the prompt alone has ")
    assert "raise spec.training.sequenceLength" in error.errors[0]


def test_a_cut_answer_is_counted_but_allowed(workplace: Workplace) -> None:
    workplace.write_rows([{"prompt": "a", "completion": "long " * 200}, {"prompt": "b", "completion": "c"}])
    result = prepare_training.run(workplace.prepare_order(validation_fraction="0"), workplace.reporter)
    assert result.dataset.truncated == 1
    assert result.dataset.longest > 128
    assert result.dataset.train_tokens == 128 + 6


def test_a_refusal_by_the_chat_template_is_told_by_line(workplace: Workplace, own_model: Path) -> None:
    (own_model / "chat_template.jinja").write_text(
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role, please') }}{% endif %}"
        "{% for message in messages %}<|user|>{{ message['content'] }}<|end|>{% endfor %}"
    )
    turns = [{"role": role, "content": "a"} for role in ("system", "user", "assistant")]
    workplace.write_rows([{"messages": turns[1:]}, {"messages": turns}])
    error = refusal(workplace)
    assert error.errors == ("line 2: the model's chat template refuses the messages: no system role, please",)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("missing.jsonl", "'missing.jsonl' does not exist: the volume holds train.jsonl"),
        ("deep/er/missing.jsonl", "does not exist: the volume holds train.jsonl"),
        ("../secret.jsonl", "leads out of its volume"),
        ("link.jsonl", "leads out of its volume"),
        ("/etc/passwd", "leads out of its volume"),
        (".", "is a folder, not a file; it holds link.jsonl, train.jsonl"),
    ],
)
def test_a_dataset_that_is_not_there_or_not_in_the_volume_is_refused(
    workplace: Workplace, path: str, said: str
) -> None:
    secret = workplace.root / "secret.jsonl"
    secret.write_text('{"prompt": "a", "completion": "b"}\n')
    if "link" in path + said:
        (workplace.dataset.parent / "link.jsonl").symlink_to(secret)
    error = refusal(workplace, dataset=workplace.dataset_location(path))
    assert error.reason is Reason.DATASET_INVALID
    assert error.message.startswith(f"spec.dataset.persistentVolumeClaim.path: '{path}'")
    assert said in error.message


def test_a_link_inside_the_volume_is_followed_as_config_maps_need_it(workplace: Workplace) -> None:
    versioned = workplace.dataset.parent / "..2026_01_01"
    versioned.mkdir()
    workplace.dataset.rename(versioned / "train.jsonl")
    (workplace.dataset.parent / "..data").symlink_to("..2026_01_01")
    workplace.dataset.symlink_to("..data/train.jsonl")
    assert prepare_training.run(workplace.prepare_order(), workplace.reporter).dataset.train == 36
