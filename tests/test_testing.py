"""The checks for plugin authors: each fails, with a clear text, on a plugin that is broken so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfbdl
from tfbdl import random, registry, testing
from tfbdl.testing import panels, replicas

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True, scope="module")
def broken_plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The broken plugin stands in this process's registry while these tests run."""
    before = list(registry._loaded)
    sys.path.insert(0, str(DATA))
    points, _ = registry.discover()
    cache = tmp_path_factory.mktemp("probes")
    registry._loaded[:] = [registry.load(points, cache=cache)]
    yield
    registry._loaded[:] = before
    sys.path.remove(str(DATA))


def test_check_registered_accepts_a_plugin_that_is_whole() -> None:
    testing.check_registered("broken")


def test_check_registered_refuses_an_unknown_plugin() -> None:
    with pytest.raises(tfbdl.errors.UnknownNameError, match=r"Did you mean 'broken'"):
        testing.check_registered("brokken")


def test_check_registered_shows_the_problems_of_a_plugin() -> None:
    known = registry.registry()
    problem = registry.Problem(known.plugins["broken"], "names", "Two of one name.", "Rename.")
    known.problems.append(problem)
    try:
        with pytest.raises(AssertionError, match=r"Two of one name\. Rename\."):
            testing.check_registered("broken")
    finally:
        known.problems.remove(problem)


def test_check_options_refuses_a_bound_that_is_not_kept() -> None:
    with pytest.raises(AssertionError, match="'scale' of prior 'broken_infinite' admits -5e-324"):
        testing.check_options("prior", "broken_infinite")


def test_check_prior_accepts_a_sound_prior() -> None:
    testing.check_prior("broken_sound")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong_shape", r"shape \(3,\) in float32: the event shape must be \(3,\)"),
        ("wrong_dtype", "the dtype must be float64. Received: float32"),
        ("without_gradient", "log_prob has no gradient"),
        ("infinite", "log_prob holds 1 of 1 numbers not finite"),
        ("fresh_draws", "the same seed gives another draw"),
    ],
)
def test_check_prior_refuses(name: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.check_prior(f"broken_{name}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("drifting", "differs the second time"),
        ("with_nan", "x holds 2 of 10 numbers not finite"),
        ("no_dataset", r"must return a tfbdl.Dataset. Received: ndarray"),
    ],
)
def test_check_dataset_refuses(name: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.check_dataset(f"broken_{name}")


def test_check_engine_accepts_a_sound_engine() -> None:
    testing.check_engine("broken_sound")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("seedless", "the same seed gives another result: draws of 'dense.kernel'"),
        ("same_for_all_seeds", "another seed gives the same result"),
        ("without_chains", r"draws of 'dense.kernel' must be \[chain, draw, \(3, 1\)\]"),
        ("deaf", "goes on when on_step raises RunCancelled"),
        ("no_result", r"must return a tfbdl.protocols.EngineResult. Received: Posterior"),
    ],
)
def test_check_engine_refuses(name: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.check_engine(f"broken_{name}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("untrained", "one step of SGD leaves .*kernel.* unchanged"),
        ("summed_likelihood", "on each row twice .* must be"),
        ("not_what_it_says", "must offer log_joint, as its spec says"),
    ],
)
def test_check_model_refuses(name: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.check_model(f"broken_{name}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("seedless_model", "the same seed gives another result"),
        ("seed_ignored", "another seed gives the same; it is ignored"),
    ],
)
def test_check_seeds_refuses(name: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.check_seeds(f"broken_{name}")


@pytest.mark.slow
def test_check_saves_refuses_what_is_lost_in_the_file() -> None:
    with pytest.raises(AssertionError, match="after save and load: the predictive mean differ"):
        testing.check_saves("broken_lost_in_the_file")


def test_check_panel_accepts_a_sound_panel_that_refuses_a_bound() -> None:
    assert testing.check_panel("broken_sound") is None


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("out_of_bounds", IndexError, "out of bounds"),
        ("with_objects", tfbdl.errors.SpecError, "Received for 'fit': NoneType"),
        ("empty", AssertionError, "compute gives no array"),
        ("unshown", AssertionError, "show raises 'missing'"),
        ("silent", AssertionError, "show draws nothing"),
        ("bounds_refused", AssertionError, r"refuses each of\n{'row': 0}: There is one row"),
        ("choice_unknown", KeyError, "left"),
        ("choices_refused", AssertionError, "'turned': True}: It cannot be turned"),
        ("without_numbers", AssertionError, "values holds NaN alone"),
        ("apologetic", AssertionError, "show draws an error: There is nothing to show"),
        pytest.param(
            "heavy",
            AssertionError,
            "show imports keras, tensorflow, which a page must do without",
            marks=pytest.mark.slow,
        ),
        ("restless", AssertionError, "show sets row while nobody uses its picture"),
        ("misspelt", AssertionError, "what is not admitted.*no 'rows'. Did you mean 'row'"),
        ("no_mapping", AssertionError, "show returns a DeltaGenerator. Expected: None, or a map"),
    ],
)
def test_check_panel_refuses(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        testing.check_panel(f"broken_{name}")


def test_check_panel_refuses_one_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "SECONDS", 0.01)
    with pytest.raises(AssertionError, match=r"show does not end within 0\.01 seconds"):
        testing.check_panel("broken_sound")


@pytest.mark.replicas
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loss_times_replicas", "on one and on two replicas: one step changes"),
        ("same_noise_on_replicas", "replicas draw the same noise"),
    ],
)
def test_check_replicas_refuses(name: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        testing.check_replicas(f"broken_{name}")


@pytest.mark.slow
def test_check_replicas_runs_in_a_process_where_tensorflow_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replicas, "two_logical_cpus", lambda: False)
    with pytest.raises(AssertionError, match="on one and on two replicas"):
        testing.check_replicas("broken_loss_times_replicas")


def test_check_plugin_stops_at_the_first_fault() -> None:
    with pytest.raises(AssertionError, match=r"Prior 'broken_fresh_draws'.* another draw"):
        testing.check_plugin("broken")


def test_check_plugin_says_what_it_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline() -> None:
        raise OSError("There is no network.")

    for module in (keras.datasets.mnist, keras.datasets.fashion_mnist):
        monkeypatch.setattr(module, "load_data", offline)
    left_out = testing.check_plugin("datasets")
    assert any(text.startswith("dataset 'file': it has options without") for text in left_out)
    assert not any("'iris'" in text for text in left_out)


def test_frozen_noise_holds_draws_at_their_centre_and_lets_go() -> None:
    with testing.frozen_noise():
        assert not np.any(random.normal((5,), random.key(1)))
    assert np.all(random.normal((5,), random.key(1)) != 0)


def test_two_logical_cpus_says_what_there_is() -> None:
    assert testing.two_logical_cpus() == (len(tf.config.list_logical_devices("CPU")) >= 2)
