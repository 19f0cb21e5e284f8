"""Leaks between what is learnt and what is judged by, and the hashes by which a later suite is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from workplaces import TRAINING, Workplace, eps_rows

from finetune_api.conditions import Reason
from finetune_api.orders import PrepareTrainingOrder
from finetune_trainer import prepare_training
from finetune_trainer.dataset.quality.contamination import count_contaminated, count_learnt
from finetune_trainer.dataset.quality.fingerprints import Fingerprint, Held, fingerprint
from finetune_trainer.dataset.quality.leakage import find_leaks
from finetune_trainer.dataset.quality.shingle_index import INDEX_FILE, BadIndexError, read_index, write_index
from finetune_trainer.dataset.quality.texts import text_of_prompt
from finetune_trainer.failures import UserError
from finetune_trainer.suites.load import builtin_suite_folder, load_suite

ASK = "What is the sentiment of the text that follows here, in one of the three words that you know?"
THIRTEEN = "the board was told late that one of the mills had burnt down"
SIMILARITY = 0.85


def print_of(source: str, answer: str = "positive") -> Fingerprint:
    return fingerprint(text_of_prompt(f"{ASK}\n\n{source}", answer))


def leaked(rows: list[str], held: list[str]) -> dict[int, int]:
    """Held-out place by row."""
    found = find_leaks(map(print_of, rows), [Held(source, print_of(source)) for source in held], SIMILARITY)
    return {row: leak.held for row, leak in found.rows.items()}


@pytest.mark.parametrize(
    ("row", "held", "leaks"),
    [
        ("Sales rose.", "SALES  rose.", True),
        ("Sales rose.", "Sales fell.", False),
        (f"Alder: {THIRTEEN}, and more.", f"Others say {THIRTEEN} in May.", True),
        (f"Alder: {THIRTEEN[:-5]}, and more.", f"Others say {THIRTEEN} in May.", False),
        (" ".join(f"w{n} w{n % 7}" for n in range(40)) + " a", " ".join(f"w{n} w{n % 7}" for n in range(40)), True),
        ("It earned $3.06 a share.", "It earned $3.07 a share.", False),
    ],
)
def test_a_leak_is_the_same_question_a_near_duplicate_or_thirteen_words_in_a_row(
    row: str, held: str, leaks: bool
) -> None:
    assert leaked(["Something else.", row], [held]) == ({1: 0} if leaks else {})


def test_the_instruction_that_all_share_is_no_leak() -> None:
    assert len(ASK.split()) > 13
    assert leaked(["Sales rose."], ["Costs fell."]) == {}


def test_the_answer_counts_among_the_words() -> None:
    held = [Held("one", fingerprint(text_of_prompt("Why?\n\nThe board was told late", THIRTEEN[24:])))]
    row = fingerprint(text_of_prompt("How?\n\nYes, the board was told late", THIRTEEN[24:]))
    assert list(find_leaks([row], held, SIMILARITY).rows) == [0]


@pytest.mark.parametrize(("sharing", "leaks"), [(2, 2), (5, 5), (6, 0)])
def test_words_that_stand_in_more_than_a_hundredth_of_the_rows_are_no_leak(sharing: int, leaks: int) -> None:
    rows = [f"Company {n} says {THIRTEEN} on day {n}." for n in range(sharing)]
    rows += [f"Unlike any other, number {n}." for n in range(500 - sharing)]
    assert len(leaked(rows, [f"We hear {THIRTEEN} today."])) == leaks


def test_an_index_gives_back_what_was_written(tmp_path: Path) -> None:
    rows = [print_of("Sales rose."), print_of(THIRTEEN * 3), print_of("5%")]
    write_index(tmp_path / INDEX_FILE, rows)
    assert list(read_index(tmp_path / INDEX_FILE)) == rows


def test_hashes_stay_what_they_are_for_they_are_kept_in_files() -> None:
    found = print_of(THIRTEEN)
    assert (found.question, found.figures) == (2_213_378_067_454_757_110, 1_491_387_967_206_369_001)
    assert (found.ngrams[0], found.shingles[0]) == (2_028_731_335_924_535_451, 46_323_182_918_297_517)


def test_an_index_that_is_cut_off_is_told_from_a_whole_one(tmp_path: Path) -> None:
    write_index(tmp_path / INDEX_FILE, [print_of(THIRTEEN)])
    whole = (tmp_path / INDEX_FILE).read_bytes()
    for length in (4, 12, len(whole) - 3):
        (tmp_path / INDEX_FILE).write_bytes(whole[:length])
        with pytest.raises(BadIndexError):
            list(read_index(tmp_path / INDEX_FILE))


SUITE = load_suite(builtin_suite_folder("finance"))
TAKEN = [example for task in SUITE.suite.scored_tasks for example in SUITE.examples[task.name]][:12:4]
STOLEN = [{"prompt": (example.messages or ())[0].content, "completion": "3"} for example in TAKEN]
OTHERS = [{"prompt": f"{row['instruction']}\n\n{row['input']}", "completion": row["output"]} for row in eps_rows(40)]


def order_of(workplace: Workplace, **changes: Any) -> PrepareTrainingOrder:
    """All for training, and long enough for the suite's prompts."""
    training = TRAINING | {"sequence_length": 512}
    return workplace.prepare_order(**{"training": training, "validation_fraction": "0"} | changes)


