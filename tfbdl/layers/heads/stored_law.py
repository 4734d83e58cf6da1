"""TFP's distributions as plain values, for files: their class and what it was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ...errors import ModelError
from ...likelihoods.base import Distribution


def law_config(law: Any) -> dict[str, Any]:
    """Class and arguments of a distribution, of those that it holds too.

    Raises:
        ModelError: If it is none of ``tfp.distributions``, or an argument is no plain value,
            tensor or distribution.
    """
    name, given = type(law).__name__.lstrip("_"), law.parameters
    cls = getattr(tfd, name, None)
    if not (isinstance(cls, type) and issubclass(cls, tfd.Distribution) and isinstance(law, cls)):
        raise ModelError(
            f"{name} is none of tfp.distributions, so a model that has it as its prior cannot be "
            f"stored. {_REMEDY}"
        )
    arguments = {key: _plain(value, f"{name}({key}=...)") for key, value in given.items()}
    return {"distribution": name, "arguments": arguments}


def law_from(config: Mapping[str, Any]) -> Distribution:
    """The inverse of ``law_config``."""
    cls = getattr(tfd, config["distribution"])
    return cls(**{key: _value(value) for key, value in config["arguments"].items()})


_REMEDY = (
    "Give its name (see tfbdl.priors), or a registered function without arguments that makes it."
)


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, tfd.Distribution):
        return law_config(value)
    if isinstance(value, tf.DType):
        return {"dtype": value.name}
    if isinstance(value, (list, tuple)):
        return {"parts": [_plain(part, where) for part in value]}
    try:
        array = np.asarray(tf.convert_to_tensor(value))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ModelError(
            f"{where} cannot be stored: {type(value).__name__} is no plain value, tensor or "
            f"distribution. {_REMEDY}"
        ) from error
    return {"array": array.tolist(), "of": array.dtype.name}


def _value(stored: Any) -> Any:
    if not isinstance(stored, Mapping):
        return stored
    if "distribution" in stored:
        return law_from(stored)
    if "dtype" in stored:
        return tf.as_dtype(stored["dtype"])
    if "parts" in stored:
        return [_value(part) for part in stored["parts"]]
    return tf.constant(stored["array"], stored["of"])
