"""Gaussian mixtures by EM: against scikit-learn, SciPy and known optima; bad data; files."""

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture as Reference
from small_models import Stop, stop_at

import tfbdl
from tfbdl import errors
from tfbdl.inference.em import climb

IRIS = load_iris().data
SKLEARN = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}
# The best log likelihoods of three components that are known; the diagonal one is scikit-learn's
# from 100 restarts, which a better optimum may exceed.
IRIS_BEST = {"full": -180.1855, "tied": -256.354, "diagonal": -307.178, "spherical": -384.314}


def fit(x, components=3, covariance="full", seed=0, model=None, out=None, **options):
    return tfbdl.fit(
        "gmm",
        x,
        model_options={"num_components": components, "covariance": covariance, **(model or {})},
        engine_options=options,
        seed=seed,
        out=out,
    )


def reference(covariance, x=IRIS, components=3):
    """scikit-learn's mixture at its start, without its additions to the covariances."""
    made = Reference(components, covariance_type=SKLEARN[covariance], reg_covar=0.0)
    made._initialize_parameters(x, np.random.RandomState(0))
    return made


def blobs(n=400, seed=0):
    rng = np.random.default_rng(seed)
    centers = np.array([[0.0, 0.0], [4.0, 1.0], [-1.0, 5.0]])
    return centers[rng.integers(0, 3, n)] + rng.normal(size=(n, 2)) * [0.5, 0.8]


@pytest.mark.parametrize("covariance", SKLEARN)
def test_each_of_the_first_steps_is_scikit_learns(covariance):
    other = reference(covariance)
    start = {
        "weights": other.weights_.copy(),
        "means": other.means_.copy(),
        "covariances": other.covariances_.copy(),
    }
    expected = []
    for _ in range(5):
        other._m_step(IRIS, other._e_step(IRIS)[1])
        expected.append(other.score(IRIS) * len(IRIS))
    done = fit(IRIS, covariance=covariance, initial=start, steps=5, tolerance=0)
    np.testing.assert_allclose(done.history["log_likelihood"], expected, rtol=1e-11)
    np.testing.assert_allclose(done.model.weights_, other.weights_, rtol=1e-10)
    np.testing.assert_allclose(done.model.means_, other.means_, rtol=1e-10)
    np.testing.assert_allclose(done.model.covariances_, other.covariances_, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(
        done.model.responsibilities(IRIS), other.predict_proba(IRIS), atol=1e-9
    )


@pytest.mark.parametrize("covariance", SKLEARN)
def test_restarts_reach_the_best_known_likelihood_of_iris(covariance):
    done = fit(IRIS, covariance=covariance, restarts=10, tolerance=1e-9, seed=1)
    assert done.metrics["log_likelihood"] > IRIS_BEST[covariance] - 1e-3
    if covariance != "diagonal":
        assert done.metrics["log_likelihood"] < IRIS_BEST[covariance] + 1e-3
    trace = done.history["log_likelihood"]
    assert np.diff(trace).min() > -1e-10 * abs(trace[0])


@pytest.mark.parametrize("covariance", SKLEARN)
def test_log_prob_is_that_of_the_mixture(covariance):
    model = fit(IRIS, covariance=covariance).model
    matrices = {
        "full": lambda c, k: c[k],
        "tied": lambda c, k: c,
        "diagonal": lambda c, k: np.diag(c[k]),
        "spherical": lambda c, k: c[k] * np.eye(4),
    }[covariance]
    density = sum(
        model.weights_[k]
        * stats.multivariate_normal(model.means_[k], matrices(model.covariances_, k)).pdf(IRIS)
        for k in range(3)
    )
    np.testing.assert_allclose(model.log_prob(IRIS), np.log(density), rtol=1e-9)
    shares = model.responsibilities(IRIS)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(IRIS), shares.argmax(axis=1))


def test_criteria_count_the_free_parameters():
    for covariance, kind in SKLEARN.items():
        done = fit(IRIS, covariance=covariance, steps=3)
        count = Reference(3, covariance_type=kind).fit(IRIS)._n_parameters()
        value = done.metrics["log_likelihood"]
        assert done.metrics["bic"] == pytest.approx(-2 * value + count * np.log(150))
        assert done.metrics["aic"] == pytest.approx(-2 * value + 2 * count)
        assert done.model.bic(IRIS) == pytest.approx(done.metrics["bic"], rel=1e-9)


def test_bic_chooses_the_number_of_components_that_made_the_data():
    x = blobs()
    scores = {k: fit(x, k, restarts=3).metrics["bic"] for k in range(1, 6)}
    assert min(scores, key=scores.get) == 3


