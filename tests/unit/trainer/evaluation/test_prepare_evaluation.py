"""What an evaluation is named by, and what is refused before a GPU is asked for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from evaluation_desk import Desk, write_lines

from finetune_api.comparison import Gate
from finetune_api.conditions import Reason
from finetune_api.evaluation import Decoding
from finetune_api.orders import PrepareEvaluationOrder, SuiteLocation
from finetune_api.quantization import Quantization
from finetune_trainer import prepare_evaluation
from finetune_trainer.digests import folder_digest
from finetune_trainer.evaluation.content import content_of
from finetune_trainer.evaluation.prompts import prompts_digest
from finetune_trainer.evaluation.questions import as_put, load_questions
from finetune_trainer.evaluation.subject import KnownBases, find_subject
from finetune_trainer.failures import UserError
from finetune_trainer.statistics.power import minimum_detectable_effect
from finetune_trainer.suites.model import Message
from finetune_trainer.tokenization import Tokenizer

NOTHING = "sha256:" + "0" * 64


def refused(desk: Desk, *models: Any, **changes: Any) -> UserError:
    with pytest.raises(UserError) as failure:
        prepare_evaluation.run(desk.prepare_order(*models, **changes), desk.reporter())
    return failure.value


def test_the_same_content_has_the_same_digest_wherever_it_lies(desk: Desk, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(desk.model, moved)
    (moved / "README.md").write_text("not a part of the model")
    assert desk.digest(directory=str(tmp_path / "elsewhere")) == desk.digest(desk.model_location(model=moved))


def test_everything_that_answers_follow_from_changes_the_digest(desk: Desk, adapter: Path) -> None:
    digests = [
        desk.digest(),
        desk.digest(limit=7),
        desk.digest(decoding=Decoding(max_new_tokens=9)),
        desk.digest(desk.model_location(adapter=adapter)),
        desk.digest(desk.model_location(quantization=Quantization.NF4)),
        desk.digest(desk.model_location(shots=1)),
        desk.digest(desk.model_location(shots=2)),
    ]
    assert len(set(digests)) == len(digests)


def test_a_changed_chat_template_changes_the_digest(desk: Desk, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(desk.model, other)
    (other / "chat_template.jinja").write_text("{{ messages[0].content }} =>")
    assert desk.digest(desk.model_location(model=other)) != desk.digest()


def test_other_libraries_are_another_evaluation(desk: Desk, tmp_path: Path) -> None:
    """As after an upgrade of the image: another version's metadata comes first on the path."""
    metadata = tmp_path / "site" / "tokenizers-99.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tokenizers\nVersion: 99.0\n")
    before = desk.digest()
    sys.path.insert(0, str(metadata.parent))
    try:
        assert desk.digest() != before
    finally:
        sys.path.remove(str(metadata.parent))


def test_prompts_are_named_by_their_bytes_without_worked_examples(desk: Desk) -> None:
    tokenizer = Tokenizer.load(desk.model)
    suite = load_questions(desk.suite_location())
    subject = find_subject(desk.model_location(shots=2), KnownBases(desk.reporter()))
    shown = content_of(subject, tokenizer, suite, Decoding(), as_put(suite, desk.suite_location(), 2))
    plain = content_of(subject, tokenizer, suite, Decoding())
    assert shown.prompts == plain.prompts and shown.shots != plain.shots
    first, *others = suite.examples["eps"]
    reworded = first.model_copy(update={"messages": (Message(role="user", content="What is it?"),)})
    changed = replace(suite, examples={**suite.examples, "eps": (reworded, *others)})
    assert prompts_digest(changed, tokenizer) != plain.prompts


def test_the_builtin_suite_is_prepared_within_two_seconds(desk: Desk, tmp_path: Path) -> None:
    order = PrepareEvaluationOrder(
        directory=str(tmp_path),
        models=(desk.model_location(),),
        suite=SuiteLocation(builtin="finance"),
        decoding=Decoding(),
    )
    began = time.process_time()
    prepare_evaluation.run(order, desk.reporter())
    assert time.process_time() - began < 2


def test_a_comparison_gets_a_digest_for_each_model(desk: Desk, adapter: Path) -> None:
    order = desk.prepare_order(desk.model_location(), desk.model_location(name="candidate", adapter=adapter))
    result = prepare_evaluation.run(order, desk.reporter())
    assert [each.name for each in result.digests] == ["base", "candidate"]
    assert result.evaluated is None
    assert desk.events.getvalue().count('"stage":"reading the base model"}') == 1 + sum(
        '"event":"progress"' in line for line in desk.events.getvalue().splitlines()
    )


def test_a_finished_evaluation_is_found(desk: Desk) -> None:
    assert prepare_evaluation.run(desk.prepare_order(), desk.reporter()).evaluated is None
    done = desk.evaluate()
    assert prepare_evaluation.run(desk.prepare_order(), desk.reporter()).evaluated == done


def test_a_finished_evaluation_of_other_content_is_not_it(desk: Desk) -> None:
    desk.evaluate()
    assert prepare_evaluation.run(desk.prepare_order(limit=5), desk.reporter()).evaluated is None


def test_the_detectable_effect_is_that_of_the_smallest_task(desk: Desk) -> None:
    result = prepare_evaluation.run(desk.prepare_order(limit=20), desk.reporter())
    assert result.minimum_detectable_effect == f"{minimum_detectable_effect(20, groups=20):.4f}"


