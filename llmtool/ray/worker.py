"""What runs on the nodes of Ray: a process that holds a model, and answers cases."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from llmtool.cancellation import Cancellation
from llmtool.config import find_folders
from llmtool.engine.types import Engine, Failed
from llmtool.errors import LlmtoolError, ModelNotFound, UsageError
from llmtool.local_model import LocalModel
from llmtool.model_choice import choose_model
from llmtool.option_names import Format, use_format
from llmtool.ray import cluster
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.records import BatchTask
from llmtool.tasks.results import Result


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker opens the model of a command and prepares its task.

    Args:
        model: the arguments of `choose_model`, except those that a node has itself. Keys are not
            among them: a node reads them from its environment, or from a file.
        prepare: returns the task; Ray sends it to the workers by value.
        format_option: how messages name an option.
        cached: whether the worker uses caches.
    """

    model: Mapping[str, Any]
    prepare: Callable[[TaskContext], BatchTask]
    format_option: Format
    cached: bool = True


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The outcomes of cases in order, and the notes of the model; `error` ends the batch.

    `id` is that of the first case.
    """

    id: int
    outcomes: Sequence[Result | Failed] = ()
    notes: Sequence[str] = ()
    error: LlmtoolError | None = None


class Worker:
    """Answers cases; Ray Data calls it with one group of cases at a time.

    Args:
        recipe: how to open model and task.
        identity: what both are; those of a worker must be the same.
    """

    def __init__(self, recipe: Recipe, identity: bytes) -> None:
        self._recipe, self._identity = recipe, identity
        self._opened: tuple[BatchTask, Engine] | None = None
        self._notes: list[str] = []

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        pickle = cluster.import_ray().cloudpickle
        answers = [self.answer(pickle.loads(cases)) for cases in batch["cases"]]
        return {"answers": [pickle.dumps(each) for each in answers]}

    def answer(self, cases: Sequence[Case]) -> Answer:
        """Return the outcomes of cases; an error is part of the answer, since Ray would wrap it."""
        with use_format(self._recipe.format_option):
            try:
                task, engine = self._opened = self._opened or self._open()
                found = [
                    each
                    for each in task.outcomes(engine, iter(cases))
                    if isinstance(each, (Result, Failed))
                ]
            except LlmtoolError as exc:
                return Answer(id=cases[0].id, error=exc, notes=self._take_notes())
        return Answer(id=cases[0].id, outcomes=found, notes=self._take_notes())

    def _take_notes(self) -> list[str]:
        notes, self._notes = self._notes, []
        return notes

    def _open(self) -> tuple[BatchTask, Engine]:
        node = socket.gethostname()
        options = dict(self._recipe.model)
        file = options.get("file")
        missing = [path for path in (file.parts if file else ()) if not os.path.isfile(path)]
        if missing:
            raise ModelNotFound(f"node {node} has no {missing[0]}; copy the model to each node")
        model = choose_model(
            options.pop("reference"),
            folders=find_folders(os.environ),
            environ=os.environ,
            cancellation=Cancellation(),
            on_warning=self._notes.append,
            **options,
        )
        context = TaskContext(
            model,
            settings=model.settings,
            folders=model.folders,
            cancellation=model.cancellation,
            cached=self._recipe.cached,
        )
        task = self._recipe.prepare(context)
        if identify(context, task) != self._identity:
            what = "model file" if isinstance(model, LocalModel) else "model of the server"
            raise UsageError(
                f"node {node} has another {what}, calibration or adapter than this machine; make "
                "them equal"
            )
        return task, context.engine


def identify(context: TaskContext, task: BatchTask) -> bytes:
    """Return what the results of a task with a model depend on."""
    return b"\0".join([context.model.identity.encode(), task.identity()])
