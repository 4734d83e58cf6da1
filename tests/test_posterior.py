"""Posteriors as draws, and as a Gaussian that can be drawn from."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import xarray as xr

from tfbdl import BayesianNetwork, functional
from tfbdl.errors import ModelError, OptionsError
from tfbdl.posterior import Posterior

RNG = np.random.default_rng(0)
DRAWS = {"a": RNG.normal(size=(2, 50)), "b": RNG.normal(size=(2, 50, 3)) * [1.0, 2.0, 3.0]}


@pytest.fixture(scope="module")
def posterior():
    return Posterior(DRAWS, {"diverging": np.zeros((2, 50), bool)})


def network(units=2, **options):
    with functional.seeded(3):
        net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])
    model = BayesianNetwork(net, "gaussian", **options)
    for variable in model.surrogate.trainable_weights:
        variable.assign(RNG.normal(size=variable.shape) * 0.5 - 0.5)
    return model


@pytest.fixture(scope="module")
def surrogate():
    return network(posterior="full_rank").posterior


# -- draws


def test_moments_are_those_of_the_draws(posterior):
    flat = DRAWS["b"].reshape(100, 3)
    np.testing.assert_allclose(posterior.mean()["b"], flat.mean(0))
    np.testing.assert_allclose(posterior.stddev()["b"], flat.std(0))
    np.testing.assert_allclose(posterior.covariance()["b"], np.cov(flat.T))
    assert posterior.covariance()["a"].shape == (1, 1)
    assert posterior.num_draws == 100


def test_sample_takes_each_draw_once_where_there_are_enough(posterior):
    for n in (100, 40):
        sample = posterior.sample(n, seed=1)
        assert sample["b"].shape == (n, 3)
        assert len(np.unique(sample["a"])) == n
    assert np.isin(posterior.sample(250)["a"], DRAWS["a"]).all()


@pytest.mark.parametrize("n", [4, 6, 31])
def test_sample_spreads_evenly_over_the_chains(n):
    chains = Posterior({"chain": np.repeat(np.arange(4)[:, None], 25, axis=1)})
    for seed in range(5):
        counts = np.bincount(chains.sample(n, seed)["chain"], minlength=4)
        assert np.ptp(counts) <= 1
    assert len({tuple(chains.sample(6, seed)["chain"]) for seed in range(5)}) > 1
    assert np.ptp(np.bincount(chains.sample(106)["chain"])) <= 1


def test_more_than_there_are_counts_each_draw_equally_but_for_a_rest(posterior):
    _, counts = np.unique(posterior.sample(250)["a"], return_counts=True)
    assert counts.size == 100
    assert sorted(np.unique(counts)) == [2, 3]
    assert np.sum(counts == 3) == 50


def test_independent_draws_have_no_verdicts_and_a_chain_has():
    assert Posterior({"a": np.zeros((1, 50))}, independent=True).diagnostics() == []
    stuck = Posterior({"a": np.zeros((1, 50))}).diagnostics()
    assert any("no movement at all" in verdict for verdict in stuck)


def test_sample_keeps_the_sites_of_a_draw_together(posterior):
    sample = posterior.sample(30, seed=2)
    flat = {name: value.reshape(100, -1) for name, value in DRAWS.items()}
    for a, b in zip(sample["a"], sample["b"], strict=True):
        place = np.flatnonzero(flat["a"][:, 0] == a)[0]
        np.testing.assert_array_equal(flat["b"][place], b)


def test_sample_is_a_function_of_the_seed(posterior):
    np.testing.assert_array_equal(posterior.sample(9, 1)["a"], posterior.sample(9, 1)["a"])
    assert not np.array_equal(posterior.sample(9, 1)["a"], posterior.sample(9, 2)["a"])


@pytest.mark.parametrize("total", [40, 100, 250])
def test_states_do_not_depend_on_the_partition(posterior, total):
    whole = posterior.states(0, total, 5, total)["b"].numpy()
    parts = [posterior.states(i, min(i + 13, total), 5, total)["b"] for i in range(0, total, 13)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_summary_and_datatree_have_a_place_for_each_number(posterior):
    summary = posterior.summary()
    assert len(summary) == 4
    assert {"mean", "sd", "ess_bulk", "ess_tail", "r_hat"} <= set(summary.columns)
    tree = posterior.to_arviz()
    assert isinstance(tree, xr.DataTree)
    np.testing.assert_array_equal(tree["posterior"]["b"], DRAWS["b"])
    assert "diverging" in tree["sample_stats"]
    assert isinstance(posterior.diagnostics(), list)


def test_what_all_draws_share_is_stored_and_held_once(tmp_path):
    weights = RNG.normal(size=(300, 400)).astype("float32")
    draws = {
        "kernel": np.broadcast_to(weights, (2, 50, 300, 400)),
        "seed": RNG.integers(0, 99, (2, 50)),
        "bias": np.broadcast_to(np.float32(0.5), (2, 50)),
    }
    made = Posterior(draws, {"lp": RNG.normal(size=(2, 50))}, independent=True)
    made.to_netcdf(tmp_path / "posterior.nc")
    assert (tmp_path / "posterior.nc").stat().st_size < 2 * weights.nbytes
    read = Posterior.from_netcdf(tmp_path / "posterior.nc", independent=True)
    assert list(read.draws) == list(draws)
    for name, value in draws.items():
        np.testing.assert_array_equal(read.draws[name], value)
        assert read.draws[name].dtype == value.dtype
    assert read.draws["kernel"].strides[:2] == (0, 0)
    np.testing.assert_array_equal(read.sample_stats["lp"], made.sample_stats["lp"])
    assert read.independent
    np.testing.assert_array_equal(read.mean()["kernel"], weights)
    assert not read.stddev()["kernel"].any()
    np.testing.assert_array_equal(read.sample(3)["kernel"], np.stack([weights] * 3))
    assert read.mean()["seed"] == pytest.approx(draws["seed"].mean())


@pytest.mark.parametrize("draws", [{"a": np.broadcast_to(1.5, (1, 9))}, DRAWS])
def test_draws_are_stored_and_read(draws, tmp_path):
    Posterior(draws).to_netcdf(tmp_path / "posterior.nc")
    read = Posterior.from_netcdf(tmp_path / "posterior.nc")
    for name, value in draws.items():
        np.testing.assert_array_equal(read.draws[name], value)


@pytest.mark.parametrize(
    "draws", [{}, {"a": np.zeros(3)}, {"a": np.zeros((2, 0))}, {**DRAWS, "c": np.zeros((2, 9))}]
)
def test_draws_of_the_wrong_shape_are_refused(draws):
    with pytest.raises(ModelError, match=r"\[chain, draw, \.\.\.\]"):
        Posterior(draws)


def test_the_number_of_draws_must_be_a_whole_number(posterior, surrogate):
    for p in (posterior, surrogate):
        for n in (0, -1, 2.5):
            with pytest.raises(OptionsError, match=f"at least 1. Received: {n}"):
                p.sample(n)


# -- the Gaussian of a network


def test_moments_are_those_of_the_surrogate(surrogate):
    model = surrogate.model
    covariance = model.surrogate.covariance().numpy()
    np.testing.assert_array_equal(surrogate.mean()["dense.kernel"], model.net.layers[0].kernel)
    np.testing.assert_allclose(
        surrogate.stddev()["dense.kernel"].ravel(), np.sqrt(np.diag(covariance))[:6], rtol=1e-5
    )
    np.testing.assert_array_equal(surrogate.covariance()["dense.kernel"], covariance[:6, :6])
    np.testing.assert_array_equal(surrogate.covariance()["dense.bias"], covariance[6:, 6:])
    assert surrogate.mean()["likelihood.scale"] == pytest.approx(0.5)
    assert surrogate.stddev()["likelihood.scale"] == 0.0


def test_draws_agree_with_the_moments(surrogate):
    draws = surrogate.draws["dense.kernel"]
    assert draws.shape == (1, 1000, 3, 2)
    sd = surrogate.stddev()["dense.kernel"]
    error = 5 * sd / 1000**0.5
    np.testing.assert_array_less(np.abs(draws[0].mean(0) - surrogate.mean()["dense.kernel"]), error)
    np.testing.assert_allclose(draws[0].std(0), sd, rtol=0.15)
    assert surrogate.num_draws == 1000


def test_draw_i_is_a_function_of_seed_and_i_alone(surrogate):
    whole = surrogate.states(0, 10, 4, 10)["dense.kernel"].numpy()
    np.testing.assert_allclose(surrogate.states(6, 10, 4, 50)["dense.kernel"], whole[6:], rtol=1e-5)
    assert not np.any(surrogate.states(0, 10, 5, 10)["dense.kernel"] == whole)


def test_draws_of_the_gaussian_are_of_no_markov_chain(surrogate):
    assert surrogate.independent
    assert surrogate.diagnostics() == []


def test_a_sampled_scale_is_given_in_its_own_space():
    posterior = network(sites=["*"]).posterior
    draws = posterior.sample(500)["likelihood.scale"]
    assert draws.shape == (500,)
    assert draws.min() > 0
    assert posterior.mean()["likelihood.scale"] == pytest.approx(draws.mean(), rel=0.1)
    assert posterior.stddev()["likelihood.scale"] == pytest.approx(draws.std(), rel=0.2)


def test_the_posterior_follows_training_and_its_cached_draws_do_not():
    model = network()
    posterior = model.posterior
    before = posterior.draws["dense.bias"].copy()
    model.net.layers[0].bias.assign([9.0, 9.0])
    np.testing.assert_array_equal(posterior.mean()["dense.bias"], [9.0, 9.0])
    assert model.posterior.draws["dense.bias"].mean() == pytest.approx(9.0, abs=0.2)
    np.testing.assert_array_equal(posterior.draws["dense.bias"], before)


def test_covariance_of_a_large_net_is_refused():
    posterior = network(units=3000).posterior
    with pytest.raises(ModelError, match=r"12,000 parameters.*'dense\.kernel'.*stddev"):
        posterior.covariance()
