"""The trainer and the artifacts volume, as far as the operator can tell: an order in, an exit code and a result out."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from finetune_api.comparison import Recipe
from finetune_api.conditions import Reason
from finetune_api.exit_codes import ExitCode
from finetune_api.orders import (
    CompareOrder,
    EvaluateOrder,
    ModelLocation,
    Order,
    PrepareEvaluationOrder,
    PrepareTrainingOrder,
    TrainOrder,
    parse_order,
)
from finetune_api.results import EvaluateResult, Failure, Result, TrainResult
from finetune_api.verdicts import Verdict, VerdictReason

from ..outcomes import TRAINED, compared, evaluated, prepared, resolved

RECIPE = Recipe(
    seeds=5,
    delta="+0.2000",
    lower="+0.1000",
    upper="+0.3000",
    spread="0.0200",
    verdict=Verdict.IMPROVED,
    reason=VerdictReason.INTERVAL_ABOVE_ZERO,
)


@dataclass(frozen=True)
class Ending:
    """How a container ends."""

    exit_code: int
    message: str
    reason: str = ""


@dataclass
class Trainer:
    endings: dict[tuple[str, str], list[Ending]] = field(default_factory=dict)
    """What is to become of the pods of an owner's step, one after the other, before they end well. Those of the second
    pod of several are under the step's name and `-1`."""
    volume: dict[tuple[str, str], TrainResult | EvaluateResult] = field(default_factory=dict)
    """Results by folder of the run and step: what survives everything."""
    computed: list[tuple[str, str]] = field(default_factory=list)
    """Folder and step of every computation that took a GPU to its end."""

    def who_ends_it(self, owner: str, step: str) -> int:
        """Rank of the pod that ends first: the first one, unless the second is to fail."""
        return 1 if self.endings.get((owner, f"{step}-1")) else 0

    def work(self, owner: str, step: str, order: str, rank: int) -> Ending:
        waiting = self.endings.get((owner, f"{step}-{rank}" if rank else step), [])
        if waiting:
            return waiting.pop(0)
        if rank:
            return Ending(ExitCode.DONE, "")
        result = self._result(parse_order(order))
        return Ending(ExitCode.DONE, result.model_dump_json(by_alias=True, exclude_none=True))

    def _result(self, order: Order) -> Result:
        match order:
            case PrepareTrainingOrder():
                found = self.volume.get((order.directory, "train"))
                return prepared(found if isinstance(found, TrainResult) else None)
            case TrainOrder():
                trained = trained_in(order.directory)
                self._keep(order.directory, "train", trained)
                return trained
            case PrepareEvaluationOrder():
                scored = self.volume.get((order.directory, "evaluate"))
                digests = [(model.name, content_digest(model)) for model in order.models]
                return resolved(*digests, done=scored if isinstance(scored, EvaluateResult) else None)
            case EvaluateOrder():
                scores = evaluated(order.digest, score_of(order.digest))
                self._keep(order.directory, "evaluate", scores)
                return scores
            case CompareOrder():
                result = compared(order.candidate.name)
                return result.model_copy(update={"recipe": RECIPE}) if order.replicates else result

    def _keep(self, folder: str, step: str, result: TrainResult | EvaluateResult) -> None:
        self.computed.append((folder, step))
        self.volume[folder, step] = result


def trained_in(folder: str) -> TrainResult:
    """Another result for each run, so that none can pass for another's."""
    digest = sha256(folder.encode()).hexdigest()
    figures = {"final_loss": f"0.{int(digest[:4], 16):05}", "energy_kwh": "1.5", "energy_note": None}
    told = {"adapter_digest": f"sha256:{digest}", **figures}
    return TRAINED.model_copy(update={"training": TRAINED.training.model_copy(update=told)})


def score_of(digest: str) -> str:
    return f"0.{int(digest.removeprefix('sha256:')[:4], 16):05}"


def content_digest(model: ModelLocation) -> str:
    """The same for the same model, whoever asks and under whatever name."""
    adapter = model.adapter.path if model.adapter is not None else ""
    content = f"{model.base_model.path}/{adapter}/{model.quantization}"
    return f"sha256:{sha256(content.encode()).hexdigest()}"


def fails(code: ExitCode, reason: Reason) -> Ending:
    failure = Failure(reason=reason, message="It says what to do.")
    return Ending(code, failure.model_dump_json(by_alias=True))


KILLED_FOR_MEMORY = Ending(137, "", "OOMKilled")
