"""The options of `classify` and `classify eval`: labels, and what is done with a result."""

from __future__ import annotations

from typing import Annotated

import msgspec
from typer import Option


class LabelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The labels, and how their scores are fitted, as typed; `labels.read_options` reads them."""

    label: Annotated[
        list[str],
        Option(
            "--label",
            "-l",
            metavar="A,B|NAME=TEXT|@FILE",
            help="Labels (repeatable); @FILE has one on each line.",
        ),
    ] = []
    examples: Annotated[
        str | None,
        Option("--examples", metavar="FILE", help="Labelled texts to learn from (.jsonl, .csv)."),
    ] = None
    prior: Annotated[
        str | None,
        Option(
            "--prior", metavar="A=9,B=1", help="Frequency of each label.", show_default="all equal"
        ),
    ] = None
    calibrate: Annotated[
        str | None,
        Option(
            "--calibrate",
            metavar="FILE",
            help="Fit the scores to labelled texts, and save the fit.",
        ),
    ] = None
    no_fit: Annotated[
        bool, Option("--no-fit", help="Do not use a fit that --calibrate has saved.")
    ] = False
    raw: Annotated[
        bool, Option("--raw", help="Do not correct the scores for the model's bias.")
    ] = False
    balanced: Annotated[
        bool, Option("--balanced", help="Assume that all labels of a batch are equally frequent.")
    ] = False

    @property
    def files(self) -> list[str]:
        """The files to read."""
        lists = [text[1:] for text in self.label if text.startswith("@")]
        return [*filter(None, (self.examples, self.calibrate)), *lists]


class VerdictOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to print of a result, and which results are failures."""

    top: Annotated[
        int | None, Option("--top", min=1, metavar="K", help="Print the K best labels.")
    ] = None
    scores: Annotated[bool, Option("--scores", help="Print scores with the labels.")] = False
    explain: Annotated[bool, Option("--explain", help="Show which sentences decide the label.")] = (
        False
    )
    expect: Annotated[
        list[str],
        Option("--expect", metavar="LABEL", help="Exit 15 if the label is another (repeatable)."),
    ] = []
    fail_on: Annotated[
        list[str],
        Option("--fail-on", metavar="LABEL", help="Exit 15 if this is the label (repeatable)."),
    ] = []
