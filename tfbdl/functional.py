"""Run any Keras net with given weights, clone it, and name its variables.

``keras.StatelessScope`` makes every net a pure function of its weights: that is all a joint
density with explicit parameters needs.
"""

from __future__ import annotations

import contextlib
import random as python_random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from .errors import ModelError
from .serial import map_serially

_AUTO_SUFFIX = re.compile(r"_\d+$")
_NORMALIZATION = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.RMSNormalization,
    keras.layers.SpectralNormalization,
    keras.layers.UnitNormalization,
)
VECTORIZABLE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.Concatenate,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.InputLayer,
    keras.layers.LeakyReLU,
    keras.layers.Normalization,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.Reshape,
)
"""Layers for which ``tf.vectorized_map`` over draws is both right and fast on every device."""


def apply(
    net: keras.Model,
    values: Iterable[tuple[keras.Variable, tf.Tensor]],
    inputs: Any,
    *,
    training: bool = False,
    losses: list[tf.Tensor] | None = None,
) -> tuple[Any, list[tuple[keras.Variable, tf.Tensor]]]:
    """Run ``net`` with the given values in place of the variables' own.

    Nothing is written: the new values of variables that the call would have changed (moving
    statistics, seeds of dropout) are handed back, for the caller to assign or drop.

    Args:
        net: A built Keras net.
        values: Pairs (variable of the net, tensor of its shape).
        inputs: What the net takes.
        training: As in Keras.
        losses: A list that takes up what layers add by ``add_loss`` during the call.

    Returns:
        The outputs, and pairs (variable, new value) of the state that the call changed.
    """
    given = list(values)
    with keras.StatelessScope(state_mapping=given, collect_losses=losses is not None) as scope:
        kept = [(id(variable), scope.get_current_value(variable)) for variable, _ in given]
        outputs = net(inputs, training=training)
    if losses is not None:
        losses.extend(scope.losses)
    before = dict(kept)
    after = [(v, scope.get_current_value(v)) for v in net.non_trainable_variables]
    updates = [(v, now) for v, now in after if now is not None and now is not before.get(id(v))]
    return outputs, updates


def assign(updates: Iterable[tuple[keras.Variable, tf.Tensor]]) -> None:
    """Write the state that a training call has changed."""
    for variable, value in updates:
        variable.assign(value)


def site_names(net: keras.Model) -> dict[str, keras.Variable]:
    """Name every weight of ``net`` by its path, so that a rebuilt net has the same names.

    The net's own name is dropped, layers that Keras numbered by itself are numbered anew by
    position, and the parts are joined by dots: ``dense.kernel``, ``dense_1.bias``.

    Raises:
        ModelError: If two weights get the same name.
    """
    automatic = {layer.name for layer in layers_of(net) if _is_automatic(layer)}
    numbering: dict[tuple[str, ...], dict[str, str]] = {}
    counts: dict[tuple[tuple[str, ...], str], int] = {}
    named: dict[str, keras.Variable] = {}
    for variable in net.weights:
        parts = variable.path.split("/")
        if net.name in parts[:-1]:  # behind the names of those in whose call it was built
            parts = parts[parts.index(net.name) + 1 :]
        renamed: list[str] = []
        for depth, part in enumerate(parts):
            parent = tuple(parts[:depth])
            table = numbering.setdefault(parent, {})
            if part not in table:
                table[part] = part
                if part in automatic and depth < len(parts) - 1:
                    base = _AUTO_SUFFIX.sub("", part)
                    number = counts.get((parent, base), 0)
                    counts[parent, base] = number + 1
                    table[part] = f"{base}_{number}" if number else base
            renamed.append(table[part])
        name = ".".join(renamed)
        if name in named:
            raise ModelError(
                f"Two weights of the net would both be the site {name!r} "
                f"({named[name].path} and {variable.path}). Give the layers different names."
            )
        named[name] = variable
    return named


def default_sites(net: keras.Model) -> list[str]:
    """The sites that are random by default: all that train, but for normalisation layers."""
    fixed = {
        id(weight)
        for layer in layers_of(net)
        if isinstance(layer, _NORMALIZATION)
        for weight in layer.weights
    }
    trainable = {id(variable) for variable in net.trainable_variables}
    return [
        name
        for name, variable in site_names(net).items()
        if id(variable) in trainable and id(variable) not in fixed
    ]


