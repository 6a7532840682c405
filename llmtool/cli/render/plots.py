"""Pictures in files, by matplotlib, an optional extra that is imported when one is drawn."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from llmtool.cli.terminal.output_file import refuse_read
from llmtool.errors import OutputError, UsageError

FORMATS = ("svg", "png", "pdf")
# Okabe and Ito's blue and vermilion, which people of every colour vision tell apart.
BLUE, VERMILION, INK, FAINT = "#0072B2", "#D55E00", "#222222", "#666666"
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "svg.fonttype": "none",  # text stays text
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


def check(path: str, *, reads: Iterable[str] = ()) -> None:
    """See that a plot can be written there, before a minute is spent on measuring.

    Raises:
        UsageError: the name ends in no format that is drawn, matplotlib is not installed, or the
            file is one of those that the command reads.
        OutputError: there is no such folder.
    """
    if Path(path).suffix.lower().lstrip(".") not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS[:-1]) + f" or .{FORMATS[-1]}"
        raise UsageError(f"--plot {path}: the name must end in {known}")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib: pip install 'llmtool[plot]'")
    if not Path(path).parent.is_dir():
        raise OutputError(f"{path}: there is no folder {Path(path).parent}")
    refuse_read(path, reads)


def save(
    path: str, paint: Callable[[Any], None], *, size: tuple[float, float], top: float = 0.82
) -> None:
    """Let `paint` draw on a figure of `size` inches, and write it; a title goes above `top`.

    Raises:
        OutputError: the file cannot be written.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(_STYLE):
        layout = ConstrainedLayoutEngine(rect=(0.01, 0.01, 0.98, top))
        figure = Figure(figsize=size, layout=layout)
        FigureCanvasAgg(figure)
        paint(figure)
        picture = io.BytesIO()
        kind = Path(path).suffix.lower().lstrip(".")
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(picture, format=kind, dpi=160, metadata=metadata)
    try:
        Path(path).write_bytes(picture.getvalue())
    except OSError as exc:
        raise OutputError(f"{path}: cannot be written: {exc.strerror}") from exc
