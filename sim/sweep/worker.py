"""What a worker process does before its first run. Imports nothing heavy itself, so that it has its say before that."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import time
from threading import Thread

HEAVY = ("mesa", "sim.records", "sim.sweep.parts")
"""What runs need. Mesa comes first: it asks who imports it, which takes the longer the more modules there are."""
FOLLOW_SECONDS = 0.5
"""So often a worker looks whether its parent is still there."""


def start(parent: int) -> None:
    """Ctrl-C is the parent's business, a worker is told by it; a worker whose parent was killed goes, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_follow, args=(parent,), daemon=True).start()
    _import_once()


def _import_once() -> None:
    """Import what runs need; modules are never garbage, and looking for it among them takes a fifth of the start."""
    gc.disable()
    for module in HEAVY:
        importlib.import_module(module)
    gc.freeze()
    gc.enable()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(FOLLOW_SECONDS)
    os._exit(1)
