"""Variational EM of Keras models: its climb, what each step leaves alone, and how it resumes."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_iris
from small_models import Stop, stop_at
from tfbdl_engines.em_config import EmOptions
from tfbdl_engines.variational_em import VariationalEm
from tfbdl_vae import VAE
from vae_by_name import eagerly

import tfbdl
from tfbdl import errors, evaluation, functional
from tfbdl.data import as_dataset
from tfbdl.protocols import Alternating, Context
from tfbdl.testing.latent import check_alternating


def linear(inputs, units, name):
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(units)], name=name)


def linear_vae(seed=0, size=4, latent_dim=2, **options):
    """Linear nets and Gaussian noise of a learned scale: probabilistic PCA."""
    with functional.seeded(seed):
        nets = linear(size, 2 * latent_dim, "encoder"), linear(latent_dim, size, "decoder")
    return VAE(*nets, latent_dim, "gaussian", seed=seed, **options)


def rows(n=32, size=4):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, 2)) @ rng.normal(size=(2, size))).astype("float32")


def standardised_iris():
    x = load_iris().data
    return ((x - x.mean(0)) / x.std(0)).astype("float32")


def ppca_maximum(x, latent_dim):
    """The maximum of PPCA's log-likelihood, nats a row (Tipping & Bishop 1999, section 3.2)."""
    values = np.sort(np.linalg.eigvalsh(x.T @ x / len(x)))[::-1]
    d, noise = x.shape[1], values[latent_dim:].mean()
    log_det = np.log(values[:latent_dim]).sum() + (d - latent_dim) * np.log(noise)
    return -0.5 * (d * np.log(2 * np.pi) + log_det + d)


def train(model, x, on_step=None, **options):
    engine = VariationalEm(EmOptions(**{"batch_size": len(x), **options}))
    return engine.fit(model, as_dataset(x), Context(on_step=on_step))


def fit(x, out=None, on_step=None, model=None, **options):
    options = {"steps": 6, "e_epochs": 2, "batch_size": 32, "checkpoint_seconds": 0, **options}
    return tfbdl.fit(
        model or linear_vae(), x, engine="em", engine_options=options, out=out, on_step=on_step
    )


def values(variables):
    return [np.asarray(variable).copy() for variable in variables]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


CLIMB = {"e_epochs": 3, "batch_size": 150}


def tiled_iris(times=16):
    """A pass over it is as many training steps, each on all rows."""
    return np.tile(standardised_iris(), (times, 1))


@pytest.fixture(scope="module")
def trained():
    """A model after 14 steps, the engine's result, and all weights after each pass."""
    model = linear_vae(num_samples=4)
    of_q, of_p = model.encoder.weights, [*model.decoder.weights, *model.learned_raw.values()]
    seen = [(values(of_q), values(of_p))]

    def look(metrics):
        seen.append((values(of_q), values(of_p)))

    result = train(model, tiled_iris(), look, steps=14, learning_rate=0.06, **CLIMB)
    return model, result, seen


@pytest.fixture(scope="module")
def whole():
    """A run of six steps that nobody stopped."""
    return fit(rows())


# -- the climb ---------------------------------------------------------------------------------


def check_climb(model, result, steps, distance):
    x = standardised_iris()
    maximum = ppca_maximum(x, 2)
    trace = np.array(result.history["elbo"])
    assert len(trace) == steps
    # noise of the gradient moves the bound by a few hundredths of a nat
    assert np.diff(trace).min() > -0.05
    assert trace[0] < maximum - 0.5
    assert maximum - distance < model.elbo(x, draws=500).mean() < maximum + 0.01
    assert result.metrics["elbo"] == trace[-1]


@pytest.mark.slow
def test_variational_em_of_a_linear_vae_climbs_to_the_maximum_of_ppca(trained):
    check_climb(*trained[:2], 14, 0.15)


@pytest.mark.slow
def test_a_longer_run_from_objects_comes_closer():
    model = linear_vae(num_samples=4)
    done = fit(tiled_iris(32), model=model, steps=40, learning_rate=0.02, **CLIMB)
    check_climb(done.model, done, 40, 0.05)


def test_each_phase_leaves_the_weights_of_the_other_as_they_are(trained):
    model, _, seen = trained
    assert len(seen) == 1 + 14 * 4
    for i, phase in enumerate(14 * "eeem"):
        q, p = (same(old, new) for old, new in zip(seen[i], seen[i + 1], strict=True))
        assert (q, p) == ((False, True) if phase == "e" else (True, False))
    assert len(model.trainable_variables) == 5
    assert model.optimizer.iterations == 0  # made anew, for all weights
    assert len(model.optimizer.variables) == 2 + 2 * 5


def test_history_has_the_figures_of_the_weights_at_the_end_of_each_step(trained):
    model, result, _ = trained
    assert {name: len(v) for name, v in result.history.items()}["elbo"] == 14
    assert {"loss", "reconstruction", "kl", "active_units"} <= set(result.history)
    after = model.evaluate(tiled_iris(), batch_size=150, verbose=0, return_dict=True)
    assert result.history["elbo"][-1] == pytest.approx(after["elbo"], rel=1e-6)
    assert result.metrics["elbo"] == result.history["elbo"][-1]
    assert result.metrics["steps"] == 14
    assert result.metrics["converged"] == 0


