"""Flags, help texts and value ranges of the task options.

`OPTIONS` maps each options record of `tasks.options` to its flags. A field without an entry here
is available only in Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, get_args

from typer import BadParameter, Option

from llmtool.cli.terminal.inputs import read_argument
from llmtool.engine.types import MAX_LOGPROBS, MAX_SEED, sampling_limits
from llmtool.errors import UsageError
from llmtool.file_kinds import Dialect, Format
from llmtool.option_names import option
from llmtool.tasks import options as t


def _list(names: tuple[str, ...]) -> str:
    *first, last = (name for name in names if name != "auto")
    return f"{', '.join(first)} or {last}"


_FORMATS = f"Document format: {_list(get_args(Format))}."
_DIALECTS = f"Dialect of Markdown: {_list(get_args(Dialect))}."
_reply = partial(Option, rich_help_panel="Reply")
_output = partial(Option, rich_help_panel="Output")
_sampling = partial(Option, rich_help_panel="Sampling")


def _number(name: str, *flags: str, **given: Any) -> Any:
    """Return the flag of a sampling option that is a number, with its range."""
    limits = sampling_limits()[name]
    return _sampling(*flags, min=limits.ge, max=limits.le, **given)


def _parse_seed(value: str | None) -> int | None:
    if value is None:
        return None
    try:
        seed = int(value)
    except ValueError:
        raise BadParameter(f"{value!r}: must be a whole number") from None
    if not 0 <= seed <= MAX_SEED:
        raise BadParameter(f"{value!r}: must be between 0 and {MAX_SEED}")
    return seed


def _read_stop(texts: list[str]) -> tuple[str, ...] | None:
    if "" in texts:
        raise UsageError("--stop '': must not be empty; pass the text to stop before")
    return tuple(read_argument(text, name="--stop") for text in texts) or None


def read_logit_bias(pairs: list[str]) -> dict[str, float]:
    """Return the numbers of `--logit-bias TOKEN=BIAS` by token."""
    found = {}
    for pair in pairs:
        token, _, bias = pair.rpartition("=")
        try:
            found[token] = float(bias)
        except ValueError:
            token = ""
        if not token:
            name = option("logit_bias", pair)
            raise UsageError(f"{name}: must have the form TOKEN=BIAS, such as hello=-5")
    return found


def _read_template(name: str) -> str:
    if re.fullmatch(r"-?\d*\.?\d+", name):
        is_count = name.isdecimal() and int(name)
        meant = "--threads for threads" if is_count else "--temperature for the temperature"
        raise UsageError(f"-t {name}: must be the name of a template; use {meant}")
    return name


def _read_system(text: str) -> str:
    if text.isdecimal():
        raise UsageError(f"-s {text}: must be a system prompt; use --seed for the seed")
    return read_argument(text, name="--system")


def read_params(pairs: list[str]) -> dict[str, str]:
    """Return the values of `-p KEY=VALUE`, all as text."""
    values = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key or any(map(str.isspace, key)):
            raise UsageError(
                f"-p {pair}: must have the form KEY=VALUE; pass a prompt as an argument"
            )
        values[key] = read_argument(value, name=f"-p {key}")
    return values


def _text(name: str) -> Callable[[str], str]:
    return partial(read_argument, name=name)


# The type is that of the command-line argument; a function, if any, converts it to the value.
System = Annotated[
    str | None,
    _reply("--system", "-s", metavar="TEXT", help="System prompt."),
    _read_system,
]
Param = Annotated[
    list[str] | None,
    _reply("--param", "-p", metavar="KEY=VALUE", help="Set a template input (repeatable)."),
    read_params,
]

OPTIONS: dict[type, dict[str, Any]] = {
    t.SamplingOptions: {
        "max_tokens": Annotated[
            int | None,
            _number(
                "max_tokens",
                metavar="N",
                help="Maximum reply tokens.",
                show_default="set by the task",
            ),
        ],
        "think_tokens": Annotated[
            int | None,
            _number(
                "think_tokens",
                "--think-tokens",
                metavar="N",
                help="Maximum reasoning tokens; enables reasoning.",
            ),
        ],
        "temperature": Annotated[
            float | None,
            _number("temperature", metavar="T", help="Sampling temperature; 0 is deterministic."),
        ],
        "seed": Annotated[
            Any | None,
            _sampling(parser=_parse_seed, metavar="N", help=f"Random seed, 0 to {MAX_SEED}."),
        ],
        "stop": Annotated[
            list[str] | None,
            _sampling("--stop", metavar="TEXT", help="Stop before TEXT (repeatable)."),
            _read_stop,
        ],
        "top_p": Annotated[
            float | None,
            _number(
                "top_p",
                "--top-p",
                metavar="P",
                help="Sample from the likeliest tokens up to P in total.",
            ),
        ],
        "top_k": Annotated[
            int | None,
            _number(
                "top_k",
                "--top-k",
                metavar="K",
                help="Sample from the top K tokens; 0 means all.",
            ),
        ],
        "min_p": Annotated[
            float | None,
            _number(
                "min_p",
                "--min-p",
                metavar="P",
                help="Ignore tokens less likely than P times the likeliest.",
            ),
        ],
        "typical_p": Annotated[
            float | None,
            _number(
                "typical_p",
                "--typical-p",
                metavar="P",
                help="Sample from the most typical tokens up to P in total.",
            ),
        ],
        "xtc_probability": Annotated[
            float | None,
            _number(
                "xtc_probability",
                "--xtc-probability",
                metavar="P",
                help="Probability of excluding top choices (XTC).",
            ),
        ],
        "xtc_threshold": Annotated[
            float | None,
            _number(
                "xtc_threshold",
                "--xtc-threshold",
                metavar="P",
                help="Minimum probability of a top choice.",
            ),
        ],
        "repeat_penalty": Annotated[
            float | None,
            _number(
                "repeat_penalty", metavar="R", help="Penalty for repeated tokens; 1 disables it."
            ),
        ],
        "frequency_penalty": Annotated[
            float | None,
            _number("frequency_penalty", metavar="F", help="Penalty for each use of a token."),
        ],
        "presence_penalty": Annotated[
            float | None,
            _number("presence_penalty", metavar="F", help="Penalty for used tokens."),
        ],
        "logit_bias": Annotated[
            list[str] | None,
            _sampling(
                "--logit-bias",
                metavar="TOKEN=BIAS",
                help="Add BIAS to the logit of a token (repeatable).",
            ),
            read_logit_bias,
        ],
    },
    t.PromptOptions: {
        "system": System,
        "template": Annotated[
            str | None,
            _reply("--template", "-t", metavar="NAME|PATH", help="Prompt template."),
            _read_template,
        ],
        "variables": Param,
    },
    t.ReplyOptions: {
        "thinking": Annotated[
            bool | None,
            _reply(
                "--think/--no-think",
                metavar="[=low|medium|high]",
                help="Enable reasoning, shown on stderr.",
            ),
        ],
        "sampling": t.SamplingOptions,
    },
    t.GenerateOptions: {
        "n": Annotated[
            int,
            _reply(
                "--samples", "-n", min=1, max=t.MAX_REPLIES, metavar="N", help="Number of replies."
            ),
        ],
        "prefill": Annotated[
            str,
            _reply(metavar="TEXT", help="Start of the reply, not printed.", show_default=False),
            _text("--prefill"),
        ],
        "retries": Annotated[
            int,
            _reply(
                "--retries",
                min=0,
                max=10,
                metavar="N",
                help="Retry invalid replies up to N times.",
                show_default=False,
            ),
        ],
        "logprobs": Annotated[
            int,
            _output(
                "--logprobs",
                min=0,
                max=MAX_LOGPROBS,
                metavar="N",
                help="Print log-probabilities, with N alternatives.",
                show_default=False,
            ),
        ],
        "echo": Annotated[
            bool,
            _output("--echo", help="With --logprobs, also print those of the prompt's tokens."),
        ],
    },
    t.ClassifyOptions: {
        "multi": Annotated[bool, Option("--multi", help="Allow any number of labels.")],
        "form": Annotated[
            Literal["chat", "completion"] | None,
            _reply("--form", help="Form of the prompt.", show_default="set by the template"),
        ],
    },
    t.TranslateOptions: {
        "source": Annotated[
            str,
            Option("--from", metavar="LANG", help="Source language."),
        ],
        "format": Annotated[
            Literal["auto", Format],
            Option("--format", metavar="NAME", help=_FORMATS),
        ],
        "dialect": Annotated[
            Dialect,
            Option("--dialect", metavar="NAME", help=_DIALECTS),
        ],
        "bilingual": Annotated[
            bool,
            Option("--bilingual", help="Print each segment above its translation (txt, srt, vtt)."),
        ],
        "protect": Annotated[
            list[str] | None,
            Option(
                "--protect",
                metavar="REGEX",
                help="Leave the text that REGEX matches unchanged (repeatable).",
            ),
            tuple,
        ],
        "mark": Annotated[
            Literal["fuzzy", "comment"] | None,
            Option(
                "--mark",
                help="Mark translations: fuzzy (po, xliff, qt) or comment (po).",
                show_default=False,
            ),
        ],
        "context": Annotated[
            bool | None,
            Option(
                "--context/--no-context",
                help="Show the model the text around each segment (default: from 1B).",
                show_default=False,
            ),
        ],
        "strict": Annotated[
            bool,
            Option("--strict", help="Exit 17 without output if a segment is not translated."),
        ],
    },
    t.SummarizeOptions: {
        "length": Annotated[
            str,
            Option(
                metavar="LENGTH",
                help="short, medium, long, '100 words', '2 paragraphs' or '5 bullets'.",
            ),
        ],
        "style": Annotated[
            Literal["paragraph", "bullets", "headline", "tldr"],
            Option("--style", help="Style of the summary."),
        ],
        "focus": Annotated[
            str | None,
            Option(metavar="TEXT", help="Topic to focus on."),
            _text("--focus"),
        ],
        "sections": Annotated[
            bool, Option("--sections", help="Summarize each top-level section separately.")
        ],
        "strategy": Annotated[
            Literal["auto", "extract", "write", "stuff"],
            Option("--strategy", help="How to make the summary."),
        ],
        "chunk_tokens": Annotated[
            int,
            Option(
                "--chunk-tokens", min=64, metavar="N", help="Maximum tokens of text per request."
            ),
        ],
        "cite": Annotated[
            bool, Option("--cite", help="Add the position in the text to each sentence.")
        ],
    },
    t.CodeOptions: {
        "language": Annotated[
            str | None,
            Option("--language", "-l", metavar="LANG", help="Language: python, js, ts, sh, rs, …"),
        ],
        "check": Annotated[bool, Option("--check/--no-check", help="Check the syntax.")],
        "repair": Annotated[
            int,
            Option("--repair", min=0, max=10, metavar="N", help="Maximum repair attempts."),
        ],
        "format": Annotated[
            bool, Option("--tidy/--no-tidy", help="Format the code if a formatter is on PATH.")
        ],
    },
}
