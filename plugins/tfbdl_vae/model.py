"""VAE: the variational auto-encoder as a ``keras.Model``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import keras

from tfbdl import distributions
from tfbdl.config import check_choice, check_whole
from tfbdl.distributions import Prior
from tfbdl.errors import OptionsError
from tfbdl.learned import Learned
from tfbdl.likelihoods import Likelihood
from tfbdl.protocols import Parameter

from . import latents
from .alternation import Alternation
from .metrics import ActiveUnits, BoundMetrics
from .objective import VariationalBound, Weight
from .priors.pseudo_inputs import pseudo_inputs_of, row_shape_of
from .queries import Queries
from .schedules import checked_number, checked_weight, stored_weight

ESTIMATORS = ("auto", "A", "B")
GRADIENTS = ("standard", "doubly_reparameterised")


@keras.saving.register_keras_serializable(package="tfbdl_vae")
class VAE(Alternation, Queries):
    """A variational auto-encoder: p(z) p(x | z) with q(z | x), both nets learned together.

    Training maximises the evidence lower bound ``E_q[log p(x | z)] - beta KL(q(z | x) || p(z))``,
    a sum over the elements of a row and a mean over rows. ``model(x)`` gives the likelihood's
    outputs at one draw of z; ``model.predict(x)`` is ``model.reconstruct(x)``.

    Args:
        encoder: A Keras net from ``x [n, ...]`` to ``2 * latent_dim`` units (of ``diagonal``): the
            mean, then the raw scale, whose softplus is the standard deviation.
        decoder: A Keras net from ``z [n, latent_dim]`` to the outputs that the likelihood asks
            for (logits of ``bernoulli``); or a ``tfbdl.BayesianNetwork``, whose weights are then
            random too (Kingma & Welling 2014, appendix F).
        latent_dim: Size of z.
        likelihood: p(x | z): a name, or a Likelihood.
        prior: p(z): a name, or a Prior; what it learns is trained with the nets.
        beta: Weight of the KL term; 1 is the ELBO, 0 the auto-encoder. A number, or a function of
            the training step.
        likelihood_options: Options of a likelihood given by name.
        prior_options: Options of a prior given by name.
        posterior: Family of q(z | x): ``diagonal``, ``full``, ``iaf``, or ``concrete``, whose z are
            discrete and have uniform classes as their prior, in place of ``standard_normal``.
        posterior_options: Options of the family.
        estimator: ``A`` (all by draws), ``B`` (KL in closed form), or ``auto``: B where there is
            a closed form (Kingma & Welling 2014, eqs. 6 and 7).
        num_samples: Draws of z of each row in a step.
        importance_weighted: Train the tighter bound ``log mean_s w_s`` over these draws instead.
        gradient: ``standard``, or ``doubly_reparameterised`` (needs ``importance_weighted``).
        capacity: If given, ``gamma |KL - capacity|`` takes the place of ``beta KL``; in nats.
        gamma: See capacity.
        free_bits: Nats of the KL of each latent dimension, or discrete variable, that cost nothing.
        grey: What a value strictly between 0 and 1 is to a Bernoulli likelihood: ``sample``: drawn
            as 0 or 1 anew at each step (dynamic binarisation); ``mean``: taken as it is, and what
            is called a log-likelihood is a cross entropy then.
        kl_weight: Multiplies beta: what KL annealing moves. A number, or a function of the step.
        report_latents: Whether the metrics hold the KL of each latent dimension.
        num_data: Training rows; by default counted by ``fit``.
        seed: Of the noise of training; None: drawn from Python's ``random``.
        name: Of the model.

    Raises:
        UnknownNameError: If likelihood, prior or posterior do not exist.
        OptionsError: If an option is not admitted, or two do not go together.
        ModelError: If encoder or decoder do not fit ``latent_dim``.

    References:
        Kingma & Welling 2014, "Auto-encoding variational Bayes"; Burda et al. 2016, "Importance
        weighted autoencoders"; Higgins et al. 2017, "beta-VAE".

    Example:
        ```python
        layers = keras.layers
        encoder = keras.Sequential([keras.Input((784,)), layers.Dense(500, "relu"),
                                    layers.Dense(2 * 20)])
        decoder = keras.Sequential([keras.Input((20,)), layers.Dense(500, "relu"),
                                    layers.Dense(784)])
        model = VAE(encoder, decoder, latent_dim=20)
        model.compile()
        model.fit(x, epochs=10)
        model.log_marginal(x_test, k=1000), model.sample(16)
        ```
    """

    arguments: ClassVar[tuple[str, ...]] = (
        *VariationalBound.arguments,
        "posterior",
        "posterior_options",
        "estimator",
        "num_samples",
        "importance_weighted",
        "gradient",
        "gamma",
        "report_latents",
    )
    schedules: ClassVar[tuple[str, ...]] = ("beta", "kl_weight", "capacity", "free_bits")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        latent_dim: int,
        likelihood: str | Likelihood = "bernoulli",
        prior: str | Prior = "standard_normal",
        beta: Weight = 1.0,
        *,
        likelihood_options: Mapping[str, Any] | None = None,
        prior_options: Mapping[str, Any] | None = None,
        posterior: str = "diagonal",
        posterior_options: Mapping[str, Any] | None = None,
        estimator: str = "auto",
        num_samples: int = 1,
        importance_weighted: bool = False,
        gradient: str = "standard",
        capacity: Weight | None = None,
        gamma: float = 1000.0,
        free_bits: Weight = 0.0,
        kl_weight: Weight = 1.0,
        grey: str = "sample",
        report_latents: bool = False,
        num_data: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            encoder,
            decoder,
            latent_dim,
            likelihood,
            likelihood_options=likelihood_options,
            grey=grey,
            num_data=num_data,
            seed=seed,
            name=name,
            **kwargs,
        )
        check_choice("estimator", estimator, ESTIMATORS)
        check_choice("gradient", gradient, GRADIENTS)
        self.posterior, self.posterior_options = posterior, dict(posterior_options or {})
        start = int(self.rng_seed.numpy())
        self.latent_posterior = latents.get(posterior, latent_dim, posterior_options, start)
        self.prior = distributions.get(prior, prior_options)
        family = self.latent_posterior
        own: Mapping[str, Parameter] = {}
        self.pseudo_inputs = pseudo_inputs_of(self.prior, family, self.likelihood, start)
        if self.pseudo_inputs is None:
            own = self.prior.parameters((latent_dim,), "z", keras.config.floatx())
        self.prior_learned = {
            f"prior.{key}": Learned(parameter=key, site="z", definition=definition)
            for key, definition in own.items()
        }
        self.prior_raw = self.raw_weights(self.prior_learned)
        self.estimator, self.num_samples = estimator, check_whole("num_samples", num_samples)
        self.importance_weighted, self.gradient = bool(importance_weighted), gradient
        for role, weight in (("beta", beta), ("kl_weight", kl_weight), ("free_bits", free_bits)):
            setattr(self, role, checked_weight(role, weight))
        self.capacity = None if capacity is None else checked_weight("capacity", capacity)
        self.gamma = checked_number("gamma", gamma)
        self.report_latents = bool(report_latents)
        self.check_together()
        parts = self.kl_parts if self.report_latents else 0
        self.bound_metrics = BoundMetrics(parts, self.importance_weighted)
        self.active_units = ActiveUnits(self.latent_dim)
        self.finish()

    @property
    def units(self) -> int:
        """How many units the encoder must end in."""
        return self.latent_posterior.units

    def finish(self) -> None:
        """See EncoderDecoder; pseudo-inputs are made as soon as the shape of rows is known."""
        if self.pseudo_inputs is not None:
            shape = row_shape_of(self.encoder)
            if shape is not None:
                self.pseudo_inputs.build(shape)
        super().finish()
        self.built = self.built and (self.pseudo_inputs is None or self.pseudo_inputs.built)

    def check_together(self) -> None:
        """Refuse options that contradict one another."""
        many = self.importance_weighted
        if self.gradient != "standard" and not many:
            raise OptionsError(
                "gradient='doubly_reparameterised' is of the importance-weighted bound. Expected: "
                "importance_weighted=True. Received: False."
            )
        if many and (self.estimator == "B" or self.capacity is not None or self.free_bits != 0):
            raise OptionsError(
                "importance_weighted=True goes by draws alone. Expected: estimator='auto' or 'A', "
                f"no capacity and no free_bits. Received: estimator={self.estimator!r}, "
                f"capacity={self.capacity!r}, free_bits={self.free_bits!r}."
            )
        if self.gradient != "standard" and not self.latent_posterior.is_reparameterised:
            raise OptionsError(
                "gradient='doubly_reparameterised' goes by draws that are a smooth function of the "
                "encoder's outputs. Expected: gradient='standard', or a posterior of such draws. "
                f"Received: posterior={self.posterior!r} of straight-through draws."
            )
        if self.gradient != "standard" and not self.latent_posterior.has_density:
            raise OptionsError(
                "gradient='doubly_reparameterised' needs a posterior whose density is known at any "
                f"z. Received: posterior={self.posterior!r}."
            )
        own = self.latent_posterior.own_prior() is not None
        if own and self.prior.name != "standard_normal":
            raise OptionsError(
                f"posterior={self.posterior!r} has discrete latent variables, whose prior is its "
                "own: uniform classes. Expected: prior='standard_normal', the default. "
                f"Received: prior={self.prior!r}."
            )
        if self.estimator == "B" and not self.closed_parts:
            raise OptionsError(
                "estimator='B' needs a KL in closed form: normal posterior, normal prior; or "
                "discrete latent variables. Expected: estimator='auto' or 'A'. "
                f"Received: posterior={self.posterior!r}, prior={self.prior!r}."
            )

    def parts(self) -> dict[str, Any]:
        """See Stored."""
        weights = {name: getattr(self, name) for name in self.schedules}
        return {**super().parts(), "prior": self.prior, **weights}

    def named_parts(self) -> dict[str, Any]:
        """See Stored."""
        weights = {name: stored_weight(name, getattr(self, name)) for name in self.schedules}
        return {
            **super().named_parts(),
            **weights,
            "prior": distributions.name_of(self.prior),
            "prior_options": self.prior.options.model_dump(mode="json"),
        }
