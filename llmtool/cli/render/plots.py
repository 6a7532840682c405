"""Save plots with matplotlib, an optional dependency that is imported on use."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from llmtool.cli.terminal import output_file
from llmtool.cli.terminal.console import Console
from llmtool.errors import OutputError, UsageError, missing_extra

FORMATS = ("svg", "png", "pdf")
# Blue and vermilion from the colour-blind-safe palette of Okabe and Ito.
BLUE, VERMILION, INK, FAINT = "#0072B2", "#D55E00", "#222222", "#666666"
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "svg.fonttype": "none",  # do not convert text to paths
    "svg.hashsalt": "llmtool",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def check(console: Console, path: str, *, reads: Iterable[str] = (), overwrite: bool) -> None:
    """Check that a plot can be written to `path` and is not one of the files that are read.

    Without `overwrite`, a file that has content is an error.
    """
    if Path(path).suffix.lower().lstrip(".") not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS[:-1]) + f" or .{FORMATS[-1]}"
        raise UsageError(f"--plot {path}: the file name must end in {known}")
    if importlib.util.find_spec("matplotlib") is None:
        raise missing_extra("matplotlib, which draws plots,", "plot")
    if not Path(path).parent.is_dir():
        raise OutputError(f"cannot write {path}: folder {Path(path).parent} not found")
    output_file.check(console, path, reads=reads, overwrite=overwrite)


def save(
    console: Console,
    path: str,
    draw: Callable[[Any], None],
    *,
    size: tuple[float, float],
    top: float = 0.82,
) -> None:
    """Write the figure that `draw` fills; its format follows the file extension.

    Args:
        size: width and height in inches.
        top: the fraction of the height that the axes may use; a title goes above.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(_STYLE):
        layout = ConstrainedLayoutEngine(rect=(0.01, 0.01, 0.98, top))
        figure = Figure(figsize=size, layout=layout)
        FigureCanvasAgg(figure)
        draw(figure)
        image = io.BytesIO()
        kind = Path(path).suffix.lower().lstrip(".")
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(image, format=kind, dpi=160, metadata=metadata)
    with output_file.open_sink(console, path) as sink:
        sink.write_bytes(image.getvalue())
