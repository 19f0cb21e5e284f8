"""What `prepare` does about an example's quality: limits, reports, decisions."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from workplaces import TRAINING, Workplace, eps_rows

from finetune_api.conditions import Reason
from finetune_api.results import PrepareTrainingResult
from finetune_trainer import prepare_training
from finetune_trainer.failures import UserError
from finetune_trainer.suites.load import builtin_suite_folder, load_suite

_WRONG = {"instruction": "EPS?", "input": "The company earned $2.00 per share.", "output": "9.99"}
_PERSONAL = {
    "instruction": "Who pays the quarterly dividend of the bank to its shareholders?",
    "output": "The bank, card 4111 1111 1111 1111 <script>x</script>",
}
_COOKING = {"instruction": "How do I bake bread?", "output": "Mix flour and water, and bake for 40 minutes."}


def prepared(workplace: Workplace, **changes: Any) -> PrepareTrainingResult:
    return prepare_training.run(workplace.prepare_order(**changes), workplace.reporter)


def review(workplace: Workplace, name: str = "prepare/review.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workplace.directory / name).read_text().splitlines()]


def decisions(workplace: Workplace, *lines: dict[str, Any]) -> dict[str, str]:
    (workplace.dataset.parent / "decisions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {
        "volume": str(workplace.dataset.parent),
        "path": "decisions.jsonl",
        "manifest_field": "spec.dataset.decisions.persistentVolumeClaim.path",
    }


def test_findings_are_counted_reported_and_listed_worst_first(workplace: Workplace) -> None:
    workplace.write_rows([*eps_rows(40), _COOKING, _WRONG, _PERSONAL])
    result = prepared(workplace)
    quality = result.dataset.quality
    assert quality is not None
    assert (quality.examples, quality.inconsistent, quality.personal, quality.irrelevant) == (43, 1, 1, 1)
    assert quality.to_review == 3
    assert [entry["line"] for entry in review(workplace)] == [43, 42, 41]
    assert review(workplace)[1]["kinds"] == ["Inconsistent"]
    report = json.loads((workplace.directory / "prepare" / "dataset_report.json").read_text())
    assert sum(bar["count"] for bar in report["quality"]["histograms"][0]["bars"]) == 43
    assert {"looking at the examples"} <= {event.get("stage") for event in workplace.events}


def test_the_page_needs_nothing_else_and_escapes_what_examples_say(workplace: Workplace) -> None:
    workplace.write_rows([*eps_rows(40), _PERSONAL])
    result = prepared(workplace)
    assert result.report_path == "prepare/dataset_report.html"
    page = (workplace.directory / result.report_path).read_text()
    assert "&lt;script&gt;x&lt;/script&gt;" in page
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=|url\(|https?://""", page)


@pytest.mark.parametrize(
    ("limit", "row", "what"),
    [
        ("max_inconsistent_percent", _WRONG, "spec.dataset.quality.maxInconsistentPercent is 1, but 2.4% was found"),
        ("max_personal_percent", _PERSONAL, "spec.dataset.quality.maxPersonalPercent is 1, but 2.4% was found"),
        ("min_relevant_percent", _COOKING, "spec.dataset.quality.minRelevantPercent is 99, but 97.6% was found"),
    ],
)
def test_beyond_a_limit_the_dataset_is_refused_and_can_be_decided_about(
    workplace: Workplace, limit: str, row: dict[str, str], what: str
) -> None:
    workplace.write_rows([*eps_rows(40), row])
    quality = {limit: "99" if limit.startswith("min") else "1"}
    with pytest.raises(UserError) as caught:
        prepared(workplace, quality=quality)
    assert caught.value.reason is Reason.DATASET_INVALID
    assert what in caught.value.message and "first lines 41" in caught.value.message
    assert caught.value.errors[0].startswith("line 41: ")
    (entry,) = review(workplace, "dataset-review.jsonl")
    accepted = decisions(workplace, {"id": entry["id"], "decision": "accept"})
    result = prepared(workplace, quality=quality, decisions=accepted)
    assert result.dataset.quality is not None
    assert (result.dataset.quality.accepted, result.dataset.quality.to_review) == (1, 0)
    assert not (workplace.directory / "dataset-review.jsonl").exists()


def test_what_a_person_decided_is_learnt_from_and_named_by(workplace: Workplace) -> None:
    workplace.write_rows([*eps_rows(40), _WRONG, _COOKING])
    before = prepared(workplace)
    wrong, cooking = review(workplace)
    right = {"prompt": wrong["example"]["prompt"], "completion": "2.00"}
    told = decisions(
        workplace,
        {"id": wrong["id"], "decision": "fix", "example": right},
        {"id": cooking["id"], "decision": "reject"},
    )
    after = prepared(workplace, decisions=told)
    quality = after.dataset.quality
    assert quality is not None
    assert (quality.examples, quality.fixed, quality.rejected, quality.to_review) == (42, 1, 1, 0)
    assert after.dataset.train + after.dataset.validation == 41
    assert after.dataset.digest != before.dataset.digest
    folder = workplace.directory / "prepare"
    lines = "".join((folder / name).read_text() for name in ("train.jsonl", "validation.jsonl"))
    assert "9.99" not in lines and "bread" not in lines


