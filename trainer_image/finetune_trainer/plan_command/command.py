"""`finetune plan`: reads the manifest and the folders that stand for its volumes, and prints the plan."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.finetunejob import FineTuneJobSpec
from finetune_api.orders import Location
from finetune_api.planning import GpuClass
from finetune_api.sources import ClaimPath, ConfigMapKey, DatasetSource, S3Object
from finetune_trainer.failures import UserError
from finetune_trainer.locations import resolve_file, resolve_folder
from finetune_trainer.model_config import UnusableModelError, read_config
from finetune_trainer.plan_command.errors import InputError
from finetune_trainer.plan_command.experience import read_measured, the_only
from finetune_trainer.plan_command.manifest import read_job
from finetune_trainer.plan_command.quantities import memory_bytes
from finetune_trainer.plan_command.report import Report
from finetune_trainer.planning.attention import check_device
from finetune_trainer.planning.decision import Decision, Situation, decide, dimensions_of
from finetune_trainer.planning.demand import Demand, demand_of
from finetune_trainer.planning.dimensions import ModelDimensions, UnknownTargetError, default_attention
from finetune_trainer.planning.host_memory import check_host_memory
from finetune_trainer.planning.plan import default_precision
from finetune_trainer.planning.profiles import PROFILES, Framework, LossKernel, Profile
from finetune_trainer.planning.steps import rows_without_lengths
from finetune_trainer.planning.throughput import Forecast

if TYPE_CHECKING:
    from finetune_trainer.plan_command.sampling import DatasetEstimate

MODEL_FIELD = "spec.baseModel.persistentVolumeClaim.path"
_MOST_GPUS = 16
_MOST_NODES = 64


@dataclass(frozen=True)
class Options:
    """The command line."""

    file: Path
    models: Path
    datasets: Path | None
    gpu_memory: str | None
    gpu_product: str | None
    gpus: int | None
    measured: Path | None
    base_model_digest: str | None
    like: Framework
    loss_kernel: LossKernel | None
    """Instead of the framework's."""
    output: str

    @property
    def profile(self) -> Profile:
        profile = PROFILES[self.like]
        return profile if self.loss_kernel is None else profile.with_loss(self.loss_kernel)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 2 where manifest, model, dataset or options are wrong, or no form fits the memory."""
    options = read_options(arguments)
    try:
        report = plan(options)
    except (InputError, UserError) as error:
        print(f"finetune plan: {error}", file=sys.stderr)
        for detail in getattr(error, "errors", ())[:5]:
            print(f"- {detail}", file=sys.stderr)
        return ExitCode.USER
    print(report.to_json() if options.output == "json" else report.to_table())
    return ExitCode.DONE


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Of the process, unless some are given. SystemExit where they are none of the command's."""
    return Options(**vars(_parser().parse_args(arguments)))


def plan(options: Options) -> Report:
    """InputError or UserError names the field or option, and the remedy."""
    spec = _with_gpus(read_job(options.file), options.gpus)
    folder = _model_folder(spec, options.models)
    config = _config(folder)
    model = _dimensions(config, spec)
    dataset = _dataset(spec, folder, options.datasets)
    ranks = max(1, spec.resources.gpus) * spec.resources.nodes
    steps = dataset.steps(spec.training, ranks) if dataset else None
    longest = dataset.lengths.longest if dataset and dataset.is_whole else spec.training.sequence_length
    rows = steps.rows_per_step if steps else rows_without_lengths(spec.training, ranks)
    demand = _demand(spec, config, rows, longest, options.profile)
    if options.like is Framework.OWN:
        check_device(demand.attention, demand.precision, has_gpu=demand.gpus > 0)
    situation, product = _situation(spec, options)
    decision = decide(model, demand, situation)
    if options.like is Framework.OWN:
        check_host_memory(model, demand, decision.choice, spec.resources.memory)
    tokens = round(dataset.examples * dataset.mean) * spec.training.epochs if dataset else None
    forecast = _forecast(situation, decision, demand, tokens, options)
    note = situation.guard_note(decision, demand)
    return Report(demand, decision, dataset, steps, forecast, product, note, _detectable(spec), options.like)


def _detectable(spec: FineTuneJobSpec) -> float | None:
    """Of the evaluation that follows; None where there is none, or no folder here stands for its suite."""
    source = spec.evaluation.suite if spec.evaluation else None
    if source is None or source.builtin is None:
        return None
    # Only now: most plans do without a suite.
    from finetune_trainer.statistics.power import weakest_task_effect
    from finetune_trainer.suites.outline import load_outline
    from finetune_trainer.suites.selection import select_each
    from finetune_trainer.suites.splitting import take

    asked = take(load_outline(source.builtin), source.split)
    return weakest_task_effect(select_each(asked, source.limit_per_task))


def _with_gpus(spec: FineTuneJobSpec, gpus: int | None) -> FineTuneJobSpec:
    if gpus is None:
        return spec
    if not 0 <= gpus <= _MOST_GPUS:
        raise InputError(f"--gpus: {gpus} is not a number from 0 to {_MOST_GPUS}")
    return spec.model_copy(update={"resources": spec.resources.model_copy(update={"gpus": gpus})})


def _model_folder(spec: FineTuneJobSpec, models: Path) -> Path:
    claim = spec.base_model.persistent_volume_claim
    assert claim is not None  # a rule of the manifest
    location = Location(volume=_existing(models, "--models"), path=claim.path, manifest_field=MODEL_FIELD)
    return resolve_folder(location, Reason.MODEL_INVALID)


def _existing(folder: Path, option: str) -> str:
    if not folder.is_dir():
        raise InputError(f"{option}: {folder} is not a folder: name the one that stands for the volume")
    return str(folder.absolute())


