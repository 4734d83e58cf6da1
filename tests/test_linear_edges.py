"""Linear regressions where data say little: few rows, constant columns, bad input; bases; files."""

import warnings

import numpy as np
import pytest
from linear_cases import closed, simulated

import tfbdl
from tfbdl import errors
from tfbdl.data import as_dataset


def test_a_fit_without_noise_or_signal_says_so():
    x, y = simulated(noise=0.0)
    with pytest.warns(errors.TfbdlWarning, match="noise vanishes"):
        exact = closed(x, y)
    np.testing.assert_allclose(exact.predict(x).mean[:, 0], y, atol=1e-4)
    rng = np.random.default_rng(3)
    z = rng.normal(size=(50, 1))
    y = rng.normal(size=50)
    unrelated = y - z[:, 0] * ((z[:, 0] - z.mean()) @ y) / ((z[:, 0] - z.mean()) @ z[:, 0])
    with pytest.warns(errors.TfbdlWarning, match="all weights at zero"):
        none = closed(z, unrelated)
    assert abs(none.posterior.mean()["weights"][0]) < 1e-6
    with pytest.warns(errors.TfbdlWarning, match="targets do not vary"):
        flat = closed(x, np.full(len(x), 2.5))
    np.testing.assert_allclose(flat.predict(x).mean, 2.5)


@pytest.mark.parametrize(
    ("model", "held"),
    [("linear", "vary, so that"), ("ard", "vary, so that"), ("linear_full", "vary: alpha")],
)
def test_no_model_is_sure_of_targets_that_do_not_vary(model, held):
    x, _ = simulated()
    with pytest.warns(errors.TfbdlWarning, match=f"targets do not {held}"):
        fit = tfbdl.fit(model, (x, np.full(len(x), 2.5)))
    if model != "linear_full":  # beta stays at one
        assert fit.metrics["log_evidence"] < 0.0
        assert (fit.predict(x).variance > 1.0).all()
    fits = "columns fit the targets exactly"
    with pytest.warns(errors.TfbdlWarning, match=fits):
        tfbdl.fit(model, (x, x @ np.ones(4)))


@pytest.mark.filterwarnings("ignore::tfbdl.errors.TfbdlWarning")
@pytest.mark.parametrize(
    ("model", "options"),
    [("linear", {"noise_prior": "gamma"}), ("linear_full", {}), ("ard", {}), ("linear", {})],
)
def test_a_sequence_may_begin_with_one_row(model, options):
    x, y = simulated()
    for rows in (1, 2):
        fit = tfbdl.fit(model, (x[:rows], y[:rows]), model_options=options)
        assert 1e-6 < fit.metrics["beta"] < 1e4  # nothing is certain
        p = fit.predict(x)
        assert np.isfinite(p.log_prob(y)).all()
        assert not np.isnan(p.variance).any()
        if options or model == "linear_full":
            assert np.isinf(p.variance).all()
            if rows == 2:  # a Cauchy distribution
                np.testing.assert_allclose(p.quantile(0.5), p.mean)
                width = p.quantile(0.75) - p.mean
                np.testing.assert_allclose(p.quantile(0.9) - p.mean, width * 3.0776835, rtol=1e-5)


def test_rows_too_few_for_a_variance_say_so():
    with pytest.warns(errors.TfbdlWarning, match="The 2 rows so far leave the variance"):
        fit = closed(X[:2], Y[:2], noise_prior="gamma", alpha=1.0)
    assert "train_epistemic_share" not in fit.metrics
    with pytest.warns(errors.TfbdlWarning, match="too few to tell weights from noise"):
        closed(X[:2], Y[:2])


