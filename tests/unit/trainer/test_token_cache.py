"""Tokens are kept for the next attempt, and made anew where they would be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from workplaces import TRAINING, Workplace

from finetune_trainer import prepare_training
from finetune_trainer.dataset.examples import from_line
from finetune_trainer.tokenization import Tokenizer
from finetune_trainer.train.token_cache import CACHE_FILE, TokenizedExamples, tokenized_examples
from finetune_trainer.train.tokens import Tokens


@pytest.fixture
def prepared(workplace: Workplace) -> Workplace:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    return workplace


def read(workplace: Workplace, length: int = 128) -> TokenizedExamples:
    return tokenized_examples(
        workplace.directory / "prepare", workplace.model, length, workplace.directory / "checkpoints"
    )


def cache_of(workplace: Workplace) -> Path:
    return workplace.directory / "checkpoints" / CACHE_FILE


def is_used(workplace: Workplace, length: int = 128) -> bool:
    """Whether the cache is read and not written."""
    before = cache_of(workplace).stat()
    read(workplace, length)
    after = cache_of(workplace).stat()
    return before.st_ino == after.st_ino


def same(one: Tokens, other: Tokens) -> bool:
    return (
        np.array_equal(one.values, other.values)
        and np.array_equal(one.lengths, other.lengths)
        and np.array_equal(one.prompt_lengths, other.prompt_lengths)
    )


def test_the_second_attempt_reads_what_the_first_one_wrote(prepared: Workplace) -> None:
    first = read(prepared)
    assert is_used(prepared)
    second = read(prepared)
    assert same(first.train, second.train) and same(first.validation, second.validation)
    assert (len(first.train), len(first.validation)) == (36, 4)


def test_tokens_and_labels_are_those_of_each_example(prepared: Workplace) -> None:
    tokenizer = Tokenizer.load(prepared.model)
    lines = (prepared.directory / "prepare" / "train.jsonl").read_text().splitlines()
    encoded = [tokenizer.encode_example(from_line(line)) for line in lines]
    tokens = read(prepared).train
    assert tokens.values.tolist() == [token for example in encoded for token in example.tokens]
    assert tokens.labels.tolist() == [label for example in encoded for label in example.labels]


def other_examples(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(validation_fraction="0.2"), workplace.reporter)


def other_template(workplace: Workplace) -> None:
    (workplace.model / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")


def other_tokenizer(workplace: Workplace) -> None:
    path = workplace.model / "tokenizer.json"
    path.write_text(path.read_text().replace('"content": "<|system|>"', '"content": "<|sys|>"'))


def cut_cache(workplace: Workplace) -> None:
    cache_of(workplace).write_bytes(cache_of(workplace).read_bytes()[:-4])


def damaged_cache(workplace: Workplace) -> None:
    content = bytearray(cache_of(workplace).read_bytes())
    content[-1] ^= 1
    cache_of(workplace).write_bytes(content)


def empty_cache(workplace: Workplace) -> None:
    cache_of(workplace).write_bytes(b"")


@pytest.mark.usefixtures("own_model")
@pytest.mark.parametrize(
    "change", [other_examples, other_template, other_tokenizer, cut_cache, damaged_cache, empty_cache]
)
def test_a_stale_or_torn_cache_is_made_anew(workplace: Workplace, change: Callable[[Workplace], None]) -> None:
    prepare_training.run(workplace.prepare_order(), workplace.reporter)
    read(workplace)
    change(workplace)
    assert not is_used(workplace)
    assert is_used(workplace)


def test_another_length_is_another_cache(prepared: Workplace) -> None:
    whole = read(prepared)
    assert not is_used(prepared, length=20)
    assert read(prepared, length=20).train.lengths.max() == 20 < whole.train.lengths.max()


def test_no_held_out_examples_are_remembered_as_none(workplace: Workplace) -> None:
    prepare_training.run(workplace.prepare_order(validation_fraction="0", training=TRAINING), workplace.reporter)
    read(workplace)
    assert len(read(workplace).validation) == 0
