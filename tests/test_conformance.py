"""Every built-in plugin keeps the contract; a new one is tested the day it is registered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import tensorflow as tf
from built_in import built_in, engines, models, names

import tfbdl
from tfbdl import testing
from tfbdl.registry import OWN
from tfbdl.specs import KINDS, Capability

ABSENT = "TFBDL_DATA is not set to a folder of data sets"
DOWNLOADED = {"mnist", "fashion_mnist"}
"""Data sets that would be downloaded where TFBDL_DATA does not hold them."""


def on_replicas() -> Iterator[Any]:
    """A network is quick; others that train have quick tests of replicas in their rooms."""
    for name in names("model", Capability.TRAINABLE):
        yield pytest.param(name, marks=[] if name == "bbb" else [pytest.mark.slow])


def panels() -> Iterator[Any]:
    """Each plugin has tests of its panels too; one that shows a fit is quick."""
    for name in names("panel"):
        quick = name == "draw_paths"
        yield pytest.param(name, marks=[] if quick else [pytest.mark.slow])


def datasets() -> Iterator[Any]:
    for spec in built_in("dataset"):
        if not any(field.is_required() for field in spec.config.model_fields.values()):
            here = spec.name not in DOWNLOADED or "TFBDL_DATA" in os.environ
            skip = pytest.mark.skipif(not here, reason=f"{ABSENT}.")
            yield pytest.param(spec.name, marks=skip)


@pytest.mark.parametrize("plugin", [n for n, p in tfbdl.plugins.items() if p.distribution == OWN])
def test_plugin_is_registered_whole(plugin: str) -> None:
    testing.check_registered(plugin)


@pytest.mark.parametrize(("kind", "name"), [(kind, n) for kind in KINDS for n in names(kind)])
def test_options_survive_json_and_command_line(kind: str, name: str) -> None:
    testing.check_options(kind, name)


@pytest.mark.parametrize("name", names("prior"))
def test_prior_keeps_shapes_and_dtypes(name: str) -> None:
    testing.check_prior(name)


@pytest.mark.parametrize("name", list(datasets()))
def test_dataset_is_clean_and_reproducible(name: str) -> None:
    try:
        testing.check_dataset(name)
    except tfbdl.errors.DataError as error:
        if "TFBDL_DATA" not in str(error):
            raise
        pytest.skip(f"{ABSENT} that holds it: {error}")


@pytest.mark.parametrize("name", list(engines()))
def test_engine_gives_draws_and_obeys_seed_and_cancel(name: str) -> None:
    testing.check_engine(name)


@pytest.mark.parametrize("name", list(models()))
def test_model_offers_what_its_spec_says(name: str) -> None:
    testing.check_model(name)


@pytest.mark.parametrize("name", list(models()))
def test_model_obeys_its_seed(name: str) -> None:
    testing.check_seeds(name)


@pytest.mark.parametrize("name", list(models()))
def test_model_is_the_same_after_save_and_load(name: str) -> None:
    testing.check_saves(name)


@pytest.mark.parametrize("name", list(panels()))
def test_panel_computes_and_draws_what_it_shows_of_a_small_fit(name: str) -> None:
    assert testing.check_panel(name) is None


@pytest.mark.replicas
@pytest.mark.parametrize("name", list(on_replicas()))
def test_model_trains_on_two_replicas_as_on_one(name: str) -> None:
    testing.check_replicas(name)


@pytest.mark.gpu
@pytest.mark.parametrize("name", names("model", Capability.TRAINABLE))
def test_model_trains_on_a_gpu_as_on_the_cpu(name: str) -> None:
    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow sees no GPU.")
    testing.check_gpu(name)
