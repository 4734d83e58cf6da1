"""K-means: scikit-learn's iterations from the same start, known inertias, empty clusters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn import cluster, datasets
from tfbdl_mixture import kmeans_plus_plus

import tfbdl
from tfbdl.errors import DataError, ModelError, OptionsError, TfbdlWarning
from tfbdl.sklearn import Estimator


def blobs(n: int = 300, d: int = 4, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + 2.0 * rng.integers(0, 3, size=(n, 1))


def peer(x: np.ndarray, start: np.ndarray, steps: int) -> cluster.KMeans:
    return cluster.KMeans(
        len(start), init=start, n_init=1, max_iter=steps, tol=0, algorithm="lloyd"
    ).fit(x)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "steps", [1, *(pytest.param(s, marks=pytest.mark.slow) for s in (2, 3)), 6]
)
def test_each_iteration_is_that_of_scikit_learn(steps: int) -> None:
    x = blobs()
    start = x[:5] + 0.1
    expected = peer(x, start, steps)
    options = {"steps": steps, "initial": {"centers": start}, "tolerance": 0}
    fit = tfbdl.fit("kmeans", x, model_options={"num_clusters": 5}, engine_options=options)
    np.testing.assert_allclose(fit.model.centers_, expected.cluster_centers_, atol=1e-12)
    np.testing.assert_allclose(fit.metrics["inertia"], expected.inertia_, rtol=1e-12)
    np.testing.assert_array_equal(fit.model.predict(x), expected.labels_)
    np.testing.assert_array_equal(fit.model.responsibilities(x), np.eye(5)[expected.labels_])
    np.testing.assert_allclose(fit.model.distances(x), expected.transform(x), atol=1e-12)
    alone = kmeans_plus_plus.lloyd(x, start, steps)
    np.testing.assert_allclose(alone["centers"], expected.cluster_centers_, atol=1e-12)
    np.testing.assert_allclose(alone["inertia"], expected.inertia_, rtol=1e-12)


def test_iris_reaches_the_known_inertia() -> None:
    x = datasets.load_iris().data
    fit = tfbdl.fit("kmeans", x, engine_options={"restarts": 10}, seed=0)
    assert fit.model.inertia_ == pytest.approx(78.851441, abs=1e-5)  # the global minimum, k = 3
    assert sorted(fit.model.counts_) == [38, 50, 62]


def test_digits_reach_the_known_inertia() -> None:
    x = datasets.load_digits().data
    fit = tfbdl.fit(
        "kmeans", x, model_options={"num_clusters": 10}, engine_options={"restarts": 20}
    )
    # scikit-learn, best of 50 starts: 1165154; a minimum lower by a thousandth would be an error.
    assert 1165154 * 0.999 < fit.model.inertia_ < 1165154 * 1.0001


def test_score_never_falls_and_is_minus_the_inertia() -> None:
    x = blobs(seed=1)
    fit = tfbdl.fit(
        "kmeans",
        x,
        model_options={"num_clusters": 7},
        engine_options={"initial": "random", "tolerance": 0, "steps": 20},
    )
    score = np.asarray(fit.history["score"])
    assert (np.diff(score) >= -1e-12 * abs(score[0])).all()
    nearest = np.linalg.norm(x[:, None] - fit.model.centers_, axis=2).min(axis=1)
    np.testing.assert_allclose(-score[-1], (nearest**2).sum(), rtol=1e-12)


def test_tolerance_is_in_the_unit_of_the_data() -> None:
    x = blobs(seed=2)
    options = {"initial": {"centers": x[:4]}}
    model = {"num_clusters": 4}
    fit = tfbdl.fit("kmeans", x, model_options=model, engine_options=options)
    small = tfbdl.fit(
        "kmeans",
        1e-6 * x,
        model_options=model,
        engine_options={"initial": {"centers": 1e-6 * x[:4]}},
    )
    assert len(small.history["score"]) == len(fit.history["score"]) > 2
    np.testing.assert_allclose(small.model.centers_, 1e-6 * fit.model.centers_, rtol=1e-9)


def test_large_offsets_cost_no_digits() -> None:
    x = blobs(seed=3)
    far = kmeans_plus_plus.lloyd(x + 1e6, x[:4] + 1e6)
    np.testing.assert_allclose(far["centers"] - 1e6, kmeans_plus_plus.lloyd(x, x[:4])["centers"])
    labels, squares = kmeans_plus_plus.nearest_centers(
        tf.constant(x + 1e6, tf.float32), tf.constant(x[:4] + 1e6, tf.float32)
    )
    rounded = (x + 1e6).astype("float32").astype(float)
    every = ((rounded[:, None] - rounded[:4]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(every[np.arange(len(x)), labels], every.min(axis=1))
    np.testing.assert_allclose(squares, every.min(axis=1), rtol=1e-6)  # of numbers near 1e6


def test_an_empty_cluster_keeps_its_centre_and_is_reported() -> None:
    x = blobs(60, seed=4)
    start = np.vstack([x[:2], np.full((1, 4), 1e3)])
    with pytest.warns(TfbdlWarning, match=r"1 of 3 clusters have no rows: 2"):
        fit = tfbdl.fit("kmeans", x, engine_options={"initial": {"centers": start}})
    np.testing.assert_allclose(fit.model.centers_[2], 1e3)
    assert fit.model.counts_[2] == 0
    np.testing.assert_allclose(
        fit.model.centers_[:2], kmeans_plus_plus.lloyd(x, x[:2])["centers"], atol=1e-12
    )


def test_minibatches_come_near_the_whole() -> None:
    x = blobs(600, seed=5)
    options = {"batch_size": 50, "steps": 15, "initial": {"centers": x[:3]}}
    fit = tfbdl.fit("kmeans", x, engine_options=options)
    whole = kmeans_plus_plus.lloyd(x, x[:3])["inertia"]
    assert fit.model.inertia_ < 1.02 * whole


def test_plus_plus_draws_far_rows_with_the_stated_probabilities() -> None:
    x = np.asarray([[0.0], [1.0], [3.0]])
    counts = np.zeros((3, 3))
    draws = 200
    for seed in range(draws):
        first, second = kmeans_plus_plus.centers(x, 2, seed)[:, 0]
        counts[int(first > 0) + int(first > 1), int(second > 0) + int(second > 1)] += 1
    # Two candidates with probabilities in proportion to the squared distances, of which the one
    # with the smaller sum of squared distances is kept: from 0 row 3 leaves 1, row 1 leaves 4, so
    # row 1 comes only if both candidates are row 1; from 1 (weights 1, 0, 4) row 3 leaves 1, row 0
    # leaves 4; from 3 (weights 9, 4, 0) both leave 1, and the first candidate stays.
    expected = np.asarray([[0, 0.01, 0.99], [0.04, 0, 0.96], [9 / 13, 4 / 13, 0]]) / 3
    np.testing.assert_allclose(counts / draws, expected, atol=0.13)  # four standard errors


def test_plus_plus_beats_random_rows_and_is_as_good_as_its_peer() -> None:
    x = datasets.load_digits().data

    def potential(places: np.ndarray) -> float:
        return ((x[:, None] - places) ** 2).sum(axis=2).min(axis=1).sum()

    own, peers, random = [], [], []
    for seed in range(10):
        own.append(potential(kmeans_plus_plus.centers(x, 10, seed)))
        peers.append(potential(cluster.kmeans_plusplus(x, 10, random_state=seed)[0]))
        random.append(potential(np.random.default_rng(seed).permutation(x)[:10]))
    assert np.median(own) < 0.95 * np.median(random)
    assert np.median(own) == pytest.approx(np.median(peers), rel=0.05)


def test_plus_plus_takes_rows_that_repeat() -> None:
    x = np.repeat([[0.0, 0.0], [1.0, 1.0]], 4, axis=0)
    found = kmeans_plus_plus.centers(x, 3, 0)
    assert {tuple(row) for row in found} == {(0.0, 0.0), (1.0, 1.0)}


def test_plus_plus_obeys_its_seed() -> None:
    x = blobs()
    first, again, other = (kmeans_plus_plus.centers(x, 5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_stored_fit_answers_the_same(tmp_path: Path) -> None:
    x = blobs(seed=6).astype("float32")
    options = {"num_clusters": 4, "dtype": "float32"}
    fit = tfbdl.fit("kmeans", x, model_options=options, out=tmp_path / "run")
    stored = tfbdl.load(tmp_path / "run").model
    assert stored.centers_.dtype == np.float32
    np.testing.assert_array_equal(stored.predict(x), fit.model.predict(x))
    np.testing.assert_array_equal(stored.counts_, fit.model.counts_)
    assert stored.inertia_ == fit.model.inertia_


def test_a_fitted_model_goes_on_from_where_it_is() -> None:
    x = blobs(seed=7)
    options = {"steps": 2, "initial": {"centers": x[:3]}, "tolerance": 0}
    fit = tfbdl.fit("kmeans", x, engine_options=options)
    more = tfbdl.fit(fit.model, x, engine="em", engine_options={"initial": "current", "steps": 3})
    np.testing.assert_allclose(
        more.model.centers_, kmeans_plus_plus.lloyd(x, x[:3], 5)["centers"], atol=1e-12
    )


def test_an_estimator_of_scikit_learn_predicts() -> None:
    x = blobs(seed=7)
    estimator = Estimator("kmeans", model_options={"num_clusters": 3}).fit(x)
    labels = estimator.predict(x)
    np.testing.assert_array_equal(labels, estimator.fit_.model.predict(x))
    assert set(labels) == {0, 1, 2}


def test_blocks_of_a_question_go_by_the_columns_of_the_fit() -> None:
    x = np.random.default_rng(0).normal(size=(20, 500))
    model = tfbdl.fit("kmeans", x, engine_options={"steps": 1}).model
    # a row, its distance from a middle, the gap to its centre and the square of that
    assert model.row_bytes >= 4 * 500 * 8


def test_starts_are_rows_or_clusters_of_rows() -> None:
    x = blobs(90, seed=9)
    for method in ("auto", "kmeans++", "random"):
        places = kmeans_plus_plus.start_centers(x, 4, method, 1, "It")
        assert all((x == place).all(axis=1).any() for place in places)
        labels = kmeans_plus_plus.start_labels(x, 4, method, 1, "It")
        assert labels.shape == (90,)
        assert set(labels) == {0, 1, 2, 3}
    np.testing.assert_array_equal(labels, ((x[:, None] - places) ** 2).sum(axis=2).argmin(axis=1))
    with pytest.raises(OptionsError, match=r"It starts by 'auto'.*Received: 'best'"):
        kmeans_plus_plus.start_labels(x, 4, "best", 1, "It")
    with pytest.raises(DataError, match=r"Each component needs.*9 rows for 9 components"):
        kmeans_plus_plus.check_rows(3, 9, "component")


def test_constant_columns_do_no_harm() -> None:
    x = blobs(seed=8)
    wider = np.column_stack([x, np.full(len(x), 7.0)])
    options = {"initial": {"centers": wider[:3]}}
    fit = tfbdl.fit("kmeans", wider, engine_options=options)
    np.testing.assert_allclose(
        fit.model.centers_[:, :4], kmeans_plus_plus.lloyd(x, x[:3])["centers"], atol=1e-12
    )


def test_bad_input_is_refused() -> None:
    x = blobs(20)
    with pytest.raises(DataError, match=r"at least 30 rows for 30 clusters\. Received: 20"):
        tfbdl.fit("kmeans", x, model_options={"num_clusters": 30})
    gap = x.copy()
    gap[3, 1] = np.nan
    with pytest.raises(DataError, match="NaN in 1 of 4 columns"):
        tfbdl.fit("kmeans", gap)
    with pytest.raises(DataError, match=r"must have the shape \[rows, columns\]"):
        tfbdl.fit("kmeans", x.reshape(20, 2, 2))
    with pytest.raises(OptionsError, match=r"must have the shape \[3, 4\]"):
        tfbdl.fit("kmeans", x, engine_options={"initial": {"centers": x[:2]}})
    with pytest.raises(ModelError, match="not fitted"):
        tfbdl.build("kmeans", x).predict(x)
    model = tfbdl.fit("kmeans", x).model
    with pytest.raises(DataError, match=r"4 columns, as in training. Received: shape \(20, 3\)"):
        model.predict(x[:, :3])
    with pytest.raises(DataError, match="NaN"):
        model.predict(gap)
