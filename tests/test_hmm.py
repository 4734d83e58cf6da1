"""Hidden Markov models: recursions against enumeration and TFP, conjugate maths, bad input."""

import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from tfbdl_hmm import conjugate, forward_backward, gaussian, scaled, starts
from tfbdl_hmm.gamma import dirichlet, log_gamma
from tfbdl_hmm.model import HiddenMarkovModel
from tfbdl_hmm.sequences import pad

from tfbdl import errors, random

tfd = tfp.distributions

LENGTH = 7


def gaussian_model(k, seed=0, forbidden=False):
    """Random parameters in two dimensions; ``forbidden``: some transitions cannot occur."""
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(k), k)
    if forbidden:
        transition = np.triu(transition) + 1e-300
        transition = np.triu(transition) / np.triu(transition).sum(axis=1, keepdims=True)
    roots = rng.normal(size=(k, 2, 2))
    covariances = roots @ np.swapaxes(roots, 1, 2) + 0.3 * np.eye(2)
    return HiddenMarkovModel.of(
        rng.dirichlet(np.ones(k)),
        transition,
        means=rng.normal(size=(k, 2)),
        covariances=covariances,
    )


def categorical_model(k=2, symbols=3, seed=1):
    rng = np.random.default_rng(seed)
    return HiddenMarkovModel.of(
        rng.dirichlet(np.ones(k)),
        rng.dirichlet(np.ones(k), k),
        probs=rng.dirichlet(np.ones(symbols), k),
    )


def emission_log_probs(model, y):
    """``[T, k]``: log densities of one sequence by SciPy; 0 where missing."""
    if "probs" in model.params:
        columns = [0.0 if np.isnan(s) else np.log(model.probs_[:, int(s)]) for s in y]
        return np.stack([np.broadcast_to(c, len(model.initial_)) for c in columns])
    k = len(model.initial_)
    normals = [
        scipy.stats.multivariate_normal(model.means_[j], model.covariances_[j]) for j in range(k)
    ]
    return np.array([[0.0 if np.isnan(v).any() else n.logpdf(v) for n in normals] for v in y])


