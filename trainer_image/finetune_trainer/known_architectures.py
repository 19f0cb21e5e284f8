"""Which model types the installed transformers can train, told without importing it: that takes seconds."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_LIST_FILE = Path("models/auto/modeling_auto.py")
_LIST_NAME = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"


@cache
def causal_model_types() -> frozenset[str]:
    """The `model_type`s of causal language models; empty where transformers is not installed."""
    specification = find_spec("transformers")
    if specification is None or specification.origin is None:
        return frozenset()
    tree = ast.parse((Path(specification.origin).parent / _LIST_FILE).read_text())
    listed = next(node.value for node in tree.body if isinstance(node, ast.Assign) and _is_the_list(node))
    assert isinstance(listed, ast.Call)  # OrderedDict([(model type, class name), ...])
    return frozenset(model_type for model_type, _ in ast.literal_eval(listed.args[0]))


def _is_the_list(assignment: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == _LIST_NAME for target in assignment.targets)
