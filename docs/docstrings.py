"""What Sphinx must be told of the house's docstrings: examples stand between Markdown's fences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect all of it."""
    app.connect("autodoc-process-docstring", _before_napoleon, priority=100)
    app.connect("autodoc-process-signature", _without_addresses)
    app.connect("missing-reference", _alias)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def unfenced(lines: list[str]) -> list[str]:
    """Turn Markdown's fenced blocks of code into directives of reStructuredText."""
    made: list[str] = []
    margin: str | None = None
    for line in lines:
        fence = re.fullmatch(r"( *)```(\w*)", line)
        if fence and margin is None:
            margin = fence[1]
            made += ["", f"{margin}.. code-block:: {fence[2] or 'text'}", ""]
        elif fence:
            margin = None
            made.append("")
        else:
            made.append(line if margin is None or not line else f"   {line}")
    return made


def _before_napoleon(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    lines[:] = unfenced(lines)
    if what in ("property", "attribute", "data"):
        # Napoleon takes what stands before a colon in the first line for a type. An escaped space
        # is a first line that shows nothing.
        lines.insert(0, "\\ ")


def _without_addresses(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """A default that has no literal, such as ``<factory>``, is shown as ``...``."""
    return re.sub(r"=\s?<[^<>]*>", "=...", signature) if signature else None, returned


def _alias(app: Sphinx, env: BuildEnvironment, node: Element, contnode: Element) -> Element | None:
    """An annotation may be the name of a type, such as ``Params``, which is documented as data."""
    if node.get("refdomain") != "py" or node.get("reftype") != "class":
        return None
    domain = env.domains.python_domain
    target = node["reftarget"]
    return domain.resolve_xref(env, node["refdoc"], app.builder, "data", target, node, contnode)
