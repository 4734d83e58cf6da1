"""Variational auto-encoders and their relatives (Kingma & Welling 2014)."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tfbdl import Capability, ModelSpec, PriorSpec, hookimpl

from . import config

if TYPE_CHECKING:
    from .autoencoder import AutoEncoder
    from .model import VAE

__all__ = ["VAE", "AutoEncoder"]

_HEAVY = {"AutoEncoder": "autoencoder", "VAE": "model"}
_TRAINABLE = frozenset({Capability.TRAINABLE})


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """The models of this plugin."""
    return (
        ModelSpec(
            name="vae",
            summary="Variational auto-encoder: latent variables of images, tables and sequences",
            factory="tfbdl_vae.factory:build_vae",
            config=config.VAEOptions,
            task="unsupervised",
            capabilities=_TRAINABLE,
            default_engine="variational",
            default_prior="standard_normal",
            references=("Kingma & Welling 2014, Auto-Encoding Variational Bayes",),
        ),
        ModelSpec(
            name="beta_vae",
            summary="VAE whose KL term is weighed, for latent variables that part the factors",
            factory="tfbdl_vae.factory:build_beta_vae",
            config=config.BetaVAEOptions,
            task="unsupervised",
            capabilities=_TRAINABLE,
            default_engine="variational",
            default_prior="standard_normal",
            references=(
                "Higgins et al. 2017, beta-VAE, eq. 4",
                "Burgess et al. 2018, Understanding disentangling in beta-VAE, eq. 8",
            ),
        ),
        ModelSpec(
            name="iwae",
            summary="Importance-weighted auto-encoder: a tighter bound from several draws",
            factory="tfbdl_vae.factory:build_iwae",
            config=config.IWAEOptions,
            task="unsupervised",
            capabilities=_TRAINABLE,
            default_engine="variational",
            default_prior="standard_normal",
            references=(
                "Burda et al. 2016, Importance Weighted Autoencoders, eq. 8",
                "Tucker et al. 2019, Doubly Reparameterized Gradient Estimators, eq. 8",
            ),
        ),
        ModelSpec(
            name="autoencoder",
            summary="Auto-encoder: the limit of a VAE without noise and prior",
            factory="tfbdl_vae.factory:build_autoencoder",
            config=config.AutoEncoderOptions,
            task="unsupervised",
            capabilities=_TRAINABLE,
            default_engine="variational",
            references=("Hinton & Salakhutdinov 2006",),
        ),
    )


@hookimpl
def tfbdl_priors() -> Iterable[PriorSpec]:
    """Priors of latent variables."""
    return (
        PriorSpec(
            name="standard_normal",
            summary="Independent standard normal elements",
            factory="tfbdl_vae.priors.standard_normal:StandardNormal",
        ),
    )


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    return getattr(importlib.import_module(f".{_HEAVY[name]}", __name__), name)
