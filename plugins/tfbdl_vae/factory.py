"""From options and a description of the data to a model."""

from __future__ import annotations

from typing import Any

import keras

import tfbdl
from tfbdl import functional, likelihoods
from tfbdl.data import DataInfo
from tfbdl.distributions import Prior
from tfbdl.likelihoods import Likelihood

from . import latents
from .architectures import nets, row_shape
from .autoencoder import AutoEncoder
from .config import AutoEncoderOptions, BetaVAEOptions, IWAEOptions, NetOptions, VAEOptions
from .model import VAE
from .schedules import Ramp

GAUSSIANS = ("gaussian", "heteroscedastic_gaussian")
LOGISTICS = ("discretized_logistic", "logistic_mixture")


def build_vae(options: VAEOptions, info: DataInfo | None, prior: Prior, seed: int) -> VAE:
    """A variational auto-encoder for data that ``info`` describes.

    Args:
        options: See VAEOptions.
        info: Shape and moments of the training data.
        prior: Of the latent variables.
        seed: Of the weights and the noise.

    Raises:
        DataError: If the data are of a shape that the nets cannot take.
    """
    return _vae(options, info, prior, seed, name="vae", beta=options.beta)


def build_beta_vae(options: BetaVAEOptions, info: DataInfo | None, prior: Prior, seed: int) -> VAE:
    """A beta-VAE; see ``build_vae``."""
    more: dict[str, Any] = {"beta": options.beta, "gamma": options.gamma}
    if options.capacity is not None:
        more["capacity"] = Ramp(0.0, options.capacity, options.capacity_steps)
    return _vae(options, info, prior, seed, name="beta_vae", **more)


def build_iwae(options: IWAEOptions, info: DataInfo | None, prior: Prior, seed: int) -> VAE:
    """An importance-weighted auto-encoder; see ``build_vae``."""
    more = {"importance_weighted": True, "gradient": options.gradient, "beta": options.beta}
    return _vae(options, info, prior, seed, name="iwae", **more)


def build_autoencoder(
    options: AutoEncoderOptions, info: DataInfo | None, prior: Prior | None, seed: int
) -> AutoEncoder:
    """A plain auto-encoder; ``prior`` is None, for its codes have none."""
    likelihood = likelihood_of(options, info)
    encoder, decoder = seeded_nets(options, info, likelihood, options.latent_dim, seed)
    return AutoEncoder(
        encoder,
        decoder,
        options.latent_dim,
        likelihood,
        grey=options.grey,
        seed=seed,
        name="autoencoder",
    )


def _vae(options: VAEOptions, info: DataInfo | None, prior: Prior, seed: int, **more: Any) -> VAE:
    likelihood = likelihood_of(options, info)
    units = latents.get(options.posterior, options.latent_dim).units
    encoder, decoder = seeded_nets(options, info, likelihood, units, seed)
    if options.bayesian_decoder:
        decoder = tfbdl.BayesianNetwork(decoder, likelihood, "normal")
    return VAE(
        encoder,
        decoder,
        options.latent_dim,
        likelihood,
        prior,
        posterior=options.posterior,
        estimator=options.estimator,
        num_samples=options.num_samples,
        free_bits=options.free_bits,
        grey=options.grey,
        report_latents=True,
        seed=seed,
        **more,
    )


def likelihood_of(options: NetOptions, info: DataInfo | None) -> Likelihood:
    """The likelihood that the options name, in the units of the data."""
    name = options.likelihood
    arguments: dict[str, Any] = {}
    if name == "gaussian":
        arguments["scale"] = options.noise_scale
    if name in GAUSSIANS and options.standardize and info is not None and info.x_mean is not None:
        arguments |= {"target_mean": info.x_mean, "target_scale": info.x_std}
    if name in LOGISTICS:
        arguments |= {"levels": options.levels, "low": options.low, "high": options.high}
    if name == "logistic_mixture":
        arguments["components"] = options.components
    return likelihoods.get(name, arguments)


def seeded_nets(
    options: NetOptions, info: DataInfo | None, likelihood: Likelihood, units: int, seed: int
) -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder with weights from ``seed``."""
    last = row_shape(info)[-1]
    size = options.num_classes if options.likelihood == "categorical" else last
    with functional.seeded(seed):
        return nets(options, info, units, likelihood.outputs_for(size), _before(options, info))


def _before(options: NetOptions, info: DataInfo | None) -> list[keras.Layer]:
    """What prepares the encoder's rows: standardised numbers, labels as one-hot."""
    if options.likelihood == "categorical":
        return [keras.layers.CategoryEncoding(options.num_classes, "one_hot")]
    scaled = options.likelihood in GAUSSIANS and options.standardize
    if scaled and info is not None and info.x_mean is not None and info.x_std is not None:
        variance = [deviation**2 for deviation in info.x_std]
        return [keras.layers.Normalization(mean=list(info.x_mean), variance=variance)]
    return []
