"""Checks dataset and base model, splits, counts tokens, plans: everything that can fail before a GPU is asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from finetune_api.conditions import Reason
from finetune_api.finetunejob import DatasetSummary, Overlong
from finetune_api.group import Step
from finetune_api.orders import Location, PrepareTrainingOrder, SuiteLocation
from finetune_api.quantization import Method
from finetune_api.results import PrepareTrainingResult, TrainResult
from finetune_trainer.answer_endings import refuse_endless
from finetune_trainer.artifacts import find_complete, order_identity, staged_step
from finetune_trainer.base_model import BaseModel, base_model_digest, check_base_model
from finetune_trainer.dataset.counting import CountsByLine, count_examples, total
from finetune_trainer.dataset.identity import dataset_digest
from finetune_trainer.dataset.overlong import refuse_overlong
from finetune_trainer.dataset.problems import refuse_problems
from finetune_trainer.dataset.quality.checking import check_quality, decide, write_reports
from finetune_trainer.dataset.quality.cleaning import examine
from finetune_trainer.dataset.quality.contamination import count_contaminated
from finetune_trainer.dataset.quality.fingerprints import Held, fingerprint_of
from finetune_trainer.dataset.quality.inspection import Inspection
from finetune_trainer.dataset.quality.report import PAGE_FILE
from finetune_trainer.dataset.quality.shingle_index import INDEX_FILE, write_index
from finetune_trainer.dataset.quality.suite_memory import SUITE_FILE, suite_of_run
from finetune_trainer.dataset.reading import NotJsonLinesError, ReadDataset, read_dataset
from finetune_trainer.dataset.shapes import Shape
from finetune_trainer.dataset.splitting import Split, canonical_lines, copies
from finetune_trainer.evaluation.questions import load_questions
from finetune_trainer.failures import UserError
from finetune_trainer.fetching.dataset import fetch_dataset
from finetune_trainer.locations import resolve_file, resolve_folder
from finetune_trainer.planning import Lengths, check_portions, make_plan, resolve_method
from finetune_trainer.planning.attention import check_package
from finetune_trainer.reporting import Reporter
from finetune_trainer.statistics.power import CHANGED, weakest_task_effect
from finetune_trainer.target_modules import check_rank, check_target_modules
from finetune_trainer.tokenization import Tokenizer
from finetune_trainer.training_identity import training_identity

TRAIN_FILE = "train.jsonl"
VALIDATION_FILE = "validation.jsonl"
PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class Prepared:
    """What is written beside the result."""

    parts: Split
    suite: Sequence[Held]
    inspection: Inspection
    figures: dict[str, Any]


def run(order: PrepareTrainingOrder, reporter: Reporter) -> PrepareTrainingResult:
    """Prepares, or finds that this was done; either way says whether the training itself was."""
    directory = Path(order.directory)
    identity = order_identity(order)
    found = find_complete(directory, Step.PREPARE, identity)
    if isinstance(found, PrepareTrainingResult):
        _tell_contaminated(order, directory / Step.PREPARE / INDEX_FILE, reporter)
    else:
        found = _prepare(order, directory, identity, reporter)
    trained = _find_trained(order, found)
    # Told beside what is kept on the volume: another suite makes no other training.
    plan = found.plan.model_copy(update={"minimum_detectable_effect": _tell_detectable(order.suite, reporter)})
    return found.model_copy(update={"trained": trained, "plan": plan})


def _tell_detectable(location: SuiteLocation | None, reporter: Reporter) -> str | None:
    """Which difference the evaluation that follows will detect: a suite that is too small is enlarged before training.
    A suite that cannot be read is found here as well: UserError (SuiteInvalid)."""
    if location is None:
        return None
    suite = load_questions(location)
    effect = weakest_task_effect(suite)
    reporter.note(
        f"spec.evaluation: the suite {suite.suite.name} detects a difference of {100 * effect:.1f} points in its "
        f"weakest task in four cases of five, when {CHANGED:.0%} of the answers change"
    )
    return f"{effect:.4f}"


def _tell_contaminated(order: PrepareTrainingOrder, index: Path, reporter: Reporter) -> None:
    """The suite may have been chosen after the dataset was cleaned: what was learnt by then stays, and is told."""
    if order.suite is None or not index.is_file():
        return
    suite = load_questions(order.suite)
    if count := count_contaminated(index, suite, float(order.quality.near_duplicate_similarity)):
        reporter.note(
            f"spec.evaluation: {count} examples of the suite {suite.suite.name} stand in the training split, which "
            "was prepared before this suite was chosen; annotate the job for a rerun to leave them out"
        )


def _prepare(order: PrepareTrainingOrder, directory: Path, identity: str, reporter: Reporter) -> PrepareTrainingResult:
    resolve_method(order.method, order.quantization)
    check_portions(order.training, order.gpus, order.nodes)
    check_package(order.training.attention)
    model = _checked_model(order)
    tokenizer = Tokenizer.load(model.folder)
    source = fetch_dataset(order, reporter)
    dataset = _read(order.dataset, reporter)
    decided = decide(order, dataset)
    dataset = replace(dataset, examples=decided.examples)
    _check_fits(dataset, tokenizer, model)
    refuse_endless(tokenizer, order.base_model.manifest_field)
    counts = _counted(order, dataset, tokenizer, reporter)
    suite = suite_of_run(directory, order.suite)
    examined = examine(
        dataset.examples,
        order.quality,
        validation_fraction=Decimal(order.validation_fraction),
        seed=order.training.seed,
        suite=suite,
        accepted=decided.accepted,
        kept=decided.kept,
        reporter=reporter,
    )
    inspection = check_quality(order, decided, examined, counts, reporter)
    parts = examined.parts
    lengths = Lengths(tuple(counts[numbered.line].tokens for numbered in parts.train))
    digest = base_model_digest(model, reporter)
    plan = make_plan(_in_the_form_of_before(order), model.config, lengths, digest)
    summary = _summary(parts, counts, dataset_digest(parts, order, decided.digest), inspection)
    result = PrepareTrainingResult(
        dataset=summary, plan=plan, base_model_digest=digest, report_path=f"{Step.PREPARE}/{PAGE_FILE}"
    )
    prepared = Prepared(parts, suite, inspection, _report(dataset, parts, counts) | source)
    return _write(order, identity, result, prepared)


def _in_the_form_of_before(order: PrepareTrainingOrder) -> PrepareTrainingOrder:
    """A run that is prepared again, say for other GPUs, keeps the form of its weights and its precision: those of its
    checkpoints."""
    before = find_complete(Path(order.directory), Step.PREPARE)
    if not isinstance(before, PrepareTrainingResult):
        return order
    plan, training = before.plan, order.training
    kept: dict[str, object] = {}
    if order.method is Method.AUTO and order.quantization is None:
        kept = {"method": plan.method, "quantization": plan.quantization}
    if training.precision is None:
        kept["training"] = training.model_copy(update={"precision": plan.precision})
    return order.model_copy(update=kept)


def _find_trained(order: PrepareTrainingOrder, prepared: PrepareTrainingResult) -> TrainResult | None:
    identity = training_identity(prepared, order.lora, order.training)
    found = find_complete(Path(order.directory), Step.TRAIN, identity)
    return found if isinstance(found, TrainResult) else None


def _checked_model(order: PrepareTrainingOrder) -> BaseModel:
    folder = resolve_folder(order.base_model, Reason.MODEL_INVALID)
    model = check_base_model(folder, order.base_model.manifest_field)
    check_target_modules(order.lora.target_modules, model.shapes)
    check_rank(order.lora.rank, order.lora.target_modules, model.shapes)
    return model


def _read(location: Location, reporter: Reporter) -> ReadDataset:
    path = resolve_file(location, Reason.DATASET_INVALID)
    reporter.stage("reading the dataset")
    size = path.stat().st_size
    try:
        return read_dataset(path, lambda done: reporter.progress(done >> 10, size >> 10))
    except NotJsonLinesError as error:
        raise UserError(Reason.DATASET_INVALID, f"{location.manifest_field}: {error}") from error
    except PermissionError as error:
        message = f"{location.manifest_field}: '{location.path}' may not be read; let every user read it (chmod a+r)"
        raise UserError(Reason.DATASET_INVALID, message) from error


def _check_fits(dataset: ReadDataset, tokenizer: Tokenizer, model: BaseModel) -> None:
    if dataset.shape is Shape.MESSAGES and not tokenizer.has_chat_template:
        raise UserError(
            Reason.MODEL_INVALID,
            "the dataset has the shape messages, but the model has no chat template (chat_template.jinja): take its "
            "instruction-tuned form, or write the dataset as prompt/completion",
        )
    if model.embedded_tokens is not None and tokenizer.largest_token_id >= model.embedded_tokens:
        raise UserError(
            Reason.MODEL_INVALID,
            f"the tokenizer has tokens up to {tokenizer.largest_token_id}, the model only {model.embedded_tokens}: "
            "tokenizer.json belongs to another model",
        )


def _counted(
    order: PrepareTrainingOrder, dataset: ReadDataset, tokenizer: Tokenizer, reporter: Reporter
) -> CountsByLine:
    """Counts of the good lines; ends with UserError when there are bad ones, or none at all."""
    reporter.stage("counting tokens")
    examples = dataset.examples
    counts, problems = count_examples(
        examples,
        tokenizer,
        order.training.sequence_length,
        lambda done: reporter.progress(done, len(examples)),
    )
    refuse_problems(
        (*dataset.problems, *problems),
        lines=len(examples) + len(dataset.problems),
        directory=Path(order.directory),
        manifest_field=order.dataset.manifest_field,
        reporter=reporter,
    )
    if not examples:
        raise UserError(
            Reason.DATASET_INVALID,
            f"{order.dataset.manifest_field}: '{order.dataset.path}' has no examples: "
            "give one JSON object a line, of the shape " + ", ".join(Shape),
        )
    if order.training.overlong is Overlong.REFUSE:
        refuse_overlong(counts, order.training.sequence_length, order.dataset.manifest_field)
    return counts


def _summary(parts: Split, counts: CountsByLine, digest: str, inspection: Inspection) -> DatasetSummary:
    everything = total((*parts.train, *parts.validation), counts)
    learnt_from = total(parts.train, counts)
    return DatasetSummary(
        digest=digest,
        train=len(parts.train),
        validation=len(parts.validation),
        train_tokens=learnt_from.tokens,
        trainable_tokens=learnt_from.trainable,
        longest=everything.longest,
        truncated=everything.truncated,
        quality=inspection.summary(),
    )


def _report(dataset: ReadDataset, parts: Split, counts: CountsByLine) -> dict[str, Any]:
    """What the status has no room for."""
    return {
        "shape": dataset.shape,
        "examples": len(dataset.examples),
        "copies": copies(dataset.examples),
        "train": {"examples": len(parts.train), **asdict(total(parts.train, counts))},
        "validation": {"examples": len(parts.validation), **asdict(total(parts.validation, counts))},
        "truncatedLines": [line for line, count in sorted(counts.items()) if count.truncated],
        "validationLines": [numbered.line for numbered in parts.validation],
    }


def _write(
    order: PrepareTrainingOrder, identity: str, result: PrepareTrainingResult, prepared: Prepared
) -> PrepareTrainingResult:
    parts = prepared.parts
    with staged_step(Path(order.directory), Step.PREPARE) as staged:
        (staged.path / TRAIN_FILE).write_text(canonical_lines(parts.train))
        (staged.path / VALIDATION_FILE).write_text(canonical_lines(parts.validation))
        write_reports(staged.path, prepared.inspection, result.dataset, order.dataset.path, prepared.figures)
        write_index(staged.path / INDEX_FILE, map(fingerprint_of, parts.train))
        write_index(staged.path / SUITE_FILE, (each.fingerprint for each in prepared.suite))
        (staged.path / PLAN_FILE).write_text(json.dumps(result.plan.to_manifest(), indent=2) + "\n")
        staged.commit(result, identity)
    return result
