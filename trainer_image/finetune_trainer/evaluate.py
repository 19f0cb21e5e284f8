"""The evaluate step from top to bottom: check what is evaluated, ask, score, write the predictions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_api.conditions import Reason
from finetune_api.group import Step
from finetune_api.orders import EvaluateOrder
from finetune_api.quantization import Precision
from finetune_api.results import EvaluateResult
from finetune_trainer.artifacts import find_complete, staged_step
from finetune_trainer.evaluation.choices import ChoiceTask, encode_asked
from finetune_trainer.evaluation.content import EvaluationContent, content_of, precision_for
from finetune_trainer.evaluation.examination import Examiner, batches_of
from finetune_trainer.evaluation.likelihood import window_length
from finetune_trainer.evaluation.loading import load_subject
from finetune_trainer.evaluation.noise import Asked, asked_again, depends_on_batches, noise_floor
from finetune_trainer.evaluation.partial import PartialPredictions, kept_batches
from finetune_trainer.evaluation.questions import (
    QuestionTask,
    TextTask,
    as_put,
    context_length,
    encode_texts,
    load_questions,
)
from finetune_trainer.evaluation.record import PREDICTIONS_FILE, InEffect, record_of
from finetune_trainer.evaluation.scores import overall_score, task_scores
from finetune_trainer.evaluation.subject import KnownBases, Subject, find_subject
from finetune_trainer.failures import UserError
from finetune_trainer.reporting import Reporter
from finetune_trainer.restarts import RESTARTS_FILE, counted_restarts
from finetune_trainer.scoring.predictions import ScoredPrediction
from finetune_trainer.stopping import STOP
from finetune_trainer.suites.model import LoadedSuite
from finetune_trainer.tokenization import Tokenizer
from finetune_trainer.train.devices import Device, choose_device
from finetune_trainer.train.memory import EVALUATION, loading_fits


@dataclass(frozen=True)
class _Examination:
    """What is asked of whom."""

    order: EvaluateOrder
    suite: LoadedSuite
    put: LoadedSuite
    """The suite with the worked examples before its questions, where there are any."""
    subject: Subject
    tokenizer: Tokenizer
    content: EvaluationContent
    device: Device

    @property
    def context(self) -> int | None:
        return context_length(self.subject.base.config)

    @property
    def window(self) -> int:
        return window_length(self.context)

    @property
    def precision(self) -> Precision:
        return precision_for(self.device.is_gpu)


def run(order: EvaluateOrder, reporter: Reporter) -> EvaluateResult:
    """Asks the model all questions, or finds that this was done."""
    directory = Path(order.directory)
    found = find_complete(directory, Step.EVALUATE, order.digest)
    if isinstance(found, EvaluateResult):
        return found
    with counted_restarts(directory / f"{Step.EVALUATE}-{RESTARTS_FILE}", kept_batches(directory), "batch"):
        return _evaluate(order, directory, reporter)


def _evaluate(order: EvaluateOrder, directory: Path, reporter: Reporter) -> EvaluateResult:
    examination = _prepare(order, reporter)
    # Answers of another number format or GPU are other answers, though the evaluation is the same.
    identity = f"{order.digest} {examination.precision} {examination.device.product}"
    partial = PartialPredictions(directory, identity)
    _ask(examination, partial, reporter)
    result = _write(examination, partial)
    partial.remove()
    return result


def _prepare(order: EvaluateOrder, reporter: Reporter) -> _Examination:
    device = choose_device(order.gpus)
    suite = load_questions(order.suite)
    subject = find_subject(order.model, KnownBases(reporter))
    tokenizer = subject.tokenizer()
    put = as_put(suite, order.suite, order.model.shots)
    content = content_of(subject, tokenizer, suite, order.decoding, put)
    if content.digest != order.digest:
        raise UserError(
            Reason.CONTENT_CHANGED,
            "model, suite or the trainer image's libraries changed since the evaluation was prepared: they have digest "
            f"{content.digest}, expected {order.digest}. Restore the files, or make a new Evaluation or Comparison of "
            "the new ones",
        )
    return _Examination(order, suite, put, subject, tokenizer, content, device)


def _ask(examination: _Examination, partial: PartialPredictions, reporter: Reporter) -> None:
    """All questions that have no prediction yet. A stop ends the work after the batch that is going on."""
    work = _work(examination)
    done = {False: partial.predictions.keys(), True: partial.repeated.keys()}
    waiting = [asked for asked in work if not done[asked.again] >= set(asked.batch.ids)]
    if not waiting:
        return
    reporter.stage("loading the model")
    with loading_fits(examination.device, EVALUATION):
        model = load_subject(examination.subject, examination.precision, examination.device)
    end_tokens = examination.subject.end_tokens(examination.tokenizer)
    examiner = Examiner(model, examination.tokenizer, end_tokens, examination.window)
    reporter.stage("answering")
    with STOP.deferred():
        _work_off(waiting, examiner, partial, reporter, sum(len(asked.batch.ids) for asked in work))


def _work(examination: _Examination) -> list[Asked]:
    """Every question once; where answers depend on what else is in the batch, then some of them again."""
    tasks = _tasks(examination)
    work = [Asked(batch) for task in tasks for batch in batches_of(task)]
    if depends_on_batches(examination.precision, examination.subject.quantization):
        work += [asked for task in tasks for asked in asked_again(task)]
    return work


def _work_off(
    waiting: Sequence[Asked], examiner: Examiner, partial: PartialPredictions, reporter: Reporter, examples: int
) -> None:
    began, work_left = time.monotonic(), sum(asked.batch.work for asked in waiting)
    done, work_done = examples - sum(len(asked.batch.ids) for asked in waiting), 0
    reporter.progress(done, examples)
    for asked in waiting:
        batch = asked.batch
        STOP.raise_if_requested(f"{done} of {examples} answers are kept")
        batch_began = time.monotonic()
        predictions = batch.carry_out(examiner)
        partial.append(predictions, time.monotonic() - batch_began, examiner.attention, again=asked.again)
        done, work_done, work_left = done + len(batch.ids), work_done + batch.work, work_left - batch.work
        seconds_left = (time.monotonic() - began) / work_done * work_left
        reporter.progress(done, examples, eta_seconds=seconds_left)


def _tasks(examination: _Examination) -> list[QuestionTask | ChoiceTask | TextTask]:
    suite, tokenizer, decoding = examination.put, examination.tokenizer, examination.order.decoding
    return [
        encode_asked(suite, task, tokenizer, decoding, examination.context)
        if task.is_scored
        else encode_texts(suite, task, tokenizer)
        for task in suite.suite.tasks
    ]


def _write(examination: _Examination, partial: PartialPredictions) -> EvaluateResult:
    predictions = _in_order(examination.suite, partial)
    order, suite = examination.order, examination.suite.suite
    result = EvaluateResult(
        digest=order.digest,
        score=f"{overall_score(suite, predictions):.4f}",
        tasks=task_scores(suite, predictions),
        seconds=f"{partial.seconds:.1f}",
        noise=noise_floor(partial.predictions, partial.repeated) if partial.repeated else None,
    )
    record = record_of(
        examination.content,
        suite,
        InEffect(examination.device.product, examination.precision, partial.attention),
        examination.window,
        order.model.shots,
    )
    with staged_step(Path(order.directory), Step.EVALUATE) as staged:
        lines = "".join(each.to_line() + "\n" for each in predictions)
        (staged.path / PREDICTIONS_FILE).write_text(lines, encoding="utf-8")
        record.write(staged.path)
        committed = staged.commit(result, order.digest)
    return committed if isinstance(committed, EvaluateResult) else result


def _in_order(suite: LoadedSuite, partial: PartialPredictions) -> list[ScoredPrediction]:
    """By task and example as in the suite, so that the same answers make the same file."""
    predictions = partial.predictions
    return [predictions[example.id] for task in suite.suite.tasks for example in suite.examples[task.name]]
