"""Fingerprints of objects given in place of names, so that a run is resumed with the same alone."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from . import functional
from .data import Dataset
from .errors import RunError
from .specs import RunSpec

ROWS = 16
"""Rows that tell one log joint from another."""

_TRANSIENT = ("name", "shared_object_id", "compile_config")


def of_model(model: Any, data: Dataset | None = None) -> str:
    """A sha256 of what a run starts from: class, configuration, and weights or starting density.

    Args:
        model: The run's own copy, before training. Where the copy begins anew from the seed, the
            weights of the original play no part.
        data: What it is fitted to. A log joint of data is known by its value at the start on the
            first rows, or on rows of ones where the data is a stream, which may be shuffled.
    """
    return _digest(_parts_of_model(model, data))


def of_data(data: Any) -> str:
    """A sha256 of a Dataset with its test rows, or of a mapping of arrays.

    A stream is known by shapes, dtypes and length alone: see ``Dataset.fingerprint``.
    """
    if isinstance(data, Dataset):
        parts: list[tuple[str, Any]] = [("train", data.fingerprint())]
        if data.x_test is not None:
            test = Dataset(x=data.x_test, y=data.y_test, info=data.info)
            parts.append(("test", test.fingerprint()))
        return _digest(parts)
    return _digest((name, np.asarray(data[name])) for name in sorted(data))


def check_present(spec: RunSpec, **given: Any) -> None:
    """Raise RunError unless objects are given where the run had some, and nowhere else.

    Args:
        spec: The stored run.
        **given: ``model`` and ``data``, each an object or None.

    Raises:
        RunError: If an object is missing, or stands beside a name.
    """
    for argument, value in given.items():
        expected = argument in spec.fingerprints
        if not expected and value is not None:
            raise RunError(
                f"The run's {argument} was not given as an object; give no {argument}= to resume "
                "it."
            )
        if expected and value is None:
            raise RunError(
                f"The run's {argument} was given as an object. Resume it with the same one: "
                f"tfbdl.resume(dir, {argument}=...)."
            )


def check(spec: RunSpec, given: Mapping[str, str]) -> None:
    """Raise RunError unless the given objects are those that the run was started with.

    Args:
        spec: The stored run.
        given: Argument (``"model"``, ``"data"``) -> fingerprint of what was given for it.

    Raises:
        RunError: If an object is another than before.
    """
    for argument, expected in spec.fingerprints.items():
        received = given[argument]
        if expected != received:
            raise RunError(
                f"This {argument} is another than the one that the run was started with: its "
                f"fingerprint is {received[:12]}, expected {expected[:12]}."
            )


def _parts_of_model(model: Any, data: Dataset | None) -> Iterator[tuple[str, Any]]:
    yield "class", type(model).__qualname__
    if isinstance(model, keras.Model):
        with contextlib.suppress(Exception):  # without a plain configuration its weights count
            names = {layer.name: f"#{i}" for i, layer in enumerate(functional.layers_of(model))}
            config = _without_names(model.get_config(), names)
            yield "config", json.dumps(config, sort_keys=True, default=str)
        for variable in model.variables:
            yield "variable", np.asarray(variable)
        return
    for site in getattr(model, "sites", ()):
        yield site.name, f"{site.shape} {site.dtype} {site.bijector}"
    if getattr(model, "takes_no_data", False) and not hasattr(model, "log_joint"):
        yield from model.get_state().items()  # a discrete field
    elif getattr(model, "takes_no_data", False):  # the density itself: its value at the start
        value = float(model.log_joint(model.init(0)))
        yield "log_joint", f"{value:.6g}"
    elif data is not None and hasattr(model, "log_joint"):
        with contextlib.suppress(Exception):  # one that takes only whole data goes by its sites
            value = float(model.log_joint(model.init(0), _some_rows(data)))
            yield "log_joint", f"{value:.6g}"


def _some_rows(data: Dataset) -> Any:
    """A small batch, the same at each time: ``x`` or ``(x, y)``."""
    if data.stream is not None:
        spec = data.stream.element_spec
        ones = tf.nest.map_structure(
            lambda part: tf.ones([n or 1 for n in part.shape], part.dtype), spec
        )
        return ones[:2] if isinstance(ones, tuple) else ones
    parts = data.x if data.y is None else (data.x, data.y)
    return tf.nest.map_structure(lambda part: tf.convert_to_tensor(part[:ROWS]), parts)


def _without_names(config: Any, names: Mapping[str, str]) -> Any:
    """A configuration in which layers go by position, since Keras numbers names by process."""
    if isinstance(config, Mapping):
        return {k: _without_names(v, names) for k, v in config.items() if k not in _TRANSIENT}
    if isinstance(config, (list, tuple)):
        return [_without_names(value, names) for value in config]
    return names.get(config, config) if isinstance(config, str) else config


def _digest(parts: Iterable[tuple[str, Any]]) -> str:
    digest = hashlib.sha256()
    for name, value in parts:
        if isinstance(value, np.ndarray):
            digest.update(f"{name} {value.dtype.str} {value.shape};".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        else:
            digest.update(f"{name} {value};".encode())
    return digest.hexdigest()
