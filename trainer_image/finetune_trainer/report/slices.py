"""The slices in the report: rows of its table, and what report.json says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finetune_trainer import figures
from finetune_trainer.statistics.slices import SliceEffect, Slices

NOTE = (
    "Exploratory: these slices were not chosen beforehand, they overlap, and nothing is adjusted for their number. "
    "A slice that stands out is a question for the next suite, and no result of this one."
)


@dataclass(frozen=True)
class Row:
    """One slice of one task, as people read it."""

    title: str
    dimension: str
    name: str
    n: int
    base: str
    tuned: str
    delta: str
    interval: str


def rows(slices: Slices) -> list[Row]:
    """In the order of tasks and dimensions."""
    return [_row(each) for each in slices.effects]


def _row(effect: SliceEffect) -> Row:
    found = effect.inference
    return Row(
        title=effect.title,
        dimension=effect.slice.dimension.value,
        name=effect.slice.name,
        n=effect.examples,
        base=f"{effect.base:.3f}",
        tuned=f"{effect.tuned:.3f}",
        delta=f"{found.estimate:+.3f}",
        interval=figures.interval(found.low, found.high),
    )


def as_document(slices: Slices) -> dict[str, Any]:
    """Unrounded, for report.json."""
    effects = [_document(each) for each in slices.effects]
    return {"exploratory": True, "note": NOTE, "leftOut": slices.left_out, "effects": effects}


def _document(effect: SliceEffect) -> dict[str, Any]:
    found = effect.inference
    return {
        "task": effect.task,
        "dimension": effect.slice.dimension.value,
        "slice": effect.slice.name,
        "examples": effect.examples,
        "groups": found.groups,
        "base": effect.base,
        "tuned": effect.tuned,
        "difference": found.estimate,
        "low": found.low,
        "high": found.high,
        "p": found.p,
    }
