"""Worked examples before each question (k-shot), so that a gain that is only format shows.

They come from the suite's own shots, or else from the groups that the suite keeps apart to choose by; never from the
examples that are scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from finetune_trainer.scoring import choices
from finetune_trainer.suites.model import Example, LoadedSuite, Message, SuiteError, Task
from finetune_trainer.suites.selection import select
from finetune_trainer.suites.splitting import is_search

_FIELD = "shots"


def with_shots(asked: LoadedSuite, whole: LoadedSuite, shots: int) -> LoadedSuite:
    """The suite as asked, each scored task's questions after so many worked examples. `whole` holds all examples.

    SuiteError where the suite has fewer, or only such as are scored.
    """
    if shots == 0:
        return asked
    examples = dict(asked.examples)
    for task in asked.suite.scored_tasks:
        worked = _worked(task, asked, whole, shots)
        examples[task.name] = tuple(_after(task, worked, example) for example in examples[task.name])
    return LoadedSuite(asked.suite, examples)


def questions_digest(asked: LoadedSuite) -> str:
    """sha256 of what is put to the model, shots included."""
    hasher = hashlib.sha256()
    for task in asked.suite.tasks:
        for example in asked.examples[task.name]:
            hasher.update(example.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n")
    return f"sha256:{hasher.hexdigest()}"


def _worked(task: Task, asked: LoadedSuite, whole: LoadedSuite, shots: int) -> Sequence[Example]:
    scored = {_body(example) for example in asked.examples[task.name]}
    groups = {example.group for example in asked.examples[task.name]}
    own = [example for example in whole.shots if example.task == task.name]
    repeated = next((example for example in own if _body(example) in scored), None)
    if repeated is not None:
        raise SuiteError(
            f"{_FIELD}: {repeated.id!r} is asked, too; a question with its answer before it proves nothing"
        )
    if own:
        return _enough(task, own[:shots], shots)
    apart = [
        each for each in whole.examples[task.name] if each.group not in groups and is_search(whole.suite, each.group)
    ]
    return _enough(task, select(apart, min(shots, len(apart))) if apart else (), shots)


def _enough(task: Task, found: Sequence[Example], shots: int) -> Sequence[Example]:
    if len(found) < shots:
        raise SuiteError(
            f"{_FIELD}: {shots} worked examples of task {task.name!r} are wanted, but there are {len(found)} that are "
            "not scored; give more in the file that suite.yaml names as shots, or ask for fewer"
        )
    return found


def _after(task: Task, worked: Sequence[Example], example: Example) -> Example:
    if any((each.prompt is None) != (example.prompt is None) for each in worked):
        raise SuiteError(f"{_FIELD}: task {task.name!r} asks by prompt and messages; write its shots as its questions")
    if example.prompt is not None:
        told = "".join(f"{_before_answer(each)}{answer(task, each)}\n\n" for each in worked)
        return example.model_copy(update={"prompt": told + example.prompt})
    messages = example.messages or ()
    head = tuple(each for each in messages if each.role == "system")
    turns = tuple(turn for each in worked for turn in _turns(task, each))
    return example.model_copy(update={"messages": (*head, *turns, *messages[len(head) :])})


def _turns(task: Task, worked: Example) -> tuple[Message, ...]:
    """A conversation with its answer. The system's message is that of the question itself."""
    asked = tuple(each for each in worked.messages or () if each.role != "system")
    return (*asked, Message(role="assistant", content=answer(task, worked)))


def answer(task: Task, worked: Example) -> str:
    """The answer as the model should write it: as the suite says, or else the reference after the task's marker."""
    reference = worked.reference or ""
    if worked.answer is not None:
        return worked.answer
    if worked.choices is not None:
        right = choices.index_of(reference, worked.choices)
        return reference if right is None else worked.choices[right]
    marker = getattr(task.scorer, "marker", None)
    return f"{marker} {reference}" if marker else reference


def _before_answer(worked: Example) -> str:
    prompt = worked.prompt or ""
    return prompt if prompt[-1:].isspace() else prompt + " "


def _body(example: Example) -> tuple[str, ...]:
    return (example.prompt or "", *(message.content for message in example.messages or ()))
