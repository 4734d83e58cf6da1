"""The documentation is built without a warning, and its pages ask nothing of other sites."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import page_examples
import pytest

import tfbdl

ADDRESSES = (  # that bookmarks and other pages' links rely on
    "index getting-started concepts engines evaluation command-line dashboard plugin-authors "
    "reference/options reference/python decisions/001-one-joint-density"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    command += ["--doctree-dir", folder / "doctrees", page_examples.ROOT / "docs", folder / "site"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.mark.slow
def test_pages_have_their_addresses(site) -> None:
    plugins = [f"plugins/{plugin}" for plugin in tfbdl.plugins]
    missing = [
        page for page in [*ADDRESSES.split(), *plugins] if not (site / f"{page}.html").is_file()
    ]
    assert missing == []


@pytest.mark.slow
def test_pages_load_nothing_from_other_sites(site) -> None:
    loaded = re.compile(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?:https?:)?//[^"]*"')
    assert [
        found for page in site.rglob("*.html") for found in loaded.findall(page.read_text())
    ] == []


@pytest.mark.slow
def test_page_of_a_plugin_has_its_options_then_its_notes_without_their_setup(site) -> None:
    options, _, notes = (site / "plugins" / "hmm.html").read_text().partition('id="notes"')
    assert ">num_states<" in options
    assert "Rabiner 1989" in notes
    assert "&lt;!-- setup" not in notes


@pytest.mark.slow
def test_reference_shows_examples_and_sections_of_docstrings_as_such(site) -> None:
    page = (site / "reference" / "python.html").read_text()
    fit = page.partition('id="tfbdl.fit"')[2].partition('id="tfbdl.plan"')[0]
    assert [name for name in ("Parameters", "Returns", "Raises") if f">{name}<" not in fit] == []
    assert 'title="tfbdl.errors.CapabilityError"' in fit
    assert "highlight-python" in fit
    assert "```" not in page
