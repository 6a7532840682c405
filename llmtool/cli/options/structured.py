"""The options that say what a reply must be, read and checked before a model is looked for."""

from __future__ import annotations

from typing import Any

from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError


def read(
    console: Console, schema: str | None, grammar: str | None, regex: str | None
) -> dict[str, Any]:
    """Return the options of `generate` for `--schema`, `--grammar` and `--regex`.

    Raises:
        UsageError: more than one is given, or it is broken.
        InputError: a file cannot be read.
    """
    if schema is None and grammar is None and regex is None:
        return {}
    named = (("--schema", schema), ("--grammar", grammar), ("--regex", regex))
    given = [name for name, value in named if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other: give one of them")
    if regex == "":
        raise UsageError("--regex is empty, and only an empty reply would match it")
    from llmtool.structured.resolve import from_argument
    from llmtool.tasks.pipeline.contract import make_contract

    options: dict[str, Any] = {}
    if schema is not None:
        options["schema"] = from_argument(inputs.read_argument(schema, name="--schema"))
    if grammar is not None:
        options["grammar"] = inputs.read_file(console, grammar)
    if regex is not None:
        options["regex"] = inputs.read_argument(regex, name="--regex")
    try:
        make_contract(
            schema=options.get("schema"), grammar=options.get("grammar"), regex=options.get("regex")
        )
    except UsageError as exc:
        if grammar is None:
            raise
        raise UsageError(f"{'standard input' if grammar == '-' else grammar}: {exc}") from exc
    return options
