"""A class for the pipelines of Ray Data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmtool.batch.writers import ERROR, rename_fields
from llmtool.errors import LlmtoolError
from llmtool.prompts.template import Template
from llmtool.tasks.keywords import GenerateKeywords
from llmtool.toolbox import Toolbox


class Mapper:
    """Runs a template on a column, for `map_batches` of a Ray dataset.

    Each actor opens a toolbox of its own. The result has the columns of the batch, those of a row
    of a batch of the command, such as `label` and `score`, and `error`, None for a row without one.
    A column of the batch with the name of one of these is renamed, such as `text` to `input_text`.

    Args:
        template: the name or path of a template, or a loaded `Template`.
        column: the column with the texts.
        options: options of `generate`.
        inputs: values for the other inputs of the template.
        model: a model of the nodes, or of a server, as in `Toolbox`.
        toolbox: other arguments of `Toolbox`. Keys of servers are read from the environment of the
            node.

    Raises:
        LlmtoolError: the model or the template cannot be used; an error of a row is in its column.

    Example:
        >>> from llmtool.engine.scripted import ScriptedEngine
        >>> mapper = Mapper("title", column="body", engine=ScriptedEngine("Rain"))
        >>> mapper({"id": [1], "body": ["Rain is expected all week."]})["text"]
        ['Rain']
    """

    def __init__(
        self,
        template: str | Template,
        *,
        column: str = "text",
        options: GenerateKeywords | None = None,
        inputs: Mapping[str, Any] | None = None,
        model: str | None = None,
        **toolbox: Any,
    ) -> None:
        self._template, self._column = template, column
        self._options, self._inputs = options, dict(inputs or {})
        self._box = Toolbox(model, **toolbox)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        texts = ["" if text is None else str(text) for text in batch[self._column]]
        rows: list[dict[str, Any]] = []
        for each in self._box.run_each(
            self._template, texts, options=self._options, **self._inputs
        ):
            if isinstance(each, LlmtoolError):
                rows.append({ERROR: str(each)})
            else:
                rows.append({**each.row(), ERROR: None})
        columns = list(dict.fromkeys(name for row in rows for name in row))
        given = rename_fields(list(batch), frozenset(columns))
        return {
            **{given[name]: list(values) for name, values in batch.items()},
            **{name: [row.get(name) for row in rows] for name in columns},
        }