_COPY_FIXED = {
    "prompt": "What are the earnings per share?\n\nThe company earned $77.00 per share.",
    "completion": "77.00",
}


@pytest.mark.parametrize(
    ("decision", "learnt_or_held_out", "duplicates"),
    [
        ({"decision": "accept"}, 41, 0),
        ({"decision": "reject"}, 40, 0),
        ({"decision": "fix", "example": _COPY_FIXED}, 41, 0),
        (None, 40, 1),
    ],
)
def test_an_exact_copy_is_listed_and_what_is_decided_about_it_is_done(
    workplace: Workplace, decision: dict[str, Any] | None, learnt_or_held_out: int, duplicates: int
) -> None:
    rows = eps_rows(40)
    workplace.write_rows([*rows, rows[3]])
    before = prepared(workplace).dataset
    (copy,) = review(workplace)
    assert (copy["line"], copy["kinds"]) == (41, ["ExactDuplicate"])
    told = {} if decision is None else {"decisions": decisions(workplace, {"id": copy["id"], **decision})}
    after = prepared(workplace, **told).dataset
    assert after.train + after.validation == learnt_or_held_out
    assert after.quality is not None
    assert (after.quality.exact_duplicates, after.quality.to_review) == (duplicates, duplicates)
    assert (after.digest == before.digest) == (decision is None)


def test_too_many_copies_are_refused_and_can_be_decided_about(workplace: Workplace) -> None:
    rows = eps_rows(40)
    workplace.write_rows([*rows, rows[3]])
    with pytest.raises(UserError, match=r"maxDuplicatePercent: 2.4%.*spec.dataset.decisions.*dataset-review.jsonl"):
        prepared(workplace, quality={"max_duplicate_percent": "1"})
    (copy,) = review(workplace, "dataset-review.jsonl")
    told = decisions(workplace, {"id": copy["id"], "decision": "reject"})
    assert prepared(workplace, quality={"max_duplicate_percent": "1"}, decisions=told).dataset.train == 36


def test_review_names_an_example_that_was_fixed_as_the_source_has_it(workplace: Workplace) -> None:
    workplace.write_rows([*eps_rows(40), _WRONG])
    prepared(workplace)
    (wrong,) = review(workplace)
    worse = {"prompt": wrong["example"]["prompt"], "completion": "8.88"}
    prepared(workplace, decisions=decisions(workplace, {"id": wrong["id"], "decision": "fix", "example": worse}))
    (again,) = review(workplace)
    assert (again["id"], again["example"]["completion"]) == (wrong["id"], "8.88")


def test_another_language_is_told(workplace: Workplace) -> None:
    german = "Der Umsatz des Unternehmens stieg im vergangenen Geschäftsjahr deutlich, und der Vorstand schlägt der "
    german += "Hauptversammlung eine höhere Dividende für alle Aktionäre der Gesellschaft vor, wie bekannt wurde."
    english = "The revenue of the company rose sharply in the past fiscal year, and the board will propose a higher "
    english += "dividend to all of its shareholders at the annual meeting, as became known in the city yesterday, "
    rows = [{"prompt": f"{english} page {number}.", "completion": "positive"} for number in range(40)]
    workplace.write_rows([*rows, {"prompt": german, "completion": "positive"}])
    quality = prepared(workplace, training=TRAINING | {"sequence_length": 512}).dataset.quality
    assert quality is not None
    assert {share.name: share.count for share in quality.languages} == {"en": 40, "de": 1}
    assert {share.name: share.count for share in quality.labels} == {"positive": 41}
    assert ("Language", 41) in {(entry["kinds"][0], entry["line"]) for entry in review(workplace)}


def test_a_leak_that_a_person_accepted_is_left_out_and_counted_all_the_same(workplace: Workplace) -> None:
    suite = load_suite(builtin_suite_folder("finance"))
    question = (suite.examples["eps-extraction"][0].messages or ())[0].content
    rows = [{"prompt": f"{row['instruction']}\n\n{row['input']}", "completion": row["output"]} for row in eps_rows(40)]
    workplace.write_rows([*rows, {"prompt": question, "completion": "3"}])
    changes = {
        "validation_fraction": "0",
        "suite": {"builtin": "finance"},
        "training": TRAINING | {"sequence_length": 512},
    }
    prepared(workplace, **changes)
    (leak,) = (entry for entry in review(workplace) if "LeakedSuite" in entry["kinds"])
    accepted = decisions(workplace, {"id": leak["id"], "decision": "accept"})
    result = prepared(workplace, **changes, decisions=accepted)
    assert result.dataset.quality is not None
    assert (result.dataset.train, result.dataset.quality.leaked_suite, result.dataset.quality.accepted) == (40, 1, 1)
