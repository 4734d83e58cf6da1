"""The page of plugins shows versions, problems with advice, and all that there is to choose."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest
from tfbdl_dashboard.pages import plugins

from tfbdl import registry
from tfbdl.config import Config, Field, fields_of
from tfbdl.specs import PanelSpec


def page() -> AppTest:
    script = "from tfbdl_dashboard.pages import plugins\nplugins.show()\n"
    shown = AppTest.from_string(script, default_timeout=120).run()
    assert not shown.exception
    return shown


def test_page_lists_distributions_with_their_versions() -> None:
    table = page().dataframe[0].value
    own = table[table["distribution"] == "tfbdl"]
    assert {provider.plugin for provider in registry.registry().providers} == set(table["plugin"])
    assert own["version"].str.fullmatch(r"\d+\.\d+\.\d+.*").all()


def test_page_shows_problems_with_what_to_do_as_text_without_paths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = registry.Provider("bad", "bad-dist", "0.1")
    problem = registry.Problem(
        provider, "import", "It raises in '/home/me/site/bad.py' **now**.", "Update it."
    )
    monkeypatch.setitem(vars(registry.registry()), "problems", [problem])
    shown = page()
    assert "bad-dist 0.1" in shown.error[0].value.replace("\\", "")
    assert shown.code[0].value == "It raises in 'bad.py' **now**.\nWhat to do: Update it."
    assert not shown.success


@pytest.mark.parametrize("kind", list(plugins.KINDS))
def test_catalogue_shows_every_name_of_a_kind_with_its_options(kind: str) -> None:
    catalog = registry.registry().catalog(kind)
    shown = page()
    shown.segmented_control(key="plugins:kind").set_value(kind).run()
    assert not shown.exception
    if not catalog:
        assert f"any {plugins.KINDS[kind].lower()}" in shown.info[0].value
        return
    assert list(shown.dataframe[1].value["name"]) == list(catalog)
    first = next(iter(catalog.values()))
    config = first.controls if isinstance(first, PanelSpec) else first.config
    if fields_of(config):
        assert list(shown.dataframe[2].value["option"]) == list(config.model_fields)
    assert catalog.provider(first.name).distribution in "".join(t.value for t in shown.text)


def test_options_are_listed_as_one_types_them() -> None:
    class Options(Config):
        size: int = Field(..., ge=1, description="A size.")
        hidden: tuple[int, ...] = Field((50, 20), description="Units.")
        width: float | None = Field(None, gt=0, description="A width.")
        flat: bool = Field(True, description="Flat.")

    table = plugins.options_table(Options)
    assert list(table["default"]) == ["(required)", "50, 20", "none", "true"]
    assert table["expected"][0] == "an integer of at least 1"
    assert table["meaning"][2] == "A width."


def test_panel_says_where_it_stands() -> None:
    def panel(**where: tuple[str, ...]) -> PanelSpec:
        return PanelSpec(name="a", compute="a.b:c", show="a.b:d", **where)

    assert "needs no run" in plugins.facts(panel())[0]
    both = plugins.facts(panel(models=("vae",), engines=("nuts", "hmc")))
    assert both == ["Stands with runs of the models vae and the engines nuts, hmc."]
