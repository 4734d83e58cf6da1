"""From options and a description of the data to a BayesianNetwork."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

import tfbdl
from tfbdl import functional, likelihoods
from tfbdl.data import DataInfo
from tfbdl.distributions import Prior
from tfbdl.errors import DataError

from .config import BBBOptions

NUMBERS = ("gaussian", "student_t", "heteroscedastic_gaussian")
RANKS = {"dense": (1, 2, 3, 4), "convolutional": (2, 3), "recurrent": (2,)}


def build(
    options: BBBOptions, info: DataInfo | None, prior: Prior, seed: int
) -> tfbdl.BayesianNetwork:
    """Make the model for data that ``info`` describes.

    Args:
        options: See BBBOptions.
        info: Shapes, classes and moments of the training data.
        prior: Over each weight.
        seed: Of the initial weights.

    Raises:
        DataError: If the data have no targets, or inputs of a shape that the net cannot take.
    """
    info = _checked(options, info)
    likelihood = _likelihood(options, info)
    outputs = likelihood.outputs_for(_target_size(likelihood, info))
    with functional.seeded(seed):
        net = _net(options, info, outputs)
    posterior_options: dict[str, Any] = {}
    if options.posterior != "delta":
        posterior_options["initial_raw_scale"] = options.initial_raw_scale
    if options.posterior == "low_rank":
        posterior_options["rank"] = options.rank
    model = tfbdl.BayesianNetwork(
        net,
        likelihood,
        prior,
        posterior=options.posterior,
        posterior_options=posterior_options,
        estimator=options.estimator,
        kl_weight=options.kl_weight,
        class_names=info.class_names,
        name="bbb",
    )
    model.rng_seed.assign(seed)
    if info.num_rows is not None:
        model.num_data = info.num_rows  # until fit counts the rows that it trains on
    return model


def _net(options: BBBOptions, info: DataInfo, outputs: int) -> keras.Model:
    inputs = keras.Input(info.x_shape, name="x")
    x = inputs
    if options.standardize and info.x_mean is not None:
        variance = [deviation**2 for deviation in info.x_std or ()]
        x = keras.layers.Normalization(mean=list(info.x_mean), variance=variance)(x)
    x = BODIES[options.architecture](options, x)
    for units in options.hidden:
        x = keras.layers.Dense(units, options.activation)(x)
        if options.dropout:
            x = keras.layers.Dropout(options.dropout)(x)
    return keras.Model(inputs, keras.layers.Dense(outputs)(x), name="net")


def _dense(options: BBBOptions, x: Any) -> Any:
    return keras.layers.Flatten()(x) if len(x.shape) > 2 else x


def _convolutional(options: BBBOptions, x: Any) -> Any:
    if len(x.shape) == 3:
        x = keras.layers.Reshape((*x.shape[1:], 1))(x)
    for filters in options.filters:
        x = keras.layers.Conv2D(
            filters, options.kernel_size, padding="same", activation=options.activation
        )(x)
        x = keras.layers.MaxPooling2D(2, padding="same")(x)
    return keras.layers.Flatten()(x)


def _recurrent(options: BBBOptions, x: Any) -> Any:
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[options.cell]
    return layer(options.units)(x)


BODIES: dict[str, Callable[[BBBOptions, Any], Any]] = {
    "dense": _dense,
    "convolutional": _convolutional,
    "recurrent": _recurrent,
}


def _likelihood(options: BBBOptions, info: DataInfo) -> likelihoods.Likelihood:
    name = options.likelihood
    if name == "auto":
        name = "categorical" if info.task == "classification" else "gaussian"
    arguments: dict[str, Any] = {}
    if name in ("gaussian", "student_t") and options.noise_scale is not None:
        arguments["scale"] = options.noise_scale
    if (
        name in NUMBERS
        and options.standardize
        and info.y_mean is not None
        and info.y_std is not None
    ):
        single = len(info.y_mean) == 1
        arguments["target_mean"] = info.y_mean[0] if single else tuple(info.y_mean)
        arguments["target_scale"] = info.y_std[0] if single else tuple(info.y_std)
    return likelihoods.get(name, arguments)


def _target_size(likelihood: likelihoods.Likelihood, info: DataInfo) -> int:
    """Dimensions of a target, or the number of classes."""
    dimensions = info.y_shape[-1] if info.y_shape else 1
    if not likelihood.is_classification or likelihood.name == "bernoulli":
        return int(dimensions or 1)
    classes = info.num_classes or dimensions  # one-hot rows count theirs
    if classes is None or classes < 2:
        raise DataError(
            f"The likelihood {likelihood.name!r} needs the number of classes. Expected integer "
            "labels or one-hot rows; for batches whose end is not known also the data option "
            "num_classes, or task='regression' where whole numbers are quantities. Received: "
            f"targets of dtype {info.y_dtype} and shape {info.y_shape}, from which it cannot be "
            "told."
        )
    return classes


def _checked(options: BBBOptions, info: DataInfo | None) -> DataInfo:
    if info is None or info.y_shape is None:
        received = "no data" if info is None else "x alone"
        raise DataError(f"Model 'bbb' predicts targets. Expected (x, y). Received: {received}.")
    if options.likelihood in NUMBERS and info.task == "classification":
        raise DataError(
            f"The likelihood {options.likelihood!r} is of real numbers. Expected numbers as "
            f"targets. Received: classes, of dtype {info.y_dtype}."
        )
    if not isinstance(info.x_shape, tuple):
        raise DataError(
            "Model 'bbb' takes one array of inputs; for several build a keras.Model and give it to "
            f"tfbdl.BayesianNetwork. Received: inputs {sorted(info.x_shape or {})}."
        )
    ranks = RANKS[options.architecture]
    if len(info.x_shape) not in ranks:
        wanted = " or ".join(f"[n{', ...' * rank}]" for rank in ranks)
        raise DataError(
            f"A {options.architecture} net takes inputs {wanted}. "
            f"Received: [n, {', '.join(map(str, info.x_shape))}]."
        )
    return info
