"""A page for each installed plugin, made from its specs while the documentation is built.

TensorFlow is not loaded for it. Sphinx reads files alone, so the pages are written beside the
others (``docs/plugins/`` and ``docs/reference/options.md``); the repository holds none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfbdl.config import Config, OptionField, expected_text, fields_of
from tfbdl.registry import Provider, Registry, registry
from tfbdl.specs import DatasetSpec, EngineSpec, ModelSpec, PanelSpec, Spec

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
FOLDER = "plugins"
INDEX = f"{FOLDER}/index.md"
OPTIONS = "reference/options.md"
KINDS = {
    "model": ("Models", "model"),
    "engine": ("Engines", "engine"),
    "prior": ("Priors", "prior"),
    "dataset": ("Data sets", "data"),
    "panel": ("Panels", ""),
}
"""Kind -> (heading, option group as it is typed; a panel's controls are not typed)."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx write the pages before it looks for files."""
    app.connect("builder-inited", lambda app: write(Path(app.srcdir), pages(registry())))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(docs: Path, made: dict[str, str]) -> None:
    """Write what changed, and remove the pages of plugins that are no longer installed."""
    for name, text in made.items():
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in (docs / FOLDER).glob("*.md"):
        if f"{FOLDER}/{path.name}" not in made:
            path.unlink()


def pages(found: Registry) -> dict[str, str]:
    """All pages that a registry gives, in MyST's Markdown, by their path under ``docs/``."""
    made = {INDEX: _index(found), OPTIONS: _options_page(found)}
    for plugin, provider in found.plugins.items():
        made[f"{FOLDER}/{_slug(plugin)}.md"] = _joined(_plugin_page(found, plugin, provider))
    return made


def _index(found: Registry) -> str:
    lines = [
        "# Plugins\n",
        "All models, engines, priors, data sets and panels come from plugins: those below, which "
        "come with tfbdl, and any that is installed beside them while these pages are built.\n",
        "| plugin | what it is | provides |",
        "|---|---|---|",
    ]
    for plugin, provider in found.plugins.items():
        provided = [
            f"{_KIND_WORDS[kind]} " + ", ".join(_link(kind, name) for name in specs)
            for kind, specs in _provided(found, provider).items()
        ]
        title = _text(_title(provider) or f"of {provider.distribution} {provider.version}")
        lines.append(f"| [{_text(plugin)}]({_slug(plugin)}.md) | {title} | {'; '.join(provided)} |")
    lines += ["", "```{toctree}", ":hidden:", ""]
    lines += [f"{plugin} <{_slug(plugin)}>" for plugin in found.plugins]
    return _joined([*lines, "```"])


_KIND_WORDS = {kind: heading.lower() for kind, (heading, _) in KINDS.items()}


def _options_page(found: Registry) -> str:
    lines = [
        "# Options\n",
        "All names that the installed plugins provide; each leads to the table of its options. "
        "`tfbdl show NAME` prints the same.",
    ]
    for kind, (heading, group) in KINDS.items():
        catalog = found.catalog(kind)
        if kind == "panel" or not catalog:
            continue
        lines.append(f"\n## {heading}\n\n{_typed(group)}\n")
        lines.append("| name | what it is | plugin |\n|---|---|---|")
        for name, spec in catalog.items():
            provider = catalog.provider(name)
            page = f"[{_text(provider.plugin)}](../{FOLDER}/{_page_of(found, provider)}.md)"
            lines.append(f"| {_link(kind, name)} | {_text(spec.summary)} | {page} |")
    return _joined(lines)


def _plugin_page(found: Registry, plugin: str, provider: Provider) -> Iterator[str]:
    title = _title(provider)
    yield f"# {_text(plugin)}" + (f": {_text(title)}" if title else "")
    provided = _provided(found, provider)
    listed = [
        f"- {KINDS[kind][0]}: " + ", ".join(_link(kind, name) for name in specs)
        for kind, specs in provided.items()
    ]
    yield f"\nProvided by {_text(str(provider))}.\n"
    yield from listed
    readme = _readme(provider)
    if readme:
        yield "- [Notes](#notes): the method, its use, what was measured"
    for kind, specs in provided.items():
        heading, group = KINDS[kind]
        yield f"\n## {heading}\n"
        if group:
            yield _typed(group)
        for name, spec in specs.items():
            yield f"\n({kind}-{name})=\n### `{name}`\n"
            yield from _panel(found, spec) if kind == "panel" else _spec(found, spec)
    if readme:
        # The page is as far from the root as the README, so its links hold as they are.
        path = f"../../{readme.relative_to(ROOT).as_posix()}"
        yield f"\n## Notes\n\n```{{include}} {path}\n:start-line: 1\n:heading-offset: 1\n```"


def _spec(found: Registry, spec: Spec) -> Iterator[str]:
    yield f"{_sentence(spec.summary)}\n"
    yield from (f"- {name}: {value}" for name, value in _facts(found, spec))
    yield ""
    yield from _options(spec.config, "option")
    if spec.references:
        yield "References:\n"
        yield from (f"- {_text(reference)}" for reference in spec.references)


def _panel(found: Registry, panel: PanelSpec) -> Iterator[str]:
    yield f"{_sentence(panel.summary or panel.name)}\n"
    if panel.is_demonstration:
        yield "A demonstration: it needs no run.\n"
    for kind, names in (("model", panel.models), ("engine", panel.engines)):
        if names:
            yield f"- of runs of the {kind}s: {_links(found, kind, names)}"
    yield ""
    yield from _options(panel.controls, "control")


def _facts(found: Registry, spec: Spec) -> Iterator[tuple[str, str]]:
    """What a spec says beside its options: (name, Markdown)."""
    if isinstance(spec, ModelSpec):
        fitting = [name for name, e in found.engines.items() if e.fits(spec.capabilities)]
        yield "task", _text(spec.task)
        yield "capabilities", _words(spec.capabilities)
        yield "engines that fit", _links(found, "engine", fitting) or "none installed"
        yield "default engine", _links(found, "engine", [spec.default_engine])
        prior = spec.default_prior
        yield "default prior", _links(found, "prior", [prior]) if prior else "none"
        yield "missing values", "taken as such (NaN)" if spec.missing_values else "refused"
        if spec.max_classes:
            yield "classes", f"at most {spec.max_classes}"
    elif isinstance(spec, EngineSpec):
        fitting = [name for name, m in found.models.items() if spec.fits(m.capabilities)]
        yield "needs", " or ".join(_words(need, " and ") or "nothing" for need in spec.needs)
        yield "models", _links(found, "model", fitting) or "none installed"
    elif isinstance(spec, DatasetSpec):
        yield "task", _text(spec.task)


def _options(config: type[Config], word: str) -> Iterator[str]:
    fields = fields_of(config)
    if not fields:
        yield f"It has no {word}s.\n"
        return
    yield f"| {word} | default | expected | meaning |"
    yield "|---|---|---|---|"
    for field in fields:
        cells = (_default(field), _text(expected_text(field)), _text(field.description))
        yield f"| `{field.name}` | " + " | ".join(cells) + " |"
    yield ""


def _default(field: OptionField) -> str:
    return "(required)" if field.required else f"`{field.default!r}`".replace("|", "\\|")


def _typed(group: str) -> str:
    return f"In Python `{group}_options={{...}}`, on the command line `--{group}.NAME VALUE`."


def _provided(found: Registry, provider: Provider) -> dict[str, dict[str, Any]]:
    """Kind -> name -> spec, of what one plugin provides."""
    provided = {}
    for kind in KINDS:
        catalog = found.catalog(kind)
        specs = {name: spec for name, spec in catalog.items() if catalog.provider(name) == provider}
        if specs:
            provided[kind] = specs
    return provided


def _page_of(found: Registry, provider: Provider) -> str:
    return next(_slug(plugin) for plugin, given in found.plugins.items() if given == provider)


def _readme(provider: Provider) -> Path | None:
    """The notes of a plugin that comes with tfbdl. Those of others stay with them."""
    path = ROOT / "plugins" / f"tfbdl_{provider.plugin}" / "README.md"
    return path if provider.distribution == "tfbdl" and path.is_file() else None


def _title(provider: Provider) -> str:
    """What the first line of a plugin's notes calls it, or an empty text."""
    readme = _readme(provider)
    first = readme.read_text(encoding="utf-8").partition("\n")[0] if readme else ""
    return first.partition(": ")[2]


def _link(kind: str, name: str) -> str:
    return f"[`{name}`](#{kind}-{name})"


def _links(found: Registry, kind: str, names: Iterable[str]) -> str:
    """Names with their pages; what is not installed has none."""
    known = found.catalog(kind)
    return ", ".join(_link(kind, name) if name in known else f"`{name}`" for name in names)


def _words(words: Iterable[str], between: str = ", ") -> str:
    return between.join(f"`{word}`" for word in sorted(words))


def _slug(plugin: str) -> str:
    """The name of a plugin's page; one that two distributions give is ``distribution:name``."""
    return re.sub(r"\W+", "-", plugin)


def _sentence(text: str) -> str:
    return f"{_text(text).rstrip('.')}."


def _text(text: str) -> str:
    """Text of a plugin, without what Markdown or HTML would take for markup."""
    text = " ".join(text.split()).replace("&", "&amp;")
    for mark in "\\`*_{}[]|#":
        text = text.replace(mark, f"\\{mark}")
    text = re.sub(r"^(\d*)([-+.)])", r"\1\\\2", text)  # no item of a list
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
