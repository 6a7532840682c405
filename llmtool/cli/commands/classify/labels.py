"""Read labels and their options from a command line."""

from __future__ import annotations

import re
from collections import Counter
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
from llmtool.tasks.classify.labelled_texts import read_labelled_texts
from llmtool.tasks.classify.labels import normalize_label
from llmtool.tasks.classify.task import DEFAULT, MULTI
from llmtool.tasks.options import ClassifyOptions


def load_template(folders: Folders, options: ClassifyOptions) -> Template:
    """Return the template that was chosen, or the default one."""
    default = MULTI if options.multi else DEFAULT
    return bootstrap.open_library(folders).load(options.template or default)


def read_options(
    options: ClassifyOptions,
    labels: LabelOptions,
    *,
    text_field: str | None = None,
    label_field: str = "label",
) -> ClassifyOptions:
    """Return options with the examples, the prior and the kind of calibration.

    Raises:
        UsageError, InputError: an option or a file is wrong.
    """
    if labels.calibrate is not None and options.multi:
        raise UsageError("--calibrate is for one label a text, and not for --multi")
    if labels.calibrate is not None and (labels.raw or labels.no_fit):
        raise UsageError("--calibrate and --raw or --no-fit contradict each other")
    if labels.balanced:
        for name, value in (
            ("--calibrate", labels.calibrate),
            ("--raw", labels.raw),
            ("--no-fit", labels.no_fit),
            ("--prior", labels.prior),
            ("--multi", options.multi),
        ):
            if value:
                raise UsageError(f"--balanced and {name} contradict each other")
    examples = None
    if labels.examples is not None:
        examples = read_labelled_texts(
            labels.examples, text_field=text_field, label_field=label_field
        )
    return msgspec.structs.replace(
        options, examples=examples, prior=read_prior(labels.prior), calibrate=_calibrate(labels)
    )


def report_skipped_examples(
    console: Console, options: ClassifyOptions, template: Template, names: dict[str, str] | None
) -> None:
    """Note how many examples of the chosen template have labels that -l replaces."""
    if names is None or not options.template or options.examples is not None:
        return
    spellings = {normalize_label(name) for name in names}
    n = sum(normalize_label(each.output) not in spellings for each in template.examples)
    if n:
        console.note(
            f"{n} of the {format_count(len(template.examples), 'example')} of {template.name!r} "
            "are of labels that -l replaces: left out"
        )


def _calibrate(labels: LabelOptions) -> Literal["auto", "anchors", "balanced", "none"]:
    if labels.balanced:
        return "balanced"
    return "none" if labels.raw else "anchors" if labels.no_fit else "auto"


def read_labels(console: Console, arguments: list[str]) -> dict[str, str] | None:
    """Return names with descriptions from `a,b`, `name=description` and `@file`; None from nothing.

    Raises:
        UsageError: a name is there twice or empty.
        InputError: a file cannot be read.
    """
    if not arguments:
        return None
    found: list[tuple[str, str]] = []
    for argument in arguments:
        text = inputs.read_argument(argument, name="--label")
        if text.startswith("@"):
            lines = inputs.read_file(console, text[1:]).splitlines()
            found += [_label(line) for line in lines if line.strip()]
        elif "=" in text:
            if re.search(r",\s*[\w-]+\s*=", text):
                raise UsageError(f"--label {text}: a label with a description needs its own -l")
            found.append(_label(text))
        else:
            found += [(name.strip(), "") for name in text.split(",")]
    names = Counter(name for name, _ in found)
    twice = [name for name, n in names.items() if n > 1]
    if twice:
        raise UsageError(f"the label {twice[0]!r} is there twice")
    return dict(found)


def _label(text: str) -> tuple[str, str]:
    name, _, description = text.partition("=")
    return name.strip(), description.strip()


def read_prior(text: str | None) -> dict[str, float] | None:
    """Return shares from `a=9,b=1`.

    Raises:
        UsageError: it is not of that form.
    """
    if text is None:
        return None
    prior = {}
    for part in inputs.read_argument(text, name="--prior").split(","):
        name, mark, number = part.rpartition("=")
        try:
            prior[name.strip()] = float(number)
        except ValueError:
            mark = ""
        if not mark:
            raise UsageError(f"--prior {part}: write it as LABEL=NUMBER")
    return prior
