"""All checks that apply to one plugin."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ..errors import DataError
from ..specs import DATA_VARIABLE, Capability
from .contributions import check_options, check_registered, specs_of
from .data import check_dataset
from .engines import check_engine, is_checkable
from .models import check_model, check_saves, check_seeds
from .panels import check_panel
from .priors import check_prior
from .replicas import check_gpu, check_replicas, two_logical_cpus


def check_plugin(name: str) -> list[str]:
    """Check everything that a plugin provides, with every part of this package that applies.

    Args:
        name: Of its entry point, as ``tfbdl plugins`` shows it.

    Returns:
        What could not be checked here, and why; empty if all was.

    Raises:
        AssertionError: If the plugin breaks the contract; the message says where.
        TfbdlError: If it is not installed, or fails on its own.

    Example:
        ```python
        def test_plugin_conforms() -> None:
            check_plugin("my_plugin")
        ```
    """
    two_logical_cpus()  # before TensorFlow's first operation, if it is not too late
    check_registered(name)
    left_out: list[str] = []
    order = list(_CHECKS)  # what takes least time comes first
    for kind, spec in sorted(specs_of(name), key=lambda item: order.index(item[0])):
        check_options(kind, spec.name)
        reason = _CHECKS[kind](spec)
        if reason:
            left_out.append(f"{kind} {spec.name!r}: {reason}")
    return left_out


def _prior(spec: Any) -> None:
    check_prior(spec.name)


def _dataset(spec: Any) -> str | None:
    if any(field.is_required() for field in spec.config.model_fields.values()):
        return "it has options without a default; call check_dataset(name, option=...)."
    try:
        check_dataset(spec.name)
    except DataError as error:
        if DATA_VARIABLE not in str(error):
            raise
        return f"its data is not on this machine. {error}"
    return None


def _engine(spec: Any) -> str | None:
    if not is_checkable(spec):
        return "no installed model offers what it needs; call check_engine(name, model=...)."
    check_engine(spec.name)
    return None


def _model(spec: Any) -> str | None:
    check_model(spec.name)
    check_seeds(spec.name)
    check_saves(spec.name)
    if Capability.TRAINABLE not in spec.capabilities:
        return None
    check_replicas(spec.name)
    if not tf.config.list_physical_devices("GPU"):
        return "one step on a GPU: TensorFlow sees none."
    check_gpu(spec.name)
    return None


def _panel(spec: Any) -> str | None:
    return check_panel(spec.name)


_CHECKS = {
    "prior": _prior,
    "dataset": _dataset,
    "engine": _engine,
    "model": _model,
    "panel": _panel,
}
