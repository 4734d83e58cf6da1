"""A plugin whose contributions are named after what is wrong with them; three are sound."""

from __future__ import annotations

from typing import Any

import pydantic
from broken_panels import Choices, Controls

import tfbdl

PRIORS = ("sound", "wrong_shape", "wrong_dtype", "without_gradient", "infinite", "fresh_draws")
DATASETS = ("drifting", "with_nan", "no_dataset")
ENGINES = ("sound", "seedless", "same_for_all_seeds", "without_chains", "deaf", "no_result")
MODELS = (
    "loss_times_replicas",
    "same_noise_on_replicas",
    "seedless_model",
    "seed_ignored",
    "lost_in_the_file",
    "untrained",
    "summed_likelihood",
    "not_what_it_says",
)


PANELS = ("sound", "out_of_bounds", "with_objects", "empty", "unshown", "silent", "heavy",
          "bounds_refused", "choice_unknown", "choices_refused", "without_numbers",
          "apologetic", "restless", "misspelt", "no_mapping")  # fmt: skip
OWN_SHOW = ("unshown", "silent", "heavy", "apologetic", "restless", "misspelt", "no_mapping")


class Clamped(tfbdl.Config):
    scale: float = tfbdl.Field(1.0, ge=0, description="A negative scale becomes zero.")

    @pydantic.field_validator("scale", mode="before")
    @classmethod
    def _clamp(cls, value: Any) -> Any:
        return max(float(value), 0.0)


@tfbdl.hookimpl
def tfbdl_priors():
    for name in PRIORS:
        yield tfbdl.PriorSpec(
            name=f"broken_{name}",
            summary=name,
            factory=f"broken_parts:{name}",
            config=Clamped if name == "infinite" else tfbdl.Config,
        )


@tfbdl.hookimpl
def tfbdl_datasets():
    for name in DATASETS:
        yield tfbdl.DatasetSpec(
            name=f"broken_{name}", summary=name, factory=f"broken_parts:{name}", config=tfbdl.Config
        )


@tfbdl.hookimpl
def tfbdl_engines():
    for name in ENGINES:
        yield tfbdl.EngineSpec(
            name=f"broken_{name}",
            summary=name,
            factory=f"broken_parts:{name}_engine",
            config=tfbdl.Config,
            needs=({"log_joint"},),
        )


@tfbdl.hookimpl
def tfbdl_models():
    for name in MODELS:
        yield tfbdl.ModelSpec(
            name=f"broken_{name}",
            summary=name,
            factory=f"broken_parts:{name}",
            config=tfbdl.Config,
            task="regression",
            capabilities={"trainable", "log_joint"},
            default_engine="variational",
            default_prior="normal",
        )


@tfbdl.hookimpl
def tfbdl_panels():
    for name in PANELS:
        show = f"show_{name}" if name in OWN_SHOW else "show"
        yield tfbdl.PanelSpec(
            name=f"broken_{name}",
            compute=f"broken_panels:{name}",
            show=f"broken_panels:{show}",
            controls=Choices if name.startswith("choice") else Controls,
        )
