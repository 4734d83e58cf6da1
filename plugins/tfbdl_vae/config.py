"""The options of the models: nets, likelihood, and what each adds to a plain VAE."""

from __future__ import annotations

from typing import Literal

from tfbdl import Config, Field

LikelihoodName = Literal[
    "bernoulli",
    "gaussian",
    "heteroscedastic_gaussian",
    "categorical",
    "discretized_logistic",
    "logistic_mixture",
]


class BaseOptions(Config):
    """Encoder, decoder and likelihood, whatever codes are."""

    architecture: Literal["auto", "mlp", "conv", "sequence"] = Field(
        "auto",
        description="Of encoder and decoder; auto: mlp for rows, conv for images, sequence for "
        "sequences of vectors.",
    )
    hidden: tuple[int, ...] = Field(
        (500,), description="Units of the encoder's hidden dense layers; the decoder's, reversed."
    )
    activation: Literal["relu", "tanh", "silu", "gelu"] = Field(
        "relu", description="Of the hidden layers."
    )
    filters: tuple[int, ...] = Field(
        (32, 64), description="Filters of each convolution of conv; each halves the image."
    )
    cell: Literal["lstm", "gru"] = Field("gru", description="Recurrent cell of sequence.")
    cell_units: int = Field(64, ge=1, description="Units of the recurrent cell.")
    likelihood: LikelihoodName = Field(
        "bernoulli",
        description="p(x | z): bernoulli takes values from 0 to 1, the gaussians any numbers, "
        "categorical labels, the logistics a grid of levels.",
    )
    noise_scale: float | None = Field(
        None,
        gt=0,
        description="Standard deviation of gaussian noise, in those of the data; none: learned.",
    )
    learned_scale: Literal["auto", "one", "each"] = Field(
        "auto",
        description="Where noise_scale is learned: one for all elements of a row, each its own, or "
        "auto: each column of a standardised table its own, else one.",
    )
    standardize: bool = Field(
        True,
        description="Of the gaussians: give the nets tables of mean 0 and standard deviation 1; "
        "images and sequences are taken as they are.",
    )
    num_classes: int = Field(2, ge=2, description="Labels 0, 1, ... of categorical elements.")
    levels: int = Field(256, ge=2, description="Levels of the logistic likelihoods' grid.")
    low: float = Field(0.0, description="Least level of that grid.")
    high: float = Field(1.0, description="Largest level of that grid.")
    components: int = Field(5, ge=1, description="Components of logistic_mixture.")
    grey: Literal["sample", "mean"] = Field(
        "sample",
        description="A value strictly between 0 and 1 of a bernoulli element is drawn as 0 or 1 "
        "anew at each step, or taken as it is: the likelihood is a cross entropy then.",
    )


class NetOptions(BaseOptions):
    """The same, with vectors as codes."""

    latent_dim: int = Field(10, ge=1, description="Size of a code.")


class VAEOptions(NetOptions):
    """A variational auto-encoder."""

    posterior: Literal["diagonal", "full", "iaf", "concrete"] = Field(
        "diagonal", description="Family of q(z | x)."
    )
    flow_layers: int = Field(2, ge=1, description="Steps of the flow of iaf.")
    flow_hidden: tuple[int, ...] = Field(
        (64,), description="Units of the hidden layers of each of its masked nets."
    )
    flow_context: int = Field(16, ge=1, description="Encoder outputs that each masked net sees.")
    classes: int | None = Field(
        None,
        ge=2,
        description="Of each discrete latent variable of concrete, into which latent_dim parts; "
        "none: all of it is one.",
    )
    temperature: float = Field(
        2 / 3, gt=0, description="Of concrete's relaxed draws; they near one-hot as it falls."
    )
    prior_temperature: float = Field(
        0.5, gt=0, description="Of the relaxed prior that concrete's draws are compared with."
    )
    straight_through: bool = Field(
        False, description="Make concrete's draws one-hot, with the gradient of the relaxed."
    )
    concrete_kl: Literal["auto", "relaxed", "categorical"] = Field(
        "auto",
        description="KL of concrete: of relaxed draws, closed of the discrete variables (a bound "
        "for straight_through alone), or auto: what is a bound.",
    )
    estimator: Literal["auto", "A", "B"] = Field(
        "auto",
        description="Of the bound: A by draws alone, B with the KL in closed form, auto: B where "
        "there is one.",
    )
    num_samples: int = Field(1, ge=1, description="Draws of z for each row in a step.")
    beta: float = Field(1.0, ge=0, description="Weight of the KL term; 1 is the ELBO.")
    free_bits: float = Field(
        0.0,
        ge=0,
        description="Nats of the KL of each latent dimension, or discrete variable, that cost "
        "nothing.",
    )
    bayesian_decoder: bool = Field(
        False, description="Give the decoder's weights a posterior too, with a normal prior."
    )


class BetaVAEOptions(VAEOptions):
    """A beta-VAE, by weight or by capacity."""

    beta: float = Field(4.0, ge=0, description="Weight of the KL term.")
    capacity: float | None = Field(
        None,
        ge=0,
        description="If given, gamma |KL - C| takes the place of beta KL, where C rises to this "
        "many nats.",
    )
    capacity_steps: int = Field(
        25_000, ge=1, description="Training steps over which the capacity rises from 0."
    )
    gamma: float = Field(1000.0, gt=0, description="Weight of the distance from the capacity.")


class IWAEOptions(VAEOptions):
    """An importance-weighted auto-encoder."""

    estimator: Literal["auto", "A"] = Field("auto", description="The bound goes by draws alone.")
    num_samples: int = Field(5, ge=1, description="Draws of z for each row: K of the bound L_K.")
    gradient: Literal["standard", "doubly_reparameterised"] = Field(
        "standard",
        description="Of the encoder; the second has less noise, the more so the larger K.",
    )


class AutoEncoderOptions(NetOptions):
    """A plain auto-encoder."""


class VQVAEOptions(BaseOptions):
    """A vector-quantised auto-encoder."""

    codebook_size: int = Field(128, ge=1, description="Number of codes.")
    embedding_dim: int = Field(16, ge=1, description="Size of a code's vector.")
    num_codes: int = Field(
        8, ge=1, description="Codes of a row, of mlp and sequence; conv has a map of codes."
    )
    residual_blocks: int = Field(2, ge=0, description="Of conv, between convolutions and codes.")
    beta: float = Field(
        0.25, ge=0, description="Weight of the distance of the encoder's vectors from their codes."
    )
    update: Literal["moving_averages", "gradient"] = Field(
        "moving_averages",
        description="How the codebook learns: as running k-means, or by the loss's gradient.",
    )
    decay: float = Field(0.99, ge=0, lt=1, description="Of the moving averages.")
    restart: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="A code that is chosen less often, on a moving average, than this part of even "
        "use begins anew at a vector of the batch; 0: never.",
    )


class DCIGNOptions(VAEOptions):
    """A deep convolutional inverse graphics network; y holds the factors of each row."""

    posterior: Literal["diagonal"] = Field(
        "diagonal", description="Family of q(z | x), whose dimensions are clamped one by one."
    )
    invariance_strength: float = Field(
        1.0,
        ge=0,
        description="Of the gradient that draws a clamped latent variable to its mean over the "
        "batch.",
    )
    intrinsic_ratio: float = Field(
        10.0,
        ge=0,
        description="Batches in which the factors are held and all else varies, for one of each "
        "factor's; 0: none.",
    )
