"""What commands print their tables on."""

from __future__ import annotations

import sys

from rich.console import Console

PIPE_WIDTH = 120
"""Columns where there is no terminal: no number of a table is cut off."""


def console() -> Console:
    """Standard output."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
