"""Likelihoods: from the outputs of a net to the distribution of a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ModelError, OptionsError, UnknownNameError
from .base import Likelihood
from .bernoulli import Bernoulli
from .categorical import Categorical
from .discretized_logistic import DiscretizedLogistic
from .gaussian import Gaussian
from .heteroscedastic_categorical import HeteroscedasticCategorical
from .heteroscedastic_gaussian import HeteroscedasticGaussian
from .logistic_mixture import LogisticMixture
from .poisson import Poisson
from .student_t import StudentT

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiscretizedLogistic",
    "Gaussian",
    "HeteroscedasticCategorical",
    "HeteroscedasticGaussian",
    "Likelihood",
    "LogisticMixture",
    "Poisson",
    "StudentT",
    "get",
    "name_of",
    "names",
]

_CLASSES: Mapping[str, type[Likelihood]] = {
    cls.name: cls
    for cls in (
        Bernoulli,
        Categorical,
        DiscretizedLogistic,
        Gaussian,
        HeteroscedasticCategorical,
        HeteroscedasticGaussian,
        LogisticMixture,
        Poisson,
        StudentT,
    )
}


def names() -> tuple[str, ...]:
    """The words that ``get`` knows."""
    return tuple(_CLASSES)


def get(likelihood: str | Likelihood, options: Mapping[str, Any] | None = None) -> Likelihood:
    """The likelihood of a name and its options, or the object itself.

    Args:
        likelihood: A name such as ``"gaussian"``, a Likelihood, or a head of tfbdl.layers.
        options: The arguments of the class, by name.

    Raises:
        UnknownNameError: If no likelihood has that name.
        OptionsError: If an option is unknown, its value is not admitted, or options are given
            beside an object.

    Example:
        ```python
        tfbdl.likelihoods.get("student_t", {"df": 5.0})
        ```
    """
    if isinstance(likelihood, str):
        if likelihood not in _CLASSES:
            raise UnknownNameError("likelihood", likelihood, _CLASSES)
        return _CLASSES[likelihood].from_config(options or {})
    if not isinstance(likelihood, Likelihood):
        likelihood = getattr(likelihood, "as_likelihood", likelihood)  # of a head
    if not isinstance(likelihood, Likelihood):
        raise OptionsError(
            "A likelihood must be a name or a tfbdl.likelihoods.Likelihood, or a head of "
            f"tfbdl.layers. Received: {likelihood!r}."
        )
    if options:
        raise OptionsError(
            "Likelihood options go with a likelihood's name; an object has its own. "
            f"Received: {likelihood!r} and {dict(options)!r}."
        )
    return likelihood


def name_of(likelihood: Likelihood) -> str:
    """The name by which a stored model finds its likelihood again.

    Raises:
        ModelError: If its class is not among those that ``get`` knows.
    """
    if likelihood.name not in _CLASSES:
        raise ModelError(
            f"A model with the likelihood {type(likelihood).__name__} cannot be stored: its class "
            f"is not among {', '.join(_CLASSES)}. Store its weights with save_weights."
        )
    return likelihood.name
