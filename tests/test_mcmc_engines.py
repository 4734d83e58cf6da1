"""The Markov chain engines from end to end: every kind of model, stops, and more draws."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from small_models import LinearModel, linear_data
from tfbdl_engines.precision import computing_in

import tfbdl
from tfbdl import diagnostics, errors
from tfbdl.runs import RunFolder

pytestmark = pytest.mark.slow  # minutes of compilation; part of `make test-all`

tfb = tfp.bijectors
tfd = tfp.distributions

SHORT = {"chains": 2, "warmup": 60, "draws": 30}
ENGINES = ("nuts", "hmc", "mala", "random_walk", "slice")
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_mcmc_engines as tests

reports = []

def on_step(metrics):
    reports.append(metrics["step"])
    if len(reports) >= 2 and reports[-2] >= int(sys.argv[4]):  # there is a checkpoint of it
        os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3] == "start":
    tests.fit_gamma(sys.argv[2], on_step)
else:
    tests.tfbdl.resume(sys.argv[2], model=tests.gamma(), on_step=on_step)
"""


def gamma(**options):
    """A Gamma(3, 2) of a positive number beside two standard normals."""

    def fn(rate, x):
        return 2.0 * tf.math.log(rate) - 2.0 * rate - 0.5 * tf.reduce_sum(x**2)

    return tfbdl.LogDensity(fn, {"rate": (), "x": (2,)}, {"rate": tfb.Exp()}, **options)


def fit_gamma(out=None, on_step=None, engine="nuts", **options):
    """A run long enough to be killed twice."""
    options = {"chains": 2, "warmup": 600, "draws": 4000, "checkpoint_seconds": 0.0} | options
    return tfbdl.fit(
        gamma(), None, engine=engine, engine_options=options, seed=3, out=out, on_step=on_step
    )


def assert_same_draws(one, other):
    assert one.posterior.draws.keys() == other.posterior.draws.keys()
    for name, draws in one.posterior.draws.items():
        np.testing.assert_array_equal(draws, other.posterior.draws[name])
    for name, values in one.posterior.sample_stats.items():
        np.testing.assert_array_equal(values, other.posterior.sample_stats[name])


def dense_net():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def plane(rows=30):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 2)).astype("float32")
    return x, (x[:, 0] - x[:, 1] + 0.3 + 0.5 * rng.normal(size=rows)).astype("float32")


def exact_plane(scale=0.5):
    """Mean and covariance of the weights under standard normal priors."""
    x, y = plane()
    design = np.c_[x, np.ones(len(x))]
    cov = np.linalg.inv(design.T @ design / scale**2 + np.eye(3))
    return cov @ design.T @ y / scale**2, cov


def assert_plane(posterior):
    weights = np.concatenate(
        [posterior.draws["dense.kernel"][..., 0], posterior.draws["dense.bias"]], axis=-1
    ).astype("float64")
    mean, cov = exact_plane()
    assert np.all(np.abs(weights.mean((0, 1)) - mean) < 4 * diagnostics.mcse_mean(weights))
    squares = (weights - mean) ** 2
    assert np.all(np.abs(squares.mean((0, 1)) - np.diag(cov)) < 4 * diagnostics.mcse_mean(squares))


# -- kinds of models ---------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_samples_a_log_density_in_its_constrained_space(engine):
    options = {"chains": 4, "warmup": 600, "draws": 1500, "thin": 2}
    fit = tfbdl.fit(gamma(), None, engine=engine, engine_options=options, seed=2)
    rate, x = fit.posterior.draws["rate"], fit.posterior.draws["x"]
    assert rate.shape == (4, 1500)
    assert x.shape == (4, 1500, 2)
    assert rate.min() > 0
    for value, expected in ((rate, 1.5), (rate**2, 3.0), (x[..., 0] ** 2, 1.0)):
        assert abs(value.mean() - expected) < 4 * diagnostics.mcse_mean(value)
    assert fit.metrics["ess_bulk_min"] > 50
    assert "n_steps" in fit.posterior.to_arviz()["sample_stats"]


def test_a_joint_distribution_is_sampled_given_its_observed_part():
    joint = tfd.JointDistributionNamedAutoBatched(
        {
            "mean": tfd.Normal(np.float64(0.0), 1.0),
            "y": lambda mean: tfd.Normal(mean * tf.ones(9, tf.float64), np.float64(1.0)),
        }
    )
    y = np.arange(9.0)
    options = {"chains": 4, "warmup": 300, "draws": 1000}
    fit = tfbdl.fit(joint, {"y": y}, engine="nuts", engine_options=options, seed=1)
    mean = fit.posterior.draws["mean"]
    assert (mean.shape, mean.dtype) == ((4, 1000), np.float64)
    assert abs(mean.mean() - 3.6) < 4 * diagnostics.mcse_mean(mean)  # sum / (n + 1)
    spread = (mean - 3.6) ** 2
    assert abs(spread.mean() - 0.1) < 4 * diagnostics.mcse_mean(spread)