@pytest.mark.parametrize("model", ["linear", pytest.param("linear_full", marks=pytest.mark.slow)])
def test_laplace_finds_the_mode_of_the_data_or_says_that_there_is_none(model):
    x, y = simulated(50, 3)
    exact = closed(x, y)
    fit = tfbdl.fit(model, (x, y), engine="laplace", engine_options={"restarts": 3})
    np.testing.assert_allclose(
        fit.posterior.mean()["weights"],
        exact.posterior.mean()["weights"],
        atol=0.3 * exact.posterior.stddev()["weights"].min(),
    )
    noise = np.random.default_rng(0).normal(size=50)
    with pytest.warns(errors.TfbdlWarning, match="alpha = .* is held by its prior alone"):
        tfbdl.fit(model, (x, noise), engine="laplace")


def test_constant_columns_are_named_after_many_batches():
    from tfbdl_linear import roots

    rng, root = np.random.default_rng(0), None
    for _ in range(300):  # rounding adds up to 1.5e-13 of the column's length
        rows = np.column_stack([rng.normal(size=(1000, 2)), np.full(1000, 7.3)])
        root = roots.absorb(root, rows, rng.normal(size=(1000, 1)))
    parts = roots.parts(root, 3, intercept=True, count=300_000.0)
    assert roots.constant_columns(parts, 300_000.0, intercept=True)[0].endswith("prior: 2.")
    x, y = simulated(40, 2, noise=1.0)
    x = np.column_stack([x, np.full(40, 1e3 / 7.0)])
    with pytest.warns(errors.TfbdlWarning, match="do not vary .* prior: 2"):
        tfbdl.fit("linear", (x, y), engine_options={"batch_size": 7})


def test_whole_numbers_are_targets_like_others():
    x, y = simulated()
    y = np.round(y).astype(int)
    as_given, as_floats = closed(x, y), closed(x, y.astype(float))
    np.testing.assert_array_equal(as_given.model.weights_, as_floats.model.weights_)
    with pytest.raises(errors.DataError, match=r"targets that are numbers.*Received: classes"):
        tfbdl.fit("linear", (x, y - y.min()), data_options={"task": "classification"})
    later = tfbdl.fit(as_given.model, (x, y), engine_options={"initial": "current"})
    assert later.model.count_ == 60


# -- basis functions, files, bad input -----------------------------------------------------------


def test_bases_are_their_functions():
    from tfbdl_linear.basis import make_basis
    from tfbdl_linear.config import BasisOptions

    x = np.random.default_rng(0).normal(size=(5, 2))
    info = as_dataset((x, x[:, 0]), dtype="float64").info

    def columns(**options):
        return make_basis(BasisOptions(**options), info)(x).numpy()

    np.testing.assert_allclose(columns(), x)
    np.testing.assert_allclose(columns(basis="polynomial", degree=3), np.hstack([x, x**2, x**3]))
    z = (x[:, None] - np.array([-1.0, 0.0, 1.0])[:, None]) / 0.5
    options = {"num_basis": 3, "domain": (-1.0, 1.0), "width": 0.5}
    gaussians = columns(basis="gaussian", **options)
    np.testing.assert_allclose(gaussians, np.exp(-0.5 * z**2).reshape(5, 6))
    sigmoids = columns(basis="sigmoid", **options)
    np.testing.assert_allclose(sigmoids, 1.0 / (1.0 + np.exp(-z)).reshape(5, 6))
    waves = columns(basis="fourier", num_basis=1, domain=(0.0, 4.0))
    np.testing.assert_allclose(
        waves, np.hstack([np.sin(np.pi * x / 2), np.cos(np.pi * x / 2)]), atol=1e-12
    )
    scaled = columns(standardize=True)
    np.testing.assert_allclose(scaled, (x - x.mean(0)) / x.std(0))


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("linear", {"basis": "gaussian", "noise_prior": "gamma"}),
        ("linear", {"basis": "gaussian", "centers": "rows"}),
        ("ard", {"basis": "polynomial"}),
        ("linear_full", {"standardize": True}),
    ],
)
def test_a_stored_fit_predicts_the_same(tmp_path, model, options):
    x, y = simulated(20, 2)
    fit = tfbdl.fit(model, (x, y), model_options=options, out=tmp_path / "run")
    again = tfbdl.load(tmp_path / "run")
    np.testing.assert_array_equal(again.predict(x).mean, fit.predict(x).mean)
    np.testing.assert_array_equal(again.predict(x).variance, fit.predict(x).variance)
    for name, value in fit.posterior.covariance().items():
        np.testing.assert_array_equal(again.posterior.covariance()[name], value)


