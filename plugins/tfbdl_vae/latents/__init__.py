"""Families of the approximate posterior q(z | x), by the word that users type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfbdl.config import make
from tfbdl.errors import UnknownNameError

from .base import LatentPosterior
from .concrete import Concrete
from .diagonal import Diagonal
from .full import Full
from .iaf import InverseAutoregressiveFlow

__all__ = [
    "Concrete",
    "Diagonal",
    "Full",
    "InverseAutoregressiveFlow",
    "LatentPosterior",
    "get",
    "names",
]

_FAMILIES = (Diagonal, Full, InverseAutoregressiveFlow, Concrete)
_CLASSES: Mapping[str, type[LatentPosterior]] = {cls.family: cls for cls in _FAMILIES}


def names() -> tuple[str, ...]:
    """The words that ``get`` knows."""
    return tuple(_CLASSES)


def get(
    family: str, latent_dim: int, options: Mapping[str, Any] | None = None, seed: int = 0
) -> LatentPosterior:
    """The family of a name.

    Args:
        family: Its name.
        latent_dim: Size of z.
        options: The family's own.
        seed: Of weights that the family has.

    Raises:
        UnknownNameError: If no family has that name.
        OptionsError: If an option is unknown or not admitted.
    """
    if family not in _CLASSES:
        raise UnknownNameError("posterior of latent variables", family, _CLASSES)
    cls = _CLASSES[family]
    chosen = make(cls.Options, dict(options or {}), f"options of the posterior {family!r}")
    return cls(latent_dim, chosen, seed, name="latent_posterior")
