"""The options that commands share, each declared once."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from typer import Argument, BadParameter, Option

from llmtool.engine.types import MAX_LOGPROBS, MAX_SEED


class ErrorsMode(Enum):
    strict = "strict"
    replace = "replace"


class ColorMode(Enum):
    auto = "auto"
    always = "always"
    never = "never"


class KVCacheType(Enum):
    f16 = "f16"
    q8_0 = "q8_0"


class EachMode(Enum):
    line = "line"
    jsonl = "jsonl"
    csv = "csv"
    file = "file"


class OverflowMode(Enum):
    error = "error"
    chunk = "chunk"


class FormMode(Enum):
    chat = "chat"
    completion = "completion"


def _seed(value: str | None) -> int | None:
    if value is None:
        return None
    try:
        seed = int(value)
    except ValueError:
        raise BadParameter(f"{value!r} is not a number") from None
    if not 0 <= seed <= MAX_SEED:
        raise BadParameter(f"{seed} is not between 0 and {MAX_SEED}")
    return seed


def _layers(value: str) -> str:
    if value not in ("auto", "all") and not value.isdigit():
        raise BadParameter(f"{value!r} is not auto, all or a number of layers")
    return value


PromptArgument = Annotated[
    str | None, Argument(metavar="[PROMPT]", help="What to do; - reads it from stdin.")
]
ModelOption = Annotated[
    str | None,
    Option("--model", "-m", metavar="REF", help="starter, FILE.gguf, org/name[:QUANT], an alias."),
]
SystemOption = Annotated[
    str | None, Option("--system", "-s", metavar="TEXT", help="The system prompt.")
]
TemplateOption = Annotated[
    str, Option("--template", "-t", metavar="NAME|PATH", help="The prompt template.")
]
FileOption = Annotated[
    list[str] | None,
    Option("--file", "-f", metavar="FILE", help="Material; may be repeated. - is stdin."),
]
OutputOption = Annotated[
    str | None,
    Option("--output", "-o", metavar="FILE", help="Write the result there, not to stdout."),
]
JsonOption = Annotated[bool, Option("--json", help="Print the whole result as JSON.")]
MaxTokensOption = Annotated[
    int | None,
    Option(min=1, metavar="N", help="Tokens of the reply at the most; left out, as the task says."),
]
TemperatureOption = Annotated[
    float | None,
    Option(min=0, max=100, metavar="T", help="Randomness; 0 always takes the likeliest."),
]
TopPOption = Annotated[
    float | None,
    Option(
        "--top-p",
        min=0,
        max=1,
        metavar="P",
        help="Only the likeliest tokens that make up P together.",
    ),
]
TopKOption = Annotated[
    int | None, Option("--top-k", min=0, metavar="K", help="Only the K likeliest tokens; 0 is off.")
]
MinPOption = Annotated[
    float | None,
    Option("--min-p", min=0, max=1, metavar="P", help="Drop tokens rarer than P x the likeliest."),
]
RepeatPenaltyOption = Annotated[
    float | None,
    Option(min=0.01, metavar="R", help="Above 1 discourages repetition, below 1 invites it."),
]
SeedOption = Annotated[
    Any | None,
    Option(parser=_seed, metavar="N", help=f"Makes a run repeatable: 0 to {MAX_SEED}."),
]
StopOption = Annotated[
    list[str] | None,
    Option("--stop", metavar="TEXT", help="End the reply before this text; may be repeated."),
]
SchemaOption = Annotated[
    str | None,
    Option(
        "--schema",
        metavar="TEXT|FILE",
        help="The JSON to reply with: 'name, age int, tags list', or a JSON Schema.",
    ),
]
GrammarOption = Annotated[
    str | None,
    Option("--grammar", metavar="FILE", help="A GBNF grammar that the reply follows."),
]
RegexOption = Annotated[
    str | None,
    Option("--regex", metavar="TEXT", help="A regular expression that the whole reply matches."),
]
LogprobsOption = Annotated[
    int,
    Option(
        "--logprobs",
        min=0,
        max=MAX_LOGPROBS,
        metavar="N",
        help="Tell each token's log-probability, and those of the N likeliest.",
    ),
]
ParallelOption = Annotated[
    int | None,
    Option(
        "--parallel", min=1, max=64, metavar="N", help="Replies written together, at most (32)."
    ),
]
KVTypeOption = Annotated[
    KVCacheType,
    Option("--kv-type", help="How the context is kept in memory; q8_0 takes half."),
]
NoCacheOption = Annotated[
    bool, Option("--no-cache", help="Keep no evaluated prompts on disk, and read none.")
]
CtxSizeOption = Annotated[
    int | None,
    Option("--ctx-size", min=1, metavar="N", help="Context in tokens; sized by need if left out."),
]
ThreadsOption = Annotated[
    int | None,
    Option(
        "--threads",
        min=1,
        max=512,
        metavar="N",
        help="Processor threads; as suits the machine if left out.",
    ),
]
GpuLayersOption = Annotated[
    Any | None,
    Option(
        "--n-gpu-layers",
        "-ngl",
        parser=_layers,
        metavar="auto|all|N",
        help="Layers on the GPU; auto if left out.",
    ),
]
ThinkOption = Annotated[
    bool | None,
    Option("--think/--no-think", help="Let a reasoning model think; its reasoning goes to stderr."),
]
NoStreamOption = Annotated[bool, Option("--no-stream", help="Print the reply when it is complete.")]
StatsOption = Annotated[bool, Option("--stats", help="Say on stderr where the time went.")]
LogOption = Annotated[
    bool | None,
    Option("--log/--no-log", help="Keep prompt and reply in a session, log-YEAR-MONTH."),
]
DryRunOption = Annotated[
    bool, Option("--dry-run", help="Print the rendered prompt and its token count; run nothing.")
]
DryRemovalOption = Annotated[
    bool, Option("--dry-run", help="Say what would be removed, and remove nothing.")
]
ErrorsOption = Annotated[
    ErrorsMode, Option("--errors", help="What to do with input that is not UTF-8.")
]
NoStdinOption = Annotated[bool, Option("--no-stdin", help="Do not look at standard input.")]
OfflineOption = Annotated[bool, Option("--offline", help="Use no network.")]
ColorOption = Annotated[ColorMode, Option("--color", help="When to colour.")]
QuietOption = Annotated[bool, Option("--quiet", "-q", help="No notes on stderr, only errors.")]
DebugOption = Annotated[bool, Option("--debug", help="Log and show tracebacks on stderr.")]
ParamOption = Annotated[
    list[str] | None,
    Option("--param", "-p", metavar="KEY=VALUE", help="A value for the template; may be repeated."),
]
SamplesOption = Annotated[
    int, Option("--samples", "-n", min=1, metavar="N", help="How many replies to write.")
]
PrefillOption = Annotated[str, Option(metavar="TEXT", help="How the reply begins; not printed.")]
ExtractOption = Annotated[
    bool, Option("--extract", "-x", help="Print the code of the reply alone; 17 without any.")
]
EachOption = Annotated[
    EachMode | None,
    Option("--each", help="A batch: one call for each line, JSON line, CSV row or file."),
]
FieldOption = Annotated[
    str | None,
    Option("--field", metavar="NAME", help="The column of a batch that is the text."),
]
ResumeOption = Annotated[
    bool, Option("--resume", help="Go on with the batch whose results -o FILE holds.")
]
OverwriteOption = Annotated[
    bool, Option("--overwrite", help="Replace what -o FILE holds of an earlier batch.")
]
LimitOption = Annotated[
    int | None, Option("--limit", min=1, metavar="N", help="Only the first N records of a batch.")
]
JsonLinesOption = Annotated[bool, Option("--jsonl", help="Write a batch as JSON lines.")]
LabelOption = Annotated[
    list[str] | None,
    Option(
        "--label",
        "-l",
        metavar="A,B|NAME=TEXT|@FILE",
        help="Labels; may be repeated. A file holds one a line.",
    ),
]
LabelTemplateOption = Annotated[
    str | None,
    Option("--template", "-t", metavar="NAME|PATH", help="A template with labels (sentiment, …)."),
]
ExamplesOption = Annotated[
    str | None,
    Option("--examples", metavar="FILE", help="Labelled texts to learn from: .jsonl or .csv."),
]
MultiOption = Annotated[bool, Option("--multi", help="Any number of labels may fit.")]
PriorOption = Annotated[
    str | None,
    Option("--prior", metavar="A=9,B=1", help="How frequent each label is; all alike if left out."),
]
CalibrateOption = Annotated[
    str | None,
    Option(
        "--calibrate", metavar="FILE", help="Fit the scores to labelled texts, and keep the fit."
    ),
]
RawOption = Annotated[
    bool, Option("--raw", help="The model's own scores, its favourites not taken out.")
]
NoFitOption = Annotated[
    bool, Option("--no-fit", help="Leave a fit aside that --calibrate has kept.")
]
BalancedOption = Annotated[
    bool,
    Option(
        "--balanced",
        help="Assume that all labels are about as frequent in this batch, and score by that.",
    ),
]
FormOption = Annotated[
    FormMode | None,
    Option("--form", help="How the model is asked; the template's own if left out."),
]
