"""Whether the shapes of encoder, decoder, codes and rows go together."""

from __future__ import annotations

from typing import Any

import keras

from tfbdl.errors import DataError, ModelError
from tfbdl.likelihoods import Categorical, Likelihood


def check_units(encoder: keras.Model, units: int, latent_dim: int, dtype: str) -> None:
    """Refuse an encoder that does not end in so many units.

    Args:
        encoder: From rows of this ``dtype``.
        units: Expected of it.
        latent_dim: Size of a code.
        dtype: Of the rows.

    Raises:
        ModelError: With both numbers.
    """
    given = last_axis(encoder, "output_shape")
    if given is None:
        given = _last_axis_by_call(encoder, dtype)
    if given not in (None, units):
        raise ModelError(
            f"The encoder must end in {units} units for latent_dim={latent_dim}. "
            f"Received: an encoder that ends in {given}."
        )


def check_codes(decoder: keras.Model, latent_dim: int) -> None:
    """Refuse a decoder of codes of another size.

    Raises:
        ModelError: With both sizes.
    """
    taken = last_axis(decoder, "input_shape")
    if taken not in (None, latent_dim):
        raise ModelError(
            f"The decoder must take codes [n, {latent_dim}]. "
            f"Received: a decoder of inputs [n, {taken}]."
        )


def check_outputs(encoder: keras.Model, decoder: keras.Model, likelihood: Likelihood) -> None:
    """Refuse a decoder whose outputs are not those of the encoder's rows.

    Raises:
        ModelError: With the outputs that the likelihood asks for.
    """
    row = getattr(encoder, "input_shape", None)
    given = getattr(decoder, "output_shape", None)
    if not isinstance(row, tuple) or not isinstance(given, tuple) or len(row) < 2:
        return
    fitting, wanted = _compare(given, row, likelihood)
    if not fitting:
        raise ModelError(
            f"The decoder must give outputs [n, {', '.join(map(str, wanted))}], as the "
            f"likelihood {likelihood.name!r} takes them for rows "
            f"[n, {', '.join(map(str, row[1:]))}] of the encoder. "
            f"Received: outputs [n, {', '.join(map(str, given[1:]))}]."
        )


def check_rows(
    shape: tuple[int, ...], decoder: keras.Model, likelihood: Likelihood, what: str
) -> None:
    """Refuse rows that are not of the shape of the decoder's, which an encoder of any may take.

    Args:
        shape: Of the rows, ``[n, ...]``.
        decoder: From codes to outputs.
        likelihood: Of the rows.
        what: What the rows are called.

    Raises:
        DataError: With the outputs that the likelihood asks for.
    """
    given = getattr(decoder, "output_shape", None) if decoder.built else None
    if not isinstance(given, tuple) or len(shape) < 2:
        return
    fitting, wanted = _compare(given, shape, likelihood)
    if not fitting:
        raise DataError(
            f"The decoder gives outputs [n, {', '.join(map(str, given[1:]))}], where the "
            f"likelihood {likelihood.name!r} takes [n, {', '.join(map(str, wanted))}] for {what} "
            f"of shape [n, {', '.join(map(str, shape[1:]))}]. Expected: {what} of the shape that "
            f"the decoder gives. Received: shape {list(shape)}."
        )


def _compare(
    given: tuple[int | None, ...], row: tuple[int | None, ...], likelihood: Likelihood
) -> tuple[bool, tuple[Any, ...]]:
    """Whether outputs ``given`` are those of rows, and which these are, without the batch axis."""
    if isinstance(likelihood, Categorical):
        one_label = row[-1] == 1 and fits(given[:-1], row[:-1])
        fitting = fits(given[:-1], row) or fits(given, row) or one_label  # second: one-hot rows
        return fitting, (*row[1:], "classes")
    last = row[-1] and likelihood.outputs_for(row[-1])
    wanted = (*row[1:-1], last)
    return fits(given, (None, *wanted)), wanted


def last_axis(net: keras.Model, which: str) -> int | None:
    """The last axis of a net's ``input_shape`` or ``output_shape``; None where it is not known."""
    shape = getattr(net, which, None) if net.built else None
    return shape[-1] if isinstance(shape, tuple) and shape else None


def _last_axis_by_call(net: keras.Model, dtype: str) -> int | None:
    """The same of the outputs of a subclassed net that has been called, which alone tells it."""
    shape = (net.get_build_config() or {}).get("input_shape") if net.built else None
    if not isinstance(shape, (tuple, list)) or not all(isinstance(n, int) for n in shape[1:]):
        return None
    shape = getattr(net(keras.KerasTensor((None, *shape[1:]), dtype)), "shape", None)
    return shape[-1] if isinstance(shape, tuple) and shape else None


def fits(given: tuple[int | None, ...], expected: tuple[int | None, ...]) -> bool:
    """Whether a shape is as expected, but for the batch axis and where either is not known."""
    return len(given) == len(expected) and all(
        length is None or wanted in (None, length)
        for length, wanted in zip(given[1:], expected[1:], strict=True)
    )
