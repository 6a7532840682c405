"""Options that go together, declared once; `grouped` gives a command several such groups."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from llmtool.cli.options import types as o


class EngineGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Which model, and what it may take of the machine."""

    model: o.ModelOption = None
    ctx_size: o.CtxSizeOption = None
    threads: o.ThreadsOption = None
    n_gpu_layers: o.GpuLayersOption = None
    parallel: o.ParallelOption = None
    kv_type: o.KVTypeOption = o.KVCacheType.f16
    no_cache: o.NoCacheOption = False
    offline: o.OfflineOption = False


class SamplingGroup(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are chosen."""

    max_tokens: o.MaxTokensOption = None
    temperature: o.TemperatureOption = None
    top_p: o.TopPOption = None
    top_k: o.TopKOption = None
    min_p: o.MinPOption = None
    repeat_penalty: o.RepeatPenaltyOption = None
    seed: o.SeedOption = None
    stop: o.StopOption = None

    def options(self) -> dict[str, Any]:
        """Return them as the library takes them.

        Raises:
            InputError: a stop string is not UTF-8.
        """
        from llmtool.cli.terminal import inputs

        stop = tuple(inputs.read_argument(text, name="--stop") for text in self.stop or ())
        return {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "repeat_penalty": self.repeat_penalty,
            "seed": self.seed,
            "stop": stop or None,
        }


class ReplyGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What a reply must be, and what is told of it."""

    samples: o.SamplesOption = 1
    schema: o.SchemaOption = None
    grammar: o.GrammarOption = None
    regex: o.RegexOption = None
    logprobs: o.LogprobsOption = 0
    prefill: o.PrefillOption = ""
    extract: o.ExtractOption = False
    think: o.ThinkOption = None
    log: o.LogOption = None

    @property
    def reads(self) -> list[str]:
        """The files that are read for it, where there are such files."""
        return [name for name in (self.schema, self.grammar) if name]


class BatchGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One call for many records."""

    each: o.EachOption = None
    field: o.FieldOption = None
    resume: o.ResumeOption = False
    overwrite: o.OverwriteOption = False
    limit: o.LimitOption = None
    jsonl: o.JsonLinesOption = False


class SourceGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Where the material comes from."""

    file: o.FileOption = None
    no_stdin: o.NoStdinOption = False
    errors: o.ErrorsOption = o.ErrorsMode.strict

    def reading(self, paths: list[str]) -> SourceGroup:
        """Return the same with other files."""
        return msgspec.structs.replace(self, file=paths or None)


class PrintGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Where the result goes, and in which form."""

    output: o.OutputOption = None
    json: o.JsonOption = False
    stats: o.StatsOption = False
    dry_run: o.DryRunOption = False


class ShowGroup(PrintGroup, frozen=True, kw_only=True):
    """The same for a reply, which is streamed."""

    no_stream: o.NoStreamOption = False


class LabelsGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The labels, and how they are asked for."""

    label: o.LabelOption = None
    template: o.LabelTemplateOption = None
    param: o.ParamOption = None
    system: o.SystemOption = None
    examples: o.ExamplesOption = None
    multi: o.MultiOption = False
    prior: o.PriorOption = None
    calibrate: o.CalibrateOption = None
    raw: o.RawOption = False
    no_fit: o.NoFitOption = False
    balanced: o.BalancedOption = False
    form: o.FormOption = None

    @property
    def reads(self) -> list[str]:
        """The files that are read for it, where there are such files."""
        lists = [text[1:] for text in self.label or () if text.startswith("@")]
        return [*filter(None, (self.examples, self.calibrate)), *lists]


class CommonGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What every command has."""

    color: o.ColorOption = o.ColorMode.auto
    quiet: o.QuietOption = False
    debug: o.DebugOption = False


def grouped(function: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has the options of a function's groups, each as its own parameter."""
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    # Not get_type_hints: for a default of None, Python 3.10's hides the option's declaration.
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        kind = parameter.annotation
        if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
            parameters.append(parameter)
            continue
        groups[name] = kind
        parameters += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=field.type,
            )
            for field in msgspec.structs.fields(kind)
        ]

    @functools.wraps(function)
    def command(**values: Any) -> None:
        given = {
            name: kind(**{field: values.pop(field) for field in kind.__struct_fields__})
            for name, kind in groups.items()
        }
        function(**values, **given)

    del command.__wrapped__  # typer would read its signature
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    )
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command