X, Y = simulated()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "'alpha' .* must be a finite number above 0"),
        ({"beta": -1.0}, "'beta' .* must be a finite number above 0"),
        ({"alpha": 1.0, "S0": np.eye(4).tolist()}, "give one"),
        ({"beta": 1.0, "noise_prior": "gamma"}, "give beta or noise_prior"),
        ({"m0": [0.0, 1.0]}, r"m0 must have the shape \[4\].*Received: \[2\]"),
        ({"S0": [[1.0]]}, r"S0 must have the shape \[4, 4\].*Received: \[1, 1\]"),
        ({"S0": (-np.eye(4)).tolist()}, "S0 must be a covariance"),
        ({"S0": np.triu(np.ones((4, 4))).tolist()}, "S0 must be a covariance"),
        ({"domain": (1.0, 0.0)}, "domain must be two numbers that rise"),
        ({"centers": "rows"}, "centers='rows' is for basis='gaussian'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(errors.OptionsError, match=message):
        closed(X, Y, **options)


def test_data_that_do_not_fit_are_refused():
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(errors.DataError, match=r"NaN|missing|finite"):
        closed(bad, Y)
    with pytest.raises(errors.DataError, match=r"targets that are numbers.*Received: none"):
        tfbdl.fit("linear", X)
    with pytest.raises(errors.DataError, match="must be numbers for regression"):
        closed(X, ["a", "b"] * 15)
    with pytest.raises(errors.DataError, match="Received: a sample_weight"):
        tfbdl.fit("linear", (X, Y, np.ones(30)))
    with pytest.raises(errors.DataError, match=r"x of shape \[n, d\]"):
        closed(X.reshape(15, 2, 4), Y[:15])
    with pytest.raises(errors.DataError, match="Mean and standard deviation of the inputs"):
        closed(X[:, 0], Y, basis="gaussian")
    with pytest.raises(errors.DataError, match="rows"):
        closed(X, Y).predict(X[:, :2])
    with pytest.raises(errors.ModelError, match="not fitted"):
        tfbdl.build("linear", (X, Y)).posterior  # noqa: B018
    rows = {"basis": "gaussian", "centers": "rows"}
    with pytest.raises(errors.OptionsError, match="no more rows can come after"):
        tfbdl.fit("linear", (X, Y), model_options=rows, engine_options={"batch_size": 20})
    with pytest.raises(errors.OptionsError, match="starts by 'auto' or 'random'"):
        tfbdl.fit("linear_full", (X, Y), engine_options={"initial": "kmeans++"})
    with pytest.raises(errors.ModelError, match="known once rows were seen"):
        tfbdl.fit(
            "linear", (X, Y), engine="nuts",
            model_options={"basis": "gaussian", "centers": "rows"},
        )  # fmt: skip


def test_fewer_rows_than_columns_are_enough():
    x, y = simulated(8, 20, noise=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.TfbdlWarning)  # the noise may vanish
        fit = closed(x, y)
    phi, t = x - x.mean(axis=0), y - y.mean()
    alpha, beta = fit.metrics["alpha"], fit.metrics["beta"]
    gram = phi @ phi.T / alpha
    gain = np.linalg.solve(gram + np.eye(8) / beta, t)  # the same as a Gaussian process
    np.testing.assert_allclose(fit.predict(x).mean[:, 0], y.mean() + gram @ gain, atol=1e-6)
