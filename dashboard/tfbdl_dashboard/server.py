"""The server: bound to this machine unless another address is asked for, and a token with it."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import streamlit
from starlette.middleware import Middleware

from tfbdl.errors import OptionsError
from tfbdl_dashboard import uploads
from tfbdl_dashboard.guard import Guard
from tfbdl_dashboard.jobs import TOKEN_VARIABLE
from tfbdl_dashboard.state import RUNS_VARIABLE

ADDRESS = "127.0.0.1"
ALLOWED_HOSTS = ("127.0.0.1", "localhost")
SCRIPT = Path(__file__).with_name("script") / "dashboard.py"
MAX_UPLOAD = 50
"""Megabytes."""
PRIMARY = {"light": "#2B7DB0", "dark": "#3A8FC7"}
"""Theme -> the colour of buttons and chosen things, readable on its ground and under white."""
SHORTEST_TOKEN = 16
"""Characters."""


def make_app(hosts: Sequence[str] = ALLOWED_HOSTS, token: str | None = None) -> streamlit.App:
    """The application behind its guard.

    Args:
        hosts: Names that a request may give as its host.
        token: What a visitor must know; None: nothing.
    """
    guard = Middleware(Guard, hosts=tuple(hosts), token=token)
    return streamlit.App(SCRIPT, middleware=[guard], on_script_error=_on_error)


def serve(
    port: int,
    runs: Path,
    *,
    address: str = ADDRESS,
    hosts: Sequence[str] = (),
    token_file: Path | None = None,
) -> None:
    """Serve until interrupted.

    Args:
        port: Of this machine.
        runs: The folder whose runs are shown; it may be missing yet.
        address: To listen on. Beyond this machine it needs a token.
        hosts: Further names that a request may give as its host; the name of another machine
            needs a token too.
        token_file: The file that holds the token; None: the variable TFBDL_DASHBOARD_TOKEN.

    Raises:
        OptionsError: If the address, the port, the token or the hosts will not do.
    """
    beyond = not is_loopback(address)
    strangers = beyond or not all(map(_is_own_name, hosts))
    wanted = strangers or token_file is not None or bool(os.environ.get(TOKEN_VARIABLE))
    token = read_token(token_file) if wanted else None
    allowed = allowed_hosts(address, hosts)
    check_port(address, port)
    uploads.tidy(runs)
    os.environ[RUNS_VARIABLE] = str(runs.absolute())
    os.environ.pop(TOKEN_VARIABLE, None)
    own = "localhost" if address in ALLOWED_HOSTS else address
    shown = next(iter(hosts), address) if beyond else own
    print(f"The dashboard of {runs} is at http://{_in_address(shown)}:{port}", flush=True)
    if token is not None:
        print("Visitors need ?token=... once.", flush=True)
    if strangers:
        print("The way there is not encrypted: put TLS before it.", flush=True)
    make_app(allowed, token).run(config=settings(address, port, allowed))


def settings(address: str, port: int, hosts: Sequence[str]) -> dict[str, object]:
    """Streamlit's settings, which no file of the user and no variable overrules."""
    return {
        "server.address": address,
        "server.port": port,
        "server.headless": True,
        "server.allowedHosts": list(hosts),
        "server.enableXsrfProtection": True,
        "server.xsrfCookieSameSite": "strict",
        "server.enableCORS": True,  # that is: strangers are kept out
        "server.corsAllowedOrigins": [],
        "server.maxUploadSize": MAX_UPLOAD,
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "runner.magicEnabled": False,
        "logger.hideWelcomeMessage": True,
        "logger.enableRich": False,
        # of each theme apart: a colour for both would hold pages in the light one
        "theme.light.primaryColor": PRIMARY["light"],
        "theme.dark.primaryColor": PRIMARY["dark"],
        "theme.metricValueFontSize": "1.6rem",
    }


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach what listens there.

    Raises:
        OptionsError: If it is no address.
    """
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        raise OptionsError(
            "--address takes a number such as 127.0.0.1 or 0.0.0.0, or localhost. "
            f"Received: {address!r}."
        ) from None


def check_port(address: str, port: int) -> None:
    """Try whether a port can be listened on, before anyone is told that it is.

    Raises:
        OptionsError: If it cannot.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            if os.name != "nt":  # where it would share a port that is in use
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise OptionsError(
            f"Port {port} of {address} cannot be listened on: {why}. Choose another one with "
            "--port, or an address of this machine with --address."
        ) from error


def allowed_hosts(address: str, hosts: Sequence[str]) -> tuple[str, ...]:
    """The names to answer to.

    Raises:
        OptionsError: If every address is listened on and no name is given for them.
    """
    own: tuple[str, ...] = (address,)
    if not is_loopback(address) and ipaddress.ip_address(address).is_unspecified:
        if not hosts:
            raise OptionsError(
                f"--address {address} listens on all addresses. Say by which name visitors come: "
                "--allowed-host NAME."
            )
        own = ()
    return tuple(dict.fromkeys([*ALLOWED_HOSTS, *own, *hosts]))


def read_token(path: Path | None) -> str:
    """The token, from a file or from the variable TFBDL_DASHBOARD_TOKEN.

    Raises:
        OptionsError: If there is none, or it is shorter than 16 characters.
    """
    if path is None:
        token, where = os.environ.get(TOKEN_VARIABLE, ""), f"the variable {TOKEN_VARIABLE}"
    else:
        where = f"the file {path}"
        try:
            token = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise OptionsError(f"{where} cannot be read: {error}.") from error
    token = token.strip()
    if not token:
        raise OptionsError(
            "An address or a host's name beyond this machine needs a token: --token-file FILE, "
            f"or the variable {TOKEN_VARIABLE}. Received: none in {where}."
        )
    if len(token) < SHORTEST_TOKEN:
        raise OptionsError(
            f"A token must have at least {SHORTEST_TOKEN} characters. "
            f"Received: {len(token)} in {where}."
        )
    return token


def _is_own_name(host: str) -> bool:
    """Whether a host's name can mean no other machine."""
    name = host.strip("[]").lower().rstrip(".")
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _in_address(host: str) -> str:
    """A host as an address bears it: numbers with colons stand in brackets."""
    return f"[{host}]" if ":" in host else host


def _on_error(error: Exception) -> bool:
    """Say in the page that it failed; the terminal has been told why."""
    streamlit.error("This page failed. The terminal that runs the dashboard says why.")
    return True