def test_a_plain_object_with_a_log_joint_is_sampled():
    x, y = linear_data()
    model = LinearModel()
    options = {"chains": 4, "warmup": 300, "draws": 1000}
    fit = tfbdl.fit(model, (x, y), engine="hmc", engine_options=options, seed=1)
    precision = 1.0 + float((x**2).sum())
    w = fit.posterior.draws["w"]
    assert abs(w.mean() - (x[:, 0] @ y) / precision) < 4 * diagnostics.mcse_mean(w)
    assert w.std() == pytest.approx(precision**-0.5, rel=0.1)
    assert model.num_data == 60


def test_a_network_is_sampled_with_its_noise_and_predicts():
    net = tfbdl.BayesianNetwork(dense_net(), "gaussian")
    options = {"chains": 2, "warmup": 200, "draws": 200, "start": "mode"}
    fit = tfbdl.fit(net, plane(), engine="nuts", engine_options=options, seed=1)
    assert fit.posterior.draws["dense.kernel"].shape == (2, 200, 2, 1)
    scale = fit.posterior.draws["likelihood.scale"]
    assert scale.min() > 0
    assert 0.3 < scale.mean() < 0.8  # 0.5 made the data
    assert fit.predict(plane()[0]).mean.shape == (30, 1)
    assert fit.model.num_data == 30
    assert net.num_data is None  # the given object is untouched


def test_a_registered_model_is_sampled_stored_and_extended(tmp_path):
    arguments = {
        "engine": "mala",
        "model_options": {"hidden": (3,), "noise_scale": 0.7},
        "seed": 4,
    }
    fit = tfbdl.fit("bbb", "diabetes", engine_options=SHORT, out=tmp_path / "a", **arguments)
    assert {"nll", "rmse"} <= fit.metrics.keys()
    assert_same_draws(tfbdl.load(tmp_path / "a"), fit)
    longer = tfbdl.fit("bbb", "diabetes", engine_options=SHORT | {"draws": 45}, **arguments)
    assert_same_draws(tfbdl.resume(tmp_path / "a", draws=15), longer)
    assert tfbdl.load(tmp_path / "a").spec.engine_options["draws"] == 45


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["convolutional", "recurrent"])
@pytest.mark.parametrize("engine", ["nuts", "slice"])
def test_nets_that_cannot_be_vectorised_are_sampled_one_chain_after_the_other(kind, engine):
    rng = np.random.default_rng(1)
    shape = (5, 5, 1) if kind == "convolutional" else (4, 2)
    x, y = rng.normal(size=(12, *shape)).astype("float32"), rng.normal(size=12).astype("float32")
    model = {"architecture": kind, "units": 2, "filters": (2,), "hidden": ()}
    options = {"chains": 2, "warmup": 20, "draws": 8}
    if engine == "nuts":
        options["max_tree_depth"] = 4
    fit = tfbdl.fit(
        "bbb", (x, y), engine=engine, model_options=model, engine_options=options, seed=0
    )
    for draws in fit.posterior.draws.values():
        assert draws.shape[:2] == (2, 8)
        assert np.isfinite(draws).all()
        assert np.ptp(draws, axis=1).min() > 0


# -- elliptical slices -------------------------------------------------------------------------


def normal_net(**options):
    options = {"likelihood_options": {"scale": 0.5}} | options
    return tfbdl.BayesianNetwork(dense_net(), "gaussian", **options)


@pytest.mark.parametrize("start", ["model", "prior"])
def test_elliptical_slices_give_the_exact_posterior_of_a_linear_net(start):
    options = {"chains": 4, "warmup": 300, "draws": 3000, "start": start}
    net = normal_net()
    fit = tfbdl.fit(net, plane(), engine="elliptical_slice", engine_options=options, seed=1)
    assert_plane(fit.posterior)
    stats = fit.posterior.sample_stats
    assert set(stats) == {"lp", "n_steps"}
    assert stats["n_steps"].min() >= 1
    last = {name: tf.constant(draws[0, -1]) for name, draws in fit.posterior.draws.items()}
    expected = float(fit.model.log_joint(last, tuple(map(tf.constant, plane()))))
    assert stats["lp"][0, -1] == pytest.approx(expected, rel=1e-4)


