"""The panels of samplers: exact contours against SciPy, paths against what theory says of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from tfbdl_engines import paths
from tfbdl_engines.densities import DENSITIES, MASSES
from tfbdl_engines.panel import DrawPathControls, SamplerPathControls

from tfbdl import Posterior
from tfbdl.errors import ModelError


def log_prob(name: str, u: Any, v: Any) -> Any:
    """The densities once more, by SciPy."""
    if name == "correlated_normal":
        joint = stats.multivariate_normal([0.0, 0.0], [[1.0, 0.95], [0.95, 1.0]])
        return joint.logpdf(np.stack([u, v], axis=-1))
    if name == "banana":
        return stats.norm.logpdf(u, 0, 1.5) + stats.norm.logpdf(v, 0.6 * u**2 - 1.5, 0.5)
    if name == "two_modes":
        both = 0.5 * stats.norm.pdf(u, -2.5) + 0.5 * stats.norm.pdf(u, 2.5)
        return np.log(both) + stats.norm.logpdf(v)
    return stats.norm.logpdf(u, 0, 1.5) + stats.norm.logpdf(v, 0, np.exp(u / 2))


@pytest.mark.parametrize("name", DENSITIES)
def test_densities_are_those_of_scipy_and_so_is_what_samplers_see(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    expected = log_prob(name, x[:, 0], x[:, 1])
    np.testing.assert_allclose(DENSITIES[name].log_prob(x), expected, rtol=1e-9)
    paths._numbers().assign(DENSITIES[name].numbers)
    constant = paths._log_prob(tf.constant(x)).numpy() - expected
    np.testing.assert_allclose(constant, constant[0], atol=1e-9)


@pytest.mark.parametrize("name", DENSITIES)
def test_contours_have_one_level_and_enclose_their_mass(name: str) -> None:
    density = DENSITIES[name]
    for mass, level in zip(MASSES, density.levels(), strict=True):
        lines = density.contour(float(level))
        points = lines[np.isfinite(lines).all(axis=-1)]
        # where a line turns round, the ends of the funnel's neck aside, it is at the level too
        inside = np.abs(points[:, 0]) < density.reach[1] - 0.1
        np.testing.assert_allclose(
            log_prob(name, points[inside, 0], points[inside, 1]), level, atol=1e-6
        )
        draws = density.draw(40_000, seed=5)
        within = (log_prob(name, draws[:, 0], draws[:, 1]) > level).mean()
        assert within == pytest.approx(mass, abs=0.01)  # four standard errors


def test_two_modes_have_two_lines_within_and_one_around() -> None:
    density = DENSITIES["two_modes"]
    lines = [density.contour(float(level)) for level in density.levels()]
    pieces = [int(np.isfinite(line).all(axis=(1, 2)).sum()) for line in lines]
    assert pieces[0] == 2
    assert pieces[2] == 1


def controls(**chosen: Any) -> SamplerPathControls:
    return SamplerPathControls(**{"draws": 500, "seed": 1, **chosen})


def test_hmc_draws_the_density_and_larger_steps_are_refused() -> None:
    chosen = {"sampler": "hmc", "density": "correlated_normal"}
    small = paths.sampler_paths(None, controls(**chosen, step_size=0.1))
    draws = small["draw"][:, 50:].reshape(-1, 2)
    # hundreds of effective draws: a standard error of 0.05 of the deviations
    np.testing.assert_allclose(draws.std(axis=0), 1.0, atol=0.2)
    assert np.corrcoef(draws.T)[0, 1] == pytest.approx(0.95, abs=0.03)
    large = paths.sampler_paths(None, controls(**chosen, step_size=0.5))
    assert float(large["acceptance"]) < float(small["acceptance"])
    assert small["draw"].shape == (4, 500, 2)
    again = paths.sampler_paths(None, controls(**chosen, step_size=0.1))
    np.testing.assert_array_equal(again["draw"], small["draw"])


def test_one_program_samples_all_densities() -> None:
    paths.sampler_paths(None, controls(sampler="hmc", density="banana"))
    kernel, _ = paths._kernel("hmc")
    for name in DENSITIES:
        said = paths.sampler_paths(None, controls(sampler="hmc", density=name, step_size=0.2))
        assert np.isfinite(said["draw"]).all()
    assert kernel.advance.experimental_get_tracing_count() == 1


def test_sgld_is_wider_by_what_its_step_says() -> None:
    said = paths.sampler_paths(
        None, controls(sampler="sgld", density="correlated_normal", step_size=0.2)
    )
    draws = said["draw"][:, 20:]
    across = (draws[..., 0] - draws[..., 1]) / np.sqrt(2.0)
    # of a normal of variance s^2 a step h leaves s^2 / (1 - h^2 / (4 s^2)); here s^2 = 0.05
    assert across.var() == pytest.approx(0.05 / (1.0 - 0.2**2 / (4 * 0.05)), rel=0.15)
    assert np.isnan(said["acceptance"])


def test_a_path_that_leaves_the_numbers_says_so() -> None:
    said = paths.sampler_paths(None, controls(sampler="sgld", density="banana", step_size=2.0))
    assert said["ess"].tolist() == [0.0, 0.0]
    assert np.isinf(said["r_hat"]).all()
    assert np.nanmax(np.abs(said["draw"])) < 1e6


def chain_fit(posterior: Any) -> Any:
    class Model:
        """A weak reference needs an object of a class of its own."""

    return SimpleNamespace(model=Model(), posterior=posterior)


def test_draw_paths_follow_a_chain_through_two_coordinates() -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=(3, 40, 2))
    fixed = np.ones((3, 40))
    fit = chain_fit(Posterior({"w": w, "fixed": fixed, "s": rng.normal(size=(3, 40))}))
    said = paths.draw_paths(fit, DrawPathControls(chain=1, length=0.5, first=1, second=2))
    assert said["coordinate"].tolist() == ["w[0]", "w[1]", "s"]
    np.testing.assert_array_equal(said["path"][:, 0], w[1, :20, 1])
    np.testing.assert_array_equal(said["point"][:, 0], w[..., 1].ravel())
    assert (int(said["length"]), int(said["draws"])) == (20, 40)


def test_coordinates_of_a_path_are_named_by_their_index_and_never_the_same() -> None:
    w = np.random.default_rng(0).normal(size=(2, 30, 3, 2))
    fit = chain_fit(Posterior({"w": w}))
    said = paths.draw_paths(fit, DrawPathControls(first=5, second=5))
    assert said["axis"].tolist() == ["w[2, 1]", "w[0, 0]"]
    np.testing.assert_array_equal(said["point"], w[:, :, [2, 0], [1, 0]].reshape(-1, 2))


def test_a_posterior_that_is_no_chain_is_refused() -> None:
    draws = np.random.default_rng(0).normal(size=(1, 5, 2))
    with pytest.raises(ModelError, match="A path is of a Markov chain"):
        paths.draw_paths(chain_fit(Posterior({"w": draws}, independent=True)), DrawPathControls())
