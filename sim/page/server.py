"""The server of the page: on this machine alone unless told otherwise, and it asks nobody for anything."""

from __future__ import annotations

import gc
import ipaddress
import os
import signal
import socket
import sys
import warnings
from pathlib import Path
from types import FrameType

import uvicorn
from solara.server import settings

from sim.model import MarketModel
from sim.page.app import SCENARIO
from sim.scenario import load

HOST = "127.0.0.1"


class Server(uvicorn.Server):
    """A server that ends at once."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End on Ctrl-C: an orderly end would wait for every tab that plays, and there is nothing to save."""
        os._exit(0)


def rehearse(path: Path) -> None:
    """Play the first bar of a scenario: what is wrong with it shows now, and the kernel is compiled."""
    MarketModel(load(path)).step()


def serve(path: Path, *, host: str, port: int, plain: bool) -> None:
    """Show a scenario's page until Ctrl-C."""
    os.environ |= {SCENARIO: str(path), "SOLARA_APP": "sim.page.plain" if plain else "sim.page.app"}
    settings.telemetry.mixpanel_enable = False
    settings.theme.show_banner = False
    # A tab says goodbye when it is closed. One that cannot is not waited for as long as Solara would, 24 hours: its
    # world holds the whole tape of its days.
    settings.kernel.cull_timeout = "2m"
    # Solara would rather have its cookie on https.
    warnings.filterwarnings("ignore", "Cookies with samesite")
    from solara.server.starlette import app

    with socket.create_server((host, port)) as door:
        if not _is_loopback(host):
            print(f"thinbook: {host} lets everybody on the network in, without a password", file=sys.stderr)
        server = Server(uvicorn.Config(app, log_level="error", ws_per_message_deflate=False))
        # It sets this handler itself in a moment, but what is printed holds at once.
        signal.signal(signal.SIGINT, server.handle_exit)
        print(f"http://{host}:{port}  (Ctrl-C ends it)", flush=True)
        # Threads that draw and send wait less for those of the models than Python's 5 ms a turn, and the garbage
        # collector does not stop them all to look through what was imported.
        sys.setswitchinterval(0.001)
        gc.collect()
        gc.freeze()
        server.run([door])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    except OSError:
        return False
