"""The pages of plugins, as the documentation's build makes them: every name, option and link."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import plugin_pages
import pytest

import tfbdl
from tfbdl import config, registry
from tfbdl.specs import KINDS, EngineSpec, ModelSpec, PanelSpec, PriorSpec

MINE = registry.Provider("mine", "mine-dist", "3.1")


class Options(tfbdl.Config):
    width: float = tfbdl.Field(2.5, gt=0, description="Of <b>tails</b> | wide &amp; _far_.")
    names: tuple[str, ...] | None = tfbdl.Field(None, description="Of columns.")
    seed: int = tfbdl.Field(..., ge=0, description="Of the draws.")


def found_of(*specs: object, plugins: tuple[str, ...] = ("mine",)) -> registry.Registry:
    """A registry of one third party's plugin."""
    entries: dict[str, dict] = {kind: {} for kind in KINDS}
    for spec in specs:
        entries[spec.kind][spec.name] = spec, MINE
    catalogs = {f"{kind}s": registry.Catalog(kind, entries[kind]) for kind in KINDS}
    known = registry.Catalog("plugin", dict.fromkeys(plugins, (MINE, MINE)))
    return registry.Registry(**catalogs, plugins=known)


def prior(**more: object) -> PriorSpec:
    return PriorSpec(name="mine", summary="*Mine*.", factory="mine:Prior", **more)


def section(page: str, kind: str, name: str) -> str:
    """What a page says of one name."""
    return re.split(r"\n## |\n\(\w+-\w+\)=\n", page.partition(f"\n({kind}-{name})=\n")[2])[0]


@pytest.fixture(scope="module")
def installed() -> dict[str, str]:
    return plugin_pages.pages(registry.registry())


def test_every_installed_plugin_has_a_page_with_its_notes(installed) -> None:
    for plugin in tfbdl.plugins:
        page = installed[f"plugins/{plugin}.md"]
        assert page.startswith(f"# {plugin}: ".replace("_", "\\_"))
        assert f"{{include}} ../../plugins/tfbdl_{plugin}/README.md" in page
        assert f"]({plugin}.md)" in installed[plugin_pages.INDEX]


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_has_its_options_on_the_page_of_its_plugin(kind, installed) -> None:
    catalog = registry.registry().catalog(kind)
    for name, spec in catalog.items():
        text = section(installed[f"plugins/{catalog.provider(name).plugin}.md"], kind, name)
        assert text.startswith(f"### `{name}`\n")
        for field in config.fields_of(spec.controls if kind == "panel" else spec.config):
            assert f"\n| `{field.name}` | " in text
        assert kind == "panel" or f"[`{name}`](#{kind}-{name})" in installed[plugin_pages.OPTIONS]


def test_links_lead_to_names_that_have_a_place(installed) -> None:
    text = "\n".join(installed.values())
    targets = re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE)
    assert len(targets) == len(set(targets))
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) - {"notes"} == set(targets)


def test_a_third_partys_plugin_appears_by_itself_with_its_markup_quoted() -> None:
    page = plugin_pages.pages(found_of(prior(config=Options, references=("A & B 2020", "1. - C"))))[
        "plugins/mine.md"
    ]
    assert page.startswith("# mine\n")
    assert "\nProvided by plugin 'mine' of mine-dist 3.1.\n" in page
    text = section(page, "prior", "mine")
    assert r"\*Mine\*." in text
    assert "| `width` | `2.5` | a finite number above 0 | " in text
    assert r"Of &lt;b&gt;tails&lt;/b&gt; \| wide &amp;amp; \_far\_. |" in text
    assert "| `names` | `None` | a list of str values separated by commas, or none |" in text
    assert "| `seed` | (required) | an integer of at least 0 |" in text
    assert "- A &amp; B 2020\n- 1\\. - C\n" in text
    assert "{include}" not in page


def test_models_and_engines_name_one_another() -> None:
    model = ModelSpec(
        name="net",
        summary="A net",
        factory="mine:Net",
        task="regression",
        capabilities=frozenset({"log_joint", "network"}),
        default_engine="absent",
        default_prior="mine",
        max_classes=2,
    )
    fitting = EngineSpec(
        name="chains", summary="Chains", factory="mine:C", needs=({"exact"}, {"log_joint"})
    )
    other = EngineSpec(name="sums", summary="Sums", factory="mine:S", needs=({"exact"},))
    page = plugin_pages.pages(found_of(model, fitting, other, prior()))["plugins/mine.md"]
    text = section(page, "model", "net")
    assert "- task: regression\n" in text
    assert "- capabilities: `log_joint`, `network`\n" in text
    assert "- engines that fit: [`chains`](#engine-chains)\n" in text
    assert "- default engine: `absent`\n" in text  # not installed: no link
    assert "- default prior: [`mine`](#prior-mine)\n" in text
    assert "- classes: at most 2\n" in text
    assert "It has no options." in text
    assert "- needs: `exact` or `log_joint`\n- models: [`net`](#model-net)\n" in page
    assert "- models: none installed\n" in section(page, "engine", "sums")


def test_panels_say_whose_runs_they_show() -> None:
    shown = {"compute": "mine:compute", "show": "mine:show"}
    of_runs = PanelSpec(name="paths", summary="Paths", models=("net",), **shown)
    alone = PanelSpec(name="shapes", controls=Options, **shown)
    with pytest.raises(tfbdl.errors.SpecError):  # a panel's name is checked as any other
        PanelSpec(name="No name", **shown)
    page = plugin_pages.pages(found_of(of_runs, alone))["plugins/mine.md"]
    assert "- of runs of the models: `net`\n" in section(page, "panel", "paths")
    assert "It has no controls." in section(page, "panel", "paths")
    assert "A demonstration: it needs no run." in section(page, "panel", "shapes")
    assert "| `width` | `2.5` |" in section(page, "panel", "shapes")


def test_a_name_that_two_distributions_give_has_a_page_of_its_own() -> None:
    made = plugin_pages.pages(found_of(prior(), plugins=("mine-dist:mine",)))
    assert "plugins/mine-dist-mine.md" in made
    assert "](../plugins/mine-dist-mine.md)" in made[plugin_pages.OPTIONS]


def test_only_pages_that_changed_are_written_and_old_ones_vanish(tmp_path: Path) -> None:
    made = {"plugins/a.md": "# a\n", "plugins/b.md": "# b\n", "reference/options.md": "# o\n"}
    plugin_pages.write(tmp_path, made)
    kept = tmp_path / "plugins" / "a.md"
    before = kept.stat().st_mtime_ns
    del made["plugins/b.md"]
    plugin_pages.write(tmp_path, made)
    assert kept.stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.rglob("*.md")) == ["a.md", "options.md"]


def test_pages_are_made_without_tensorflow() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(plugin_pages.__file__).parent)!r})\n"
        "import plugin_pages\n"
        "from tfbdl.registry import registry\n"
        "assert len(plugin_pages.pages(registry())) > 2\n"
        "heavy = {'tensorflow', 'keras', 'sphinx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
