"""`llmtool code`: write code; its subcommands work on existing code."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from llmtool.cli.commands.code import commit, edit, review
from llmtool.cli.commands.code.options import CheckOptions
from llmtool.cli.framework.app_factory import App
from llmtool.cli.framework.default_group import DefaultGroup
from llmtool.cli.options import groups as g
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError
from llmtool.tasks.options import CodeOptions

app = App("Write, explain, review, fix, complete and test code.", cls=DefaultGroup)


@app.add(
    "text",
    epilog="""Examples:

\b
  llmtool code "a function that reverses a list" -l python > reverse.py
  llmtool code "parse this log into JSON" -l js -f sample.log -o parse.js
  llmtool code "slugify a title" -o slug.py --run-tests "pytest test_slug.py"
  llmtool code --each line -l sql --jsonl < requests.txt""",
)
def write(
    console: Console,
    request: Annotated[
        str | None,
        typer.Argument(metavar="[REQUEST]", help="What the code should do; - reads it from stdin."),
    ] = None,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Files to read, like -f."),
    ] = None,
    *,
    options: CodeOptions,
    check: CheckOptions,
    input: g.InputOptions,
    output: g.OutputOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Write, explain, review, fix, complete and test code.

    REQUEST describes the code to write. Only code is printed to standard output. If it has a syntax
    error, the model repairs it; code without errors is formatted. If an error remains, the code is
    still printed and the exit code is 17. The code is executed only by --run-tests.
    """
    from llmtool.cli import batch as batches
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.code import generate
    from llmtool.tasks.code.task import prepare_code
    from llmtool.tasks.pipeline.prepare import bind_inputs
    from llmtool.tasks.pipeline.records import RecordMapping

    inputs.check_files(paths or [])
    folders, settings = bootstrap.start(console, general, model)
    source = input.resolve(console, settings, paths or [])
    if batch.each is not None and check.test_command is not None:
        raise UsageError("--run-tests and --each cannot be combined; use one of them")
    template = bootstrap.open_library(folders).load(options.template)
    options = msgspec.structs.replace(options, template=template)
    options = generate.complete_options(console, options, check, output=output)
    given = frozenset(options.variables)
    reads = bootstrap.input_files(template, *source.files)
    opened = None
    if batch.each is not None:
        opened = batches.open_batch(console, batch, source, output, reads=reads)
        prompt = None if request is None else inputs.read_argument(request)
    else:
        batch.check_unused()
        output.check(console, reads=reads)
        prompt, material = inputs.gather(console, request, source)
        if prompt is None:
            prompt, material = material, None
    context, writer = bootstrap.open_task(
        console,
        folders,
        settings,
        model,
        lambda context: prepare_code(context, options, strict=batch.each is not None),
        output.path,
        backend=None if opened is None else opened.backend,
    )
    if opened is not None:
        is_request = prompt is None and {"prompt", "input"} <= writer.template.inputs.keys()
        mapping, _ = RecordMapping.make(
            writer.template,
            prompt=prompt,
            field=batch.field,
            given=given | {"input"} if is_request else given,
        )
        seed = options.sampling.seed
        batches.run(console, context, writer, mapping, opened, seed=seed)
        return
    case = bind_inputs(writer.template, prompt=prompt, input=material, given=given)
    generate.generate_one(
        console, context, writer, case, options, output=output, strict=check.strict
    )


app.add(
    "explain",
    epilog="""Examples:

\b
  llmtool code explain parser.py:120-160
  llmtool code explain - < query.sql""",
)(review.explain)
app.add(
    "review",
    epilog="""Examples:

\b
  git diff main | llmtool code review
  llmtool code review --staged --fail-on error
  git diff main | llmtool code review --sarif -o review.sarif""",
)(review.review)
app.add(
    "fix",
    epilog="""Examples:

\b
  llmtool code fix app.py | git apply
  python app.py 2>&1 | llmtool code fix app.py --error - --write""",
)(edit.fix)
app.add("complete", epilog="Example: llmtool code complete app.py:12:5 -m org/coder-GGUF")(
    edit.complete
)
app.add("tests", epilog="Example: llmtool code tests slug.py -o test_slug.py")(edit.tests)
app.add(
    "commit",
    epilog="""Examples:

\b
  git commit -m "$(llmtool code commit)"
  llmtool code commit --install-hook --timeout 30""",
)(commit.commit)
