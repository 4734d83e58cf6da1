"""The heads with their arguments, beside what TFP's layers make of the same parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow_probability as tfp

from tfbdl import layers


@dataclass(frozen=True)
class Case:
    """A head, the size of its parameters by hand, TFP's law of them, and targets of a batch."""

    make: Callable[..., layers.Head]
    size: int
    tfp: Callable[[Any], Any]
    targets: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    moments: tuple[str, ...] = ("mean", "stddev")


def reals(*event: int):
    return lambda rng, batch: rng.normal(size=(*batch, *event))


def counts(*event: int):
    return lambda rng, batch: rng.poisson(2.0, size=(*batch, *event)).astype("float64")


def bits(*event: int):
    return lambda rng, batch: rng.integers(0, 2, size=(*batch, *event)).astype("float64")


def one_hot(classes: int):
    return lambda rng, batch: np.eye(classes)[rng.integers(0, classes, size=batch)]


def cases() -> dict[str, Case]:
    theirs = tfp.layers
    return {
        "normal": Case(
            lambda **k: layers.IndependentNormal((3, 2), **k),
            12,
            lambda t: theirs.IndependentNormal.new(t, (3, 2)),
            reals(3, 2),
        ),
        "scalar_normal": Case(
            lambda **k: layers.IndependentNormal(**k),
            2,
            lambda t: theirs.IndependentNormal.new(t),
            reals(),
        ),
        "logistic": Case(
            lambda **k: layers.IndependentLogistic(4, **k),
            8,
            lambda t: theirs.IndependentLogistic.new(t, 4),
            reals(4),
        ),
        "bernoulli": Case(
            lambda **k: layers.IndependentBernoulli((2, 1, 2), **k),
            4,
            lambda t: theirs.IndependentBernoulli.new(t, (2, 1, 2)),
            bits(2, 1, 2),
        ),
        "poisson": Case(
            lambda **k: layers.IndependentPoisson(3, **k),
            3,
            lambda t: theirs.IndependentPoisson.new(t, 3),
            counts(3),
        ),
        "tril": Case(
            lambda **k: layers.MultivariateNormalTriL(4, **k),
            14,
            lambda t: theirs.MultivariateNormalTriL.new(t, 4),
            reals(4),
        ),
        "one_hot": Case(
            lambda **k: layers.OneHotCategorical(4, **k),
            4,
            lambda t: theirs.OneHotCategorical.new(t, 4),
            one_hot(4),
            ("mean",),
        ),
        "categorical_mixture": Case(
            lambda **k: layers.CategoricalMixtureOfOneHotCategorical(4, 2, **k),
            10,
            lambda t: theirs.CategoricalMixtureOfOneHotCategorical.new(t, 4, 2),
            one_hot(4),
            ("mean",),
        ),
        "mixture_normal": Case(
            lambda **k: layers.MixtureNormal(5, (3, 2), **k),
            65,
            lambda t: theirs.MixtureNormal.new(t, 5, (3, 2)),
            reals(3, 2),
        ),
        "mixture_logistic": Case(
            lambda **k: layers.MixtureLogistic(3, 2, **k),
            15,
            lambda t: theirs.MixtureLogistic.new(t, 3, 2),
            reals(2),
        ),
        "mixture_of_tril": Case(
            lambda **k: layers.MixtureSameFamily(
                3, layers.MultivariateNormalTriL(2, dtype=k.get("dtype")), **k
            ),
            18,
            lambda t: theirs.MixtureSameFamily.new(
                t, 3, lambda u: theirs.MultivariateNormalTriL.new(u, 2)
            ),
            reals(2),
        ),
    }
