"""KLDivergenceRegularizer: divergences of laws from priors, and auto-encoders trained with it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfbdl
from tfbdl import layers
from tfbdl.errors import ModelError, OptionsError

tfb, tfd = tfp.bijectors, tfp.distributions
Dense = keras.layers.Dense


@keras.saving.register_keras_serializable(package="test_heads_priors")
def unit_normal(t):
    return tfd.Independent(tfd.Normal(t, 1.0), 1)


@keras.saving.register_keras_serializable(package="test_heads_priors")
def made_prior():
    return tfd.MultivariateNormalDiag(tf.ones(2))


def sequential(*parts):
    return keras.Sequential(list(parts))


# -- the KL divergence from a prior --------------------------------------------------------------


def tril_params():
    scale = np.array([[1.1, 0.0], [0.2, 1.3]])
    law = tfd.MultivariateNormalTriL([-1.0, 1.0], scale.astype("float32"))
    raw = tfb.FillScaleTriL(diag_shift=1e-5).inverse(scale.astype("float32"))
    return law, np.concatenate([[-1.0, 1.0], raw]).astype("float32")


def loss_of(regularizer, params):
    head = layers.MultivariateNormalTriL(2, activity_regularizer=regularizer)
    head(params)
    return float(sum(head.losses))


def test_exact_divergence_is_the_mean_over_the_examples():
    law, one = tril_params()
    prior = tfd.MultivariateNormalDiag(tf.zeros(2))
    expected = float(tfd.kl_divergence(law, prior))
    params = np.stack([one] * 5)
    exact = layers.KLDivergenceRegularizer(prior, use_exact_kl=True)
    assert loss_of(exact, params) == pytest.approx(expected, rel=1e-5)
    # TFP's regularizer gives the sum, which Keras divides by the rows of the batch
    theirs = tfp.layers.KLDivergenceRegularizer(prior, use_exact_kl=True)
    many = layers.MultivariateNormalTriL.new(params, 2)
    assert float(exact(many)) == pytest.approx(float(theirs(many)), rel=1e-5)
    half = layers.KLDivergenceRegularizer("normal", use_exact_kl=True, weight=0.5)
    assert loss_of(half, params) == pytest.approx(0.5 * expected, rel=1e-5)
    weight = keras.Variable(2.0, trainable=False)
    double = layers.KLDivergenceRegularizer(prior, use_exact_kl=True, weight=weight)
    assert loss_of(double, params) == pytest.approx(2.0 * expected, rel=1e-5)
    weight.assign(0.0)
    assert loss_of(double, params) == 0.0


def test_estimate_has_the_exact_divergence_as_its_mean():
    law, one = tril_params()
    prior = tfd.MultivariateNormalDiag(tf.zeros(2))
    expected = float(tfd.kl_divergence(law, prior))
    params = np.stack([one] * 20_000)  # one test point for each example
    assert loss_of(layers.KLDivergenceRegularizer(prior), params) == pytest.approx(
        expected, abs=0.05
    )
    points = layers.KLDivergenceRegularizer(
        prior, test_points_fn=lambda d: d.sample(20_000, seed=(1, 2))
    )
    assert loss_of(points, params[:2]) == pytest.approx(expected, abs=0.05)


def test_a_prior_by_name_has_a_closed_form_for_normals_of_any_shape():
    mean, scale = np.array([[0.3, -1.0]]), np.array([[0.7, 2.0]])
    expected = np.sum(0.5 * (scale**2 + mean**2 - 1.0) - np.log(scale))
    law = tfd.Independent(tfd.Normal(mean, scale), 1)
    regularizer = layers.KLDivergenceRegularizer("normal", use_exact_kl=True)
    assert float(regularizer(law)) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(OptionsError, match=r"no closed form of KL.*use_exact_kl=False"):
        layers.KLDivergenceRegularizer("laplace", use_exact_kl=True)(law)


def test_mistakes_of_regularizers_are_named():
    with pytest.raises(ModelError, match=r"tf.Variable loc.*would never train"):
        layers.KLDivergenceRegularizer(tfd.Normal(tf.Variable(0.0, name="loc"), 1.0))
    with pytest.raises(OptionsError, match="distribution_b must be"):
        layers.KLDivergenceRegularizer(3.0)
    with pytest.raises(OptionsError, match="A learned prior is a head"):
        layers.KLDivergenceRegularizer(Dense(2))
    with pytest.raises(OptionsError, match="wants num_params="):
        layers.KLDivergenceRegularizer(layers.DistributionLambda(unit_normal))
    with pytest.raises(OptionsError, match="weight must be a finite number from 0"):
        layers.KLDivergenceRegularizer("normal", weight=-1.0)
    with pytest.raises(ModelError, match="the activity_regularizer of a head"):
        layers.KLDivergenceRegularizer("normal")(np.zeros((2, 4)))
    with pytest.raises(OptionsError, match="learns numbers of its own"):
        layers.KLDivergenceRegularizer("empirical_normal")
    law = tfd.Normal(0.0, 1.0)
    params = np.zeros((3, 2))
    head = layers.IndependentNormal(1, activity_regularizer=layers.KLDivergenceRegularizer(law))
    with pytest.raises(ModelError, match=r"events of shape \(1,\).*event shape \(\)"):
        head(params)
    with pytest.raises(OptionsError, match="test_points_fn or use_exact_kl"):
        layers.KLDivergenceRegularizer(law)(law)
    unknown = layers.KLDivergenceRegularizer(tfd.TransformedDistribution(law, tfb.Exp()))
    with pytest.raises(ModelError, match="no plain value, tensor or distribution"):
        unknown.get_config()


PRIORS = {
    "name": "normal",
    "object": tfbdl.prior("normal", scale=0.5),
    "law": tfd.Independent(tfd.Normal([0.0, 1.0], scale=2.0), reinterpreted_batch_ndims=1),
    "mixture": tfd.MixtureSameFamily(
        tfd.Categorical(logits=[0.0, 1.0]), tfd.MultivariateNormalDiag(tf.eye(2), tf.ones([2, 2]))
    ),
    "function": made_prior,
    "head": layers.IndependentNormal(2),
    "model": sequential(
        layers.VariableLayer([2]), layers.DistributionLambda(unit_normal, num_params=2)
    ),
}


@pytest.mark.parametrize("name", PRIORS)
def test_a_regularized_head_is_stored_with_its_prior(name, tmp_path):
    regularizer = layers.KLDivergenceRegularizer(PRIORS[name], weight=0.3)
    head = layers.MultivariateNormalTriL(2, activity_regularizer=regularizer)
    model = sequential(keras.Input((3,)), Dense(5), head)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.1)
    model.save(tmp_path / "m.keras")
    again = tfbdl.load(tmp_path / "m.keras")
    x = np.ones((4, 3), "float32")
    model(x), again(x)
    assert len(model.trainable_variables) == 2 + (name in ("head", "model"))
    np.testing.assert_array_equal(sum(again.losses), sum(model.losses))
    np.testing.assert_array_equal(again(x), model(x))


# -- auto-encoders in Keras' three ways ----------------------------------------------------------

SHAPE, RNG = (2, 2, 1), np.random.default_rng(0)
X = (RNG.uniform(size=(400, *SHAPE)) > 0.75).astype("float32")


def entropy_of_data():
    """Of the patterns as they occur: no bound on the mean of -log p(x) can lie below it."""
    counts = np.unique(X.reshape(len(X), -1), axis=0, return_counts=True)[1]
    return -np.sum(counts / len(X) * np.log(counts / len(X)))


def check_trained(vae, head, history):
    assert history[-1] < history[0]
    assert history[-1] < 1.25 * entropy_of_data()
    law = head.distribution(vae(X[:5]))
    assert isinstance(law, tfd.Independent)
    assert isinstance(law.distribution, tfd.Bernoulli)
    assert law.mode().shape == (5, *SHAPE)


@pytest.mark.slow
def test_sequential_auto_encoder_with_a_learned_prior():
    keras.utils.set_random_seed(1)
    prior = sequential(
        layers.VariableLayer([2]), layers.DistributionLambda(unit_normal, num_params=2)
    )
    latent = layers.MultivariateNormalTriL(
        2, activity_regularizer=layers.KLDivergenceRegularizer(prior)
    )
    head = layers.IndependentBernoulli(SHAPE)
    encoder = sequential(
        keras.Input(SHAPE),
        keras.layers.Flatten(),
        Dense(latent.params_size(2)),
        latent,
        layers.ConvertToTensor(latent),
    )
    decoder = sequential(keras.Input((2,)), Dense(head.params_size(SHAPE)), head)
    vae = keras.Model(encoder.inputs[0], decoder(encoder.outputs[0]))
    assert len(vae.trainable_weights) == 4 + 1

    def accuracy(y, outputs):
        return tf.reduce_mean(tf.cast(head.distribution(outputs).mode() == y, "float32"))

    vae.compile(optimizer=keras.optimizers.Adam(0.05), loss=head.loss, metrics=[accuracy])
    fit = vae.fit(X, X, 20, 6, verbose=0, validation_data=(X[:50], X[:50])).history
    assert fit["accuracy"][-1] == pytest.approx(0.75, abs=0.05)
    assert fit["val_loss"][-1] < 1.3 * entropy_of_data()
    check_trained(vae, head, fit["loss"])
    assert min(fit["loss"]) > 0.98 * entropy_of_data()


@pytest.mark.slow
def test_functional_auto_encoder_with_a_learned_scale():
    keras.utils.set_random_seed(1)
    regularizer = layers.KLDivergenceRegularizer(layers.IndependentNormal(2))
    latent = layers.MultivariateNormalTriL(2, activity_regularizer=regularizer)
    head = layers.IndependentBernoulli(SHAPE)
    images = keras.Input(SHAPE)
    hidden = Dense(10, "relu")(keras.layers.Flatten()(images))
    encoded = latent(Dense(latent.params_size(2))(hidden))
    drawn = layers.ConvertToTensor(latent)(encoded)
    vae = keras.Model(images, head(Dense(4)(Dense(10, "relu")(drawn))))
    assert len(vae.trainable_weights) == (2 + 2) + (2 + 2) + 1
    vae.compile(optimizer=keras.optimizers.Adam(0.02), loss=head.loss)
    check_trained(vae, head, vae.fit(X, X, 25, 8, verbose=0).history["loss"])


@pytest.mark.slow
def test_subclassed_auto_encoder_with_several_draws():
    keras.utils.set_random_seed(1)

    class Coder(keras.Model):
        def __init__(self, *parts):
            super().__init__()
            self.parts = list(parts)

        def call(self, inputs):
            for part in self.parts:
                inputs = part(inputs)
            return inputs

    prior = tfd.MultivariateNormalDiag(tf.zeros(2))
    latent = layers.MultivariateNormalTriL(
        2, activity_regularizer=layers.KLDivergenceRegularizer(prior, use_exact_kl=True, weight=0.9)
    )
    draws = layers.ConvertToTensor(latent, lambda law: law.sample(3, seed=(0, 42)))
    encoder = Coder(keras.layers.Flatten(), Dense(10, "relu"), Dense(5), latent, draws)

    @keras.saving.register_keras_serializable(package="test_heads_priors")
    def mean_of_bernoullis(t):
        mean = tf.reduce_mean(tf.sigmoid(t), axis=0)
        return tf.math.log(mean) - tf.math.log1p(-mean)

    head = layers.IndependentBernoulli(SHAPE)
    decoder = Coder(Dense(10, "relu"), Dense(4), keras.layers.Lambda(mean_of_bernoullis), head)
    images = keras.Input(SHAPE)
    vae = keras.Model(images, decoder(encoder(images)))
    assert len(vae.trainable_weights) == (2 + 2) + (2 + 2)
    vae.compile(optimizer=keras.optimizers.Adam(0.02), loss=head.loss)
    check_trained(vae, head, vae.fit(X, X, 25, 8, verbose=0).history["loss"])
