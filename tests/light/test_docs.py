"""The documentation keeps up with the code: hooks, public names, commands, links."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import page_examples
import plugin_pages
import pytest

import tfbdl
from tfbdl import cli, hookspecs, runs
from tfbdl.specs import RunSpec

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [page for page in page_examples.pages() if DOCS in page.parents]
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("tfbdl_"))
SHELL_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "AGENTS.md")] + PAGES


def shell_lines(path: Path) -> list[str]:
    """The commands in the plain code blocks of a page, without comments."""
    blocks = re.findall(r"^```([^\n]*)\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    lines = "".join(text for language, text in blocks if not language).splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_documented_with_its_exact_signature(hook: str) -> None:
    signature = str(inspect.signature(getattr(hookspecs, hook))).replace("'", "")
    guide = (DOCS / "plugin-authors.md").read_text()
    assert f"\ndef {hook}{signature}: ...\n" in guide


def test_there_are_five_hooks() -> None:
    assert [name.removeprefix("tfbdl_") for name in HOOKS] == [
        "datasets",
        "engines",
        "models",
        "panels",
        "priors",
    ]


@pytest.mark.parametrize("name", tfbdl.__all__)
def test_public_name_is_documented(name: str) -> None:
    assert f"`tfbdl.{name}`" in (DOCS / "reference" / "python.md").read_text()


def test_documented_public_names_exist() -> None:
    page = (DOCS / "reference" / "python.md").read_text()
    named = re.findall(r"`tfbdl\.(\w+)`", page)
    assert set(named) == set(tfbdl.__all__)


def test_make_commands_of_the_pages_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    required = "demo test test-fast test-all lint type imports docs dashboard bench check"
    assert set(required.split()) <= targets
    used = {
        word
        for page in SHELL_PAGES
        for line in shell_lines(page)
        if line.startswith("make ")
        for word in line.split()[1:]
    }
    assert {"demo", "test"} <= used <= targets


@pytest.mark.parametrize("page", SHELL_PAGES, ids=lambda page: page.stem)
def test_tfbdl_commands_of_a_page_are_accepted(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def outcome(*_: object, **__: object) -> types.SimpleNamespace:
        return types.SimpleNamespace(metrics={}, diagnostics=list)

    api = types.ModuleType("tfbdl.api")
    vars(api).update(execute=outcome, resume=outcome, write_report=lambda folder: [])
    monkeypatch.setitem(sys.modules, "tfbdl.api", api)
    monkeypatch.setattr(tfbdl, "api", api, raising=False)
    monkeypatch.setattr(subprocess, "call", lambda command: 0)
    monkeypatch.chdir(tmp_path)
    Path("houses.csv").write_text("price,rooms\n1.0,2.0\n")
    runs.RunFolder("runs/first").create().write_spec(RunSpec(model="bbb", data="diabetes"))
    commands = [shlex.split(line)[1:] for line in shell_lines(page) if line.startswith("tfbdl ")]
    assert [words for words in commands if cli.main(words) != 0] == []


def test_readme_shows_how_to_run_and_report() -> None:
    shown = [line.split()[1] for line in shell_lines(ROOT / "README.md") if "tfbdl " in line]
    assert {"list", "show", "run", "report", "resume", "dashboard"} <= set(shown)


def test_every_command_is_documented() -> None:
    page = (DOCS / "command-line.md").read_text()
    for command in cli.app.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]
        assert f"| `tfbdl {name}" in page


def test_every_page_stands_in_the_navigation_and_links_lead_somewhere() -> None:
    index = (DOCS / "index.md").read_text()
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", index, re.MULTILINE | re.DOTALL)
    entries = {entry for tree in trees for entry in tree.split() if not entry.startswith(":")}
    made = {DOCS / name for name in (plugin_pages.INDEX, plugin_pages.OPTIONS)}
    listed = {page for entry in entries for page in DOCS.glob(f"{entry}.md")}
    assert listed - made == {*PAGES} - {DOCS / "index.md"}
    assert {"plugins/index", "reference/options"} <= entries
    for page in SHELL_PAGES:
        for target in re.findall(r"\]\(([\w./-]+)\)", page.read_text()):
            path = (page.parent / target).resolve()
            assert path.exists() or path in made, f"{page}: {target}"
