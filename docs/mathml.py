"""Formulas as MathML, which browsers draw by themselves: no page loads a script of another site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils.nodes import Element, SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the renderer; ``html_math_renderer`` in ``conf.py`` chooses it."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(_inline, None), block_renderers=(_block, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator: Any, node: Element) -> None:
    translator.body.append(tex2mathml(node.astext()))
    raise SkipNode


def _block(translator: Any, node: Element) -> None:
    translator.body.append(tex2mathml(node.astext(), as_block=True))
    raise SkipNode
