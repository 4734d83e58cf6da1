"""The models potts and dirichlet_potts: images and tables, stored and loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from tfbdl_potts.config import PottsOptions
from tfbdl_potts.images import clusters
from tfbdl_potts.model import PottsImage

import tfbdl
from tfbdl import errors

SHORT = {"chains": 2, "warmup": 30, "draws": 30}
TRUTH = np.zeros((10, 14), int)
TRUTH[2:7, 3:9], TRUTH[6:, 10:] = 1, 2
COLOURS = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 1.0], [-1.0, 2.0, 0.0]])


def image(noise: float = 0.7) -> np.ndarray:
    rng = np.random.default_rng(0)
    return COLOURS[TRUTH] + rng.normal(0.0, noise, (*TRUTH.shape, 3))


def agreement(z: np.ndarray) -> float:
    """The share of pairs of sites that two divisions treat alike."""
    same, right = (a.ravel()[:, np.newaxis] == a.ravel() for a in (z, TRUTH))
    return float((same == right).mean())


@pytest.mark.parametrize("engine", ["swendsen_wang", "gibbs"])
def test_a_noisy_image_is_divided_by_colour_and_place(engine: str, tmp_path: Path) -> None:
    options = {"num_states": 3, "beta": 1.0}
    fit = tfbdl.fit("potts", image(), engine=engine, model_options=options, seed=1,
                    engine_options=SHORT, out=tmp_path / "run")  # fmt: skip
    assert fit.posterior.draws["z"].shape == (2, 30, 140)
    alone = fit.model.log_likelihood(image().reshape(-1, 3)).argmax(axis=1)
    assert agreement(fit.model.labels()) > agreement(alone) + 0.1  # 0.84 and 0.70
    probs = fit.model.marginals()
    assert probs.shape == (10, 14, 3)
    np.testing.assert_allclose(probs.sum(axis=-1), 1.0)
    again = tfbdl.load(tmp_path / "run")
    np.testing.assert_array_equal(again.model.marginals(), probs)
    np.testing.assert_array_equal(again.model.covariances_, fit.model.covariances_)


def test_the_number_of_segments_is_found() -> None:
    fit = tfbdl.fit("dirichlet_potts", image(0.4), seed=1, engine_options=SHORT)
    assert agreement(fit.model.labels()) > 0.93
    assert fit.model.labels().shape == (10, 14)
    assert 3 <= np.median(fit.posterior.sample_stats["num_segments"]) <= 4


def test_a_table_of_sites_is_the_image_that_its_shape_says(tmp_path: Path) -> None:
    options = {"num_states": 3}
    of_image = tfbdl.fit("potts", image(), model_options=options, engine_options=SHORT)
    np.savez(tmp_path / "sites.npz", x=image().reshape(-1, 3))
    of_table = tfbdl.fit(
        "potts", str(tmp_path / "sites.npz"), engine_options=SHORT,
        model_options={**options, "shape": (10, 14)},
    )  # fmt: skip
    np.testing.assert_array_equal(*(f.posterior.draws["z"] for f in (of_image, of_table)))
    ring = tfbdl.fit(
        "potts", image()[..., 0].ravel(), engine_options=SHORT,
        model_options={"num_states": 2, "shape": (140,), "periodic": True},
    )  # fmt: skip
    assert ring.model.labels().shape == (140,)


def test_labels_have_the_moments_of_their_clusters() -> None:
    x = image().reshape(-1, 3)
    of = clusters(x, 3, seed=0)
    assert np.all(np.diff([x[of == c].mean() for c in range(3)]) > -0.5)
    model = PottsImage(PottsOptions(num_states=3, variance_floor=1e-12), seed=0)
    field = model.field(tfbdl.Dataset(x=image(), info=None))  # type: ignore[arg-type]
    rows = x[of == 1]
    expected = scipy.stats.multivariate_normal(rows.mean(axis=0), np.cov(rows.T, bias=True))
    share = np.log(len(rows) / len(x))
    np.testing.assert_allclose(field.log_likelihood[:, 1], share + expected.logpdf(x), rtol=1e-6)
    assert len(field.edges) == 10 * 13 + 9 * 14


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (np.zeros((4, 5)), {}, "4 labels ask for as many different sites. Received: 1"),
        (np.zeros((4, 5, 3, 1)), {}, r"an image \[height, width\].*Received: \[4, 5, 3, 1\]"),
        (np.zeros(4), {}, r"Received: \[4\]"),
        (np.zeros((5, 2)), {"shape": (2, 3)}, r"Expected \[6, d\].*Received: \[5, 2\]"),
        (None, {}, "fitted to one array"),
    ],
)
def test_what_is_no_image_is_refused(data: object, options: dict, message: str) -> None:
    with pytest.raises(errors.DataError, match=message):
        tfbdl.fit("potts", data, model_options=options)


def test_there_are_no_labels_before_a_fit() -> None:
    with pytest.raises(errors.ModelError, match="is not fitted"):
        tfbdl.build("potts", image()).labels()