def test_elliptical_slices_are_for_normal_priors():
    with pytest.raises(errors.CapabilityError, match=r"needs gaussian_prior"):
        tfbdl.fit(normal_net(prior="laplace"), plane(), engine="elliptical_slice")
    with pytest.raises(errors.CapabilityError, match=r"needs gaussian_prior"):
        tfbdl.fit(gamma(), None, engine="elliptical_slice")
    with pytest.raises(errors.ModelError, match=r"Fix its parameter.*learned likelihood.scale"):
        tfbdl.fit(normal_net(likelihood_options={}), plane(), engine="elliptical_slice")


def test_a_gaussian_prior_of_ones_own_is_checked():
    class Own:
        sites = (tfbdl.protocols.Site("w", (2,)),)

        def init(self, seed):
            return {"w": tf.zeros(2)}

        def gaussian_prior(self):
            return {"w": tf.zeros(2)}, {"w": tf.constant([1.0, -1.0])}

        def log_likelihood_total(self, params, batch):
            return -tf.reduce_sum(params["w"] ** 2)

    assert tfbdl.plan(Own()).engine.name == "elliptical_slice"
    with pytest.raises(errors.ModelError, match="standard deviations positive"):
        tfbdl.fit(Own(), None)


# -- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "options", "message"),
    [
        ("nuts", {"draws": 0}, "draws"),
        ("nuts", {"target_acept": 0.9}, "Did you mean 'target_accept'"),
        ("nuts", {"max_tree_depth": 16}, "max_tree_depth"),
        ("hmc", {"step_size": -0.1}, "step_size"),
        ("hmc", {"step_size": 0.1, "mass_matrix": "dense"}, "nothing adapts"),
        ("slice", {"target_accept": 0.5}, "target_accept"),
        ("mala", {"start": "mod"}, "'mode'"),
    ],
)
def test_options_are_checked(engine, options, message):
    with pytest.raises(errors.OptionsError, match=message):
        tfbdl.plan(gamma(), engine=engine, engine_options=options)


def test_saturated_trees_are_seen_in_the_diagnosis():
    options = {"chains": 2, "warmup": 0, "draws": 40, "step_size": 0.01, "max_tree_depth": 2}
    fit = tfbdl.fit(gamma(dtype="float64"), None, engine="nuts", engine_options=options)
    stats = fit.posterior.sample_stats
    assert fit.posterior.draws["x"].dtype == np.float64
    assert stats["reached_max_treedepth"].dtype == bool
    assert stats["reached_max_treedepth"].all()
    assert stats["n_steps"].max() == 3
    assert np.unique(stats["step_size"]) == pytest.approx([0.01])
    assert any("greatest tree depth" in text for text in fit.posterior.diagnostics())


def test_a_density_that_is_not_finite_at_the_start_is_refused():
    target = tfbdl.LogDensity(lambda x: tf.math.log(x - 5.0), {"x": ()})
    with pytest.raises(errors.ModelError, match=r"log density is not finite where.*initial="):
        tfbdl.fit(target, None, engine="random_walk")


# -- stops and more draws ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole():
    return fit_gamma()


def test_a_cancelled_run_resumes_to_the_same_bits(tmp_path, whole):
    folder = RunFolder(tmp_path / "run")

    def cancel(metrics):
        folder.request_cancel()

    with pytest.raises(errors.RunCancelled):
        fit_gamma(tmp_path / "run", cancel)
    assert folder.status().state == "cancelled"
    assert len(folder.checkpoints().steps()) == 2
    assert_same_draws(tfbdl.resume(tmp_path / "run", model=gamma()), whole)


def test_a_run_in_memory_and_one_in_a_folder_are_extended_to_the_same_bits(tmp_path):
    first = fit_gamma(engine="mala")
    longer = fit_gamma(engine="mala", draws=4500)
    assert_same_draws(first.extend(500), longer)
    stored = fit_gamma(tmp_path / "run", engine="mala")
    assert_same_draws(stored, first)
    assert_same_draws(stored.extend(500), longer)
    assert_same_draws(tfbdl.load(tmp_path / "run"), longer)
    assert_same_draws(tfbdl.resume(tmp_path / "run", model=gamma()), longer)
    with pytest.raises(errors.RunError, match="model was given as an object"):
        tfbdl.resume(tmp_path / "run", draws=5)
    with pytest.raises(errors.OptionsError, match="draws must be an integer"):
        first.extend(0)