def test_the_suite_is_named_by_the_questions_that_are_asked(desk: Desk, adapter: Path) -> None:
    def named(*models: Any, limit: int) -> str | None:
        return prepare_evaluation.run(desk.prepare_order(*models, limit=limit), desk.reporter()).suite_digest

    assert named(limit=5) == named(desk.model_location(adapter=adapter), limit=5) != named(limit=6)


def test_a_gate_on_an_unknown_task_names_the_tasks_there_are(desk: Desk) -> None:
    failure = refused(desk, gate=Gate(must_not_regress=("eps", "ebitda")))
    assert failure.reason is Reason.SUITE_INVALID
    assert "mustNotRegress" in failure.message and "ebitda" in failure.message and "eps, mood, texts" in failure.message


def test_retention_of_an_unknown_task_names_the_tasks_there_are(desk: Desk) -> None:
    failure = refused(desk, gate=Gate(retention="general"))
    assert failure.reason is Reason.SUITE_INVALID
    assert "spec.gate.retention" in failure.message and "eps, mood, texts" in failure.message


def test_a_changed_base_model_names_both_digests(desk: Desk) -> None:
    failure = refused(desk, desk.model_location(base_model_digest=NOTHING))
    assert failure.reason is Reason.CONTENT_CHANGED
    assert (
        NOTHING in failure.message
        and failure.message.count("sha256:") == 2
        and "spec.model.baseModel" in failure.message
    )


def test_a_changed_adapter_names_both_digests(desk: Desk, adapter: Path) -> None:
    failure = refused(desk, desk.model_location(adapter=adapter, adapter_digest=NOTHING))
    assert failure.reason is Reason.CONTENT_CHANGED
    assert NOTHING in failure.message and folder_digest(adapter) in failure.message


def test_the_digests_that_were_recorded_are_accepted(desk: Desk, adapter: Path) -> None:
    location = desk.model_location(adapter=adapter, adapter_digest=folder_digest(adapter))
    assert desk.digest(location) == desk.digest(desk.model_location(adapter=adapter))


def test_content_other_than_expected_is_refused(desk: Desk) -> None:
    failure = refused(desk, expected_digest=NOTHING)
    assert failure.reason is Reason.CONTENT_CHANGED and NOTHING in failure.message and desk.digest() in failure.message
    assert prepare_evaluation.run(desk.prepare_order(expected_digest=desk.digest()), desk.reporter()).digests


def test_a_folder_without_adapter_files_is_no_adapter(desk: Desk, adapter: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(adapter, pickled)
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    failure = refused(desk, desk.model_location(adapter=pickled))
    assert failure.reason is Reason.MODEL_INVALID and "adapter_model.safetensors missing" in failure.message


def test_an_example_that_does_not_fit_the_model_is_named(desk: Desk) -> None:
    long = {"id": "eps-long", "task": "eps", "group": "A", "prompt": "word " * 600, "reference": "1"}
    write_lines(desk.suite / "eps.jsonl", [long])
    failure = refused(desk)
    assert failure.reason is Reason.SUITE_INVALID and "'eps-long'" in failure.message and "512" in failure.message


def test_an_error_of_the_suite_names_the_field_and_the_line(desk: Desk) -> None:
    (desk.suite / "mood.jsonl").write_text('{"id": "mood-1"\n')
    failure = refused(desk)
    assert failure.reason is Reason.SUITE_INVALID
    assert failure.message.startswith("spec.suite.configMap: mood.jsonl, line 1")


def test_an_unknown_builtin_suite_names_those_there_are(desk: Desk) -> None:
    order = PrepareEvaluationOrder(
        directory=str(desk.root),
        models=(desk.model_location(),),
        suite=SuiteLocation(builtin="finanse"),
        decoding=Decoding(),
    )
    with pytest.raises(UserError, match=r"spec\.suite\.builtin: .*finance"):
        prepare_evaluation.run(order, desk.reporter())


def test_a_task_of_a_model_without_chat_template_is_asked_as_plain_text(desk: Desk, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(desk.model, plain)
    configuration = json.loads((plain / "tokenizer_config.json").read_text())
    configuration.pop("chat_template")
    (plain / "tokenizer_config.json").write_text(json.dumps(configuration))
    assert desk.digest(desk.model_location(model=plain)) != desk.digest()


def test_preparing_loads_neither_torch_nor_transformers(desk: Desk) -> None:
    order = desk.prepare_order().to_json()
    code = (
        "import sys; from finetune_api.orders import parse_order; from finetune_trainer.reporting import Reporter; "
        "from finetune_trainer import prepare_evaluation; "
        "prepare_evaluation.run(parse_order(sys.argv[1]), Reporter()); "
        "loaded = {'torch', 'transformers', 'peft'} & set(sys.modules); sys.exit(str(loaded) if loaded else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, order], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_suites_margin_is_a_part_of_its_content(desk: Desk) -> None:
    before = desk.digest()
    document = yaml.safe_load((desk.suite / "suite.yaml").read_text())
    (desk.suite / "suite.yaml").write_text(yaml.safe_dump(document | {"margin": 0.05}))
    assert desk.digest() != before
