"""Copies of an encoder and decoder, and their configuration in plain values."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import keras

from tfbdl import functional, likelihoods

from .rows import Rows


class Stored(Rows):
    """The part of a model that copies it, and that makes it again from plain values.

    Attributes:
        arguments: Names of the constructor's arguments that are plain values.
    """

    arguments: ClassVar[tuple[str, ...]] = ()

    def clone(self, seed: int | None = None) -> Self:
        """A copy, initialised anew from ``seed``; with None of the same weights and noise."""
        encoder = functional.clone(self.encoder, seed)
        after = None if seed is None else seed + 1
        if self.is_bayesian:
            decoder: Any = self.decoder.clone(after)
        else:
            decoder = functional.clone(self.decoder, after)
        copy = self.from_config(
            {
                **self.own_config(),
                **self.parts(),
                "encoder": encoder,
                "decoder": decoder,
                "seed": seed,
            }
        )
        if seed is None:
            copy.take_weights(self)
        return copy

    def own_config(self) -> dict[str, Any]:
        """The constructor's arguments but for nets, seed and ``parts()``, as plain values."""
        given = {"num_data": self.given_num_data}
        return {name: given.get(name, getattr(self, name)) for name in self.arguments}

    def parts(self) -> dict[str, Any]:
        """The likelihood, and what else is an object of its own."""
        return {"likelihood": self.likelihood}

    def named_parts(self) -> dict[str, Any]:
        """The same by name and options.

        Raises:
            ModelError: If one has no name.
        """
        return {
            "likelihood": likelihoods.name_of(self.likelihood),
            "likelihood_options": self.likelihood.get_config(),
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain values.

        Raises:
            ModelError: If the likelihood, or another part, has no name to be stored by.
        """
        nets = {"encoder": self.encoder, "decoder": self.decoder}
        stored = {role: keras.saving.serialize_keras_object(net) for role, net in nets.items()}
        seed = int(self.rng_seed.numpy())
        return {**self.own_config(), **self.named_parts(), **stored, "seed": seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """The inverse of ``get_config``."""
        return cls(**functional.constructor_arguments(config, custom_objects))
