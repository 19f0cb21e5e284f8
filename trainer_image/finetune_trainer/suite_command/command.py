"""`finetune suite convert|check|import-lm-eval|export-lm-eval`: suites and predictions by hand; needs no torch."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from finetune_trainer.scoring.predictions import PredictionsError, read_predictions
from finetune_trainer.statistics.least_groups import MINIMUM_EFFECTIVE_GROUPS
from finetune_trainer.suite_command import lm_eval, writing
from finetune_trainer.suite_command.published.formats import FORMATS
from finetune_trainer.suites.load import load_suite
from finetune_trainer.suites.model import LoadedSuite, SuiteError, Task
from finetune_trainer.suites.splitting import is_search

DONE, REFUSED = 0, 2
_NAMED = 5


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 2 where something is wrong with the files."""
    options = _parser().parse_args(arguments)
    try:
        print(options.carry_out(options))
    except (SuiteError, PredictionsError) as error:
        return _refused(str(error))
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        return _refused(f"{named}cannot be read or written: {error.strerror or error}")
    return DONE


def _refused(message: str) -> int:
    print(f"finetune suite: {message}", file=sys.stderr)
    return REFUSED


def _convert(options: argparse.Namespace) -> str:
    converted = FORMATS[options.format](options.files)
    writing.write_suite(converted, options.output)
    return "\n".join([_told(load_suite(options.output)), *_left_out(converted.left_out)])


def _left_out(places: Sequence[str]) -> list[str]:
    if not places:
        return []
    return [f"  left out, as they contradict themselves: {len(places)}", *(f"    {place}" for place in places[:_NAMED])]


def _check(options: argparse.Namespace) -> str:
    return _told(load_suite(options.folder))


def _told(loaded: LoadedSuite) -> str:
    suite = loaded.suite
    head = f"suite {suite.name} {suite.version}: {suite.title}; margin {suite.margin:g}, {len(loaded.shots)} shots"
    return "\n".join([head, *(_told_of(loaded, task) for task in suite.tasks)])


def _told_of(loaded: LoadedSuite, task: Task) -> str:
    groups = [example.group for example in loaded.examples[task.name]]
    holdout = [group for group in groups if not is_search(loaded.suite, group)]
    return (
        f"  {task.name} ({task.scorer.kind}): {len(groups)} examples, {len(set(groups))} groups "
        f"({_effective(groups):.1f} effective), {len(holdout)} in holdout, {len(groups) - len(holdout)} in search"
        f"{_lack(_effective(holdout))}"
    )


def _lack(effective: float) -> str:
    if effective >= MINIMUM_EFFECTIVE_GROUPS:
        return ""
    return (
        f"; too few for a verdict: the holdout has {effective:.1f} effective groups, "
        f"{MINIMUM_EFFECTIVE_GROUPS} are needed"
    )


def _effective(groups: Sequence[str]) -> float:
    """As many groups of one size would tell as much: n^2 / sum(n_g^2), 0 without any."""
    return len(groups) ** 2 / max(1, sum(size**2 for size in Counter(groups).values()))


def _import(options: argparse.Namespace) -> str:
    predictions = lm_eval.read_samples(options.samples, options.task, options.group, options.metric)
    writing.write_text(options.output, "".join(each.to_line() + "\n" for each in predictions))
    return f"{options.output}: {len(predictions)} predictions of task {predictions[0].task}"


def _export(options: argparse.Namespace) -> str:
    loaded, predictions = load_suite(options.suite), read_predictions(options.predictions)
    written = lm_eval.write_samples(loaded, predictions, options.output)
    return "\n".join(f"{path}: {count} samples" for path, count in written.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="finetune suite", description="Checks suites, turns other formats into them, and back."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    convert = commands.add_parser("convert", help="turn a published data set into a suite's folder")
    convert.add_argument("--from", dest="format", choices=sorted(FORMATS), required=True)
    convert.add_argument("files", type=Path, nargs="+", metavar="FILE")
    convert.add_argument("--output", type=Path, required=True, metavar="DIR", help="a folder that is not there yet")
    convert.set_defaults(carry_out=_convert)
    check = commands.add_parser("check", help="load a suite and say what it holds, or what is wrong")
    check.add_argument("folder", type=Path, metavar="DIR", help="a folder with suite.yaml and the files that it names")
    check.set_defaults(carry_out=_check)
    taken = commands.add_parser("import-lm-eval", help="turn lm-eval's samples into predictions")
    taken.add_argument("samples", type=Path, metavar="SAMPLES.jsonl")
    taken.add_argument("--task", help="the task's name (default: as in samples_NAME_DATE.jsonl)")
    taken.add_argument("--group", metavar="FIELD", help="field of doc that groups examples (default: each is alone)")
    taken.add_argument("--metric", help="which score counts (default: the first that lies between 0 and 1)")
    taken.add_argument("--output", type=Path, required=True, metavar="FILE")
    taken.set_defaults(carry_out=_import)
    given = commands.add_parser("export-lm-eval", help="write predictions as lm-eval's samples, a file for each task")
    given.add_argument("predictions", type=Path, metavar="PREDICTIONS.jsonl")
    given.add_argument("--suite", type=Path, required=True, metavar="DIR")
    given.add_argument("--output", type=Path, required=True, metavar="DIR")
    given.set_defaults(carry_out=_export)
    return parser
