"""The options reference, made from what is installed: a new plugin appears in it by itself.

mkdocs calls ``on_files`` while it builds; ``python docs/reference.py`` prints the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfbdl.config import OptionField, expected_text, fields_of
from tfbdl.registry import Registry, registry
from tfbdl.specs import DatasetSpec, EngineSpec, ModelSpec, Spec

PAGE = "reference/options.md"
KINDS = {
    "model": ("Models", "model"),
    "engine": ("Engines", "engine"),
    "prior": ("Priors", "prior"),
    "dataset": ("Data sets", "data"),
}
"""Kind -> (heading, option group as it is typed)."""


def on_files(files: Any, config: Any) -> Any:
    """Add the page to those that mkdocs builds."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=page(registry())))
    return files


def page(found: Registry) -> str:
    """The reference of all that a registry holds, as Markdown."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Registry) -> Iterator[str]:
    yield "# Options"
    yield ""
    yield (
        "All that the installed plugins provide. `tfbdl show NAME` prints the same for one name; "
        "a plugin of yours appears here when it is installed while the pages are built."
    )
    for kind, (heading, group) in KINDS.items():
        catalog = found.catalog(kind)
        yield f"\n## {heading}\n"
        yield f"In Python `{group}_options={{...}}`, on the command line `--{group}.NAME VALUE`."
        for name, spec in catalog.items():
            yield f"\n### {kind} `{name}`\n"
            yield f"{_text(spec.summary).rstrip('.')}."
            yield f"Provided by {_text(str(catalog.provider(name)))}.\n"
            yield from _facts(spec)
            yield from _options(spec, group)
            yield from (f"- {_text(reference)}" for reference in spec.references)


def _facts(spec: Spec) -> Iterator[str]:
    facts: list[tuple[str, str]] = []
    if isinstance(spec, ModelSpec):
        facts = [
            ("task", spec.task),
            ("capabilities", ", ".join(sorted(spec.capabilities))),
            ("default engine", spec.default_engine),
            ("default prior", spec.default_prior or "none"),
            ("missing values", "taken as such (NaN)" if spec.missing_values else "refused"),
        ]
    elif isinstance(spec, EngineSpec):
        needs = " or ".join(" and ".join(sorted(need)) for need in spec.needs)
        facts = [("needs", needs)]
    elif isinstance(spec, DatasetSpec):
        facts = [("task", spec.task)]
    yield from (f"- {name}: {_text(value)}" for name, value in facts)
    yield ""


def _options(spec: Spec, group: str) -> Iterator[str]:
    fields = fields_of(spec.config)
    if not fields:
        yield "It has no options.\n"
        return
    yield "| option | default | expected | meaning |"
    yield "|---|---|---|---|"
    for field in fields:
        cells = (_default(field), _text(expected_text(field)), _text(field.description))
        yield f"| `--{group}.{field.name}` | " + " | ".join(cells) + " |"
    yield ""


def _default(field: OptionField) -> str:
    return "(required)" if field.required else f"`{field.default}`".replace("|", "\\|")


def _text(text: str) -> str:
    """Text of a plugin, without what Markdown or HTML would take for markup."""
    for mark in "\\`*{}[]|#":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("<", "&lt;").replace(">", "&gt;")


if __name__ == "__main__":
    print(page(registry()), end="")
