"""How long the examples are, from a sample: enough for steps and hours, with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import stdev

from finetune_api.finetunejob import FineTuneJobSpec, Overlong, Training
from finetune_trainer.dataset.counting import CountsByLine, count_examples
from finetune_trainer.dataset.overlong import refuse_overlong
from finetune_trainer.dataset.reading import NotJsonLinesError, Sample, read_sample
from finetune_trainer.plan_command.errors import InputError
from finetune_trainer.planning.steps import Lengths, Steps, rows_note, rows_per_step
from finetune_trainer.tokenization import TOKENIZER_FILE, Tokenizer
from finetune_trainer.train.packing import fill_rows

SAMPLE_SIZE = 2000
_NORMAL_95 = 1.96


@dataclass(frozen=True)
class DatasetEstimate:
    """What the sample says about the examples that are learnt from."""

    examples: int
    """Those to learn from: the lines without what is held out."""
    sampled: int
    is_whole: bool
    """Whether all lines were read, so that nothing is estimated."""
    lengths: Lengths
    half_width: float
    """The mean length is within so many tokens of the sample's, 95 times in 100."""

    @property
    def mean(self) -> float:
        return self.lengths.mean

    @property
    def interval(self) -> tuple[float, float]:
        return max(1.0, self.mean - self.half_width), self.mean + self.half_width

    def steps(self, training: Training, ranks: int) -> Steps:
        """Steps of the whole dataset; packed, as many rows as the sample fills for its examples."""
        per_step = rows_per_step(training, self.mean, ranks)
        rows = float(self.examples)
        if training.packing:
            rows *= len(fill_rows(self.lengths.values, training.sequence_length)) / self.lengths.examples
        per_epoch = max(1, math.ceil(rows / per_step))
        return Steps(per_step, per_epoch, per_epoch * training.epochs, rows_note(training, self.mean, ranks))


def estimate_dataset(spec: FineTuneJobSpec, model: Path, dataset: Path, field: str) -> DatasetEstimate:
    """InputError or UserError as prepare would refuse the dataset, as far as the sample shows it."""
    if not (model / TOKENIZER_FILE).is_file():
        raise InputError(
            f"--datasets: the model's folder {model} has no {TOKENIZER_FILE} to count tokens with: add it, or leave "
            "--datasets out"
        )
    sample = _sample(dataset, field)
    counts = _counts(sample, Tokenizer.load(model), spec.training, field)
    lengths = Lengths(tuple(count.tokens for count in counts.values()))
    held_out = _held_out(sample.lines, Decimal(spec.dataset.validation_fraction))
    return DatasetEstimate(
        examples=sample.lines - held_out,
        sampled=lengths.examples,
        is_whole=lengths.examples == sample.lines,
        lengths=lengths,
        half_width=_half_width(lengths.values, sample.lines),
    )


def _sample(path: Path, field: str) -> Sample:
    try:
        sample = read_sample(path, SAMPLE_SIZE)
    except NotJsonLinesError as error:
        raise InputError(f"{field}: {error}") from error
    except OSError as error:
        raise InputError(f"{field}: {path} cannot be read: {error.strerror}") from error
    _refuse_bad_lines(sample.dataset.problems, sample, field)
    if not sample.dataset.examples:
        raise InputError(f"{field}: {path} has no examples")
    return sample


def _counts(sample: Sample, tokenizer: Tokenizer, training: Training, field: str) -> CountsByLine:
    counts, problems = count_examples(sample.dataset.examples, tokenizer, training.sequence_length, lambda _: None)
    _refuse_bad_lines(problems, sample, field)
    if training.overlong is Overlong.REFUSE:
        refuse_overlong(counts, training.sequence_length, field)
    return counts


def _refuse_bad_lines(problems: tuple[object, ...], sample: Sample, field: str) -> None:
    if problems:
        looked_at = len(sample.dataset.examples) + len(sample.dataset.problems)
        raise InputError(
            f"{field}: {len(problems)} of {looked_at} lines that were looked at cannot be used, first {problems[0]}"
        )


def _held_out(lines: int, fraction: Decimal) -> int:
    return 0 if fraction == 0 or lines < 2 else max(1, int(lines * fraction))


def _half_width(lengths: tuple[int, ...], lines: int) -> float:
    """Of a mean's 95 % interval, for a sample without replacement."""
    if len(lengths) < 2 or len(lengths) >= lines:
        return 0.0
    missing = math.sqrt(1 - len(lengths) / lines)
    return _NORMAL_95 * stdev(lengths) / math.sqrt(len(lengths)) * missing
