"""The table of reparameterisations: laws against SciPy, gradients against closed forms, errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special, stats

from tfbdl import random
from tfbdl.errors import ModelError, OptionsError, UnknownNameError
from tfbdl.inference import reparameterizations

tfd = tfp.distributions
N = 100_000
Z = 4.0  # standard errors: one in 16,000


@dataclass(frozen=True)
class Case:
    """A row at some parameters, its law, and the gradient of E[f]."""

    parameters: dict[str, Any]
    law: Any
    f: Callable[[tf.Tensor], tf.Tensor]
    gradient: dict[str, float]


def case_of(loc: float, scale: float, law: Any, f: Any, by_loc: float, by_scale: float) -> Case:
    return Case({"loc": loc, "scale": scale}, law, f, {"loc": by_loc, "scale": by_scale})


def kumaraswamy_slopes(a: float, b: float) -> dict[str, float]:
    """Of ``E[x] = b B(1 + 1/a, b)``."""
    mean = b * special.beta(1 + 1 / a, b)
    both = special.psi(1 + 1 / a + b)
    return {
        "a": -mean * (special.psi(1 + 1 / a) - both) / a**2,
        "b": mean * (1 / b + special.psi(b) - both),
    }


KUMARASWAMY = stats.beta(1, 1.7)  # x^a of it
MEAN, SD = 0.7, 1.3
CASES = {
    "normal": case_of(MEAN, SD, stats.norm(MEAN, SD), tf.square, 2 * MEAN, 2 * SD),
    "box_muller": case_of(MEAN, SD, stats.norm(MEAN, SD), tf.square, 2 * MEAN, 2 * SD),
    "log_normal": case_of(
        MEAN,
        0.5,
        stats.lognorm(0.5, scale=np.exp(MEAN)),
        tf.identity,
        np.exp(MEAN + 0.125),
        0.5 * np.exp(MEAN + 0.125),
    ),
    "laplace": case_of(MEAN, SD, stats.laplace(MEAN, SD), tf.square, 2 * MEAN, 4 * SD),
    "laplace_ratio": case_of(MEAN, SD, stats.laplace(MEAN, SD), tf.square, 2 * MEAN, 4 * SD),
    "cauchy": case_of(
        MEAN,
        SD,
        stats.cauchy(MEAN, SD),
        tf.cos,  # E[cos x] = exp(-scale) cos(loc)
        -np.exp(-SD) * np.sin(MEAN),
        -np.exp(-SD) * np.cos(MEAN),
    ),
    "logistic": case_of(
        MEAN, SD, stats.logistic(MEAN, SD), tf.square, 2 * MEAN, 2 * SD * np.pi**2 / 3
    ),
    "gumbel": case_of(MEAN, SD, stats.gumbel_r(MEAN, SD), tf.identity, 1.0, np.euler_gamma),
    "exponential": Case({"rate": 2.5}, stats.expon(scale=0.4), tf.identity, {"rate": -1 / 2.5**2}),
    "weibull": Case(
        {"scale": 1.4, "concentration": 2.2},
        stats.weibull_min(2.2, scale=1.4),
        tf.identity,  # E[x] = scale Gamma(1 + 1/k)
        {
            "scale": special.gamma(1 + 1 / 2.2),
            "concentration": -1.4 * special.gamma(1 + 1 / 2.2) * special.psi(1 + 1 / 2.2) / 2.2**2,
        },
    ),
    "pareto": Case(
        {"scale": 1.4, "concentration": 2.2},
        stats.pareto(2.2, scale=1.4),
        tf.math.log,  # E[log x] = log scale + 1/a
        {"scale": 1 / 1.4, "concentration": -1 / 2.2**2},
    ),
    "kumaraswamy": Case({"a": 2.2, "b": 1.7}, None, tf.identity, kumaraswamy_slopes(2.2, 1.7)),
    "inverse_gamma": Case(
        {"concentration": 3.0, "scale": 2.0},
        stats.invgamma(3.0, scale=2.0),
        tf.math.log,  # E[log x] = log scale - psi(k)
        {"concentration": -special.polygamma(1, 3.0), "scale": 0.5},
    ),
}
APART = {"multivariate_normal", "rademacher"}


def z_scores(per_draw: tf.Tensor, expected: Any) -> np.ndarray:
    """Of the mean over the first axis, in standard errors."""
    draws = np.asarray(per_draw, np.float64)
    error = np.maximum(draws.std(axis=0) / np.sqrt(len(draws)), 1e-12)  # some are constant
    return (draws.mean(axis=0) - expected) / error


def gradients(f: Callable[..., tf.Tensor], parameters: dict[str, Any]) -> dict[str, tf.Tensor]:
    """For each of N draws, of ``f(**parameters)``, a draw for each of N copies of them."""
    each = {
        name: tf.constant(np.broadcast_to(value, (N, *np.shape(value))), tf.float64)
        for name, value in parameters.items()
    }
    with tf.GradientTape() as tape:
        tape.watch(each)
        values = f(**each)
    return tape.gradient(values, each)


# -- laws --------------------------------------------------------------------------------------


def test_every_row_has_a_case() -> None:
    assert set(reparameterizations.TABLE) == set(CASES) | APART


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_row_has_its_law(name: str, dtype: str) -> None:
    case, row = CASES[name], reparameterizations.get(name)
    draws = row.sample(N, random.key(0, name), dtype, **case.parameters)
    assert draws.dtype == dtype
    draws = np.asarray(draws, np.float64)
    assert np.isfinite(draws).all()
    if name == "kumaraswamy":
        draws, law = draws ** case.parameters["a"], KUMARASWAMY
    else:
        law = case.law
    assert stats.kstest(draws, law.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", CASES)
def test_gradient_of_the_row_is_that_of_the_closed_form(name: str) -> None:
    case, row = CASES[name], reparameterizations.get(name)

    def f(**each: tf.Tensor) -> tf.Tensor:
        return case.f(row.sample(1, random.key(1, name), **each))

    for parameter, found in gradients(f, case.parameters).items():
        assert abs(z_scores(found, case.gradient[parameter])) < Z


def test_multivariate_normal_has_its_law_and_gradients() -> None:
    row = reparameterizations.get("multivariate_normal")
    loc, R = np.array([0.5, -1.0]), np.array([[1.2, 0.0], [-0.7, 0.4]])
    draws = row.sample(N, random.key(2), loc=loc, factor=R).numpy()
    away = np.linalg.solve(R @ R.T, (draws - loc).T).T * (draws - loc)
    assert stats.kstest(away.sum(axis=1), stats.chi2(2).cdf).pvalue > 1e-3
    assert stats.kstest(draws[:, 1], stats.norm(-1.0, np.sqrt(0.65)).cdf).pvalue > 1e-3

    def f(**each: tf.Tensor) -> tf.Tensor:
        return tf.square(tf.reduce_sum(row.sample(1, random.key(3), **each), axis=-1))

    found = gradients(f, {"loc": loc, "factor": R})  # E = (1'm)^2 + |R'1|^2
    assert np.abs(z_scores(found["loc"], 2 * loc.sum())).max() < Z
    assert np.abs(z_scores(found["factor"], 2 * np.ones((2, 1)) * R.sum(axis=0))).max() < Z


def test_rademacher_is_a_fair_sign() -> None:
    draws = reparameterizations.get("rademacher").sample(N, random.key(4)).numpy()
    assert set(np.unique(draws)) == {-1.0, 1.0}
    assert stats.binomtest(int((draws > 0).sum()), N).pvalue > 1e-3


def test_a_draw_is_g_of_its_noise() -> None:
    for name, case in CASES.items():
        row = reparameterizations.get(name)
        noise = row.draw_noise(5, random.key(5), "float64", **case.parameters)
        direct = row.sample(5, random.key(5), "float64", **case.parameters)
        np.testing.assert_array_equal(row(noise, **case.parameters), direct)


def test_parameters_have_batches() -> None:
    row = reparameterizations.get("laplace")
    draws = row.sample(7, random.key(0), loc=np.zeros((2, 1)), scale=np.ones(3))
    assert draws.shape == (7, 2, 3)
    assert draws.dtype == tf.float64
    factor = np.broadcast_to(np.eye(2), (4, 2, 2))
    many = reparameterizations.get("multivariate_normal")
    assert many.sample(7, random.key(0), loc=np.zeros(2), factor=factor).shape == (7, 4, 2)


# -- what a widely used table prints --------------------------------------------------------------


def test_box_muller_as_printed_has_half_the_variance() -> None:
    row = reparameterizations.get("box_muller")
    noise = row.draw_noise(N, random.key(6), "float64", loc=0.0, scale=1.0)
    e1, e2 = np.moveaxis(noise.numpy(), -1, 0)
    printed = np.sqrt(np.log(1 / e1)) * np.cos(2 * np.pi * e2)
    assert printed.var() == pytest.approx(0.5, abs=0.01)  # an error of 0.0022
    assert row(noise, loc=0.0, scale=1.0).numpy().var() == pytest.approx(1.0, abs=0.02)


def test_laplace_refuses_the_noise_that_is_printed() -> None:
    row = reparameterizations.get("laplace")
    with pytest.raises(OptionsError, match=r"'laplace' is U\(-1/2, 1/2\).* Received: 0.7"):
        row(np.array([0.2, 0.7]), loc=0.0, scale=1.0)


def test_table_lists_rows_and_what_was_mended() -> None:
    table = reparameterizations.table()
    assert set(CASES) | APART < set(table.index)
    mended = set(table.index[table["mended"] != ""])
    assert mended == {"box_muller", "laplace", "log_normal", "inverse_gamma"}
    assert "variance of 1/2" in table.loc["box_muller", "mended"]
    assert {"gamma", "beta", "dirichlet", "student_t", "von_mises"} < set(table.index)


# -- implicit gradients ---------------------------------------------------------------------------

BESSEL = special.i1(1.8) / special.i0(1.8)
IMPLICIT = {
    "gamma": Case(
        {"concentration": 1.7, "rate": 0.6},
        stats.gamma(1.7, scale=1 / 0.6),
        tf.identity,
        {"concentration": 1 / 0.6, "rate": -1.7 / 0.36},
    ),
    "beta": Case(
        {"concentration1": 1.3, "concentration0": 2.1},
        stats.beta(1.3, 2.1),
        tf.identity,
        {"concentration1": 2.1 / 3.4**2, "concentration0": -1.3 / 3.4**2},
    ),
    "student_t": Case(
        {"df": 9.0, "loc": 0.5, "scale": 1.5},
        stats.t(9.0, 0.5, 1.5),
        tf.square,  # loc^2 + scale^2 df / (df - 2)
        {"df": -2 * 2.25 / 49, "loc": 1.0, "scale": 3.0 * 9 / 7},
    ),
    "von_mises": Case(
        {"loc": 0.5, "concentration": 1.8},
        stats.vonmises(1.8, 0.5),
        tf.cos,  # cos(loc) I1 / I0
        {
            "loc": -BESSEL * np.sin(0.5),
            "concentration": np.cos(0.5) * (1 - BESSEL / 1.8 - BESSEL**2),
        },
    ),
}


@pytest.mark.parametrize("name", IMPLICIT)
def test_law_with_implicit_gradients_is_right(name: str) -> None:
    case = IMPLICIT[name]
    draws = reparameterizations.implicit_sample(
        name, N, random.key(7), **{k: np.float64(v) for k, v in case.parameters.items()}
    )
    if name == "von_mises":  # SciPy's circle begins at loc - pi
        draws = np.mod(draws - 0.5 + np.pi, 2 * np.pi) + 0.5 - np.pi
    assert stats.kstest(draws, case.law.cdf).pvalue > 1e-3

    def f(**each: tf.Tensor) -> tf.Tensor:
        return case.f(reparameterizations.implicit_sample(name, 1, random.key(8), **each))

    for parameter, found in gradients(f, case.parameters).items():
        assert abs(z_scores(found, case.gradient[parameter])) < Z


def test_dirichlet_has_implicit_gradients() -> None:
    a = np.array([1.5, 0.7, 2.2])

    def f(concentration: tf.Tensor) -> tf.Tensor:
        sample = reparameterizations.implicit_sample
        return sample("dirichlet", 1, random.key(9), concentration=concentration)[..., 0]

    found = gradients(f, {"concentration": a})["concentration"]
    expected = (np.array([1.0, 0.0, 0.0]) * a.sum() - a[0]) / a.sum() ** 2
    assert np.abs(z_scores(found, expected)).max() < Z


def test_mixture_is_differentiable_in_its_weights() -> None:
    logits, loc = np.array([0.3, -0.4, 0.1]), np.array([-1.0, 0.5, 2.0])

    def f(logits: tf.Tensor, loc: tf.Tensor) -> tf.Tensor:
        mixture = reparameterizations.mixture(logits, tfd.Normal(loc, tf.ones_like(loc)))
        return tf.square(reparameterizations.implicit_sample(mixture, 1, random.key(10)))

    found = gradients(f, {"logits": logits, "loc": loc})
    p, squares = special.softmax(logits), loc**2 + 1.0
    assert np.abs(z_scores(found["logits"], p * (squares - p @ squares))).max() < Z
    assert np.abs(z_scores(found["loc"], 2 * p * loc)).max() < Z


def test_any_law_with_a_cdf_has_implicit_gradients() -> None:
    z = np.random.default_rng(0).gumbel(0.4, 1.5, size=N)

    def f(loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        attached = reparameterizations.implicit(tf.constant(z), tfd.Gumbel(loc, scale))
        np.testing.assert_array_equal(attached, z)
        return attached

    found = gradients(f, {"loc": 0.4, "scale": 1.5})
    np.testing.assert_allclose(found["loc"], 1.0, rtol=1e-9)  # z = loc + scale g
    np.testing.assert_allclose(found["scale"], (z - 0.4) / 1.5, rtol=1e-6, atol=1e-9)


# -- errors ---------------------------------------------------------------------------------------


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'laplace'"):
        reparameterizations.get("laplac")
    with pytest.raises(UnknownNameError, match="Did you mean 'scale'"):
        reparameterizations.get("normal").sample(3, random.key(0), loc=0.0, scle=1.0)
    with pytest.raises(UnknownNameError, match="Did you mean 'gamma'"):
        reparameterizations.implicit_sample("gama", 3, random.key(0))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loc": 0.0}, "Missing: scale"),
        ({"loc": 0.0, "scale": -1.0}, "scale of 'normal' must be positive .* Received: -1.0"),
        ({"loc": np.nan, "scale": 1.0}, "loc of 'normal' must be finite. Received: nan"),
        ({"loc": np.zeros(2), "scale": np.ones(3)}, r"do not fit together.*loc \(2,\)"),
    ],
)
def test_bad_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        reparameterizations.get("normal").sample(3, random.key(0), **parameters)


def test_bad_shapes_are_refused() -> None:
    many = reparameterizations.get("multivariate_normal")
    with pytest.raises(OptionsError, match=r"\[..., d, d\].*\(2, 3\)"):
        many.sample(3, random.key(0), loc=np.zeros(2), factor=np.ones((2, 3)))
    with pytest.raises(OptionsError, match="do not fit together"):
        many.sample(3, random.key(0), loc=np.zeros(3), factor=np.eye(2))
    with pytest.raises(OptionsError, match="2 numbers for each variable"):
        reparameterizations.get("box_muller")(np.full((4,), 0.5), loc=0.0, scale=1.0)


def test_laws_without_gradients_are_refused() -> None:
    key = random.key(0)
    with pytest.raises(ModelError, match="not differentiable"):
        reparameterizations.implicit_sample(tfd.Poisson(2.0), 3, key)
    with pytest.raises(OptionsError, match="has its parameters already"):
        reparameterizations.implicit_sample(tfd.Gamma(2.0, 1.0), 3, key, rate=1.0)
    with pytest.raises(OptionsError, match="'gamma' do not fit"):
        reparameterizations.implicit_sample("gamma", 3, key, concentration=-1.0, rate=1.0)
    with pytest.raises(ModelError, match="gradients of scalars"):
        reparameterizations.implicit(tf.zeros([2]), tfd.Dirichlet([1.0, 1.0]))
