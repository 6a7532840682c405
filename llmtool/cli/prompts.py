"""`llmtool prompts`: the templates of prompts."""

from __future__ import annotations

import typer

from llmtool.cli import prompts_test

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Test prompt templates.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def prompts() -> None:
    """Test prompt templates."""


prompts_test.register(app)