def layers_of(net: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Every layer inside ``net``, itself excluded."""
    return list(net._flatten_layers(include_self=False))


def scaled_optimizer(net: keras.Model, optimizer: Any) -> Any:
    """The optimizer, with loss scaling where a layer computes in float16."""
    optimizer = keras.optimizers.get(optimizer)
    half = any(layer.compute_dtype == "float16" for layer in layers_of(net))
    if half and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def clone(
    net: keras.Model, seed: int | None = None, adjust: Callable[[Any], Any] | None = None
) -> keras.Model:
    """A net of the same architecture, with the same weights, or initialised anew from ``seed``.

    What is frozen (``trainable=False`` on a layer or on one variable) keeps its values and stays
    frozen: a pretrained part is not drawn anew. ``adjust`` may change the configuration on the
    way, such as the precision of all layers.

    Raises:
        ModelError: If the net cannot be rebuilt from its configuration.
    """
    try:
        with seeded(0 if seed is None else seed):
            config = keras.saving.serialize_keras_object(net)
            copy = keras.saving.deserialize_keras_object(
                config if adjust is None else adjust(config),
                custom_objects={type(part).__name__: type(part) for part in (net, *layers_of(net))},
                safe_mode=False,  # the configuration comes from this process
            )
            if net.built and not copy.built:
                copy.build_from_config(net.get_build_config() or {})
    except Exception as error:
        raise ModelError(
            f"The net {net.name!r} cannot be copied from its configuration: {error} A subclassed "
            "model needs get_config, and custom layers want "
            "@keras.saving.register_keras_serializable()."
        ) from error
    kept = {id(variable) for variable in _kept_when_fresh(net)}
    for variable, original in zip(copy.weights, net.weights, strict=True):
        if seed is None or id(original) in kept:
            variable.assign(original)
        if variable.trainable != original.trainable:  # set by itself, which no config tells
            variable.trainable = original.trainable
    return copy


def _kept_when_fresh(net: keras.Model) -> Iterator[keras.Variable]:
    """What no initializer may set anew: all that is frozen, and the constants of Normalization.

    The moving statistics of a layer that trains are not frozen, though no gradient moves them.
    """
    for layer in (net, *layers_of(net)):
        if not layer.trainable or isinstance(layer, keras.layers.Normalization):
            yield from layer.weights
        yield from (variable for variable in layer._trainable_variables if not variable.trainable)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make Keras' initializers and seed generators a function of ``seed`` while it lasts.

    They take their default seeds from Python's ``random``, whose state is put back afterwards.
    """
    state = python_random.getstate()
    python_random.seed(seed)
    try:
        yield
    finally:
        python_random.setstate(state)


@contextlib.contextmanager
def training_only(model: keras.Model, variables: Iterable[keras.Variable]) -> Iterator[None]:
    """Hold all other trainable variables of a model while it lasts, one by one.

    Its layers go on as in training: normalisation takes the moments of each batch. It acts where
    a training step is traced.
    """
    chosen = {id(variable) for variable in variables}
    held = [variable for variable in model.trainable_variables if id(variable) not in chosen]
    for variable in held:
        variable.trainable = False
    try:
        yield
    finally:
        for variable in held:
            variable.trainable = True


def map_draws(fn: Any, params: Mapping[str, tf.Tensor], *, vectorize: bool) -> Any:
    """Apply ``fn`` to each draw of ``params`` and stack the results.

    Args:
        fn: From a dict of tensors of one draw to a tensor or a structure of tensors.
        params: Name -> ``[draw, ...]``.
        vectorize: Run all draws at once; otherwise one after the other, in bounded memory.
    """
    if next(iter(params.values())).shape[0] == 1:
        single = fn({name: value[0] for name, value in params.items()})
        return tf.nest.map_structure(lambda value: value[tf.newaxis], single)
    if vectorize:
        return tf.vectorized_map(fn, dict(params), warn=False)
    first = fn({name: value[0] for name, value in params.items()})
    signature = tf.nest.map_structure(lambda v: tf.TensorSpec(v.shape, v.dtype), first)
    return map_serially(fn, dict(params), signature)


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """All that a model holds: its weights and the seeds of its layers, but no metrics."""
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    return [variable for variable in model.variables if id(variable) not in metrics]


def is_vectorizable(net: keras.Model | None) -> bool:
    """Whether all layers of ``net`` run fast under ``tf.vectorized_map`` over draws.

    A layer of a plugin says so itself: ``is_vectorizable = True``.
    """
    if net is None:  # a model that is no net: linear in its parameters
        return True
    nested = (keras.Sequential, keras.src.models.Functional)
    kinds = (*VECTORIZABLE, *nested)
    return all(
        isinstance(layer, kinds) or getattr(layer, "is_vectorizable", False)
        for layer in layers_of(net)
    )


def activation_size(net: keras.Model | None) -> int:
    """About how many numbers ``net`` keeps for one row: the sum of its layers' output sizes."""
    total = 0
    for layer in [] if net is None else layers_of(net):
        with contextlib.suppress(Exception):  # a layer that was never called has no output
            for tensor in tf.nest.flatten(layer.output):
                size = 1
                for length in tensor.shape[1:]:
                    size *= length or 1
                total += size
    return max(total, 64)


def count(variables: Sequence[keras.Variable]) -> int:
    """How many numbers the variables hold."""
    return sum(int(tf.TensorShape(variable.shape).num_elements() or 1) for variable in variables)


def _is_automatic(layer: keras.layers.Layer) -> bool:
    """Whether Keras gave ``layer`` its name: the class in snake case, perhaps with a number."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
    name = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    return re.fullmatch(rf"{re.escape(name)}(_\d+)?", layer.name) is not None


def constructor_arguments(config: Mapping[str, Any], custom_objects: Any = None) -> dict[str, Any]:
    """The constructor's arguments of ``get_config``'s: nets and other parts are made anew.

    Args:
        config: Name -> plain value, or what Keras serialises an object to.
        custom_objects: Class name -> class, of parts that Keras does not know.
    """
    return {
        name: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
        if isinstance(value, dict) and "class_name" in value
        else value
        for name, value in config.items()
    }
