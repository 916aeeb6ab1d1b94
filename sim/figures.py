"""Figures as files: drawn with matplotlib, the same bytes for the same data, readable on paper.

`matplotlib.figure.Figure` is used as such, never `pyplot`: nothing is global and nothing needs a screen.
"""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

INK, PAPER = "#1c1d20", "#ffffff"
"""Text and lines that mean no group, and what is behind them; a dark page puts colours of its own in their place."""

STYLE: Any = {
    "font.size": 9.0,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"), INK
    ),
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.15,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "thinbook",
}
"""`rc_context(STYLE)` is in force while a figure is made and while it is written."""


HALO_POINTS = 2
"""What lies behind a text is kept off its letters by a seam of paper."""
SVG_HALO = (
    f"@supports (paint-order: stroke) "
    f"{{text {{paint-order: stroke; stroke: {PAPER}; stroke-width: {HALO_POINTS}px; stroke-linejoin: round}}}}"
)
"""The same as style of SVG; a program that cannot paint it behind the letters leaves it out."""


def svg_text(figure: Figure) -> str:
    """Return a figure as SVG, paths to 0.01 points, without the date that would make two equal figures differ."""
    text = StringIO()
    with rc_context(STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None})
    haloed = text.getvalue().replace("</style>", f"{SVG_HALO}</style>", 1)
    return re.sub(r' d="([^"]*)"', lambda found: f' d="{_short(found[1])}"', haloed)


def _short(path: str) -> str:
    return re.sub(r"(\.\d\d)\d+", r"\1", " ".join(path.split()))


def save_figure(figure: Figure, stem: Path) -> None:
    """Write a figure as `stem`.svg and `stem`.png."""
    stem.with_suffix(".svg").write_text(svg_text(figure))
    for text in figure.findobj(Text):
        text.set_path_effects([withStroke(linewidth=HALO_POINTS, foreground=PAPER)])
    with rc_context(STYLE):
        figure.savefig(stem.with_suffix(".png"), dpi=150)
