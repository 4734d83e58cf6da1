"""Make the prior of the noise that a name and options ask for."""

from __future__ import annotations

from typing import Any

import tfbdl
from tfbdl.config import make as make_options
from tfbdl.distributions import Prior
from tfbdl.errors import OptionsError, did_you_mean

from .base import LatentPrior
from .mixture import MixtureLatents, is_mixture
from .options import MixtureOptions
from .registered import RegisteredLatents
from .uniform import UniformLatents


def make(name: str | LatentPrior, latent_dim: int, *, seed: int = 0, **options: Any) -> LatentPrior:
    """The prior of z.

    Args:
        name: ``uniform`` (from -1 to 1), or any prior of the registry, such as
            ``standard_normal``, ``gaussian_mixture``, ``stick_breaking``, ``normalizing_flow``;
            or a LatentPrior, which is taken as it is.
        latent_dim: Of z, at least 1.
        seed: Of starts that are drawn; nothing else depends on it.
        options: Of that prior; of a mixture also ``covariance``, ``weights_gradient`` and
            ``temperature`` (see MixtureLatents).

    Raises:
        OptionsError: If there is no such prior, an option is unknown or out of range, or a prior
            that is given is of another size.

    Example:
        ```python
        prior = make("gaussian_mixture", 2, components=3, covariance="full")
        z = prior.sample(64, tfbdl.random.key(0))
        prior.responsibilities(z)  # [64, 3]
        ```
    """
    if isinstance(name, LatentPrior):
        if name.latent_dim != latent_dim or options:
            raise OptionsError(
                f"A LatentPrior is taken as it is. Expected: latent_dim={name.latent_dim} and no "
                f"options. Received: latent_dim={latent_dim}, options {options!r}."
            )
        return name
    if latent_dim < 1:
        raise OptionsError(f"latent_dim must be at least 1. Received: {latent_dim}.")
    if name == "uniform":
        if options:
            raise OptionsError(f"The prior 'uniform' has no options. Received: {options!r}.")
        return UniformLatents(latent_dim)
    known = ("uniform", *tfbdl.priors)
    if name not in known:
        raise OptionsError(
            f"There is no latent prior {name!r}.{did_you_mean(name, known)} "
            f"Known: {', '.join(known)}."
        )
    own = {key: options.pop(key) for key in MixtureOptions.model_fields if key in options}
    prior = tfbdl.prior(name, **options)
    if not is_mixture(_at_start(prior, latent_dim)):
        if own:
            raise OptionsError(
                f"The prior {name!r} is no mixture of Gaussians, so it has no option "
                f"{', '.join(own)}. Expected: 'gaussian_mixture' or 'stick_breaking'."
            )
        return RegisteredLatents(prior, latent_dim, seed=seed)
    chosen = make_options(MixtureOptions, own, f"options of the latent prior {name!r}")
    return MixtureLatents(prior, latent_dim, seed=seed, **chosen.model_dump())


def _at_start(prior: Prior, latent_dim: int) -> Any:
    return prior.distribution((latent_dim,), "float32", "z")
