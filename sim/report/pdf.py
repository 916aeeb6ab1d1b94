"""A page as PDF, printed by the browser of the system."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from sim.files import aside

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = ("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
PATIENCE_SECONDS = 120


class PrintError(ValueError):
    """A page that cannot be printed; its text is one line for the user."""


def print_pdf(page: Path) -> Path:
    """Print a page to a PDF beside it.

    Raises
    ------
    PrintError
        If there is no Chromium, or it does not print.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        raise PrintError(f"--pdf needs Chromium or Chrome, which is not here; any browser prints {page}")
    # Chromium refuses to start for root with its sandbox.
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with aside(page.with_suffix(".pdf")) as draft:
        command = [
            browser,
            *QUIET,
            *root,
            "--no-pdf-header-footer",
            f"--print-to-pdf={draft}",
            page.absolute().as_uri(),
        ]
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_SECONDS)
            done = draft.is_file()
        except (subprocess.SubprocessError, OSError):
            done = False
        if not done:
            raise PrintError(f"{browser}: did not print {page}")
    return page.with_suffix(".pdf")