def test_samples_have_the_moments_of_the_mixture():
    model = fit(blobs(), seed=1).model
    x, labels = model.sample_with_components(40_000, seed=2)
    np.testing.assert_allclose(np.bincount(labels) / 40_000, model.weights_, atol=0.01)
    for k in range(3):
        np.testing.assert_allclose(x[labels == k].mean(axis=0), model.means_[k], atol=0.03)
        np.testing.assert_allclose(np.cov(x[labels == k].T), model.covariances_[k], atol=0.03)
    np.testing.assert_array_equal(model.sample(40_000, seed=2), x)
    assert not np.array_equal(model.sample(5, seed=3), x[:5])


def test_units_of_the_data_do_not_matter():
    x = blobs()
    plain = fit(x, steps=20, tolerance=0)
    moved = fit(x * [1e3, 1e-2] + [1e5, -3.0], steps=20, tolerance=0)
    np.testing.assert_allclose(moved.model.weights_, plain.model.weights_, rtol=1e-6)
    scaled = plain.model.covariances_ * np.outer([1e3, 1e-2], [1e3, 1e-2])
    np.testing.assert_allclose(moved.model.covariances_, scaled, rtol=1e-5)
    shift = 400 * np.log(1e3 * 1e-2)
    assert moved.metrics["log_likelihood"] == pytest.approx(
        plain.metrics["log_likelihood"] - shift, rel=1e-9
    )


def test_float32_agrees_to_its_own_digits():
    x = blobs()
    double = fit(x, steps=30, tolerance=0, seed=3)
    single = fit(x, steps=30, tolerance=0, seed=3, model={"dtype": "float32"})
    assert single.model.means_.dtype == np.float32
    np.testing.assert_allclose(single.model.means_, double.model.means_, atol=1e-3)
    assert single.metrics["log_likelihood"] == pytest.approx(
        double.metrics["log_likelihood"], rel=1e-5
    )


@pytest.mark.parametrize(
    "options", [{"batch_size": 200}, {"e_step": "monte_carlo", "samples": 5}], ids=str
)
def test_stochastic_and_sampled_em_climb_to_the_maximum(options):
    x = blobs(2000)
    exact = fit(x, initial="random", seed=1)
    noisy = fit(x, initial="random", seed=1, **options)
    assert fit(x, initial="random", seed=1, steps=0).metrics["log_likelihood"] < -6400
    assert exact.metrics["log_likelihood"] > -6100
    assert noisy.metrics["log_likelihood"] > exact.metrics["log_likelihood"] - 10.0


def test_float32_sums_have_the_digits_of_float64():
    x = blobs(30_000)
    options = {"steps": 5, "tolerance": 0, "seed": 3}
    single = fit(x, model={"dtype": "float32"}, **options)
    by_row = single.model.log_prob(x.astype(np.float32)).sum()
    assert single.metrics["log_likelihood"] == pytest.approx(by_row, abs=0.05)
    assert single.metrics["bic"] == pytest.approx(single.model.bic(x.astype(np.float32)), abs=0.1)


def test_a_compiled_e_step_gives_the_same_numbers(monkeypatch):
    x = blobs(1000)
    plain = fit(x, steps=4, tolerance=0)
    monkeypatch.setattr(climb, "COMPILED_BYTES", 0)
    compiled = fit(x, steps=4, tolerance=0)
    assert plain.history["log_likelihood"] == pytest.approx(
        compiled.history["log_likelihood"], rel=1e-12
    )
    np.testing.assert_allclose(compiled.model.covariances_, plain.model.covariances_, rtol=1e-9)


# -- bad data ------------------------------------------------------------------------------------


def test_fewer_rows_than_components_are_refused():
    with pytest.raises(errors.DataError, match="at least 5 rows for 5 components"):
        fit(IRIS[:4], 5)


def test_nan_and_weights_and_images_are_refused():
    broken = IRIS.copy()
    broken[3, 2] = np.nan
    with pytest.raises(errors.DataError, match="NaN"):
        fit(broken)
    with pytest.raises(errors.DataError, match="made for a table"):
        fit(np.zeros((10, 2, 2)))


def test_a_collapsed_component_is_held_at_the_floor_and_named():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(50, 2)), [[20.0, 20.0]]])
    with pytest.warns(errors.TfbdlWarning, match=r"held them.*weight 0.0196"):
        done = fit(x, 2, restarts=2)
    smallest = np.linalg.eigvalsh(done.model.covariances_).min()
    assert smallest == pytest.approx(1e-6, rel=1e-3)
    assert np.isfinite(done.model.log_prob(x)).all()
    trace = done.history["log_likelihood"]
    assert np.diff(trace).min(initial=0.0) > -1e-9 * abs(trace[0])


