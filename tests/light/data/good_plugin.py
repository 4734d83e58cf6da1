"""A plugin that does everything right: one contribution of each kind."""

from __future__ import annotations

import tfbdl


class GoodOptions(tfbdl.Config):
    scale: float = tfbdl.Field(1.0, gt=0, description="Standard deviation.")


def make(options: GoodOptions) -> tuple[str, float]:
    return "made", options.scale


@tfbdl.hookimpl
def tfbdl_models() -> list[tfbdl.ModelSpec]:
    return [
        tfbdl.ModelSpec(
            name="good_model",
            summary="A model.",
            factory="good_plugin:make",
            task="regression",
            capabilities={"trainable", "log_joint"},
            default_engine="good_engine",
            default_prior="good_prior",
        )
    ]


@tfbdl.hookimpl
def tfbdl_engines() -> list[tfbdl.EngineSpec]:
    return [
        tfbdl.EngineSpec(
            name="good_engine",
            summary="An engine.",
            factory="good_plugin:make",
            needs=({"trainable"},),
        )
    ]


@tfbdl.hookimpl
def tfbdl_priors():
    yield tfbdl.PriorSpec(
        name="good_prior", summary="A prior.", factory="good_plugin:make", config=GoodOptions
    )


@tfbdl.hookimpl
def tfbdl_datasets() -> tuple[tfbdl.DatasetSpec, ...]:
    return (tfbdl.DatasetSpec(name="good_data", summary="Data.", factory=make),)


@tfbdl.hookimpl
def tfbdl_panels() -> list[tfbdl.PanelSpec]:
    return [
        tfbdl.PanelSpec(
            name="good_panel",
            models=("good_model",),
            compute="good_plugin:make",
            show="good_plugin:make",
        )
    ]
