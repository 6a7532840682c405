"""What a classification looks like: a table with bars on a terminal, the label in a pipe."""

from __future__ import annotations

from llmtool.cli import groups as g
from llmtool.cli import output
from llmtool.cli.result_file import open_sink
from llmtool.engine.types import Failed
from llmtool.tasks.labelling import Labelling
from llmtool.tasks.prepare import Case
from llmtool.tasks.results import Classification
from llmtool.toolbox import Toolbox

_BAR_WIDTH = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"


def one(box: Toolbox, labelling: Labelling, case: Case, *, view: g.ShowGroup) -> Classification:
    """Classify one text, print the outcome and return it.

    Raises:
        LlmtoolError: it failed.
    """
    (outcome,) = labelling.outcomes(box.engine, [case])
    if isinstance(outcome, Failed):
        raise outcome.error
    with open_sink(view.output) as sink:
        if view.json:
            output.write_json(outcome.to_dict(), sink)
        elif sink.is_terminal:
            table(outcome)
        else:
            sink.write(outcome.text + "\n")
    return outcome


def table(result: Classification) -> None:
    """Draw labels with their scores as bars, the best first."""
    ranked = sorted(result.scores.items(), key=lambda each: -each[1])
    output.table(
        ["label", "score", ""],
        [(name, f"{score:.2f}", bar(score)) for name, score in ranked],
        right=["score"],
    )
    if result.label is None:
        output.note(f"no label: {result.reason}")


def bar(share: float, width: int = _BAR_WIDTH) -> str:
    """Return a bar in eighths of a character.

    Example:
        >>> bar(0.5, 4)
        '██'
    """
    eighths = round(share * width * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")
