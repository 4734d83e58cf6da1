"""PCA: the singular value decomposition, scikit-learn, parts of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets, decomposition
from tfbdl_mixture.scatter import Scatter

import tfbdl
from tfbdl.errors import DataError, OptionsError


def table(n: int = 120) -> np.ndarray:
    """Rows of two strong directions in six columns."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, 6)) + 0.4 * rng.normal(size=(n, 6)) + 2.0


@pytest.mark.parametrize("shape", [(60, 7), (7, 60)])
def test_pca_is_the_singular_value_decomposition(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(8).normal(size=shape) + 4.0
    model = tfbdl.fit("pca", x, model_options={"latent_dim": 4}).model
    peer = decomposition.PCA(4).fit(x)
    _, lengths, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(model.explained_variance_, lengths[:4] ** 2 / shape[0])
    np.testing.assert_allclose(
        model.explained_variance_, peer.explained_variance_ * (shape[0] - 1) / shape[0]
    )
    np.testing.assert_allclose(model.explained_share_, peer.explained_variance_ratio_)
    signs = np.sign(np.sum(model.components_ * axes[:4], axis=1))
    np.testing.assert_allclose(model.components_, signs[:, None] * axes[:4], atol=1e-9)
    z = model.transform(x)
    np.testing.assert_allclose(np.abs(z), np.abs(peer.transform(x)), atol=1e-8)
    np.testing.assert_allclose(
        model.inverse_transform(z), peer.inverse_transform(peer.transform(x))
    )


def test_pca_variance_is_that_of_the_projection() -> None:
    x = table()
    model = tfbdl.fit("pca", x).model
    for axis, variance in zip(model.components_, model.explained_variance_, strict=True):
        # 1/N sum (u'x_n - u'mean)^2, with the square
        assert np.mean((x @ axis - x.mean(axis=0) @ axis) ** 2) == pytest.approx(variance)
    np.testing.assert_allclose(model.inverse_transform(model.transform(x)), x, atol=1e-10)


def test_pca_keeps_as_many_axes_as_explain_the_share() -> None:
    x = datasets.load_digits().data
    for share in (0.5, 0.9, 0.99):
        fit = tfbdl.fit("pca", x, model_options={"explained_share": share})
        assert len(fit.model.components_) == decomposition.PCA(share).fit(x).n_components_
        assert fit.metrics["explained_share"] >= share
    assert len(tfbdl.fit("pca", x, model_options={"explained_share": 1.0}).model.components_) == 61


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("latent_dim", [4, None])
def test_pca_of_rows_in_turn_is_that_of_rows_at_once(size: int, latent_dim: int | None) -> None:
    x = np.random.default_rng(2).normal(size=(7, 20))
    x[1] = x[0]  # the first rows alone do not vary, or are fewer than the axes
    options = {"latent_dim": latent_dim}
    once = tfbdl.fit("pca", x, model_options=options).model
    turn = tfbdl.fit("pca", x, model_options=options, engine_options={"batch_size": size}).model
    assert turn.components_.shape == once.components_.shape == (latent_dim or 7, 20)
    np.testing.assert_allclose(turn.explained_variance_, once.explained_variance_, atol=1e-12)
    np.testing.assert_allclose(turn.components_[:4], once.components_[:4], atol=1e-10)


def test_pca_spans_what_ppca_finds() -> None:
    x = table()
    pca = tfbdl.fit("pca", x, model_options={"latent_dim": 2}).model
    W = tfbdl.fit("ppca", x, model_options={"latent_dim": 2}).model.W_
    np.testing.assert_allclose(W / np.linalg.norm(W, axis=0), pca.components_.T, atol=1e-10)


def test_pca_refuses_bad_input(tmp_path: Path) -> None:
    x = table(30)
    with pytest.raises(OptionsError, match=r"at most 6, the number of columns\. Received: 7"):
        tfbdl.fit("pca", x, model_options={"latent_dim": 7})
    with pytest.raises(OptionsError, match="both say how many"):
        tfbdl.fit("pca", x, model_options={"latent_dim": 2, "explained_share": 0.5})
    with pytest.raises(DataError, match=r"4 axes need at least 4 rows\. Received: 3"):
        tfbdl.fit("pca", x[:3], model_options={"latent_dim": 4})
    with pytest.raises(DataError, match="NaN"):
        tfbdl.fit("pca", np.where(x == x[0, 0], np.nan, x))
    with pytest.raises(DataError, match="All rows are equal"):
        tfbdl.fit("pca", np.full((5, 3), 0.1))
    with pytest.raises(DataError, match=r"All rows are equal.*Received: 1 row\."):
        tfbdl.fit("pca", x[:1])
    with pytest.raises(DataError, match=r"4 axes need at least 4 rows\. Received: 3"):
        tfbdl.fit("pca", x[:3], model_options={"latent_dim": 4}, engine_options={"batch_size": 1})
    fit = tfbdl.fit("pca", x, model_options={"latent_dim": 3}, out=tmp_path / "run")
    stored = tfbdl.load(tmp_path / "run").model
    np.testing.assert_array_equal(stored.transform(x), fit.model.transform(x))
    with pytest.raises(DataError, match="3 columns, as in training"):
        stored.inverse_transform(x)


@pytest.mark.parametrize("shape", [(40, 6), (5, 6), (6, 6)])
def test_scatter_of_parts_is_the_scatter_of_all(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(9).normal(size=shape) + 3.0
    centred = x - x.mean(axis=0)
    parts = Scatter.of(x[:2]).merged(Scatter.of(x[2:3])).merged(Scatter.of(x[3:]))
    for scatter in (Scatter.of(x), parts):
        np.testing.assert_allclose(scatter.mean, x.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(scatter.squares, (centred**2).sum(axis=0), atol=1e-10)
        np.testing.assert_allclose(scatter.root.T @ scatter.root, centred.T @ centred, atol=1e-10)
        gram = scatter.root @ scatter.root.T
        np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-10)
