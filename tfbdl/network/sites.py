"""Which variables of a net are random, and which parameters likelihood and prior learn."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence

import keras

from .. import functional
from ..distributions import Prior
from ..errors import ModelError, OptionsError, did_you_mean
from ..learned import Learned
from ..likelihoods import Likelihood

SitesArgument = str | Sequence[str] | Callable[[str, keras.Variable], bool] | None


class Untracked:
    """Holds variables that belong to someone else, out of the sight of Keras' tracking."""

    def __init__(self, items: Mapping[str, keras.Variable]) -> None:
        self.items = items


def learned_parameters(
    likelihood: Likelihood, prior: Prior, named: Mapping[str, keras.Variable]
) -> dict[str, Learned]:
    """All that likelihood and prior learn: ``likelihood.scale``, ``prior.<site>.scale``."""
    learned = {
        f"likelihood.{name}": Learned(parameter=name, site=None, definition=definition)
        for name, definition in likelihood.parameters(keras.config.floatx()).items()
    }
    for site, variable in named.items():
        for name, definition in prior.parameters(
            tuple(variable.shape), site, keras.config.floatx()
        ).items():
            learned[f"prior.{site}.{name}"] = Learned(
                parameter=name, site=site, definition=definition
            )
    return learned


def choose_sites(
    net: keras.Model,
    named: Mapping[str, keras.Variable],
    sites: SitesArgument,
    learned: Mapping[str, Learned],
) -> list[str]:
    """The names of the random sites, in the order of the net's weights.

    Raises:
        OptionsError: If a name or pattern matches nothing.
        ModelError: If nothing would be random, or a random weight has a regulariser, which would
            be a second prior.
    """
    trainable = {id(variable) for variable in net.trainable_variables}
    candidates = [name for name, variable in named.items() if id(variable) in trainable]
    candidates += [name for name in learned if name.startswith("likelihood.")]
    if sites is None:
        chosen = set(functional.default_sites(net))
    elif callable(sites):
        chosen = {name for name in candidates if name in named and sites(name, named[name])}
    else:
        chosen = set()
        for pattern in [sites] if isinstance(sites, str) else sites:
            matched = fnmatch.filter(candidates, pattern)
            if not matched:
                raise OptionsError(
                    f"sites={pattern!r} matches no trainable variable."
                    f"{did_you_mean(pattern, candidates)} Known: {', '.join(candidates)}."
                )
            chosen.update(matched)
    if not chosen:
        raise ModelError(
            "No variable of the net would be random. Trainable variables: "
            f"{', '.join(candidates) or 'none'}."
        )
    regularised = [n for n in chosen if n in named and named[n].regularizer is not None]
    if regularised:
        raise ModelError(
            f"The weight {sorted(regularised)[0]!r} has a regularizer, which would be a second "
            "prior. Remove it and say the same with prior=."
        )
    return [name for name in candidates if name in chosen]
