"""From options and a description of the data to a model."""

from __future__ import annotations

import math
from typing import Any

import keras

import tfbdl
from tfbdl import functional, likelihoods
from tfbdl.data import DataInfo
from tfbdl.distributions import Prior
from tfbdl.likelihoods import Likelihood

from . import latents, vq_nets
from .architectures import nets, row_shape
from .autoencoder import AutoEncoder
from .config import (
    AutoEncoderOptions,
    BaseOptions,
    BetaVAEOptions,
    DCIGNOptions,
    IWAEOptions,
    NetOptions,
    VAEOptions,
    VQVAEOptions,
)
from .dc_ign import DCIGN
from .model import VAE
from .schedules import Ramp
from .vq_vae import VQVAE

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
    more: dict[str, Any] = {
        "importance_weighted": True,
        "gradient": options.gradient,
        "beta": options.beta,
    }
    return _vae(options, info, prior, seed, name="iwae", **more)


def build_dc_ign(options: DCIGNOptions, info: DataInfo | None, prior: Prior, seed: int) -> DCIGN:
    """A DC-IGN with a latent dimension for each target; without targets it is a VAE.

    Raises:
        OptionsError: If there are fewer latent dimensions than targets.
        DataError: As ``build_vae``.
    """
    shape = None if info is None else info.y_shape
    factors = 0 if shape is None else math.prod(length or 1 for length in shape)
    more: dict[str, Any] = {
        "num_factors": factors,
        "invariance_strength": options.invariance_strength,
        "intrinsic_ratio": options.intrinsic_ratio,
        "beta": options.beta,
    }
    made = _vae(options, info, prior, seed, DCIGN, name="dc_ign", **more)
    assert isinstance(made, DCIGN)
    return made


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


def build_vq_vae(
    options: VQVAEOptions, info: DataInfo | None, prior: Prior | None, seed: int
) -> VQVAE:
    """A vector-quantised auto-encoder; ``prior`` is None, for training takes codes for uniform."""
    likelihood = likelihood_of(options, info)
    outputs = likelihood.outputs_for(_last_size(options, info))
    with functional.seeded(seed):
        encoder, decoder = vq_nets.nets(options, info, outputs, _before(options, info))
    return VQVAE(
        encoder,
        decoder,
        options.embedding_dim,
        options.codebook_size,
        likelihood,
        beta=options.beta,
        update=options.update,
        decay=options.decay,
        restart=options.restart,
        grey=options.grey,
        seed=seed,
        name="vq_vae",
    )


def _vae(
    options: VAEOptions,
    info: DataInfo | None,
    prior: Prior,
    seed: int,
    kind: type[VAE] = VAE,
    **more: Any,
) -> VAE:
    likelihood = likelihood_of(options, info)
    own = posterior_options(options)
    units = latents.get(options.posterior, options.latent_dim, own).units
    encoder, decoder = seeded_nets(options, info, likelihood, units, seed)
    if options.bayesian_decoder:
        decoder = tfbdl.BayesianNetwork(decoder, likelihood, "normal")
        decoder.rng_seed.assign(seed)
    return kind(
        encoder,
        decoder,
        options.latent_dim,
        likelihood,
        prior,
        posterior=options.posterior,
        posterior_options=own,
        estimator=options.estimator,
        num_samples=options.num_samples,
        free_bits=options.free_bits,
        grey=options.grey,
        report_latents=True,
        seed=seed,
        **more,
    )


def posterior_options(options: VAEOptions) -> dict[str, Any]:
    """What the options say of their family of q(z | x)."""
    if options.posterior == "iaf":
        names = ("layers", "hidden", "context")
        return {name: getattr(options, f"flow_{name}") for name in names}
    if options.posterior == "concrete":
        own = ("classes", "temperature", "prior_temperature", "straight_through")
        return {"kl": options.concrete_kl, **{name: getattr(options, name) for name in own}}
    return {}


def likelihood_of(options: BaseOptions, info: DataInfo | None) -> Likelihood:
    """The likelihood that the options name, in the units of the data."""
    name = options.likelihood
    arguments: dict[str, Any] = {}
    if name == "gaussian":
        arguments["scale"] = options.noise_scale
        if options.noise_scale is None and options.learned_scale != "auto":
            arguments["scale_shape"] = row_shape(info) if options.learned_scale == "each" else ()
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
    with functional.seeded(seed):
        outputs = likelihood.outputs_for(_last_size(options, info))
        before = _before(options, info)
        return nets(options, info, units, options.latent_dim, outputs, before)


def _last_size(options: BaseOptions, info: DataInfo | None) -> int:
    """The size of a row's last axis, or of one element's classes."""
    last = row_shape(info)[-1]
    return options.num_classes if options.likelihood == "categorical" else last


def _before(options: BaseOptions, info: DataInfo | None) -> list[keras.Layer]:
    """What prepares the encoder's rows: numbers of a size near one, labels as one-hot."""
    if options.likelihood == "categorical":
        return [keras.layers.CategoryEncoding(options.num_classes, "one_hot")]
    if options.likelihood in LOGISTICS:  # from -1 to 1, the units of its locations
        width = options.high - options.low
        return [keras.layers.Rescaling(2.0 / width, -(options.high + options.low) / width)]
    scaled = options.likelihood in GAUSSIANS and options.standardize
    if scaled and info is not None and info.x_mean is not None and info.x_std is not None:
        variance = [deviation**2 for deviation in info.x_std]
        return [keras.layers.Normalization(mean=list(info.x_mean), variance=variance)]
    return []
