"""Copies of a BayesianNetwork, and its configuration in plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from .. import distributions, functional, likelihoods
from ..likelihoods import Likelihood

if TYPE_CHECKING:
    from .model import BayesianNetwork


def clone(model: BayesianNetwork, seed: int | None, **changes: Any) -> BayesianNetwork:
    """A copy with the same weights, or initialised anew from ``seed``."""
    arguments: dict[str, Any] = {
        "net": _copied_net(model, seed),
        "likelihood": model.likelihood,
        "prior": model.prior,
        "posterior": model.posterior_family,
        "posterior_options": model.posterior_options,
        "estimator": model.estimator,
        "sites": list(model.random_sites),
        "num_data": model.given_num_data,
        "class_names": model.class_names if seed is None else model.given_class_names,
        "kl_weight": model.kl_weight,
        "moped_delta": model.moped_delta,
        "name": model.name,
        **changes,
    }
    copy = type(model)(**arguments)
    if seed is None:
        _copy_weights(model, copy)
    else:
        copy.rng_seed.assign(seed)
    return copy


def _copied_net(model: BayesianNetwork, seed: int | None) -> keras.Model:
    """A copy of the net; one that begins anew has its sites where their prior is centred, if it is.

    What is no random site, such as moving statistics, then stays as it is.
    """
    if seed is None or not model.prior_centres:
        return functional.clone(model.net, seed)
    net = functional.clone(model.net)
    named = functional.site_names(net)
    for name, centre in model.prior_centres.items():
        named[name].assign(centre)
    return net


def config_of(model: BayesianNetwork) -> dict[str, Any]:
    """Plain values: prior and likelihood by name and options, the net as Keras stores it.

    Raises:
        ModelError: If the likelihood is of a class that tfbdl does not know by name.
    """
    kl_weight = model.kl_weight
    return {
        "name": model.name,
        "net": keras.saving.serialize_keras_object(model.net),
        **_likelihood_config(model.likelihood),
        "prior": distributions.name_of(model.prior),
        "prior_options": model.prior.options.model_dump(mode="json"),
        "posterior": model.posterior_family,
        "posterior_options": model.posterior_options,
        "estimator": model.estimator,
        "sites": list(model.random_sites),
        "num_data": model.given_num_data,
        "class_names": model.class_names,
        "kl_weight": keras.saving.serialize_keras_object(kl_weight)
        if callable(kl_weight)
        else kl_weight,
        **({} if model.moped_delta is None else {"moped_delta": model.moped_delta}),
    }


def _likelihood_config(likelihood: Likelihood) -> dict[str, Any]:
    """Name and options; or, of a class that is registered with Keras, what Keras makes of it."""
    name = keras.saving.get_registered_name(type(likelihood))
    if keras.saving.get_registered_object(name) is type(likelihood):
        stored = keras.saving.serialize_keras_object(likelihood)
        return {"likelihood": stored, "likelihood_options": None}
    return {
        "likelihood": likelihoods.name_of(likelihood),
        "likelihood_options": likelihood.get_config(),
    }


def arguments_from(config: dict[str, Any], custom_objects: Any = None) -> dict[str, Any]:
    """The constructor's arguments from what ``config_of`` gave."""
    from .. import layers  # noqa: F401 - importing them registers their classes

    arguments = dict(config)
    for part in ("net", "kl_weight", "likelihood"):
        if isinstance(arguments[part], dict):
            arguments[part] = keras.saving.deserialize_keras_object(
                arguments[part], custom_objects=custom_objects
            )
    return arguments


def _copy_weights(source: BayesianNetwork, target: BayesianNetwork) -> None:
    """Copy all weights that both have; a target with masks keeps them at one."""
    by_path = {variable.path.partition("/")[2]: variable for variable in source.surrogate.weights}
    for variable in target.surrogate.weights:
        if (path := variable.path.partition("/")[2]) in by_path:
            variable.assign(by_path[path])
    for name, centre in source.prior_centres.items():
        if name in target.prior_centres:
            target.prior_centres[name].assign(centre)
    for name, raw in source.learned_raw.items():
        target.learned_raw[name].assign(raw)
    for state in ("rng_seed", "rng_step", "num_data_seen"):
        getattr(target, state).assign(getattr(source, state))
