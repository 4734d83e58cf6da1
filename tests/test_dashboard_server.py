"""The dashboard's server, running: whom it answers, what it sends along, and where it listens."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from streamlit.testing.v1 import AppTest
from tfbdl_dashboard import app, guard, server

from tfbdl import runs
from tfbdl.specs import RunSpec

TOKEN = "a token of more than sixteen"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
PAGES = ("/", "/live", "/_stcore/health", "/static/js/none.js")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True)
class Served:
    port: int
    process: subprocess.Popen[bytes]

    def get(self, path: str, **headers: str) -> Answer:
        """What is answered; 0 for none."""
        connection = http.client.HTTPConnection(server.ADDRESS, self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = b"" if answer.status == 101 else answer.read()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, body.decode(errors="replace"))
        except OSError:
            return Answer(0)
        finally:
            connection.close()

    def connect(self, **headers: str) -> int:
        """The status with which a websocket is answered."""
        return self.get("/_stcore/stream", **UPGRADE, **headers).status


@contextmanager
def serving(folder: Path, *arguments: str, health: str = "/_stcore/health") -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind((server.ADDRESS, 0))
        port = probe.getsockname()[1]
    command = ["-m", "tfbdl_dashboard", "--port", str(port), "--runs", str(folder), *arguments]
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        served = Served(port, process)
        try:
            deadline = time.monotonic() + 60
            while served.get(health).status in (0, 503):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield served
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A dashboard as it is by default."""
    root = tmp_path_factory.mktemp("runs")
    made = runs.RunFolder(root / "first").create()
    made.write_spec(RunSpec(model="bbb", data="diabetes"))
    with serving(root) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A dashboard that wants a token."""
    root = tmp_path_factory.mktemp("guarded")
    (root / "token").write_text(TOKEN + "\n")
    with serving(root, "--token-file", str(root / "token")) as found:
        yield found


def test_foreign_host_is_refused_on_pages_and_websocket(served: Served) -> None:
    port = served.port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}"):
        assert [served.get(p, Host=host).status for p in PAGES[:3]] == [200, 200, 200]
        assert served.connect(Host=host) == 101
    foreign = ["evil.example", "localhost.evil", f"evil.example:{port}", "", "a@localhost"]
    for host in foreign:
        assert [served.get(p, Host=host).status for p in PAGES] == [400] * 4, host
        assert served.connect(Host=host) in (400, 403), host


def test_page_of_another_site_is_refused(served: Served) -> None:
    own = {"Host": f"localhost:{served.port}"}
    assert served.connect(**own, Origin=f"http://localhost:{served.port}") == 101
    # another port of this machine is another site
    for origin in ("http://evil.example", "http://localhost:1", "null"):
        assert served.connect(**own, Origin=origin) == 403, origin
        assert served.get("/", **own, Origin=origin).status == 403, origin
    answer = served.get("/_stcore/health", **own, Origin="http://evil.example")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://[x]", "//]", ""])
def test_origin_that_is_none_is_refused(served: Served, origin: str) -> None:
    own = {"Host": f"localhost:{served.port}", "Origin": origin}
    assert served.get("/", **own).status == 403
    assert served.connect(**own) == 403


def test_every_answer_forbids_what_is_foreign(served: Served) -> None:
    answers = [served.get(path) for path in PAGES]
    answers += [served.get("/", Host="evil.example"), served.get("/", Origin="http://evil.example")]
    for answer in answers:
        policy = dict(
            part.strip().split(" ", 1)
            for part in answer.headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert "http" not in answer.headers["content-security-policy"]
        assert "'unsafe-inline'" not in policy["script-src"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_server_listens_on_this_machine_alone_and_asks_no_one(served: Served) -> None:
    served.get("/")
    found = psutil.Process(served.process.pid).net_connections("inet")
    assert {c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    assert {c.raddr.ip for c in found if c.raddr} <= {"127.0.0.1"}


@pytest.mark.parametrize(
    "path",
    ["/../run.json", "/%2e%2e/%2e%2e/etc/passwd", "/first/run.json", "/static/../../run.json",
     "/live?run=../first", "/_stcore/agent/interact"],
)  # fmt: skip
def test_no_address_leads_to_a_file(served: Served, path: str) -> None:
    answer = served.get(path)
    assert '"spec"' not in answer.body
    assert "root:" not in answer.body


def test_upload_from_elsewhere_is_refused(served: Served) -> None:
    connection = http.client.HTTPConnection(server.ADDRESS, served.port, timeout=10)
    connection.request("PUT", "/_stcore/upload_file/a/b", body=b"x")
    assert connection.getresponse().status == 403  # no XSRF token
    connection.close()


def test_token_is_wanted_by_every_answer(guarded: Served) -> None:
    assert [guarded.get(path).status for path in PAGES] == [401] * 4
    assert guarded.connect() == 403
    assert guarded.get("/?token=wrong").status == 401
    assert guarded.get("/", Cookie=f"{guard.COOKIE}=wrong").status == 401
    assert guarded.get("/", Cookie=f"{guard.COOKIE}={TOKEN}").status == 401


def test_token_is_given_once_and_then_a_strict_cookie_does(guarded: Served) -> None:
    first = guarded.get(f"/live?run=a&token={TOKEN.replace(' ', '+')}")
    assert first.status == 200
    assert "url=/live?run=a" in first.body
    assert TOKEN not in str(first.headers) + first.body
    cookie, *flags = first.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(flags)
    assert [guarded.get(path, Cookie=cookie).status for path in PAGES[:3]] == [200] * 3
    assert guarded.connect(Cookie=f"other=1; {cookie}") == 101
    assert guarded.get("/", Cookie=cookie, Host="evil.example").status == 400


@pytest.mark.parametrize(
    "other",
    ['theme={"dark": true}', "a,b=1", "expires=1", "=", "a b", 'open="', "\xe4=\xfc",
     f"{guard.COOKIE}=of-another-port"],
)  # fmt: skip
def test_cookie_of_another_server_locks_nobody_out(guarded: Served, other: str) -> None:
    cookie = guarded.get(f"/?token={TOKEN.replace(' ', '+')}").headers["set-cookie"].split("; ")[0]
    for given in (f"{other}; {cookie}", f"{cookie};{other}"):
        assert guarded.get("/", Cookie=given).status == 200
        assert guarded.connect(Cookie=given) == 101
    assert guarded.get("/", Cookie=other).status == 401


@pytest.mark.parametrize(
    ("path", "target"), [("//evil.example/", "/evil.example/"), ("/\"'<x>", "/%22%27%3Cx%3E")]
)
def test_way_on_from_the_token_stays_on_this_server(
    guarded: Served, path: str, target: str
) -> None:
    answer = guarded.get(f"{path}?token={TOKEN.replace(' ', '+')}")
    assert f'content="0;url={target}"' in answer.body


@pytest.mark.parametrize(
    ("host", "name"),
    [("localhost:8501", "localhost"), ("LocalHost.", "localhost"), ("[::1]:8501", "::1"),
     ("localhost:no", ""), ("a/b", ""), ("me@localhost", "")],
)  # fmt: skip
def test_hostname_is_the_name_without_its_port(host: str, name: str) -> None:
    assert guard.hostname(host) == name


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of runs that the pages look at."""
    monkeypatch.setenv(server.RUNS_VARIABLE, str(tmp_path))
    return tmp_path