def _dimensions(config: Mapping[str, Any], spec: FineTuneJobSpec) -> ModelDimensions:
    model = dimensions_of(config, MODEL_FIELD)
    try:
        targets = model.targets(spec.lora.target_modules)
    except UnknownTargetError as error:
        raise InputError(str(error)) from error
    too_small = next((each for each in targets if spec.lora.rank > min(each.inputs, each.outputs)), None)
    if too_small is not None:
        raise InputError(
            f"spec.lora.rank: {spec.lora.rank} is larger than the layer {too_small.name} of {too_small.outputs} x "
            f"{too_small.inputs}: set at most {min(too_small.inputs, too_small.outputs)}"
        )
    return model


def _config(folder: Path) -> Mapping[str, Any]:
    try:
        return read_config(folder)
    except UnusableModelError as error:
        raise InputError(f"{MODEL_FIELD}: {error}") from error


def _dataset(spec: FineTuneJobSpec, model: Path, datasets: Path | None) -> DatasetEstimate | None:
    if datasets is None:
        return None
    # Only now: counting tokens needs a library whose import takes longer than all of the plan.
    from finetune_trainer.plan_command.sampling import estimate_dataset

    path, field = _dataset_path(spec.dataset)
    location = Location(volume=_existing(datasets, "--datasets"), path=path, manifest_field=f"spec.dataset.{field}")
    return estimate_dataset(spec, model, resolve_file(location, Reason.DATASET_INVALID), location.manifest_field)


def _demand(spec: FineTuneJobSpec, config: Mapping[str, Any], rows: int, longest: int, profile: Profile) -> Demand:
    demand = demand_of(
        spec.lora,
        spec.training,
        method=spec.method,
        quantization=spec.quantization,
        precision=default_precision(spec.resources.gpus),
        attention=profile.attention or default_attention(config),
        gpus=spec.resources.gpus,
        nodes=spec.resources.nodes,
        rows_per_step=rows,
        longest=longest,
    )
    return replace(demand, profile=profile)


def _dataset_path(source: DatasetSource) -> tuple[str, str]:
    """Path in the folder that stands for the source, and the field that gives it."""
    match source:
        case DatasetSource(persistent_volume_claim=ClaimPath(path=path)):
            return path, "persistentVolumeClaim.path"
        case DatasetSource(s3=S3Object(key=key)):
            return key, "s3.key"
        case DatasetSource(config_map=ConfigMapKey(key=key)):
            return key, "configMap.key"
    raise AssertionError("a rule of the manifest demands a source")


def _situation(spec: FineTuneJobSpec, options: Options) -> tuple[Situation, str | None]:
    measured = read_measured(options.measured)
    digest = the_only({each.base_model_digest for each in measured}, "--base-model-digest", options.base_model_digest)
    products = {each.gpu_product for each in measured if each.base_model_digest == digest and each.gpu_product}
    product = the_only(products, "--gpu-product", options.gpu_product) if spec.resources.gpus else None
    gpus: tuple[GpuClass, ...] = ()
    if options.gpu_memory is not None:
        mebibytes = memory_bytes(options.gpu_memory, "--gpu-memory") // 2**20
        name = product or f"a GPU of {options.gpu_memory}"
        gpus = (GpuClass(product=name, memory_mib=mebibytes, gpus_per_node=_MOST_GPUS, nodes=_MOST_NODES),)
    return Situation(gpus, measured, digest, spec.guard), product


def _forecast(
    situation: Situation, decision: Decision, demand: Demand, tokens: int | None, options: Options
) -> Forecast:
    if options.measured is None:
        return Forecast(None, None, "no figures of finished trainings were given: they come from --measured")
    if tokens is None:
        return Forecast(None, None, "without --datasets it is not known how many tokens there are")
    return situation.forecast(decision, demand, tokens)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="finetune plan",
        description="Says what a FineTuneJob needs and how it would be cut up, from its manifest and the model's "
        "config.json: no cluster, no GPU, no weights.",
        epilog="exit codes: 0 planned, 2 the manifest, a folder or an option is wrong, or no form fits the memory. "
        "example: finetune plan -f job.yaml --models /mnt/models --datasets /mnt/datasets --gpu-memory 24Gi",
    )
    add = parser.add_argument
    add("-f", "--file", type=Path, required=True, help="the manifest; other kinds may stand beside the FineTuneJob")
    add("--models", type=Path, required=True, metavar="DIR", help="stands for the volume of spec.baseModel")
    add(
        "--datasets",
        type=Path,
        metavar="DIR",
        help="stands for the volume, the ConfigMap or the bucket, of spec.dataset: steps "
        "and hours follow from a sample of 2000 examples",
    )
    add("--gpu-memory", metavar="AMOUNT", help="memory of one GPU, such as 24Gi; without it nothing is ruled out")
    add("--gpus", type=int, metavar="N", help="GPUs on a node, instead of spec.resources.gpus")
    add("--measured", type=Path, metavar="FILE", help="JSON list of what finished trainings took, for hours and kWh")
    add("--gpu-product", metavar="NAME", help="which GPU's figures to take from --measured, where it has several")
    add("--base-model-digest", metavar="DIGEST", help="which model's figures to take, where it has several")
    add(
        "--like",
        type=Framework,
        choices=tuple(Framework),
        default=Framework.OWN,
        help="whose training is planned, to compare with a peak that it published (default: own, this trainer's)",
    )
    add(
        "--loss-kernel",
        type=LossKernel,
        choices=tuple(LossKernel),
        help="how the loss is taken, where it is not as --like usually does it",
    )
    add("-o", "--output", choices=("table", "json"), default="table", help="form of the answer (default: table)")
    return parser