def test_the_suites_examples_are_left_out_of_the_training(workplace: Workplace) -> None:
    workplace.write_rows([*OTHERS, *STOLEN])
    order = order_of(workplace, suite={"builtin": "finance"})
    result = prepare_training.run(order, workplace.reporter)
    assert result.dataset.quality is not None
    assert (result.dataset.train, result.dataset.quality.leaked_suite) == (40, 3)
    train = (workplace.directory / "prepare" / "train.jsonl").read_text()
    assert len(train.splitlines()) == 40 and "diluted" not in train


def test_a_run_that_is_prepared_again_keeps_apart_from_the_suite_of_its_first_time(workplace: Workplace) -> None:
    workplace.write_rows([*OTHERS, *STOLEN])
    finance = {"suite": {"builtin": "finance"}}
    first = prepare_training.run(order_of(workplace, **finance), workplace.reporter)
    again = order_of(workplace, **finance | {"suite": None, "nodes": 2})
    assert prepare_training.run(again, workplace.reporter).dataset == first.dataset


def test_a_suite_that_is_chosen_later_changes_nothing_and_is_checked(workplace: Workplace) -> None:
    workplace.write_rows([*OTHERS, *STOLEN])
    first = prepare_training.run(order_of(workplace), workplace.reporter)
    later = order_of(workplace, suite={"builtin": "finance"})
    assert prepare_training.run(later, workplace.reporter).dataset == first.dataset
    notes = [event["message"] for event in workplace.events if event["event"] == "note"]
    assert any("3 examples of the suite finance stand in the training split" in note for note in notes)
    assert count_contaminated(workplace.directory / "prepare" / INDEX_FILE, SUITE, SIMILARITY) == 3
    assert count_learnt(workplace.directory / "train" / "adapter", SUITE) == 3
    assert (count_learnt(workplace.root / "train" / "adapter", SUITE), count_learnt(None, SUITE)) == (0, 0)


def test_copies_are_left_out_before_the_split(workplace: Workplace) -> None:
    workplace.write_rows([*OTHERS, *OTHERS[:10]])
    result = prepare_training.run(workplace.prepare_order(), workplace.reporter)
    assert (result.dataset.train, result.dataset.validation) == (36, 4)
    assert result.dataset.quality is not None and result.dataset.quality.exact_duplicates == 10


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (OTHERS[:1] * 3, "maxDuplicatePercent: 66.7% (2 of 3) of the examples repeat an earlier one; at most 50% may"),
        (
            [*OTHERS, *({**row, "completion": "none"} for row in OTHERS[:2])],
            "maxContradictionPercent: 9.5% (4 of 42) of the examples answer a question otherwise",
        ),
        ([*OTHERS[:2], *STOLEN], "maxLeakagePercent: 60.0% (3 of 5) of the training examples stand in the validation"),
    ],
)
def test_a_dataset_beyond_a_limit_is_refused_with_field_share_lines_and_remedy(
    workplace: Workplace, rows: list[dict[str, str]], said: str
) -> None:
    workplace.write_rows(rows)
    order = order_of(workplace, suite={"builtin": "finance"})
    with pytest.raises(UserError) as caught:
        prepare_training.run(order, workplace.reporter)
    assert caught.value.reason is Reason.DATASET_INVALID
    assert caught.value.message.startswith(f"spec.dataset.quality.{said}")
    assert "First: line " in caught.value.message and "raise the limit" in caught.value.message
    assert caught.value.errors[0].startswith("line ")


def test_a_dataset_of_which_nothing_is_left_is_refused_whatever_the_limit(workplace: Workplace) -> None:
    workplace.write_rows(STOLEN)
    order = order_of(workplace, suite={"builtin": "finance"}, quality={"max_leakage_percent": "100"})
    with pytest.raises(UserError, match="nothing is left to learn from"):
        prepare_training.run(order, workplace.reporter)
