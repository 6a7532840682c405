"""Options of the command line itself, in groups: input, output, batch, model, general."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from typer import BadParameter, Option

from llmtool.encoding import Errors
from llmtool.engine.types import KVType
from llmtool.errors import UsageError

_input = partial(Option, rich_help_panel="Input")
_output = partial(Option, rich_help_panel="Output")
_batch = partial(Option, rich_help_panel="Batch")
_reply = partial(Option, rich_help_panel="Reply")
_model = partial(Option, rich_help_panel="Model")
_general = partial(Option, rich_help_panel="General")


def _parse_layers(value: str) -> str:
    if value not in ("auto", "all") and not value.isdigit():
        raise BadParameter(f"{value!r} is not auto, all or a number of layers")
    return value


# Options that some commands take without the rest of their group.
Json = Annotated[bool, _output("--json", help="Print the result as JSON.")]
OutputFile = Annotated[
    str | None,
    _output("--output", "-o", metavar="FILE", help="Write to FILE, not to standard output."),
]
DryRemoval = Annotated[
    bool, Option("--dry-run", help="Show what would be removed, and remove nothing.")
]
ModelReference = Annotated[
    str | None,
    _model(
        "--model",
        "-m",
        metavar="REF",
        help="A model: starter, FILE.gguf, org/name[:QUANT] or an alias.",
    ),
]
CtxSize = Annotated[
    int | None,
    _model(
        "--ctx-size",
        min=1,
        metavar="N",
        help="Context size in tokens.",
        show_default="as large as needed",
    ),
]
Threads = Annotated[
    int | None,
    _model("--threads", min=1, max=512, metavar="N", help="Processor threads."),
]
GpuLayers = Annotated[
    Any | None,
    _model(
        "--n-gpu-layers",
        "-ngl",
        parser=_parse_layers,
        metavar="auto|all|N",
        help="Layers to run on the GPU.",
        show_default="auto",
    ),
]
Parallel = Annotated[
    int | None,
    _model("--parallel", min=1, max=64, metavar="N", help="Maximum replies to decode at once."),
]
Offline = Annotated[bool, _model("--offline", help="Do not use the network.")]


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    pass


class GeneralOptions(_Group, frozen=True, kw_only=True):
    """What every command takes."""

    quiet: Annotated[
        bool, _general("--quiet", "-q", help="Print no notes to standard error, only errors.")
    ] = False
    color: Annotated[
        Literal["auto", "always", "never"], _general("--color", help="When to use colours.")
    ] = "auto"
    debug: Annotated[
        bool, _general("--debug", help="Print the log and tracebacks to standard error.")
    ] = False


class ModelOptions(_Group, frozen=True, kw_only=True):
    """Which model to use, and what it may take of the machine."""

    reference: ModelReference = None
    ctx_size: CtxSize = None
    threads: Threads = None
    n_gpu_layers: GpuLayers = None
    parallel: Parallel = None
    kv_type: Annotated[
        KVType, _model("--kv-type", help="Type of the context memory; q8_0 takes half.")
    ] = "f16"
    no_cache: Annotated[
        bool, _model("--no-cache", help="Do not save evaluated prompts, or reuse saved ones.")
    ] = False
    offline: Offline = False


class InputOptions(_Group, frozen=True, kw_only=True):
    """Where the material comes from."""

    files: Annotated[
        list[str],
        _input("--file", "-f", metavar="FILE", help="Read a file (repeatable); - is stdin."),
    ] = []
    no_stdin: Annotated[bool, _input("--no-stdin", help="Do not read standard input.")] = False
    errors: Annotated[Errors, _input("--errors", help="How to read what is not UTF-8.")] = "strict"


class ReportOptions(_Group, frozen=True, kw_only=True):
    """Where a result goes, and in which form."""

    path: OutputFile = None
    json: Json = False
    stats: Annotated[bool, _output("--stats", help="Print timings to standard error.")] = False


class OutputOptions(ReportOptions, frozen=True, kw_only=True):
    """The same for what is made from one prompt, which can be shown instead."""

    dry_run: Annotated[
        bool, _output("--dry-run", help="Print the prompt and its token count; run nothing.")
    ] = False


class StreamOptions(OutputOptions, frozen=True, kw_only=True):
    """The same for a reply that is streamed."""

    no_stream: Annotated[
        bool, _output("--no-stream", help="Print the reply when it is complete.")
    ] = False


class ReplyOutputOptions(StreamOptions, frozen=True, kw_only=True):
    """The same for the reply to a prompt, which may hold code and can be logged."""

    extract: Annotated[
        bool,
        _output("--extract", "-x", help="Print only the reply's code; exit 17 if it has none."),
    ] = False
    log: Annotated[
        bool | None,
        _output("--log/--no-log", help="Save prompt and reply in the session log-YEAR-MONTH."),
    ] = None


class BatchOptions(_Group, frozen=True, kw_only=True):
    """One call for many records."""

    each: Annotated[
        Literal["line", "jsonl", "csv", "file"] | None,
        _batch("--each", help="Run once for each line, JSON line, CSV row or file."),
    ] = None
    field: Annotated[
        str | None, _batch("--field", metavar="NAME", help="The column or key with the text.")
    ] = None
    jsonl: Annotated[bool, _batch("--jsonl", help="Write the rows as JSON lines.")] = False
    resume: Annotated[bool, _batch("--resume", help="Resume the batch saved in -o FILE.")] = False
    overwrite: Annotated[
        bool, _batch("--overwrite", help="Replace the batch saved in -o FILE.")
    ] = False
    limit: Annotated[
        int | None,
        _batch("--limit", min=1, metavar="N", help="Process only the first N records."),
    ] = None

    def check_unused(self) -> None:
        """Check that a call for one record has no option of batches.

        Raises:
            UsageError: it has one.
        """
        for name, value in (
            ("--field", self.field),
            ("--resume", self.resume),
            ("--overwrite", self.overwrite),
            ("--limit", self.limit),
            ("--jsonl", self.jsonl),
        ):
            if value:
                raise UsageError(f"{name} belongs to a batch (--each line, jsonl, csv or file)")


class ConstraintOptions(_Group, frozen=True, kw_only=True):
    """What a reply must be, as it is typed; `constraints.read` reads the files."""

    schema: Annotated[
        str | None,
        _reply(
            "--schema",
            metavar="TEXT|FILE",
            help="Reply with JSON: 'name, age int, tags list' or a JSON Schema.",
        ),
    ] = None
    regex: Annotated[
        str | None,
        _reply("--regex", metavar="TEXT", help="Reply with a match of a regular expression."),
    ] = None
    grammar: Annotated[
        str | None,
        _reply("--grammar", metavar="FILE", help="Reply with text of a GBNF grammar."),
    ] = None

    @property
    def files(self) -> list[str]:
        """The files to read, as far as what is typed names files."""
        return [name for name in (self.schema, self.grammar) if name]