def test_app_opens_on_the_runs(root: Path) -> None:
    shown = AppTest.from_file(server.SCRIPT, default_timeout=120).run()
    assert not shown.exception
    assert shown.title[0].value == "Runs"


def test_no_module_is_taken_for_a_page_of_its_own() -> None:
    assert not (server.SCRIPT.parent / "pages").exists()  # Streamlit would run what is in there


def test_each_page_of_the_navigation_has_a_module() -> None:
    folder = Path(app.__file__).with_name("pages")
    for name in (*app.PAGES, *app.RUN_PAGES):
        assert (folder / f"{name}.py").is_file(), name


def test_page_that_raises_tells_the_browser_no_more_than_that() -> None:
    shown = AppTest.from_string(
        "from tfbdl_dashboard import server\nserver._on_error(ValueError('/home/ada/secret'))\n"
    ).run()
    assert "secret" not in shown.error[0].value
    assert server.settings("127.0.0.1", 1, [])["client.showErrorDetails"] == "none"


def test_start_leaves_tensorflow_out() -> None:
    code = """
import sys
from streamlit.testing.v1 import AppTest
from tfbdl_dashboard import __main__, server
assert not AppTest.from_file(server.SCRIPT, default_timeout=120).run().exception
print(sorted({"tensorflow", "keras", "tensorflow_probability"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