@pytest.mark.filterwarnings("ignore::tfbdl.errors.TfbdlWarning")
@pytest.mark.parametrize("scale", [1e-4, 1e3, 1e5, 1e8])
@pytest.mark.parametrize("covariance", ["full", "diagonal", "spherical"])
def test_rows_that_are_equal_do_no_harm_in_any_units(covariance, scale):
    x = np.concatenate([blobs(200), np.full((20, 2), 9.0)]) * scale
    done = fit(x, 5, covariance, restarts=2)
    matrices = {
        "full": lambda c: c,
        "diagonal": lambda c: np.stack([np.diag(v) for v in c]),
        "spherical": lambda c: np.stack([v * np.eye(2) for v in c]),
    }[covariance](done.model.covariances_)
    density = sum(
        w * stats.multivariate_normal(m, c).pdf(x)
        for w, m, c in zip(done.model.weights_, done.model.means_, matrices, strict=True)
    )
    np.testing.assert_allclose(done.model.log_prob(x), np.log(density), atol=1e-4)
    assert done.metrics["log_likelihood"] == pytest.approx(np.log(density).sum(), abs=1e-2)


@pytest.mark.filterwarnings("ignore::tfbdl.errors.TfbdlWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_columns_that_depend_on_one_another_do_no_harm(dtype):
    x = 1e3 * blobs(300)
    x = np.column_stack([x, x[:, 0] + 2.0 * x[:, 1]])
    for covariance in ("full", "tied"):
        done = fit(x, covariance=covariance, model={"dtype": dtype})
        assert np.isfinite(done.model.log_prob(x)).all()


def test_a_climb_onto_a_point_loses_to_one_without():
    done = fit(IRIS, restarts=10, seed=1)  # some of them collapse
    finals = done.history["log_likelihood_of_restarts"]
    assert max(finals) >= done.metrics["log_likelihood"]
    assert np.linalg.eigvalsh(done.model.covariances_).min() > 1e-5


def test_a_constant_column_is_named_and_takes_no_part():
    x = np.column_stack([blobs(), np.full(400, 7.0)])
    with pytest.warns(errors.TfbdlWarning, match="Columns: 2"):
        done = fit(x, seed=1)
    alone = fit(blobs(), seed=1)
    np.testing.assert_allclose(done.model.means_[:, :2], alone.model.means_, rtol=1e-6)
    np.testing.assert_allclose(done.model.means_[:, 2], 7.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [0.5, 0.6, 0.1]}, "sum to one"),
        ({"covariances": -np.stack([np.eye(4)] * 3)}, "positive definite"),
        ({"means": np.zeros((2, 4))}, r"the shape \[3, 4\]"),
    ],
)
def test_a_start_that_is_no_mixture_is_refused(change, message):
    start = {
        "weights": np.full(3, 1 / 3),
        "means": IRIS[[0, 60, 120]],
        "covariances": np.stack([np.eye(4)] * 3),
    }
    with pytest.raises(errors.OptionsError, match=message):
        fit(IRIS, initial={**start, **change})


# -- runs ----------------------------------------------------------------------------------------


def test_a_stored_fit_answers_as_before(tmp_path):
    done = fit(IRIS, out=tmp_path / "run", restarts=2)
    loaded = tfbdl.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.model.log_prob(IRIS), done.model.log_prob(IRIS))
    np.testing.assert_array_equal(loaded.model.sample(5), done.model.sample(5))
    assert loaded.history == done.history
    assert loaded.metrics == done.metrics


def test_a_fitted_model_goes_on_from_where_it_is():
    first = fit(IRIS, steps=3, tolerance=0)
    more = tfbdl.fit(
        first.model, IRIS, engine_options={"initial": "current", "steps": 4, "tolerance": 0}
    )
    whole = fit(IRIS, steps=7, tolerance=0)
    np.testing.assert_allclose(
        more.history["log_likelihood"], whole.history["log_likelihood"][3:], rtol=1e-12
    )


def test_an_unfitted_model_says_so():
    model = tfbdl.build("gmm", IRIS)
    with pytest.raises(errors.ModelError, match="is not fitted"):
        model.log_prob(IRIS)
    with pytest.raises(errors.ModelError, match="has no 'means_'"):
        _ = model.means_


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path):
    options = {"restarts": 4, "steps": 30, "checkpoint_seconds": 0.0, "tolerance": 0}
    whole = fit(IRIS, **options)
    with pytest.raises(Stop):
        tfbdl.fit(
            "gmm",
            "iris",
            model_options={"num_components": 3},
            engine_options=options,
            data_options={"test_fraction": 0.0},
            out=tmp_path / "run",
            on_step=stop_at(70),
        )
    resumed = tfbdl.resume(tmp_path / "run")
    assert resumed.history == whole.history
    np.testing.assert_array_equal(resumed.model.covariances_, whole.model.covariances_)
