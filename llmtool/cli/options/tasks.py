"""How the options of the tasks look on the command line: flags, help and ranges of their values.

`OPTIONS` has them by the record of `tasks.options` that they belong to. An option without a line
here is for Python alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from typer import BadParameter, Option

from llmtool.cli.terminal.inputs import read_argument
from llmtool.engine.types import MAX_LOGPROBS, MAX_SEED
from llmtool.errors import UsageError
from llmtool.tasks import options as t

_reply = partial(Option, rich_help_panel="Reply")
_output = partial(Option, rich_help_panel="Output")
_sampling = partial(Option, rich_help_panel="Sampling")


def _parse_seed(value: str | None) -> int | None:
    if value is None:
        return None
    try:
        seed = int(value)
    except ValueError:
        raise BadParameter(f"{value!r} is not a number") from None
    if not 0 <= seed <= MAX_SEED:
        raise BadParameter(f"{seed} is not between 0 and {MAX_SEED}")
    return seed


def _read_stop(texts: list[str]) -> tuple[str, ...] | None:
    return tuple(read_argument(text, name="--stop") for text in texts) or None


def read_params(pairs: list[str]) -> dict[str, str]:
    """Return the values of `-p KEY=VALUE`; each is text, whatever it looks like.

    Raises:
        UsageError: a pair has no `=`.
        InputError: a value is not UTF-8.
    """
    values = {}
    for pair in pairs:
        key, mark, value = pair.partition("=")
        if not mark or not key:
            raise UsageError(f"-p {pair}: write it as KEY=VALUE")
        values[key] = read_argument(value, name=f"-p {key}")
    return values


def _text(name: str) -> Callable[[str], str]:
    return partial(read_argument, name=name)


# An option's type is that of its argument. A function beside it makes its value of the argument.
System = Annotated[
    str | None,
    _reply("--system", "-s", metavar="TEXT", help="System prompt."),
    _text("--system"),
]
Param = Annotated[
    list[str] | None,
    _reply("--param", "-p", metavar="KEY=VALUE", help="A value for the template (repeatable)."),
    read_params,
]

OPTIONS: dict[type, dict[str, Any]] = {
    t.SamplingOptions: {
        "max_tokens": Annotated[
            int | None,
            _sampling(
                min=1, metavar="N", help="Maximum reply tokens.", show_default="set by the task"
            ),
        ],
        "temperature": Annotated[
            float | None,
            _sampling(min=0, max=100, metavar="T", help="Randomness; 0 is deterministic."),
        ],
        "seed": Annotated[
            Any | None,
            _sampling(
                parser=_parse_seed, metavar="N", help=f"Make the run repeatable; 0 to {MAX_SEED}."
            ),
        ],
        "stop": Annotated[
            list[str] | None,
            _sampling("--stop", metavar="TEXT", help="End the reply before TEXT (repeatable)."),
            _read_stop,
        ],
        "top_p": Annotated[
            float | None,
            _sampling(
                "--top-p",
                min=0,
                max=1,
                metavar="P",
                help="Sample from the most likely tokens that add up to P.",
            ),
        ],
        "top_k": Annotated[
            int | None,
            _sampling(
                "--top-k",
                min=0,
                metavar="K",
                help="Sample from the K most likely tokens; 0 is all.",
            ),
        ],
        "min_p": Annotated[
            float | None,
            _sampling(
                "--min-p",
                min=0,
                max=1,
                metavar="P",
                help="Drop tokens less likely than P times the best.",
            ),
        ],
        "repeat_penalty": Annotated[
            float | None,
            _sampling(min=0.01, metavar="R", help="Penalty for repeated tokens; 1 is none."),
        ],
    },
    t.PromptOptions: {
        "system": System,
        "template": Annotated[
            str | None,
            _reply("--template", "-t", metavar="NAME|PATH", help="Prompt template."),
        ],
        "variables": Param,
    },
    t.ReplyOptions: {
        "thinking": Annotated[
            bool | None,
            _reply("--think/--no-think", help="Let a model reason first; shown on stderr."),
        ],
        "sampling": t.SamplingOptions,
    },
    t.GenerateOptions: {
        "n": Annotated[
            int, _reply("--samples", "-n", min=1, metavar="N", help="Number of replies.")
        ],
        "prefill": Annotated[
            str,
            _reply(metavar="TEXT", help="Start of the reply; not printed.", show_default=False),
            _text("--prefill"),
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
    },
    t.ClassifyOptions: {
        "multi": Annotated[bool, Option("--multi", help="Accept any number of labels.")],
        "form": Annotated[
            Literal["chat", "completion"] | None,
            _reply("--form", help="How to ask the model.", show_default="the template's"),
        ],
    },
    t.TranslateOptions: {
        "source": Annotated[
            str,
            Option("--from", metavar="LANG", help="Source language."),
        ],
        "format": Annotated[
            Literal["auto", "txt", "md", "html", "srt", "vtt", "po", "json"],
            Option("--format", help="Format of the text."),
        ],
        "bilingual": Annotated[
            bool,
            Option("--bilingual", help="Print each passage above its translation (txt, srt, vtt)."),
        ],
        "strict": Annotated[
            bool,
            Option("--strict", help="Print nothing and exit 17 if a passage is not translated."),
        ],
    },
    t.SummarizeOptions: {
        "length": Annotated[
            str,
            Option(metavar="LENGTH", help="short, medium, long, '100 words', '3 sentences', 5."),
        ],
        "style": Annotated[
            Literal["paragraph", "bullets", "headline", "tldr"],
            Option("--style", help="Form of the summary."),
        ],
        "focus": Annotated[
            str | None,
            Option(metavar="TEXT", help="Topic to concentrate on."),
            _text("--focus"),
        ],
        "sections": Annotated[
            bool, Option("--sections", help="Summarize each top-level section on its own.")
        ],
        "strategy": Annotated[
            Literal["auto", "stuff", "map-reduce", "refine"],
            Option("--strategy", help="Read the text whole, in parts, or part after part."),
        ],
        "chunk_tokens": Annotated[
            int, Option("--chunk-tokens", min=64, metavar="N", help="Maximum tokens of a part.")
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
            Option("--repair", min=0, max=10, metavar="N", help="Maximum rounds of repair."),
        ],
        "format": Annotated[
            bool, Option("--tidy/--no-tidy", help="Format the code with a formatter on PATH.")
        ],
    },
}
