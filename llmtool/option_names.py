"""Name options in messages: by their Python arguments, or in the command by their flags."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType

# Names of our options in other programs and libraries. Ours are those of Python arguments, or else
# of flags. A name may belong to several options, of which a function or command has one.
_OTHER_NAMES = {
    "base_url": "api_base api_base_url api_url endpoint openai_api_base",
    "color": "colors colour colours",
    "continue": "continue_last",
    "count": "last limit tail",
    "debug": "log_file log_level log_verbosity v verbose",
    "delimiter": "sep separator",
    "draft": "draft_model lookup md model_draft spec_type speculative",
    "each": "batch csv jsonl_input lines per_line tsv",
    "field": "column text_column",
    "file": "attach attachment fragment in infile input input_file prompt_file scrape_url url",
    "glob": "exclude include",
    "grammar": "guided_grammar",
    "json": "format format_as format_json json_mode json_output output_format response_format",
    "kv_type": "cache_type_k cache_type_v ctk ctv",
    "labels": "candidate_labels categories choices classes guided_choice",
    "language": "lang",
    "length": "max_words sentences words",
    "logprobs": "n_probs top_logprobs",
    "lora": "adapter adapters lora_adapter lora_path lora_scaled",
    "max_tokens": "max_completion_tokens max_length max_new_tokens max_output_tokens n_predict "
    "n_tokens num_predict predict",
    "min_confidence": "confidence min_score threshold",
    "model": "hf hf_repo hfr mu",
    "n": "best_of n_samples num_return_sequences num_samples",
    "n_ctx": "c context context_length context_size context_window ctx max_context max_seq_len "
    "num_ctx",
    "n_gpu_layers": "gpu gpu_layers gpulayers ngl num_gpu",
    "n_parallel": "concurrency jobs max_parallel np num_parallel workers",
    "n_threads": "num_thread num_threads",
    "no_cache": "no_prompt_cache",
    "no_log": "no_history no_save",
    "no_save": "no_history no_log",
    "offline": "local_only no_network",
    "output": "outfile save_to",
    "overwrite": "force",
    "prefill": "assistant_prefix response_prefix",
    "quiet": "log_disable no_warnings silent",
    "repair": "max_retries retries",
    "repeat_penalty": "rep_penalty repetition_penalty",
    "repetitions": "iterations runs",
    "retries": "max_retries repair",
    "regex": "guided_regex",
    "schema": "format guided_json jf json_schema json_schema_file response_format response_model",
    "scores": "probabilities probs",
    "session": "cid conversation",
    "source": "source_lang source_language src",
    "stats": "show_timings timings usage",
    "stop": "reverse_prompt stop_sequences stop_strings",
    "system": "instructions sys system_prompt",
    "temperature": "temp",
    "template": "pattern preset prompt_template role",
    "think_tokens": "reasoning_budget think_budget thinking_budget",
    "thinking": "effort reasoning reasoning_effort think",
    "timeout": "max_time time_limit",
    "to": "dest dest_lang dest_language destination lang language target target_lang "
    "target_language tgt",
    "top_k": "topk",
    "top_p": "topp",
    "typical_p": "typ_p typical",
    "variables": "options params prompt_args var variable",
}
_NO_VALUE = object()
_MARK = "\0:"
_is_deferred: ContextVar[bool] = ContextVar("_is_deferred", default=False)
_names: ContextVar[Mapping[str, str]] = ContextVar("_names", default=MappingProxyType({}))
Format = Callable[[str, tuple[object, ...]], str]


def option(name: str, value: object = _NO_VALUE) -> str:
    """Return how the user writes an option: `max_tokens=`, or `--max-tokens` in the command.

    Example:
        >>> option("max_tokens"), option("n", 0)
        ('max_tokens=', 'n=0')
    """
    values = () if value is _NO_VALUE else (value,)
    if _is_deferred.get():
        import json

        with suppress(TypeError):  # a value that JSON does not have
            return _MARK + json.dumps([name, *values]) + _MARK
    return _formats[-1](_names.get().get(name, name), values)


@contextmanager
def rename_options(names: Mapping[str, str]) -> Iterator[None]:
    """Let `option` show other names of some options during the block, in this thread or task.

    Example:
        >>> with rename_options({"max_tokens": "max_output_tokens"}):
        ...     option("max_tokens")
        'max_output_tokens='
    """
    token = _names.set(names)
    try:
        yield
    finally:
        _names.reset(token)


@contextmanager
def defer_names() -> Iterator[None]:
    """Let `option` return marks, which `show_names` replaces, for errors that others report."""
    token = _is_deferred.set(True)
    try:
        yield
    finally:
        _is_deferred.reset(token)


def show_names(text: str) -> str:
    """Return a message with the options that `option` marked.

    Example:
        >>> with defer_names():
        ...     text = f"lower {option('max_tokens')}"
        >>> show_names(text)
        'lower max_tokens='
    """
    if _MARK not in text:
        return text
    import json

    parts = text.split(_MARK)
    for i in range(1, len(parts) - 1, 2):
        with suppress(ValueError, TypeError):  # a message that has the mark itself
            parts[i] = option(*json.loads(parts[i]))
    return "".join(parts)


def known_names(typed: str) -> list[str]:
    """Return our names of an option that has the name `typed` in another program.

    Example:
        >>> known_names("num_ctx"), known_names("lang"), known_names("top_p")
        (['n_ctx'], ['language', 'to'], [])
    """
    return [ours for ours, others in _OTHER_NAMES.items() if typed in others.split()]


@contextmanager
def use_format(format: Format) -> Iterator[None]:
    """Name options by `format(name, value)` during the block; `value` is empty or a 1-tuple."""
    _formats.append(format)
    try:
        yield
    finally:
        _formats.remove(format)


def _format_argument(name: str, value: tuple[object, ...]) -> str:
    if name == "variables" and value and isinstance(value[0], dict):  # those of `run`
        pairs = ", ".join(f"{key}={text}" for key, text in value[0].items())
        return f"{pairs} to `run`, or variables={value[0]} to another function"
    return f"{name}={''.join(map(show_value, value))}"


def show_value(value: object) -> str:
    """Return the `repr` of a value in one short line.

    Example:
        >>> show_value(0.5), show_value("a\\nb"), show_value(iter([1]))
        ('0.5', "'a\\\\nb'", '<list_iterator>')
    """
    if type(value).__repr__ is object.__repr__ or isinstance(value, Iterator):
        return f"<{type(value).__name__}>"  # without the address
    return " ".join(_reprs.repr(value).split())


_reprs = reprlib.Repr()
_reprs.maxstring = _reprs.maxother = 60

_formats: list[Format] = [_format_argument]
