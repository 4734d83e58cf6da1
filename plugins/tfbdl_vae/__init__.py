"""Variational auto-encoders and their relatives (Kingma & Welling 2014)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tfbdl import Capability, DatasetSpec, ModelSpec, PanelSpec, PriorSpec, hookimpl
from tfbdl.lazy import on_demand

from . import config, data_config, panel, prior_config

if TYPE_CHECKING:
    from .autoencoder import AutoEncoder
    from .dc_ign import DCIGN
    from .model import VAE
    from .schedules import BetaSchedule, CapacitySchedule, FreeBits, KLAnnealing, Ramp
    from .shapes import Shapes2D
    from .vq_vae import VQVAE

__all__ = [
    "DCIGN",
    "VAE",
    "VQVAE",
    "AutoEncoder",
    "BetaSchedule",
    "CapacitySchedule",
    "FreeBits",
    "KLAnnealing",
    "Ramp",
    "Shapes2D",
]

_HEAVY = {
    "AutoEncoder": "autoencoder",
    "BetaSchedule": "schedules",
    "CapacitySchedule": "schedules",
    "DCIGN": "dc_ign",
    "FreeBits": "schedules",
    "KLAnnealing": "schedules",
    "Ramp": "schedules",
    "Shapes2D": "shapes",
    "VAE": "model",
    "VQVAE": "vq_vae",
}
_TRAINABLE = frozenset({Capability.TRAINABLE})
_ALTERNATING = _TRAINABLE | {Capability.EM}


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
            capabilities=_ALTERNATING,
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
            capabilities=_ALTERNATING,
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
            capabilities=_ALTERNATING,
            default_engine="variational",
            default_prior="standard_normal",
            references=(
                "Burda et al. 2016, Importance Weighted Autoencoders, eq. 8",
                "Tucker et al. 2019, Doubly Reparameterized Gradient Estimators, eq. 8",
            ),
        ),
        ModelSpec(
            name="dc_ign",
            summary="VAE trained on batches in which one factor alone varies, a latent for each",
            factory="tfbdl_vae.factory:build_dc_ign",
            config=config.DCIGNOptions,
            task="unsupervised",
            capabilities=_TRAINABLE,
            default_engine="variational",
            default_prior="standard_normal",
            references=(
                "Kulkarni et al. 2015, Deep Convolutional Inverse Graphics Network, section 3.2",
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
        ModelSpec(
            name="vq_vae",
            summary="Vector-quantised auto-encoder: codes are entries of a learned codebook",
            factory="tfbdl_vae.factory:build_vq_vae",
            config=config.VQVAEOptions,
            task="unsupervised",
            capabilities=_TRAINABLE,
            default_engine="variational",
            references=(
                "van den Oord et al. 2017, Neural Discrete Representation Learning, eq. 3",
            ),
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
        PriorSpec(
            name="gaussian_mixture",
            summary="Mixture of Gaussians whose weights, means and scales are learned",
            factory="tfbdl_vae.priors.gaussian_mixture:GaussianMixture",
            config=prior_config.GaussianMixtureOptions,
        ),
        PriorSpec(
            name="vamp",
            summary="Mixture of approximate posteriors at learned pseudo-inputs",
            factory="tfbdl_vae.priors.vamp:Vamp",
            config=prior_config.VampOptions,
            references=("Tomczak & Welling 2018, VAE with a VampPrior, eq. 9",),
        ),
        PriorSpec(
            name="stick_breaking",
            summary="Dirichlet-process mixture of Gaussians, truncated, of maximum a posteriori",
            factory="tfbdl_vae.priors.stick_breaking:StickBreaking",
            config=prior_config.StickBreakingOptions,
            references=(
                "Sethuraman 1994, A constructive definition of Dirichlet priors",
                "Ishwaran & James 2001, Gibbs sampling methods for stick-breaking priors",
            ),
        ),
        PriorSpec(
            name="normalizing_flow",
            summary="Coupling layers and an affine map of standard normal noise, learned",
            factory="tfbdl_vae.priors.normalizing_flow:NormalizingFlow",
            config=prior_config.NormalizingFlowOptions,
            references=("Dinh et al. 2017, Density estimation using Real NVP",),
        ),
    )


@hookimpl
def tfbdl_datasets() -> Iterable[DatasetSpec]:
    """Data whose factors are known."""
    return (
        DatasetSpec(
            name="shapes2d",
            summary="Simulated shapes of 32 x 32 pixels, with the factors that made them as y",
            factory="tfbdl_vae.shapes:shapes2d",
            config=data_config.Shapes2DOptions,
            task="regression",
            references=("Higgins et al. 2017, beta-VAE, section 4.2",),
        ),
    )


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """What the dashboard shows of codes."""
    with_codes = ("vae", "beta_vae", "iwae", "dc_ign", "autoencoder")
    return (
        PanelSpec(
            name="latent_traversal",
            summary="What a row turns into as one number of its code moves",
            compute="tfbdl_vae.latent_views:latent_traversal",
            show="tfbdl_vae.panel:show_traversal",
            controls=panel.TraversalControls,
            models=with_codes,
        ),
        PanelSpec(
            name="manifold",
            summary="What a plane of codes decodes to, and where the rows lie in it",
            compute="tfbdl_vae.latent_views:manifold",
            show="tfbdl_vae.panel:show_manifold",
            controls=panel.ManifoldControls,
            models=with_codes,
        ),
        PanelSpec(
            name="reconstructions",
            summary="Rows above what the model gives back of them, and the parts of their bounds",
            compute="tfbdl_vae.latent_views:reconstructions",
            show="tfbdl_vae.panel:show_reconstructions",
            controls=panel.ReconstructionControls,
            models=(*with_codes, "vq_vae"),
        ),
    )


__getattr__, __dir__ = on_demand(__name__, _HEAVY)
