"""Options of `classify` and `classify eval`: labels, and checks of the result."""

from __future__ import annotations

from typing import Annotated

import msgspec
from typer import Option


class LabelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Labels and calibration, as typed; `labels.read_options` parses them."""

    label: Annotated[
        list[str],
        Option(
            "--label",
            "-l",
            metavar="A,B|NAME=TEXT|@FILE",
            help="Labels (repeatable); @FILE has one per line.",
        ),
    ] = []
    examples: Annotated[
        str | None,
        Option("--examples", metavar="FILE", help="Labelled example texts (.jsonl or .csv)."),
    ] = None
    prior: Annotated[
        str | None,
        Option(
            "--prior",
            metavar="A=9,B=1",
            help="Relative label frequencies.",
            show_default="all equal",
        ),
    ] = None
    calibrate: Annotated[
        str | None,
        Option(
            "--calibrate",
            metavar="FILE",
            help="Fit scores to labelled texts and save the fit.",
        ),
    ] = None
    no_fit: Annotated[bool, Option("--no-fit", help="Ignore the fit saved by --calibrate.")] = False
    raw: Annotated[bool, Option("--raw", help="Do not correct scores for model bias.")] = False
    balanced: Annotated[
        bool, Option("--balanced", help="Assume equally frequent labels in a batch.")
    ] = False

    @property
    def files(self) -> list[str]:
        """The files to read."""
        lists = [text[1:] for text in self.label if text.startswith("@")]
        return [*filter(None, (self.examples, self.calibrate)), *lists]


class VerdictOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to print, and which labels are failures."""

    top: Annotated[
        int | None, Option("--top", min=1, metavar="K", help="Print the K best labels.")
    ] = None
    scores: Annotated[bool, Option("--scores", help="Print scores with the labels.")] = False
    explain: Annotated[
        bool, Option("--explain", help="Show which sentences determine the label.")
    ] = False
    expect: Annotated[
        list[str],
        Option("--expect", metavar="LABEL", help="Exit 15 for any other label (repeatable)."),
    ] = []
    fail_on: Annotated[
        list[str],
        Option("--fail-on", metavar="LABEL", help="Exit 15 for this label (repeatable)."),
    ] = []
