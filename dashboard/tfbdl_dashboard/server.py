"""The server: bound to this machine, and deaf to requests that name another host."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

ADDRESS = "127.0.0.1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
RUNS_VARIABLE = "TFBDL_RUNS"
SCRIPT = Path(__file__).with_name("app.py")


def make_app() -> streamlit.App:
    """The application; pages and websocket alike refuse a foreign Host header.

    A page of another site whose name is made to point to this machine (DNS rebinding) would
    otherwise read what is shown here.
    """
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS, www_redirect=False)
    return streamlit.App(SCRIPT, middleware=[guard])


def serve(port: int, runs: Path) -> None:
    """Serve until interrupted.

    Args:
        port: Of this machine.
        runs: The folder whose runs are shown; it may be missing yet.
    """
    os.environ[RUNS_VARIABLE] = str(runs.absolute())
    print(f"The dashboard of {runs} is at http://localhost:{port}", flush=True)
    make_app().run(
        config={
            "server.address": ADDRESS,
            "server.port": port,
            "server.headless": True,
            "server.allowedHosts": ALLOWED_HOSTS,
            "server.fileWatcherType": "none",
            "browser.gatherUsageStats": False,
            "client.toolbarMode": "viewer",
        }
    )
