"""Write a summary and its statistics."""

from __future__ import annotations

from collections.abc import Iterator

from llmtool.cli.terminal.console import Console, Sink
from llmtool.cli.terminal.progress import WorkProgress
from llmtool.sizes import format_cost, format_count
from llmtool.tasks.results import Summary
from llmtool.tasks.summarize.workflow import SummaryProgress, SummaryText

_LOW_SHARE = 0.5  # of the text of a page; a note also reports it on stderr


def write(
    console: Console,
    sink: Sink,
    events: Iterator[SummaryText | SummaryProgress | Summary],
    *,
    name: str | None,
    share: float,
    as_json: bool,
    is_live: bool,
) -> Summary:
    """Write a summary and return it; if `is_live`, write it as it is generated.

    `share` is the share of the document's text that was read, as a web page has boilerplate.
    """
    progress = WorkProgress("words read", name=name)
    is_live = is_live and not as_json
    result: Summary | None = None
    with console.live_status(progress):
        for event in events:
            if isinstance(event, SummaryProgress):
                progress.update(event.n_done, event.n_words)
            elif isinstance(event, Summary):
                result = event
            elif is_live:
                sink.write_words(event.text)
    assert result is not None
    if as_json:
        file = {} if name is None else {"file": name}
        fields = result.to_dict()
        if share < _LOW_SHARE:
            fields["warnings"] = [*fields["warnings"], f"used only {share:.0%} of the text"]
        sink.write_json({**file, **fields, "share": round(share, 3)})
        return result
    if not is_live:
        sink.write_words(result.text)
    sink.end_line()
    return result


def statistics(console: Console, result: Summary) -> None:
    """Print how a summary was made, and its token counts, to stderr."""
    n_quoted = sum(each.kind == "quoted" for each in result.sentences)
    work = f"{result.strategy}: {format_count(len(result.sentences), 'sentence')}"
    work += f", {n_quoted} of them quoted" if result.strategy != "extract" else ""
    if result.n_rejected:
        work += f", {result.n_rejected} rejected"
    if result.n_cached:
        work += f" ({result.n_cached} cached replies)"
    usage, rate = result.usage, result.usage.completion_tokens / max(result.seconds, 1e-9)
    if result.model:
        work += (
            f"; {usage.prompt_tokens} prompt tokens ({usage.cached_tokens} cached), "
            f"{usage.completion_tokens} generated, {rate:.0f} tok/s"
        )
    console.note(f"{work}; {result.seconds:.1f} s{format_cost(usage.cost)}")