def test_trained_model_is_stored_and_trains_on(trained, tmp_path):
    model = trained[0]
    model.save(tmp_path / "vae.keras")
    copy = tfbdl.load(tmp_path / "vae.keras")
    before = values(copy.trainable_variables)
    with eagerly():
        np.testing.assert_array_equal(copy.codes(rows()), model.codes(rows()))
        copy.train_on_batch(rows())
    after = values(copy.trainable_variables)
    assert not any(np.array_equal(b, a) for b, a in zip(before, after, strict=True))


@pytest.mark.slow
def test_the_climb_ends_at_the_first_step_that_gains_too_little(whole):
    trace = whole.history["loss"]
    gains = -np.diff(trace)
    tolerance = float(np.sort(gains)[-3:].mean())
    expected = 2 + int(np.argmax(gains < tolerance))  # the first step has none before it
    assert expected < 6
    done = fit(rows(), tolerance=tolerance)
    assert done.history["loss"] == trace[:expected]
    assert done.metrics["converged"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "error"),
    [(5, Stop), (6, errors.RunCancelled)],
    ids=["within a step", "at the end of one"],
)
def test_stopped_run_resumes_to_the_same_bits(tmp_path, whole, at, error):
    with pytest.raises(error):
        fit(rows(), out=tmp_path / "run", on_step=stop_at(at, error))
    resumed = tfbdl.resume(tmp_path / "run", model=linear_vae(), data=rows())
    assert same(values(whole.model.weights), values(resumed.model.weights))
    assert resumed.history == whole.history


def test_no_steps_keep_the_weights():
    model = linear_vae()
    before = values(model.weights)
    result = train(model, rows(), steps=0)
    assert same(before, values(model.weights))
    assert result.history == {}
    assert result.metrics["steps"] == 0


# -- what is refused ---------------------------------------------------------------------------


class Overlapping(VAE):
    """Its encoder is in both phases."""

    def phases(self):
        return {"e": self.encoder.trainable_variables, "m": self.trainable_variables}


class Misnamed(VAE):
    """Its phases have other names."""

    def phases(self):
        return {"encoder": self.encoder.trainable_variables}


def broken(cls):
    return cls(linear(4, 4, "encoder"), linear(2, 4, "decoder"), 2, "gaussian", seed=0)


def test_phases_that_do_not_part_the_weights_are_refused():
    with pytest.raises(errors.ModelError, match=r"part all 5 .* 2 of e, 5 of m, 2 of both"):
        train(broken(Overlapping), rows(), steps=1)
    with pytest.raises(AssertionError, match="is in both phases"):
        check_alternating("The model", broken(Overlapping), as_dataset(rows()))
    with pytest.raises(errors.ModelError, match=r"weights of 'e' and of 'm'.*'encoder': 2"):
        train(broken(Misnamed), rows(), steps=1)
    with pytest.raises(AssertionError, match="phases must be e and m"):
        check_alternating("The model", broken(Misnamed), as_dataset(rows()))


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ("decoder", r"No weight of the M-step.*engine='variational'.*2 of e, 0 of m"),
        ("encoder", r"No weight of the E-step.*engine='variational'.*0 of e, 3 of m"),
    ],
)
def test_frozen_weights_are_named(net, message):
    options = {"likelihood_options": {"scale": 1.0}} if net == "decoder" else {}
    model = linear_vae(**options)
    getattr(model, net).trainable = False
    with pytest.raises(errors.ModelError, match=message):
        train(model, rows(), steps=1)


def test_figures_are_of_evenly_spaced_rows_where_there_are_many(monkeypatch):
    monkeypatch.setattr(evaluation, "MOST_ROWS", 8)
    model, x = linear_vae(num_samples=1), rows(32)
    with eagerly():
        result = train(model, x, steps=1)
        after = model.evaluate(x[::4], batch_size=32, verbose=0, return_dict=True)
    assert result.history["elbo"][-1] == pytest.approx(after["elbo"], rel=1e-6)


def test_without_numbers_a_keras_model_makes_fifty_steps():
    told = []

    def look(metrics):
        told.append(metrics["steps"])
        raise Stop

    for given in ({}, {"steps": None, "tolerance": None}, {"steps": 7}):
        with eagerly(), pytest.raises(Stop):
            train(linear_vae(), rows(4), look, **given)
    assert told == [2 * 50, 2 * 50, 2 * 7]  # passes over the data


def test_a_keras_model_without_phases_is_refused():
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    net.compile(loss="mse")
    assert not isinstance(net, Alternating)
    with pytest.raises(errors.CapabilityError, match=r"must have phases\(\).*'variational'"):
        train(net, rows(), steps=1)
    with pytest.raises(errors.CapabilityError, match="'em' cannot fit model 'vq_vae'"):
        tfbdl.plan("vq_vae", engine="em")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"restarts": 3}, "'restarts' is for models whose E-step is a formula.*Received: 3"),
        ({"e_step": "monte_carlo"}, "'e_step' is for models whose E-step is a formula"),
        ({"initial": "kmeans++"}, r"initial='auto' or 'current'\. Received: 'kmeans\+\+'"),
    ],
)
def test_options_of_formulas_do_not_go_with_a_keras_model(options, message):
    with pytest.raises(errors.OptionsError, match=message):
        fit(rows(), **options)


def test_options_of_training_do_not_go_with_formulas():
    with pytest.raises(errors.OptionsError, match=r"'e_epochs' is for Keras models.*Received: 4"):
        tfbdl.fit("gmm", rows(), engine_options={"e_epochs": 4})


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_the_run():
    with pytest.raises(errors.RunError, match=r"loss became .* Lower the learning_rate"):
        fit(1e3 * rows(), learning_rate=1e6, steps=20)
