"""Generative adversarial networks, and the posterior of their weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tfbdl import Capability, DatasetSpec, ModelSpec, PanelSpec, hookimpl
from tfbdl.lazy import on_demand

from . import bayesian_config, config, data_config, panel

if TYPE_CHECKING:
    from .bayesian_gan import BayesianGAN
    from .gan import GAN
    from .info_gan import InfoGAN

__all__ = ["GAN", "BayesianGAN", "InfoGAN"]

_HEAVY = {"BayesianGAN": "bayesian_gan", "GAN": "gan", "InfoGAN": "info_gan"}


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """The models of this plugin."""
    return (
        ModelSpec(
            name="gan",
            summary="Generative adversarial network: a generator of rows or images, by five "
            "objectives",
            factory="tfbdl_bayesian_gan.factory:build_gan",
            config=config.GANOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.TRAINABLE}),
            default_engine="variational",
            references=(
                "Goodfellow et al. 2014, Generative adversarial nets",
                "Radford, Metz & Chintala 2016, Unsupervised representation learning with deep "
                "convolutional generative adversarial networks",
                "Mao et al. 2017, Least squares generative adversarial networks",
                "Arjovsky, Chintala & Bottou 2017, Wasserstein GAN",
                "Gulrajani et al. 2017, Improved training of Wasserstein GANs",
            ),
        ),
        ModelSpec(
            name="info_gan",
            summary="GAN whose codes, classes and numbers, can be read off what it generates",
            factory="tfbdl_bayesian_gan.factory:build_info_gan",
            config=config.InfoGANOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.TRAINABLE}),
            default_engine="variational",
            references=(
                "Chen et al. 2016, InfoGAN: Interpretable representation learning by information "
                "maximizing generative adversarial nets",
            ),
        ),
        ModelSpec(
            name="bayesian_gan",
            summary="Posteriors of generator and discriminator weights, sampled by SGHMC",
            factory="tfbdl_bayesian_gan.bayesian_factory:build_bayesian_gan",
            config=bayesian_config.BayesianGANOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.TRAINABLE}),
            default_engine="variational",
            default_prior="normal",
            references=(
                "Saatchi & Wilson 2017, Bayesian GAN, eq. 1 to 4 and Algorithm 1",
                "Chen, Fox & Guestrin 2014, Stochastic Gradient Hamiltonian Monte Carlo, eq. 15",
            ),
        ),
    )


@hookimpl
def tfbdl_datasets() -> Iterable[DatasetSpec]:
    """Data whose modes are known."""
    return (
        DatasetSpec(
            name="gan_synthetic",
            summary="Simulated clusters, each on a plane of its own in a hundred dimensions",
            factory="tfbdl_bayesian_gan.simulators:gan_synthetic",
            config=data_config.SyntheticOptions,
            task="classification",
            references=("Saatchi & Wilson 2017, Bayesian GAN, section 4.1",),
        ),
    )


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """What the dashboard shows of generators."""
    return (
        PanelSpec(
            name="gan_samples",
            summary="What the sampled generators make, the modes they cover, and the game's course",
            compute="tfbdl_bayesian_gan.samples_shown:gan_samples",
            show="tfbdl_bayesian_gan.panel:show_samples",
            controls=panel.SampleControls,
            models=("gan", "info_gan", "bayesian_gan"),
        ),
    )


__getattr__, __dir__ = on_demand(__name__, _HEAVY)