def enumerate_paths(model, y):
    """All paths ``[m, T]`` of one sequence and their log joint densities ``[m]``."""
    tables = emission_log_probs(model, y)
    steps, k = tables.shape
    paths = np.array(list(itertools.product(range(k), repeat=steps)))
    with np.errstate(divide="ignore"):
        joint = np.log(model.initial_)[paths[:, 0]] + tables[np.arange(steps), paths].sum(axis=1)
        joint += np.log(model.transition_)[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    return paths, joint


@pytest.mark.parametrize("kind", ["all there", "missing", "forbidden", "categorical"])
def test_inference_equals_the_enumeration_of_all_paths(kind):
    k = 3
    model = gaussian_model(k, forbidden=kind == "forbidden")
    model = categorical_model(3) if kind == "categorical" else model
    y = model.sample(LENGTH, seed=2)[1][0].astype("float64")
    if kind in ("missing", "categorical"):
        y[[0, 3, 6]] = np.nan
    paths, joint = enumerate_paths(model, y)
    log_likelihood = np.logaddexp.reduce(joint)
    weights = np.exp(joint - log_likelihood)
    at = paths[:, :, np.newaxis] == np.arange(k)  # [path, T, k]
    pairs = np.einsum("p,pti,ptj->tij", weights, at[:, :-1], at[:, 1:])
    assert model.log_prob(y) == pytest.approx(log_likelihood, abs=1e-10)
    np.testing.assert_allclose(
        model.posterior_marginals(y), np.einsum("p,ptk->tk", weights, at), atol=1e-10
    )
    if kind != "categorical":  # the recursions are the same
        np.testing.assert_allclose(model.pair_marginals(y), pairs, atol=1e-10)
        path, value = model.viterbi(y, return_log_joint=True)
        assert path.dtype == np.int32
        assert path.tolist() == paths[joint.argmax()].tolist()
        assert value == pytest.approx(joint.max(), abs=1e-10)
    paths, joint = enumerate_paths(model, y[:4])  # what is known after four steps
    last = [np.exp(joint[paths[:, -1] == j]).sum() for j in range(k)]
    np.testing.assert_allclose(model.filter(y)[3], last / np.sum(last), atol=1e-10)
    assert model.predict_states(y, 2)[1] == pytest.approx(
        model.filter(y)[-1] @ np.linalg.matrix_power(model.transition_, 2), abs=1e-12
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_scaled_recursions_are_used_only_where_no_digits_are_lost(dtype):
    rng = np.random.default_rng(0)
    limit = {"float64": 1e-90, "float32": 1e-7}[dtype]
    for least, expected in ((limit, True), (limit * 1e-6, False), (0.0, False)):
        transition = np.array([[1.0 - least, least], [0.5, 0.5]], dtype)
        assert bool(scaled.exact(tf.math.log(transition))) == expected
    # The hardest that is taken: states all but cut off, observations that contradict one another.
    transition = np.array([[1.0, limit, limit], [limit, 1.0, limit], [limit, limit, 1.0]], dtype)
    steps = 400.0 * rng.normal(size=(9, 2, 3)).astype(dtype) - 1000.0
    steps[4, 1] = 0.0  # a missing observation
    tables = (np.array([0.0, -2.0, -np.inf]), np.log(transition), steps)
    initial, moves, steps = (tf.constant(table, dtype) for table in tables)
    found, increments = scaled.forward(initial, moves, steps)
    messages = scaled.backward(moves, steps, increments)
    ways = np.array(list(itertools.product(range(3), repeat=len(steps))))
    exactly = [table.numpy().astype("float64") for table in (initial, moves, steps)]
    for sequence in range(2):  # against all paths, in double precision
        joint = exactly[0][ways[:, 0]] + exactly[1][ways[:, :-1], ways[:, 1:]].sum(axis=1)
        joint += exactly[2][np.arange(len(steps)), sequence, ways].sum(axis=1)
        total = scipy.special.logsumexp(joint)
        tolerance = 1e-12 if dtype == "float64" else 1e-6
        assert increments.numpy()[:, sequence].sum() == pytest.approx(total, rel=tolerance)
        weights = np.exp(joint - total)
        marginals = np.stack([weights @ (ways == j) for j in range(3)], axis=1)
        smoothed = np.exp(np.asarray(found + messages, np.float64)[:, sequence])
        np.testing.assert_allclose(smoothed, marginals, atol=1e-9 if dtype == "float64" else 2e-3)


def test_several_long_sequences_equal_those_of_tfp():
    model, steps, cut = gaussian_model(4), 30, 20
    y = model.sample(steps, n=3, seed=3)[1]

    def peer(steps):
        return tfd.HiddenMarkovModel(
            tfd.Categorical(probs=model.initial_),
            tfd.Categorical(probs=model.transition_),
            tfd.MultivariateNormalTriL(model.means_, np.linalg.cholesky(model.covariances_)),
            steps,
        )

    marginals = peer(steps).posterior_marginals(y).probs_parameter()
    np.testing.assert_allclose(model.posterior_marginals(y), marginals, atol=1e-10)
    assert (model.viterbi(y) == peer(steps).posterior_mode(y).numpy()).all()
    np.testing.assert_allclose(model.log_prob(y), peer(steps).log_prob(y), atol=1e-9)
    filled = y.copy()
    filled[1, cut:] = np.nan
    expected = [*peer(steps).log_prob(y[[0, 2]]).numpy(), float(peer(cut).log_prob(y[1, :cut]))]
    np.testing.assert_allclose(model.log_prob(filled)[[0, 2, 1]], expected, atol=1e-9)


def test_a_state_that_seemed_impossible_can_come_back():
    far, steps = 60.0, LENGTH  # each step is worth 1800 nats: more than a double's exponent holds
    model = HiddenMarkovModel.of(
        [0.5, 0.5], np.eye(2), means=[[0.0], [far]], covariances=np.ones((2, 1, 1))
    )
    y = np.where(np.arange(steps) < 3, 0.0, far)
    always_far = -0.5 * 3 * far**2 - 0.5 * steps * np.log(2 * np.pi) + np.log(0.5)
    assert model.log_prob(y) == pytest.approx(always_far, rel=1e-14)
    assert (model.viterbi(y) == 1).all()
    np.testing.assert_allclose(model.posterior_marginals(y)[:, 1], 1.0)


def test_an_impossible_sequence_has_no_states():
    model = HiddenMarkovModel.of([1.0, 0.0], np.eye(2), probs=[[1.0, 0.0], [0.5, 0.5]])
    assert model.log_prob([0, 1]) == -np.inf
    with pytest.raises(errors.DataError, match=r"impossible sequence.*p\(y\) = 0 for sequence 1"):
        model.viterbi([[0, 0], [0, 1]])


def test_the_gradient_of_the_log_likelihood_is_that_of_differences():
    rng = np.random.default_rng(4)
    tables = [rng.normal(size=shape) for shape in ((3,), (3, 3), (2, 5, 3))]
    scales = tf.constant([1.0, -0.5], tf.float64)

    def value(*parts):
        return tf.reduce_sum(scales * forward_backward.log_likelihood(*parts))

    tensors = [tf.constant(table) for table in tables]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        total = value(*tensors)
    for place, gradient in enumerate(tape.gradient(total, tensors)):
        direction = rng.normal(size=tables[place].shape)
        sides = []
        for sign in (1, -1):
            moved = list(tables)
            moved[place] = tables[place] + sign * 1e-5 * direction
            sides.append(float(value(*map(tf.constant, moved))))
        slope = (sides[0] - sides[1]) / 2e-5
        assert np.sum(gradient.numpy() * direction) == pytest.approx(slope, rel=1e-7, abs=1e-8)


def test_drawn_paths_have_their_posterior_probabilities():
    model = categorical_model()
    y = np.array([0, 2, np.nan, 1, 1])
    _, joint = enumerate_paths(model, y)
    drawn = model.sample_states(y, n=4000, seed=6)
    assert drawn.shape == (4000, 5)
    index = drawn @ 2 ** np.arange(4, -1, -1)
    expected = 4000 * np.exp(joint - np.logaddexp.reduce(joint))
    often = expected >= 5
    seen = np.bincount(index, minlength=32)
    seen, expected = (np.append(part[often], part[~often].sum()) for part in (seen, expected))
    assert scipy.stats.chisquare(seen, expected).pvalue > 1e-3
    assert (model.sample_states(y, n=4000, seed=6) == drawn).all()
    assert (model.sample_states(y, n=4000, seed=7) != drawn).any()


def test_simulated_sequences_have_the_models_moments():
    model = gaussian_model(2)
    states, y = model.sample(200, n=100, seed=8)
    assert states.shape == (100, 200)
    assert y.shape == (100, 200, 2)
    for i in range(2):
        follows = states[:, 1:][states[:, :-1] == i]
        error = np.sqrt(model.transition_[i, 1] * model.transition_[i, 0] / len(follows))
        assert abs(follows.mean() - model.transition_[i, 1]) < 4 * error
        own = y[states == i]
        spread = np.sqrt(np.diag(model.covariances_[i]) / len(own))
        assert (np.abs(own.mean(axis=0) - model.means_[i]) < 4 * spread).all()
        np.testing.assert_allclose(np.cov(own.T), model.covariances_[i], atol=0.1)
    symbols = categorical_model().sample(50, n=2, seed=0)[1]
    assert symbols.shape == (2, 50)
    assert set(np.unique(symbols)) <= {0, 1, 2}


@pytest.mark.parametrize("kind", ["gaussian", "categorical"])
def test_predictions_step_by_step_multiply_to_the_likelihood(kind):
    if kind == "gaussian":
        model = HiddenMarkovModel.of(
            [0.3, 0.7], [[0.9, 0.1], [0.2, 0.8]],
            means=[[0.0], [2.0]], covariances=[[[1.0]], [[0.5]]],
        )  # fmt: skip
    else:
        model = categorical_model(3)
    y = model.sample(LENGTH, seed=9)[1][0].astype("float64")
    predictive = model.predictive(y)
    steps = predictive.log_prob(y.reshape(LENGTH))
    assert steps.sum() == pytest.approx(model.log_prob(y), abs=1e-10)
    ahead = model.predict_next(y[:-1]).log_prob(y[-1])
    without = y.copy()
    without[-1] = np.nan
    gain = model.log_prob(y) - model.log_prob(without)
    assert float(ahead[0]) == pytest.approx(gain, abs=1e-10)
    if kind == "gaussian":
        np.testing.assert_allclose(
            predictive.variance, predictive.aleatoric + predictive.epistemic, atol=1e-12
        )
        assert predictive.mean[0, 0] == pytest.approx(0.7 * 2.0)
        assert predictive.epistemic[0, 0] == pytest.approx(0.3 * 0.7 * 2.0**2)


def test_gaussian_densities_keep_their_digits_far_from_zero():
    means, covariance = np.array([[1e8, 0.0], [1e8 + 1.0, 2.0]]), np.array([[2.0, 0.3], [0.3, 1.0]])
    y = means[0] + np.random.default_rng(1).normal(size=(1, 4, 2))
    for diagonal in (False, True):
        matrix = np.diag(np.diag(covariance)) if diagonal else covariance
        found = gaussian.log_prob(*map(tf.constant, (y, means, np.stack([matrix] * 2))), diagonal)
        for j in range(2):
            near = scipy.stats.multivariate_normal(np.zeros(2), matrix).logpdf(y[0] - means[j])
            np.testing.assert_allclose(found[0, :, j], near, atol=1e-6)


def test_the_covariance_of_a_plane_is_clipped_at_the_floor():
    rng = np.random.default_rng(3)
    flat = np.column_stack([rng.normal(size=50), np.zeros(50)])[np.newaxis]
    turned = flat @ np.array([[0.8, 0.6], [-0.6, 0.8]])
    origin = tf.zeros(2, tf.float64)
    sums = gaussian.statistics(tf.constant(turned), tf.ones((1, 50, 1), tf.float64), origin)
    for floor in (1e-6, 1e-2):
        _, covariance = gaussian.m_step(sums, origin, floor, diagonal=False)
        values = np.linalg.eigvalsh(covariance[0])
        np.testing.assert_allclose(values, [floor, flat[0, :, 0].var()], rtol=1e-6)


def test_gammas_and_dirichlets_have_their_distributions():
    for shape in (0.05, 0.7, 1.0, 8.0):
        drawn = log_gamma(tf.fill((4000,), tf.constant(shape, tf.float64)), random.key(1, "gamma"))
        assert scipy.stats.kstest(np.exp(drawn), scipy.stats.gamma(shape).cdf).pvalue > 1e-3
    rows = dirichlet(tf.constant([[1.0, 2.0, 3.0]] * 4000, tf.float64), random.key(2, "rows"))
    np.testing.assert_allclose(rows.numpy().sum(axis=1), 1.0, atol=1e-12)
    deviation = scipy.stats.dirichlet([1.0, 2.0, 3.0]).var() ** 0.5
    assert (np.abs(rows.numpy().mean(axis=0) - np.array([1, 2, 3]) / 6) < deviation / 15).all()
    found = conjugate.dirichlet_log_prob(tf.constant([1.0, 2.0, 3.0]), tf.constant([0.2, 0.3, 0.5]))
    expected = scipy.stats.dirichlet([1.0, 2.0, 3.0]).logpdf([0.2, 0.3, 0.5])
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("diagonal", [False, True])
def test_normal_inverse_wishart_densities_and_draws_are_exact(diagonal):
    Psi = np.array([[2.0, 0.4], [0.4, 1.0]])
    niw = conjugate.NormalInverseWishart(
        *(tf.constant(part, tf.float64) for part in ([1.0, -1.0], 2.0, 6.0, Psi))
    )
    mean, covariance = np.array([[0.5, 0.0]]), np.array([[[1.0, 0.2], [0.2, 0.7]]])
    if diagonal:
        variances = np.diagonal(covariance, axis1=1, axis2=2)
        expected = sum(
            scipy.stats.invgamma(3.0, scale=Psi[i, i] / 2).logpdf(variances[0, i])
            + scipy.stats.norm(niw.m[i], np.sqrt(variances[0, i] / 2.0)).logpdf(mean[0, i])
            for i in range(2)
        )
        second, expected_second = variances, np.diag(Psi) / (6.0 - 2.0)
    else:
        expected = scipy.stats.invwishart(6.0, Psi).logpdf(covariance[0])
        normal = scipy.stats.multivariate_normal(niw.m.numpy(), covariance[0] / 2.0)
        expected += normal.logpdf(mean[0])
        second, expected_second = covariance, Psi / (6.0 - 2 - 1)
    found = conjugate.log_prob(niw, tf.constant(mean), tf.constant(second), diagonal)
    assert float(found) == pytest.approx(expected, rel=1e-10)
    many = conjugate.NormalInverseWishart(
        *(tf.broadcast_to(part, (8000, *part.shape)) for part in niw)
    )
    means, seconds = conjugate.sample(many, random.key(3, "niw"), diagonal)
    error = seconds.numpy().std(axis=0) / np.sqrt(8000)
    assert (np.abs(seconds.numpy().mean(axis=0) - expected_second) < 5 * error).all()
    variance = np.diag(expected_second) if not diagonal else expected_second
    np.testing.assert_allclose(means.numpy().mean(axis=0), niw.m, atol=0.05)
    np.testing.assert_allclose(means.numpy().var(axis=0), variance / 2.0, rtol=0.15)


def test_k_means_finds_clusters_whatever_their_units():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 50)
    points = np.column_stack([labels * 10.0, 1e-4 * (labels == 1)]) + rng.normal(size=(150, 2)) * [
        1.0, 1e-5,
    ]  # fmt: skip
    found = starts.k_means(points, 3, rng)
    assert len({(a, b) for a, b in zip(labels, found, strict=True)}) == 3
    chain = starts.chain_of_labels(np.array([[0, 0, 1, -1, 1]]), 2)
    np.testing.assert_allclose(chain["transition"], [[0.5, 0.5], [0.5, 0.5]])


def test_padding_fills_with_nan():
    filled = pad([[1.0, 2.0, 3.0], [4.0]])
    np.testing.assert_array_equal(filled, [[1.0, 2.0, 3.0], [4.0, np.nan, np.nan]])
    with pytest.raises(errors.DataError, match="all with the same d"):
        pad([[1.0], [[1.0, 2.0]]])


@pytest.mark.parametrize(
    ("y", "match"),
    [
        ([[[1.0, 2.0, 3.0]]], "must have 2 dimensions, as in training"),
        (np.zeros((2, 2, 2, 2)), r"must be \[T\] or \[T, d\] for one sequence"),
        ([[np.inf, 0.0]], "finite, or NaN for a missing one"),
        ([[np.nan, 0.0], [0.0, 0.0]], "NaN in all its dimensions or in none.*step 0 of sequence 0"),
        ([[[0.0, 0.0]], [[np.nan, np.nan]]], "all of sequence 1 are missing"),
    ],
)
def test_vectors_that_cannot_be_observed_are_refused(y, match):
    with pytest.raises(errors.DataError, match=match):
        gaussian_model(2).log_prob(y)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        ([0, 1, 3], "from 0 to 2.*Received: 3"),
        ([0, 0.5], "whole numbers.*Received: 0.5"),
        ([0, -1], "from 0 to 2.*Received: -1"),
        ([np.nan, np.nan], "all are missing"),
        ([[[0]]], r"must be \[T\] for one sequence, \[n, T\] for several"),
    ],
)
def test_symbols_that_cannot_be_observed_are_refused(y, match):
    with pytest.raises(errors.DataError, match=match):
        categorical_model().log_prob(y)


def test_parameters_that_are_none_are_refused():
    good = {"means": [[0.0], [1.0]], "covariances": [[[1.0]], [[1.0]]]}
    with pytest.raises(errors.OptionsError, match="Each row of transition must be probabilities"):
        HiddenMarkovModel.of([0.5, 0.5], [[0.9, 0.2], [0.5, 0.5]], **good)
    with pytest.raises(errors.OptionsError, match="positive definite"):
        HiddenMarkovModel.of([0.5, 0.5], np.eye(2), **{**good, "covariances": -np.ones((2, 1, 1))})
    with pytest.raises(errors.OptionsError, match=r"transition must have the shape \[2, 2\]"):
        HiddenMarkovModel.of([0.5, 0.5], np.eye(3), **good)
    with pytest.raises(errors.OptionsError, match="Expected initial, transition, probs"):
        HiddenMarkovModel.of([1.0], [[1.0]], probs=[[1.0]], means=[[0.0]])
    with pytest.raises(errors.OptionsError, match="steps must be an integer of at least 1"):
        categorical_model().predict_states([0, 1], 0)
