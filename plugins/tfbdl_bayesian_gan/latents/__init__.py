"""Priors of the noise z that a generator turns into rows."""

from __future__ import annotations

from .base import Draw, LatentPrior
from .encoder import ResponsibilityEncoder
from .making import make
from .posterior import posterior_latents

__all__ = ["Draw", "LatentPrior", "ResponsibilityEncoder", "make", "posterior_latents"]