@pytest.mark.slow
def test_a_run_killed_in_warmup_and_again_among_its_draws_resumes_to_the_same_bits(tmp_path, whole):
    for verb, step in (("start", 1), ("resume", 601)):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path / "run"),
             verb, str(step)],
            capture_output=True, text=True, check=False, env=dict(os.environ),
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert RunFolder(tmp_path / "run").status().state == "lost"
        assert (RunFolder(tmp_path / "run").checkpoints().steps()[-1] > 600) == (verb == "resume")
    assert_same_draws(tfbdl.resume(tmp_path / "run", model=gamma()), whole)


# -- energies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["hmc", "mala"])
def test_divergences_are_reported_and_counted(engine):
    options = {"chains": 2, "warmup": 0, "draws": 40, "step_size": 1e4}
    reports = []
    fit = tfbdl.fit(
        gamma(), None, engine=engine, engine_options=options, seed=1,
        on_step=lambda metrics: reports.append(dict(metrics)),
    )  # fmt: skip
    stats = fit.posterior.sample_stats
    assert stats["diverging"].dtype == bool
    assert reports[-1]["divergences"] == fit.metrics["divergences"] == stats["diverging"].sum() > 40
    assert np.isfinite(stats["energy"]).all()
    assert any("divergent of 80 transitions" in text for text in fit.posterior.diagnostics())


# -- precision ---------------------------------------------------------------------------------


def test_a_network_is_sampled_in_float64_by_option():
    x, y = plane()
    net = tfbdl.BayesianNetwork(dense_net(), "gaussian", num_data=30)
    options = {"chains": 2, "warmup": 100, "draws": 50, "dtype": "float64"}
    fit = tfbdl.fit(net, (x, y), engine="nuts", engine_options=options, seed=1)
    draws = fit.posterior.draws
    assert {value.dtype.name for value in draws.values()} == {"float64"}
    w = np.concatenate([draws["dense.kernel"][0, -1, :, 0], draws["dense.bias"][0, -1]])
    scale = draws["likelihood.scale"][0, -1]
    outputs = np.c_[x, np.ones(30)].astype("float64") @ w
    expected = (
        np.sum(tfd.Normal(outputs, scale).log_prob(y.astype("float64")))
        + np.sum(tfd.Normal(np.float64(0.0), 1.0).log_prob(w))
        + tfd.LogNormal(np.float64(0.0), 1.0).log_prob(scale)
        + np.log(-np.expm1(-scale))  # the softplus' Jacobian
    )
    found = fit.posterior.sample_stats["lp"][0, -1]
    assert found == pytest.approx(float(expected), rel=1e-12)  # float32 would give 1e-7
    assert keras.config.floatx() == "float32"
    assert fit.model.net.layers[0].kernel.dtype == "float32"
    each = np.einsum("ni,cdij->cdnj", x, draws["dense.kernel"]) + draws["dense.bias"][:, :, None]
    np.testing.assert_allclose(fit.predict(x).mean, each.mean((0, 1)), atol=1e-5)


def test_a_net_of_any_kind_is_copied_into_a_precision():
    layers = keras.layers
    tokens, numbers = keras.Input((4,), dtype="int32"), keras.Input((2,))
    parts = [layers.Flatten()(layers.Embedding(5, 2)(tokens)), numbers]
    hidden = layers.Dense(3, dtype="mixed_float16")(layers.Concatenate()(parts))
    net = keras.Model([tokens, numbers], layers.Dense(1)(hidden))
    model = tfbdl.BayesianNetwork(net, "gaussian")
    x = [np.array([[0, 1, 2, 4]]), np.array([[0.5, -1.0]])]
    with computing_in("float64", model, None) as (copy, data):
        assert data is None
        assert {site.dtype for site in copy.sites} == {"float64"}
        assert [site.name for site in copy.sites] == [site.name for site in model.sites]
        assert {layer.compute_dtype for layer in copy.net.layers[1:]} >= {"float64"}
        np.testing.assert_allclose(copy.net(x), net(x), atol=2e-3)  # the original is in half
        assert copy.net(x).dtype == "float64"
    assert net(x).dtype == "float32"


def test_a_density_must_be_built_in_the_precision_asked_for():
    options = {"dtype": "float64", **SHORT}
    with pytest.raises(errors.ModelError, match=r"Build it in float64.*rate float32, x float32"):
        tfbdl.fit(gamma(), None, engine="mala", engine_options=options)
    double = gamma(dtype="float64")
    fit = tfbdl.fit(double, None, engine="mala", engine_options=options, seed=1)
    plain = tfbdl.fit(double, None, engine="mala", engine_options=SHORT, seed=1)
    assert_same_draws(fit, plain)
