"""Whether the shapes of encoder, decoder, codes and rows go together."""

from __future__ import annotations

from typing import Any

import keras

from tfbdl.errors import ModelError
from tfbdl.likelihoods import Categorical, Likelihood


def check_units(encoder: keras.Model, units: int, latent_dim: int) -> None:
    """Refuse an encoder that does not end in so many units.

    Raises:
        ModelError: With both numbers.
    """
    given = last_axis(encoder, "output_shape")
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
    if isinstance(likelihood, Categorical):
        one_label = row[-1] == 1 and fits(given[:-1], row[:-1])
        fitting = fits(given[:-1], row) or fits(given, row) or one_label  # second: one-hot rows
        wanted: tuple[Any, ...] = (*row[1:], "classes")
    else:
        last = row[-1] and likelihood.outputs_for(row[-1])
        wanted = (*row[1:-1], last)
        fitting = fits(given, (None, *wanted))
    if not fitting:
        raise ModelError(
            f"The decoder must give outputs [n, {', '.join(map(str, wanted))}], as the "
            f"likelihood {likelihood.name!r} takes them for rows "
            f"[n, {', '.join(map(str, row[1:]))}] of the encoder. "
            f"Received: outputs [n, {', '.join(map(str, given[1:]))}]."
        )


def last_axis(net: keras.Model, which: str) -> int | None:
    """The last axis of a net's ``input_shape`` or ``output_shape``; None where it is not known."""
    shape = getattr(net, which, None) if net.built else None
    return shape[-1] if isinstance(shape, tuple) and shape else None


def fits(given: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    """Whether a shape is as expected, but for the batch axis and where nothing is expected."""
    return len(given) == len(expected) and all(
        wanted in (None, length) for length, wanted in zip(given[1:], expected[1:], strict=True)
    )
