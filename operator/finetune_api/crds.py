"""The CustomResourceDefinitions, written from the models: `python3 -m finetune_api.crds FOLDER... [--check]`."""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from finetune_api.comparison import Comparison
from finetune_api.evaluation import Evaluation
from finetune_api.fields import rule
from finetune_api.finetunedmodel import FineTunedModel
from finetune_api.finetunejob import FineTuneJob
from finetune_api.group import CATEGORY, GROUP, NAMES, VERSION, Kind
from finetune_api.schema import Schema, structural_schema

MODELS: dict[Kind, type[BaseModel]] = {
    Kind.FINE_TUNE_JOB: FineTuneJob,
    Kind.EVALUATION: Evaluation,
    Kind.COMPARISON: Comparison,
    Kind.FINE_TUNED_MODEL: FineTunedModel,
}

HEADER = "# Written by `make crds` from operator/finetune_api. Do not edit.\n"


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path, **({"priority": 1} if wide else {})}


AGE = _column("Age", ".metadata.creationTimestamp", "date")
PHASE = _column("Phase", ".status.phase")
PROGRESS = _column("Progress", ".status.progress.percentage", "integer")
ETA = _column("ETA", ".status.progress.eta")
SUMMARY = [
    _column("Base", ".status.summary.base"),
    _column("Tuned", ".status.summary.tuned"),
    _column("Delta", ".status.summary.delta"),
    _column("Verdict", ".status.summary.verdict"),
]
COMPLETE = [
    _column("Reason", ".status.conditions[?(@.type=='Complete')].reason", wide=True),
    _column("Message", ".status.conditions[?(@.type=='Complete')].message", wide=True),
]

COLUMNS: dict[Kind, list[dict[str, Any]]] = {
    Kind.FINE_TUNE_JOB: [
        PHASE,
        PROGRESS,
        ETA,
        *SUMMARY,
        AGE,
        _column("Model", ".status.fineTunedModel", wide=True),
        *COMPLETE,
    ],
    Kind.EVALUATION: [PHASE, PROGRESS, ETA, _column("Score", ".status.score"), AGE, *COMPLETE],
    Kind.COMPARISON: [PHASE, *SUMMARY, AGE, *COMPLETE],
    Kind.FINE_TUNED_MODEL: [
        _column("Stage", ".status.stage"),
        _column("Job", ".spec.fineTuneJob.name"),
        _column("Base", ".status.scores[0].base"),
        _column("Tuned", ".status.scores[0].tuned"),
        _column("Verdict", ".status.scores[0].verdict"),
        AGE,
        _column("Adapter", ".spec.adapter.persistentVolumeClaim.path", wide=True),
    ],
}

NAME_LIMIT = 200


_NOT_A_TEXT_TO_EVERY_READER = re.compile(r"[yYnN]|[-+.]?[0-9].*")
"""PyYAML takes `n` and `2e-4` for texts and writes them without quotes; kubectl reads a truth value and a number."""


class _PlainDumper(yaml.SafeDumper):
    """Writes a repeated rule out again: kubectl reads anchors, people do not."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = "'" if _NOT_A_TEXT_TO_EVERY_READER.fullmatch(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_PlainDumper.add_representer(str, _PlainDumper.represent_text)


def _schema(kind: Kind) -> Schema:
    schema = structural_schema(MODELS[kind])
    schema["properties"] = {
        "apiVersion": {"type": "string", "maxLength": 253, "description": "Version of this schema."},
        "kind": {"type": "string", "maxLength": 63, "description": "Kind of this object."},
        "metadata": {"type": "object"},
        **schema["properties"],
    }
    schema["x-kubernetes-validations"] = [
        rule(
            f"self.metadata.name.size() <= {NAME_LIMIT}",
            f"metadata.name must have at most {NAME_LIMIT} characters: choose a shorter one",
        )
    ]
    return schema


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind, as YAML would say it."""
    names = NAMES[kind]
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": COLUMNS[kind],
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": _schema(kind)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.value,
                "listKind": f"{kind.value}List",
                "plural": names.plural,
                "singular": names.singular,
                "shortNames": [names.short],
                "categories": [CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def rendered() -> dict[str, str]:
    """File name and text of every CustomResourceDefinition."""
    return {
        f"{GROUP}_{NAMES[kind].plural}.yaml": HEADER
        + yaml.dump(definition(kind), Dumper=_PlainDumper, sort_keys=False, width=120)
        for kind in Kind
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="finetune_api.crds", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file differs")
    given = parser.parse_args(arguments)
    files = {folder / name: text for folder in given.folders for name, text in rendered().items()}
    stale = {path: text for path, text in files.items() if not _is(path, text)}
    if given.check:
        for path in stale:
            print(f"{path} differs from the models: run `make crds`", file=sys.stderr)
        return 1 if stale else 0
    for path, text in stale.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(f"wrote {path}")
    return 0


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
