"""Writes the raw paragraphs over which perplexity is measured."""

from __future__ import annotations

from random import Random

from finetune_trainer.suites.writing import figures, filing_sentences

SECTIONS = tuple(filing_sentences.SECTIONS)

_SENTENCES = 4


def write(section: str, company: str, random: Random) -> str:
    """A paragraph of one section of a company's report; the sentences that name the company are always there."""
    sentences = filing_sentences.SECTIONS[section]
    naming = [index for index, sentence in enumerate(sentences) if "company" in figures.fields(sentence)]
    others = [index for index in range(len(sentences)) if index not in naming]
    chosen = sorted(naming + random.sample(others, _SENTENCES - len(naming)))
    filled = figures.surroundings(random) | {"eps": f"{figures.cents(random, 6, 985):.2f}"}
    return " ".join(figures.fill(sentences[index], company, filled) for index in chosen)
