"""The panel of generators and sample grids, against models whose samples are known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from tfbdl_bayesian_gan import GAN
from tfbdl_bayesian_gan.features import Features
from tfbdl_bayesian_gan.grids import lines_of, sample_grid
from tfbdl_bayesian_gan.panel import SampleControls
from tfbdl_bayesian_gan.samples_shown import gan_samples

from tfbdl.data import as_dataset
from tfbdl.errors import DataError, OptionsError
from tfbdl.fitted import Fit
from tfbdl.specs import RunSpec

CENTRES = np.array([[0.0, 0.0, 0.0], [8.0, 0.0, 0.0], [0.0, 8.0, 0.0], [0.0, 0.0, 8.0]])


class Sampled:
    """A posterior of generators of which the j-th of each draw makes rows of mode j."""

    generators = 3

    def __init__(self, kept: int) -> None:
        self.kept = SimpleNamespace(number=kept)

    def sample(self, n: int, seed: int = 0, generator: Any = None, draw: Any = None) -> np.ndarray:
        rng = np.random.default_rng(seed)
        mode = rng.integers(0, 3, n) if generator is None else np.full(n, generator)
        return CENTRES[mode] + 0.3 * rng.standard_normal((n, 3)) + 0.01 * (draw or 0)


def clusters(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    k = np.arange(n) % 4
    return (CENTRES[k] + 0.3 * rng.standard_normal((n, 3))).astype("float32"), k


def fit_of(model: Any, data: Any, history: Any = None) -> Fit:
    held = None if data is None else as_dataset(data)
    fit = Fit(
        model=model,
        posterior=None,
        history=history or {},
        metrics={},
        spec=RunSpec(model="bayesian_gan"),
        info=None if held is None else held.info,
    )
    fit.given = (None, held)
    return fit


def test_each_draw_is_a_group_beside_the_data_and_its_modes() -> None:
    history = {"generator_loss": [0.7, 0.6], "discriminator_loss": [1.4, 1.3], "other": [1.0]}
    fit = fit_of(Sampled(kept=8), clusters(), history)
    said = gan_samples(fit, SampleControls(groups=3, rows=5, seed=1))
    assert list(said["group"]) == ["draw 0", "draw 4", "draw 7"]
    assert said["generated"].shape == (3, 5, 3)
    np.testing.assert_array_equal(said["generated"][1], Sampled(8).sample(500, 1, draw=4)[:5])
    np.testing.assert_allclose(said["share"][0], 0.25)  # of the data
    assert list(said["covered"]) == [3, 3, 3, 3]  # the fourth mode is missed by all
    assert said["share"][1][3] == 0.0
    assert (np.diff(said["point_of"]) >= 0).all()
    assert said["js"].shape == (4,)
    assert 0.0 < said["js"][0] < np.log(2.0)
    assert (said["nearest"] < 1.0).all()
    assert sorted(name for name in said if name.startswith("history")) == [
        "history_discriminator_loss",
        "history_generator_loss",
    ]


def test_generators_of_the_newest_draw_are_told_apart() -> None:
    fit = fit_of(Sampled(kept=2), clusters())
    said = gan_samples(fit, SampleControls(by="generator", groups=12))
    assert list(said["group"]) == ["generator 0", "generator 1", "generator 2"]
    assert list(said["covered"]) == [3, 1, 1, 1]
    np.testing.assert_allclose(said["share"][2:, :3], np.eye(3))


def test_without_data_or_classes_less_is_said() -> None:
    said = gan_samples(fit_of(Sampled(kept=0), None), SampleControls())
    assert list(said["group"]) == ["present weights"]
    assert "point" not in said
    said = gan_samples(fit_of(Sampled(kept=1), clusters()[0]), SampleControls())
    assert "js" in said
    assert "share" not in said


@pytest.fixture(scope="module")
def images() -> GAN:
    """A plain GAN of images."""
    layers = keras.layers
    start = keras.initializers.RandomNormal(seed=0)
    generator = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(36, "sigmoid", kernel_initializer=start),
            layers.Reshape((6, 6, 1)),
        ]
    )
    critic = keras.Sequential([keras.Input((6, 6, 1)), layers.Flatten(), layers.Dense(1)])
    return GAN(generator, critic, 3, seed=0)


def test_a_plain_gan_is_one_group_of_images(images: GAN) -> None:
    x = np.random.default_rng(0).uniform(size=(20, 6, 6, 1)).astype("float32")
    said = gan_samples(fit_of(images, x), SampleControls(rows=4, seed=2))
    assert list(said["group"]) == ["generator"]
    assert bool(said["is_image"])
    expected = images.sample(500, seed=2)[:4].reshape(1, 4, 6, 6)
    np.testing.assert_array_equal(said["generated"], expected)
    assert float(said["high"]) == pytest.approx(x.max())


PAGE = """
import numpy as np
import streamlit as st
from tfbdl_bayesian_gan.panel import show_samples
with np.load({path!r}, allow_pickle=False) as stored:
    show_samples(st, {{name: stored[name] for name in stored.files}})
"""


def shown(path: Path, arrays: dict[str, np.ndarray]) -> AppTest:
    np.savez(path, **arrays)
    page = AppTest.from_string(PAGE.format(path=str(path)), default_timeout=120).run()
    assert not page.exception
    return page


def test_the_page_says_how_many_modes_are_covered(tmp_path: Path) -> None:
    history = {"generator_loss": [0.7, 0.6]}
    fit = fit_of(Sampled(kept=2), clusters(), history)
    page = shown(tmp_path / "a.npz", gan_samples(fit, SampleControls()))
    assert page.metric[0].value == "3 of 4"
    assert float(page.metric[1].value) > 0.0
    assert len(page.get("vega_lite_chart")) == 3
    bare = shown(tmp_path / "b.npz", gan_samples(fit_of(Sampled(1), None), SampleControls()))
    assert not bare.metric


def test_a_sample_grid_has_a_line_for_each_draw_or_generator(images: GAN) -> None:
    assert [line.name for line in lines_of(Sampled(kept=3))] == ["draw 0", "draw 1", "draw 2"]
    assert [line.which for line in lines_of(Sampled(kept=3), "generator")] == [
        {"generator": j, "draw": 2} for j in range(3)
    ]
    picture = sample_grid(images, columns=5)
    assert picture.shape[2] == 3
    assert picture.shape[1] / picture.shape[0] == pytest.approx(34 / 6)  # five images and lines
    with pytest.raises(DataError, match="are no images"):
        sample_grid(Sampled(kept=1))
    with pytest.raises(OptionsError, match="'draw' or 'generator'"):
        lines_of(Sampled(kept=1), "epoch")


def test_features_tell_classes_and_order_what_is_generated() -> None:
    x, y = clusters(400)
    features = Features(x, y, units=8, epochs=8, batch_size=32, learning_rate=1e-2, seed=0)
    assert np.mean(features.classify(clusters(200)[0]) == clusters(200)[1]) > 0.98
    assert features(x).shape == (400, 8)
    halves = features.frechet_distance(x[:200], x[200:])
    missed = features.frechet_distance(x, x[y < 2])
    worse = features.frechet_distance(x, x[y == 0])
    assert 0.0 <= halves < 0.05 * missed < 0.05 * worse
    again = Features(x, y, units=8, epochs=8, batch_size=32, learning_rate=1e-2, seed=0)
    np.testing.assert_array_equal(again(x[:5]), features(x[:5]))
    with pytest.raises(DataError, match="Rows must be of shape"):
        features(x[:, :2])
    with pytest.raises(DataError, match="two classes or more"):
        Features(x, np.zeros(len(x)))
