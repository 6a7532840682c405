"""Print a classification: a table with bars on a terminal, the label in a pipe."""

from __future__ import annotations

from llmtool.cli.options import groups as g
from llmtool.cli.render import tables
from llmtool.cli.terminal.console import Console, Sink
from llmtool.cli.terminal.output_file import open_sink
from llmtool.sizes import format_cost, format_count
from llmtool.tasks.classify.explain import SentenceWeight
from llmtool.tasks.results import Classification

_BAR_WIDTH = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"


def classification(
    console: Console,
    result: Classification,
    *,
    output: g.OutputOptions,
    top: int | None = None,
    scores: bool = False,
    weights: tuple[SentenceWeight, ...] = (),
) -> None:
    """Print the classification of one text, and the weights of its sentences, if any."""
    with open_sink(console, output.path) as sink:
        if output.json:
            _write_json(sink, result, weights)
        elif sink.is_terminal:
            table(console, result, top=top)
            if weights:
                console.stdout.write("\n")
                sentences(console, weights)
        else:
            sink.write("".join(_lines(result, top=top, scores=scores)))
            for each in weights:
                sink.write(f"{each.weight:+.2f}\t{' '.join(each.text.split())}\n")
    for warning in result.warnings:
        console.note(warning)
    if result.near_tie and not output.json:
        console.note(_describe_tie(result))
    if result.recipe is not None and (weights or output.stats) and not output.json:
        n = format_count(result.recipe.n_examples, "example")
        console.note(
            f"recipe: {result.recipe.name} ({result.recipe.accuracy:.0%} of {n} labelled correctly)"
        )
    if output.stats:
        if result.scoring == "top-k":
            console.note(
                f"scoring: top-k, by the most likely tokens; labels cover {result.coverage:.2f}"
            )
        statistics(console, result)


def _describe_tie(result: Classification) -> str:
    if result.labels is not None:
        return "near tie: a score is close to the threshold"
    (first, best), (second, other) = ranked(result)[:2]
    return f"near tie: {first!r} {best:.2f}, {second!r} {other:.2f}"


def _write_json(sink: Sink, result: Classification, weights: tuple[SentenceWeight, ...]) -> None:
    import msgspec

    document = result.to_dict()
    if weights:
        document["explanation"] = msgspec.to_builtins(weights)
    sink.write_json(document)


def _lines(result: Classification, *, top: int | None, scores: bool) -> list[str]:
    """Return the lines for a pipe: the label, or the best labels, with tab-separated scores.

    Without a label, nothing is printed.
    """
    if not scores and top is None:
        return [result.text + "\n"] if result.text else []
    shown = ranked(result)[:top] if top is not None else ranked(result)
    return [f"{name}\t{score:.4f}\n" if scores else f"{name}\n" for name, score in shown]


def ranked(result: Classification) -> list[tuple[str, float]]:
    """Return labels and scores, highest score first; ties keep the order of the labels."""
    return sorted(result.scores.items(), key=lambda each: -each[1])


def table(console: Console, result: Classification, *, top: int | None = None) -> None:
    """Print labels with their scores as bars, highest score first."""
    fitting = result.text.splitlines() if result.labels is not None else []
    tables.table(
        console,
        ["label", "score", ""],
        [
            (name, f"{score:.2f}", bar(score) + (" fits" if name in fitting else ""))
            for name, score in ranked(result)[:top]
        ],
        right=["score"],
    )


def sentences(console: Console, weights: tuple[SentenceWeight, ...]) -> None:
    """Print the weight of each sentence: positive supports the label, negative opposes it."""
    largest = max(max(abs(each.weight) for each in weights), 1e-9)
    tables.table(
        console,
        ["weight", "", "sentence"],
        [
            (
                f"{each.weight:+.2f}",
                ("+" if each.weight > 0 else "-") * round(abs(each.weight) / largest * 8),
                " ".join(each.text.split()),
            )
            for each in weights
        ],
        right=["weight"],
    )


def statistics(console: Console, result: Classification) -> None:
    """Print time and tokens to stderr."""
    usage = result.usage
    console.note(
        f"{result.seconds:.3f} s, {usage.prompt_tokens} prompt tokens "
        f"({usage.cached_tokens} cached){format_cost(usage.cost)}"
    )


def bar(share: float, width: int = _BAR_WIDTH) -> str:
    """Return a bar of block characters, precise to an eighth of a character.

    Example:
        >>> bar(0.5, 4)
        '██'
    """
    eighths = round(share * width * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")
