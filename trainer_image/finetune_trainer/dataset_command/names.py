"""Names of invented companies for generated datasets. None is in a suite, and each is in one part only, for any seed:
so a model that learns from one generated dataset can be tested on another."""

from __future__ import annotations

from functools import cache
from random import Random

from finetune_trainer.dataset_command.parts import Part
from finetune_trainer.suites.writing.companies import SUITE_COMPANIES, TRAINING_COMPANIES

_BEGINNINGS = """
Ab Ard Bel Bran Cal Cor Dal Dor Elm Eth Fal Fen Gal Gor Hal Hest Il Ist Jor Kel Kor Lam Lor Mal Mer Nar Nor Ol Ost Pel
Por Quen Ral Ros Sel Sor Tal Tor Ul Ver Vor Wen Wyn Yar Zel
"""
_ENDINGS = "adex aneth arra avell brook cetta dane edra essen ilo imar inox istra onda oria ovan umbra urne uvia ytha"
_KINDS = """
Bearings Capital Castings Circuits Dental Electric Engines Fibre Fragrance Fruit Genomics Grain Harbours Instruments
Interiors Logistics Materials Metals Networks Nutrition Paving Polymers Rubber Sensors Ski Sugar Tea Thermal Tobacco
Travel Turbines Wire
"""

_SHARES = {Part.TRAIN: range(8), Part.VALIDATION: range(8, 9), Part.TEST: range(9, 10)}
"""Of each ten names."""


def companies(part: Part, count: int, seed: int) -> tuple[str, ...]:
    """At most so many names of one part, drawn by the seed."""
    known = _names(part)
    return tuple(Random(f"companies {part} {seed}").sample(known, min(count, len(known))))


@cache
def _names(part: Part) -> tuple[str, ...]:
    invented = tuple(name for number, name in enumerate(_invented()) if number % 10 in _SHARES[part])
    return (*TRAINING_COMPANIES, *invented) if part is Part.TRAIN else invented


@cache
def _invented() -> tuple[str, ...]:
    taken = {word for name in (*SUITE_COMPANIES, *TRAINING_COMPANIES) for word in name.split()}
    firsts = [start + end for start in _BEGINNINGS.split() for end in _ENDINGS.split()]
    kinds = [kind for kind in _KINDS.split() if kind not in taken]
    names = [f"{first} {kind}" for first in firsts if first not in taken for kind in kinds]
    Random("invented companies").shuffle(names)
    return tuple(names)
