"""Read and check --schema, --grammar and --regex, before a model is opened."""

from __future__ import annotations

import os

import msgspec

from llmtool.cli.options.groups import ConstraintOptions
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError
from llmtool.tasks.options import GenerateOptions


def read(
    console: Console, options: GenerateOptions, constraint: ConstraintOptions
) -> GenerateOptions:
    """Return options with the constraint on the reply."""
    typed = {f"--{name}": value for name, value in msgspec.structs.asdict(constraint).items()}
    given = [name for name in ("--schema", "--grammar", "--regex") if typed[name] is not None]
    if not given:
        return options
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} cannot be combined; use one of them")
    if constraint.regex == "":
        raise UsageError("--regex is empty and matches only an empty reply; pass a pattern")
    from llmtool.structured.resolve import from_argument
    from llmtool.tasks.pipeline.output_spec import make_output_spec

    schema: object = None
    grammar = regex = None
    try:
        if constraint.schema is not None:
            text = constraint.schema
            if not os.path.isfile(text):
                text = inputs.read_argument(text, name="--schema")
            schema = from_argument(text)
        if constraint.grammar is not None:
            if "::=" in constraint.grammar and not os.path.exists(constraint.grammar):
                raise UsageError("--grammar takes the name of a file; write the grammar to one")
            grammar = inputs.read_file(console, constraint.grammar)
        if constraint.regex is not None:
            regex = inputs.read_argument(constraint.regex, name="--regex")
        make_output_spec(schema=schema, grammar=grammar, regex=regex)
    except UsageError as exc:
        reason = str(exc)
        if reason.startswith(("regex ", "regex: ", "schema: ")):  # name the option
            raise type(exc)(f"--{reason}") from exc
        if constraint.grammar is None or grammar is None:
            raise
        source = "standard input" if constraint.grammar == "-" else constraint.grammar
        raise type(exc)(source + reason.removeprefix("grammar")) from exc
    return msgspec.structs.replace(options, schema=schema, grammar=grammar, regex=regex)
