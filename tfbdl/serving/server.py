"""The side process over HTTP on this machine: one computation at a time, its end when idle.

TensorFlow is loaded by a thread of its own, so ``GET /health`` is answered at once. Each request
bears the token of ``.serve.json``, which only the user who runs the process can read; none that
names another host is answered (DNS rebinding).
"""

from __future__ import annotations

import hmac
import json
import queue
import secrets
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ..errors import OptionsError, RunError
from . import presence, tasks
from .requests import JOB_HEADER, JSON, Job, error_body, job_from

ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")
MAX_BODY = 2**20
"""Bytes of a request."""

POLL = 0.5
"""Seconds between two looks at whether to end."""


class Server:
    """Answers requests about one folder until it is closed.

    Args:
        load: Makes what finds the fits; called once, in the thread that computes.
        port: Of 127.0.0.1; 0 for any that is free.
        token: What requests must bear; by default a new one.

    Raises:
        RunError: If the port is in use.
    """

    def __init__(
        self, load: Callable[[], tasks.FitsByRun], port: int = 0, token: str | None = None
    ) -> None:
        self.token = secrets.token_urlsafe(32) if token is None else token
        self._jobs: queue.Queue[Job | None] = queue.Queue()  # None: there are no more
        self._started = False
        self._load = load
        self._at_work: Job | None = None
        self._ready, self._busy = threading.Event(), threading.Event()
        self._busy.set()  # until everything is loaded
        self._last = time.monotonic()
        handler = type("Handler", (_Handler,), {"served": self})
        try:
            self._http = ThreadingHTTPServer((ADDRESS, port), handler)
        except (OSError, OverflowError) as error:
            raise RunError(f"Port {port} of {ADDRESS} cannot be used: {error}.") from error
        self._http.daemon_threads = True
        self.port = int(self._http.server_address[1])

    @property
    def state(self) -> str:
        """``starting`` until everything is loaded, then ``ready``."""
        return "ready" if self._ready.is_set() else "starting"

    @property
    def busy(self) -> bool:
        """Whether something is loaded or computed just now, or waits for it."""
        return self._busy.is_set() or self._jobs.qsize() > 0

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last computation ended."""
        return 0.0 if self.busy else time.monotonic() - self._last

    def health(self) -> dict[str, Any]:
        """How it stands: ``state``, and ``job`` while one is computed.

        Of the job ``id``, as its request gave it; ``seconds``, since when it is computed; and
        ``wanted``, whether the one who asked still listens.
        """
        job, said = self._at_work, {"state": self.state}
        if job is None:
            return said
        seconds = time.monotonic() - job.began
        return {**said, "job": {"id": job.id, "seconds": seconds, "wanted": job.wanted()}}

    def start(self) -> None:
        """Answer, load and compute in threads that end with the process."""
        self._started = True
        threading.Thread(target=self._http.serve_forever, args=(POLL / 10,), daemon=True).start()
        threading.Thread(target=self._compute, daemon=True).start()

    def close(self) -> None:
        """Answer no more; what is computed just now is not waited for."""
        if self._started:
            self._http.shutdown()
            self._jobs.put(None)
        self._http.server_close()

    def submit(self, job: Job) -> None:
        """Compute a job after those before it, and wait for its answer."""
        self._jobs.put(job)
        job.done.wait()

    def _compute(self) -> None:
        runs, fault = None, None
        try:
            runs = self._load()
        except BaseException as error:  # SystemExit too: whoever asks is told
            fault = error
        self._ready.set()
        while True:
            self._last = time.monotonic()
            self._busy.clear()
            job = self._jobs.get()
            if job is None:
                return
            self._busy.set()
            job.began = time.monotonic()
            self._at_work = job
            try:
                if job.wanted():  # a slider that was moved on asks no more
                    if runs is None:
                        raise fault or RunError("Nothing was loaded.")
                    answer = tasks.carry_out(runs, job.task, job.run, job.arguments)
                    job.body = tasks.to_npz(answer)
            except BaseException as error:  # a plugin may raise SystemExit; the thread goes on
                job.fail(error)
            finally:
                self._at_work = None
                job.done.set()


class _Handler(BaseHTTPRequestHandler):
    """Checks a request, and hands it over."""

    served: Server
    server_version = "tfbdl"
    sys_version = ""
    timeout = 30  # seconds for a request to arrive

    def do_GET(self) -> None:
        """``/health``."""
        if not self._admitted():
            return
        if self.path != "/health":
            self._refuse(HTTPStatus.NOT_FOUND, "Only /health and /compute are answered.")
            return
        self._send(HTTPStatus.OK, JSON, json.dumps(self.served.health()).encode())

    def do_POST(self) -> None:
        """``/compute``."""
        if not self._admitted():
            return
        if self.path != "/compute":
            self._refuse(HTTPStatus.NOT_FOUND, "Only /health and /compute are answered.")
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "The request must say its length.")
            return
        if int(length) > MAX_BODY:
            message = f"A request has at most {MAX_BODY} bytes. Received: {length}."
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
            return
        try:
            job = job_from(self.rfile.read(int(length)), self._still_connected)
        except OptionsError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        job.id = self.headers.get(JOB_HEADER, "")
        self.served.submit(job)
        self._send(job.status, job.kind, job.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - of the base class
        """Requests are not logged."""

    def _admitted(self) -> bool:
        host = self.headers.get("Host", "")
        name, _, port = host.partition(":")
        if name not in HOSTS or port not in ("", str(self.served.port)):
            self._refuse(HTTPStatus.FORBIDDEN, "Requests must name this machine as their host.")
            return False
        given = self.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self.served.token}".encode()):
            self._refuse(HTTPStatus.UNAUTHORIZED, "The token is missing or wrong.")
            return False
        return True

    def _still_connected(self) -> bool:
        with suppress(OSError, ValueError):  # closed meanwhile
            readable, _, _ = select.select([self.connection], [], [], 0)
            if not readable:
                return True
            return self.connection.recv(1, socket.MSG_PEEK) != b""
        return False

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self._send(status, JSON, error_body(message))

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        with suppress(OSError):  # who asked may be gone
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)


def serve(
    folder: Path, load: Callable[[], tasks.FitsByRun], *, idle: float = 600.0, port: int = 0
) -> bool:
    """Serve a folder until nothing was asked for ``idle`` seconds, or it vanishes, or SIGTERM.

    Args:
        folder: Of a run, or of runs; it exists.
        load: As in Server.
        idle: Seconds.
        port: Of 127.0.0.1; 0 for any that is free.

    Returns:
        Whether something is still loaded or computed, in a thread that ends with the process.

    Raises:
        RunError: If the folder is served already, or the port is in use.
    """
    server = Server(load, port)
    stop = threading.Event()
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set()) if in_main_thread else None
    own = None
    try:
        own = presence.announce(folder, server.port, server.token)
        server.start()
        while not stop.wait(POLL) and server.idle_seconds < idle:
            if presence.read(folder) != own:  # the folder is gone, or nobody can find this process
                break
    finally:
        if own is not None:
            presence.withdraw(folder, own)
        busy = server.busy
        server.close()
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)
    return busy
