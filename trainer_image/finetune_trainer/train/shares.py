"""Which rows each of several processes takes of a step: those that one process alone would take, in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from accelerate.data_loader import SeedableRandomSampler
from datasets import Dataset, concatenate_datasets
from torch.utils.data import Sampler, SequentialSampler

from finetune_trainer.train.tokens import IGNORED

_SPARE_TOKENS = 2


@dataclass(frozen=True)
class Share:
    """One process's part of each step."""

    rank: int
    ranks: int
    micro_batch_size: int
    rows_per_step: int
    """Of all processes together."""


class SharedBatches(Sampler[list[int]]):  # type: ignore[misc]
    """The micro-batches of one process. All have equally many, since they compute together: where the rows of the last
    step do not suffice, the spare row takes their place, from which nothing is learnt."""

    def __init__(self, order: Sampler[int], rows: int, share: Share, spare: int) -> None:
        self.sampler = order
        """Under this name the data loader looks for what has to know the epoch."""
        self._rows = rows
        self._share = share
        self._spare = spare

    def __len__(self) -> int:
        share = self._share
        whole, rest = divmod(self._rows, share.rows_per_step)
        last = _ceiling(_ceiling(rest, share.ranks), share.micro_batch_size)
        return whole * (share.rows_per_step // share.ranks // share.micro_batch_size) + last

    def __iter__(self) -> Iterator[list[int]]:
        for step in _cut(list(self.sampler), self._share.rows_per_step):
            yield from _cut(self._own(step), self._share.micro_batch_size)

    def set_epoch(self, epoch: int) -> None:
        if isinstance(self.sampler, SeedableRandomSampler):
            self.sampler.set_epoch(epoch)

    def _own(self, step: Sequence[int]) -> list[int]:
        size = _ceiling(len(step), self._share.ranks)
        own = list(step[self._share.rank * size : (self._share.rank + 1) * size])
        return own + [self._spare] * (size - len(own))


def shuffled(rows: Dataset, share: Share, seed: int) -> SharedBatches:
    """In the order in which accelerate has one process take them."""
    return SharedBatches(SeedableRandomSampler(rows, data_seed=seed), len(rows), share, spare=len(rows))


def in_order(rows: Dataset, share: Share) -> SharedBatches:
    return SharedBatches(SequentialSampler(rows), len(rows), share, spare=len(rows))


def with_spare_row(rows: Dataset) -> Dataset:
    """Behind the others is one that is short and has no label."""
    first = rows[0]
    length = min(_SPARE_TOKENS, len(first["input_ids"]))
    spare = {"input_ids": [first["input_ids"][:length]], "labels": [[IGNORED] * length]}
    if "seq_lengths" in first:
        spare["seq_lengths"] = [[length]]
    return concatenate_datasets([rows, Dataset.from_dict(spare, features=rows.features)])


def _cut(rows: Sequence[int], size: int) -> Iterator[list[int]]:
    return (list(rows[start : start + size]) for start in range(0, len(rows), size))


def _ceiling(number: int, divisor: int) -> int:
    return -(-number // divisor)
