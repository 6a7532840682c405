"""Read labels and label options from the command line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from llmtool.cli import bootstrap
from llmtool.cli.commands.classify.options import LabelOptions
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.config import Folders
from llmtool.errors import UsageError
from llmtool.prompts.template import Template
from llmtool.sizes import format_count
from llmtool.tasks.classify.labelled_texts import (
    read_labelled_texts,
    read_multi_labelled_texts,
)
from llmtool.tasks.classify.labels import normalize_label
from llmtool.tasks.classify.task import chosen_template
from llmtool.tasks.options import ClassifyOptions
from llmtool.text.separators import COMMA, split_list


def load_template(folders: Folders, options: ClassifyOptions) -> Template:
    """Return the chosen template, or the default."""
    return bootstrap.open_library(folders).load(chosen_template(options))


def read_options(
    console: Console,
    options: ClassifyOptions,
    labels: LabelOptions,
    *,
    text_field: str | None = None,
    label_field: str = "label",
) -> ClassifyOptions:
    """Return options with examples, prior and kind of calibration."""
    if labels.calibrate is not None and options.multi:
        raise UsageError("--calibrate and --multi cannot be combined; calibrate with one label")
    if labels.calibrate is not None and (labels.raw or labels.no_fit):
        other = "--raw" if labels.raw else "--no-fit"
        raise UsageError(f"--calibrate and {other} cannot be combined; use one of them")
    if labels.balanced:
        for name, value in (
            ("--calibrate", labels.calibrate),
            ("--raw", labels.raw),
            ("--no-fit", labels.no_fit),
            ("--prior", labels.prior),
        ):
            if value:
                raise UsageError(f"--balanced and {name} cannot be combined; use one of them")
    examples: Sequence[object] | None = None
    if labels.examples is not None:
        with console.interrupts.interruptible():
            if options.multi:
                examples = read_multi_labelled_texts(labels.examples, text_field=text_field)
            else:
                examples = read_labelled_texts(
                    labels.examples, text_field=text_field, label_field=label_field
                )
    return msgspec.structs.replace(
        options, examples=examples, prior=read_prior(labels.prior), calibrate=_calibrate(labels)
    )


def report_skipped_examples(
    console: Console, options: ClassifyOptions, template: Template, names: dict[str, str] | None
) -> None:
    """Report how many examples of the template have none of the labels given with -l."""
    if names is None or not options.template or options.examples is not None:
        return
    spellings = {normalize_label(name) for name in names}
    n = sum(normalize_label(each.output) not in spellings for each in template.examples)
    if n:
        console.note(
            f"skipped {n} of {format_count(len(template.examples), 'example')} of "
            f"{template.name!r} because -l does not list their labels"
        )


def _calibrate(labels: LabelOptions) -> Literal["auto", "anchors", "balanced", "none"]:
    if labels.balanced:
        return "balanced"
    return "none" if labels.raw else "anchors" if labels.no_fit else "auto"


def read_labels(console: Console, arguments: list[str]) -> dict[str, str] | None:
    """Return label names with descriptions from `a,b`, `name=description` and `@file`.

    Return None without arguments.
    """
    if not arguments:
        return None
    found: list[tuple[str, str]] = []
    for argument in arguments:
        if argument.startswith("@"):
            lines = inputs.read_file(console, argument[1:]).splitlines()
            found += [_label(line) for line in lines if line.strip()]
            continue
        text = inputs.read_argument(argument, name="--label")
        if "=" in text:
            if re.search(rf"{COMMA}\s*[\w-]+\s*=", text):
                raise UsageError(f"--label {text}: use -l once per label with a description")
            found.append(_label(text))
        else:
            found += [(name, "") for name in split_list(text)]
    names = Counter(name for name, _ in found)
    twice = [name for name, n in names.items() if n > 1]
    if twice:
        raise UsageError(f"duplicate label {twice[0]!r}; list each label once")
    return dict(found)


def _label(text: str) -> tuple[str, str]:
    name, _, description = text.partition("=")
    return name.strip(), description.strip()


def read_prior(text: str | None) -> dict[str, float] | None:
    """Return the frequencies of labels from `a=9,b=1`."""
    if text is None:
        return None
    prior = {}
    for part in split_list(inputs.read_argument(text, name="--prior")):
        name, separator, number = part.rpartition("=")
        try:
            prior[name.strip()] = float(number)
        except ValueError:
            separator = ""
        if not separator:
            raise UsageError(f"--prior {part}: must have the form LABEL=NUMBER")
    return prior
