"""The flag of each option that errors and warnings name."""

from __future__ import annotations

_FLAGS = {  # by the name of the Python argument; others have the same name
    "labels": "-l",
    "language": "-l",
    "model": "-m",
    "n": "-n",
    "n_ctx": "--ctx-size",
    "n_parallel": "--parallel",
    "n_threads": "--threads",
    "output": "-o",
    "source": "--from",
    "template": "-t",
    "template_args": "--template-arg",
    "thinking": "--think",
    "variables": "-p",
}
# Names of our options in other programs, without dashes. A name may belong to several options, of
# which a command has one.
_OTHER_NAMES = {
    "color": "colors colour colours",
    "continue": "continue-last",
    "count": "last limit tail",
    "ctx-size": "c context context-length context-size context-window ctx max-context max-seq-len "
    "n-ctx num-ctx",
    "debug": "v verbose",
    "delimiter": "sep separator",
    "each": "batch csv jsonl-input lines per-line tsv",
    "field": "column text-column",
    "file": "attach attachment fragment in infile input input-file prompt-file scrape-url url",
    "from": "source source-lang source-language src",
    "glob": "exclude include",
    "json": "format format-as format-json json-mode json-output output-format response-format",
    "kv-type": "cache-type-k cache-type-v ctk ctv",
    "label": "candidate-labels categories choices classes",
    "language": "lang",
    "length": "max-words sentences words",
    "logprobs": "n-probs top-logprobs",
    "max-tokens": "max-length max-new-tokens max-output-tokens n-predict num-predict predict",
    "min-confidence": "confidence min-score threshold",
    "model": "hf hf-repo hfr mu",
    "n-gpu-layers": "gpu gpu-layers gpulayers num-gpu",
    "no-cache": "no-prompt-cache",
    "no-log": "no-history no-save",
    "no-save": "no-history no-log",
    "offline": "local-only no-network",
    "output": "outfile save-to",
    "overwrite": "force",
    "parallel": "concurrency jobs max-parallel n-parallel np num-parallel workers",
    "param": "options prompt-args var variable",
    "prefill": "assistant-prefix response-prefix",
    "quiet": "log-disable no-warnings silent",
    "repair": "max-retries retries",
    "repeat-penalty": "rep-penalty repetition-penalty",
    "repetitions": "iterations runs",
    "retries": "max-retries repair",
    "samples": "best-of n-samples num-return-sequences num-samples",
    "schema": "jf json-schema json-schema-file",
    "scores": "probabilities probs",
    "session": "cid conversation",
    "stats": "show-timings timings usage",
    "stop": "reverse-prompt",
    "system": "instructions sys",
    "template": "pattern preset prompt-template role",
    "temperature": "temp",
    "think": "effort reasoning reasoning-effort",
    "think-tokens": "reasoning-budget think-budget thinking-budget",
    "threads": "n-threads num-thread num-threads",
    "timeout": "max-time time-limit",
    "to": "lang language target target-lang target-language tgt",
    "top-k": "topk",
    "top-p": "topp",
}


def format_flag(name: str, value: tuple[object, ...] = ()) -> str:
    """Return how the command's user writes an option.

    Example:
        >>> format_flag("n_ctx"), format_flag("labels", (["good", "bad"],))
        ('--ctx-size', '-l good,bad')
        >>> format_flag("variables", ({"to": "TEXT"},)), format_flag("thinking", (False,))
        ('-p to=TEXT', '--no-think')
    """
    flag = _FLAGS.get(name) or f"--{name.replace('_', '-')}"
    for each in value:
        if isinstance(each, bool):
            return flag if each else flag.replace("--", "--no-")
        if isinstance(each, dict):
            return " ".join(f"{flag} {key}={text}" for key, text in each.items())
        text = ",".join(each) if isinstance(each, list) else str(each)
        return f"{flag} {text or repr(text)}"
    return flag


def known_names(typed: str) -> list[str]:
    """Return our names, without dashes, of an option as other programs name it.

    Example:
        >>> known_names("num_ctx=4096"), known_names("--temp"), known_names("--top-p")
        (['ctx-size'], ['temperature'], ['top-p'])
    """
    name = plain_name(typed)
    return [ours for ours, others in _OTHER_NAMES.items() if name in others.split()] or [name]


def plain_name(typed: str) -> str:
    """Return an option as typed without dashes in front and without its value."""
    name = typed.lstrip("-").partition("=")[0].replace("_", "-")
    return name if len(name) == 1 else name.lower()
