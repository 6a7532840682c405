"""Option groups that commands share: input, output, batch, model, general."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from typer import BadParameter, Option

from llmtool.cli.options.flags import known_flags
from llmtool.encoding import Errors, check_encoding
from llmtool.engine.types import KVType
from llmtool.errors import UsageError
from llmtool.sizes import parse_duration
from llmtool.tasks.options import SamplingOptions

if TYPE_CHECKING:
    from llmtool.batch.shards import Shard
    from llmtool.cli.terminal.console import Console
    from llmtool.cli.terminal.inputs import Input
    from llmtool.config import Settings

_input = partial(Option, rich_help_panel="Input")
_output = partial(Option, rich_help_panel="Output")
_batch = partial(Option, rich_help_panel="Batch")
_reply = partial(Option, rich_help_panel="Reply")
_model = partial(Option, rich_help_panel="Model")
_general = partial(Option, rich_help_panel="General")


def _parse_layers(value: str) -> str:
    if value not in ("auto", "all") and not value.isdigit():
        raise BadParameter(f"{value!r}: must be auto, all or a number of layers")
    return value


def parse_reference(value: str) -> str:
    if not value.strip():
        raise UsageError(f"-m {value!r}: must be the name of a model")
    return value


def parse_timeout(value: str) -> float:
    try:
        return parse_duration(value)
    except ValueError:
        raise BadParameter(f"{value!r}: must be a time such as 90, 1.5 or 2m") from None


def _parse_shard(value: str) -> Shard:
    from llmtool.batch.shards import Shard

    return Shard.parse(value)


_NOT_OUTPUTS = {  # without a directory
    "ctx-size",
    "json",
    "n-gpu-layers",
    "threads",
    *(name.replace("_", "-") for name in SamplingOptions.__struct_fields__),
}

# Marks a field without an option: `Context.meta` has its value, by the name of the field.
FROM_CALLER = object()
_KEY_VALUE = re.compile(r"[A-Za-z][\w-]*=([^./\\]*|[-+]?\d*\.\d+)")  # no extension, no directory


def _check_output(path: str) -> str:
    """Reject what is an option or a format in other programs: `-o temperature=0`, `-o json`."""
    if not path.strip():
        raise UsageError(f"-o {path!r}: must be the name of a file")
    name = known_flags(path)[0]
    if name in _NOT_OUTPUTS and len(path) > 1:  # the alias -c is also a short file name
        remedy = "" if "=" in path else f", or ./{path} for a file of this name"
        raise UsageError(
            f"-o {path}: -o names the output file; use --{name} for the option{remedy}"
        )
    if _KEY_VALUE.fullmatch(path):
        raise UsageError(
            f"-o {path}: -o names the output file; use ./{path} for a file of this name"
        )
    return path


# Options that some commands use without the rest of their group.
Json = Annotated[bool, _output("--json", help="Print the result as JSON.")]
GitHub = Annotated[bool, _output("--github", help="Print GitHub annotations (for CI).")]
OutputFile = Annotated[
    str | None,
    _output("--output", "-o", metavar="FILE", help="Write to FILE instead of stdout."),
    _check_output,
]
Overwrite = Annotated[bool, _output("--overwrite", help="Replace the file if it exists.")]
NoPager = Annotated[bool, _output("--no-pager", help="Do not open a pager on a terminal.")]
DryRemoval = Annotated[bool, Option("--dry-run", help="Show what would be removed, then exit.")]
ModelReference = Annotated[
    str | None,
    _model(
        "--model",
        "-m",
        parser=parse_reference,
        metavar="REF",
        help=(
            "Model: a name from `models recommend`, org/name[:QUANT], FILE.gguf, an alias, "
            "starter, or ENDPOINT:NAME for a server."
        ),
    ),
]
CtxSize = Annotated[
    int | None,
    _model(
        "--ctx-size",
        min=1,
        metavar="N",
        help="Context size in tokens.",
        show_default="as needed",
    ),
]
Threads = Annotated[
    int | None,
    _model("--threads", min=1, max=512, metavar="N", help="Number of CPU threads."),
]
GpuLayers = Annotated[
    Any | None,
    _model(
        "--n-gpu-layers",
        "-ngl",
        parser=_parse_layers,
        metavar="auto|all|N",
        help="Layers to offload to the GPU.",
        show_default="auto",
    ),
]
ChatTemplate = Annotated[
    str | None,
    _model("--chat-template", metavar="FILE", help="Replace the model's chat template."),
]
TemplateArgs = Annotated[
    list[str] | None,
    _model(
        "--template-arg",
        metavar="KEY=VALUE",
        help="Set a variable of the chat template (repeatable).",
    ),
]
Lora = Annotated[
    list[str] | None,
    _model(
        "--lora",
        metavar="FILE[:SCALE]",
        help="Apply a LoRA adapter, a GGUF file (repeatable).",
    ),
]
Parallel = Annotated[
    int | None,
    _model("--parallel", min=1, max=64, metavar="N", help="Maximum replies decoded in parallel."),
]
DraftChoice = Annotated[
    str | None,
    _model(
        "--draft",
        metavar="auto|off|ngram|FILE",
        help="Draft tokens from the input or a small model, for speed.",
        show_default="auto",
    ),
]
Reproducible = Annotated[
    bool, _model("--reproducible", help="Results do not depend on the batch; slower.")
]
KVCacheType = Annotated[
    KVType, _model("--kv-type", help="KV cache type; q8_0 uses half the memory.")
]
NoCache = Annotated[bool, _model("--no-cache", help="Do not use caches of prompts and replies.")]
Timeout = Annotated[
    Any | None,
    _general(
        "--timeout",
        parser=parse_timeout,
        metavar="SECONDS",
        help="Stop after SECONDS (or 2m, 1h) and exit 19.",
    ),
]
Offline = Annotated[bool, _model("--offline", help="Do not use the network.")]


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    pass


class GeneralOptions(_Group, frozen=True, kw_only=True):
    """Options of every command."""

    quiet: Annotated[bool, _general("--quiet", "-q", help="Print only errors to stderr.")] = False
    color: Annotated[
        Literal["auto", "always", "never"], _general("--color", help="When to use colours.")
    ] = "auto"
    progress: Annotated[
        Literal["auto", "plain", "none"],
        _general("--progress", help="Progress on stderr; plain is a line every 30 s."),
    ] = "auto"
    debug: Annotated[bool, _general("--debug", help="Print logs and tracebacks to stderr.")] = False


class ResourceOptions(_Group, frozen=True, kw_only=True):
    """The resources that a model may use, and how it runs."""

    ctx_size: CtxSize = None
    threads: Threads = None
    n_gpu_layers: GpuLayers = None
    parallel: Parallel = None
    chat_template: ChatTemplate = None
    template_args: TemplateArgs = None
    lora: Lora = None
    reproducible: Reproducible = False
    kv_type: KVCacheType = "f16"
    draft: DraftChoice = None
    no_cache: NoCache = False


class ModelOptions(_Group, frozen=True, kw_only=True):
    """The model, and the resources that it may use."""

    reference: ModelReference = None
    base_url: Annotated[
        str | None,
        _model(
            "--base-url",
            metavar="URL",
            help="Use a model of a server with OpenAI's API; -m is its name.",
        ),
    ] = None
    resources: ResourceOptions = ResourceOptions()
    server: Annotated[
        str | None,
        _model(
            "--server",
            metavar="auto|never|SOCKET",
            help="Use the model of a running `serve --detach`.",
            show_default="auto",
        ),
    ] = None
    offline: Offline = False
    timeout: Timeout = None


class ServedModelOptions(_Group, frozen=True, kw_only=True):
    """The models of a server, and the resources that each may use."""

    model: Annotated[
        list[str],
        _model(
            "--model",
            "-m",
            parser=parse_reference,
            metavar="REF",
            help="Model to serve (repeatable).",
        ),
    ] = []
    resources: ResourceOptions = ResourceOptions()
    offline: Offline = False

    def for_each(self) -> list[ModelOptions]:
        """Return the options of each model; without a reference, of the one of the settings."""
        chosen: list[str | None] = [*self.model] or [None]
        return [
            ModelOptions(reference=each, resources=self.resources, offline=self.offline)
            for each in chosen
        ]


class InputOptions(_Group, frozen=True, kw_only=True):
    """Where the input is read from."""

    files: Annotated[
        list[str],
        _input(
            "--file",
            "-f",
            metavar="FILE|URL|DIR",
            help="Read a file, web page or directory (repeatable); - is stdin.",
        ),
    ] = []
    glob: Annotated[
        list[str],
        _input(
            "--glob",
            metavar="PATTERN",
            help="Files to read in a directory, such as '*.md' (repeatable); !PATTERN excludes.",
        ),
    ] = []
    no_stdin: Annotated[bool, _input("--no-stdin", help="Do not read stdin.")] = False
    encoding: Annotated[
        str | None,
        _input(
            "--encoding",
            parser=check_encoding,
            metavar="NAME",
            help="Encoding of the input.",
            show_default="UTF-8 or detected",
        ),
    ] = None
    errors: Annotated[Errors, _input("--errors", help="How to handle invalid bytes.")] = "strict"

    def resolve(
        self,
        console: Console,
        settings: Settings,
        arguments: Sequence[str] = (),
        *,
        reads_pdf: bool = True,
    ) -> Input:
        """Return the files to read, with those in directories; `arguments` precede those of -f."""
        from llmtool.cli.terminal.inputs import Input
        from llmtool.cli.terminal.sources import expand

        offline = settings.offline
        names = [*arguments, *self.files]
        return Input(
            files=expand(console, names, self.glob, offline=offline, reads_pdf=reads_pdf),
            no_stdin=self.no_stdin,
            encoding=self.encoding,
            errors=self.errors,
            offline=offline,
        )


class ReportOptions(_Group, frozen=True, kw_only=True):
    """Where the result is written, and in which format."""

    path: OutputFile = None
    overwrite: Overwrite = False
    json: Json = False
    stats: Annotated[bool, _output("--stats", help="Print token counts and timings to stderr.")] = (
        False
    )

    def check(self, console: Console, *, reads: Iterable[str] = ()) -> None:
        """Check, before a model runs, that the result can be written to the file.

        Args:
            reads: the files that the command reads.
        """
        from llmtool.cli.terminal.output_file import check, check_json_name

        check(console, self.path, reads=reads, overwrite=self.overwrite)
        if self.json and self.path is not None:
            check_json_name(self.path)


class OutputOptions(ReportOptions, frozen=True, kw_only=True):
    """Output of a command that can print its prompt instead."""

    dry_run: Annotated[
        bool, _output("--dry-run", help="Print the prompt and token count, then exit.")
    ] = False


class StreamOptions(OutputOptions, frozen=True, kw_only=True):
    """Output of a reply that is streamed."""

    no_stream: Annotated[
        bool, _output("--no-stream", help="Print output only when it is complete.")
    ] = False


class ReplyOutputOptions(StreamOptions, frozen=True, kw_only=True):
    """Output of a reply that may contain code, is logged and can be continued."""

    continues: Annotated[
        bool,
        _reply("--continue", "-c", help="Continue the last exchange (see `llmtool logs`)."),
    ] = False

    extract: Annotated[
        bool,
        _output("--extract", "-x", help="Print only the code; exit 17 if none."),
    ] = False
    log: Annotated[
        bool | None,
        _output(
            "--log/--no-log",
            help="Save prompt and reply for -c and `llmtool logs`.",
            show_default="log",
        ),
    ] = None


class BatchOptions(_Group, frozen=True, kw_only=True):
    """Process many records in one call.

    `job` is the batch file that `batch create` writes, or whose results `batch parse` reads.
    """

    each: Annotated[
        Literal["line", "jsonl", "csv", "file"] | None,
        _batch("--each", help="Run once per line, JSON line, row or file."),
    ] = None
    field: Annotated[
        str | None,
        _batch(
            "--field",
            metavar="NAME",
            help="Column name or number, or JSON key, of the text; a.b is nested.",
        ),
    ] = None
    delimiter: Annotated[
        str | None,
        _batch(
            "--delimiter",
            metavar="CHAR",
            help="Column delimiter: ';', ',', '|' or tab.",
            show_default="detected",
        ),
    ] = None
    jsonl: Annotated[bool, _batch("--jsonl", help="Write rows as JSON lines.")] = False
    csv_safe: Annotated[
        bool, _batch("--csv-safe", help="Put ' before text that a spreadsheet runs as a formula.")
    ] = False
    resume: Annotated[bool, _batch("--resume", help="Resume the batch saved in -o FILE.")] = False
    retry_failed: Annotated[
        bool, _batch("--retry-failed", help="Resume, and retry the failed records of -o FILE.")
    ] = False
    limit: Annotated[
        int | None,
        _batch("--limit", min=1, metavar="N", help="Process only the first N records."),
    ] = None

    shard: Annotated[
        Any | None,
        _batch(
            "--shard",
            parser=_parse_shard,
            metavar="K/N",
            help="Process only part K of N of the records; join the parts with `batch merge`.",
        ),
    ] = None

    ray: Annotated[
        str | None,
        _batch(
            "--ray",
            metavar="local|auto|HOST:PORT",
            help="Run the batch on Ray: on this machine, or on a cluster.",
        ),
    ] = None
    ray_workers: Annotated[
        int | None,
        _batch(
            "--ray-workers",
            min=1,
            metavar="N",
            help="Processes of --ray, each with a model.",
            show_default="one per node",
        ),
    ] = None
    job: Annotated[Any | None, FROM_CALLER] = None

    def check_unused(self) -> None:
        """Check that no batch option is set."""
        for name, value in (
            ("--field", self.field),
            ("--delimiter", self.delimiter),
            ("--resume", self.resume),
            ("--retry-failed", self.retry_failed),
            ("--limit", self.limit),
            ("--shard", self.shard),
            ("--ray", self.ray),
            ("--ray-workers", self.ray_workers),
            ("--jsonl", self.jsonl),
            ("--csv-safe", self.csv_safe),
        ):
            if value:
                raise UsageError(f"{name} needs a batch; add --each line, jsonl, csv or file")


class ConstraintOptions(_Group, frozen=True, kw_only=True):
    """Constraints on a reply, as typed; `constraints.read` reads their files."""

    schema: Annotated[
        str | None,
        _reply(
            "--schema",
            metavar="TEXT|FILE",
            help="Constrain the reply to JSON: 'name, age int' or a JSON Schema.",
        ),
    ] = None
    regex: Annotated[
        str | None,
        _reply("--regex", metavar="TEXT", help="Constrain the reply to a regular expression."),
    ] = None
    grammar: Annotated[
        str | None,
        _reply("--grammar", metavar="FILE", help="Constrain the reply to a GBNF grammar."),
    ] = None

    @property
    def files(self) -> list[str]:
        """The arguments that may name files."""
        return [name for name in (self.schema, self.grammar) if name]
