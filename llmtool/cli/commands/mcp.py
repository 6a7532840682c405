"""`llmtool mcp`: serve functions to an assistant, over standard input and output."""

from __future__ import annotations

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.errors import missing_extra

app = App()


@app.add(
    "mcp",
    epilog="""Examples:

\b
  llmtool mcp -m org/name:Q4_K_M
  {"mcpServers": {"llmtool": {"command": "llmtool", "args": ["mcp"]}}}""",
)
def mcp(
    console: Console,
    *,
    served: g.ServedModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Serve functions as tools of the Model Context Protocol, on stdin and stdout.

    Templates and the tasks gen, classify, sum and translate are tools; templates are also prompts.
    """
    try:
        from llmtool.server.mcp import run_stdio
    except ModuleNotFoundError as exc:
        raise missing_extra("MCP", "mcp") from exc
    import logging

    from llmtool.cli import bootstrap
    from llmtool.cli.serving import Notes, open_boxes
    from llmtool.server.functions.catalogue import list_functions

    folders, settings = bootstrap.start(console, general, served.for_each()[0])
    logging.getLogger("llmtool.server").addHandler(Notes(console))
    boxes = open_boxes(console, folders, settings, served)
    run_stdio(boxes, list_functions(bootstrap.open_library(folders)))
