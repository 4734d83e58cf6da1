"""What an option set makes of a linear Gaussian model: sizes, what is given, what is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfbdl.errors import OptionsError, did_you_mean

from .config import KalmanOptions
from .parameters import covariance, matrix, vector

NAMES = ("A", "B", "H", "Q", "R", "m0", "P0")
COVARIANCES = ("Q", "R", "P0")
LEAST_STATES = {"local_level": 1, "local_trend": 2}
"""States for each number of an observation."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """A model whose sizes are known.

    Attributes:
        state_dim: d.
        observation_dim: m.
        given: Name -> array, of what the options or the form set.
        learned: Names of what the data decide, in the order of NAMES.
        structures: Covariance -> ``full``, ``diagonal`` or ``scalar``.
        num_slopes: How many states, the last ones, are slopes of others.
    """

    state_dim: int
    observation_dim: int
    given: dict[str, np.ndarray]
    learned: tuple[str, ...]
    structures: dict[str, str]
    num_slopes: int = 0

    def is_learned(self, name: str) -> bool:
        """Whether the data decide it."""
        return name in self.learned

    @property
    def num_parameters(self) -> int:
        """Free numbers of the learned parts, without regard to states that may be rotated."""
        d, m = self.state_dim, self.observation_dim
        sizes = {"A": d * d, "B": d, "H": m * d, "m0": d}
        for name, size in {"Q": d, "R": m, "P0": d}.items():
            free = {"full": size * (size + 1) // 2, "diagonal": size, "scalar": 1}
            sizes[name] = free[self.structures[name]]
        return sum(sizes[name] for name in self.learned)


def form_of(options: KalmanOptions, observation_dim: int, several: bool) -> Form:
    """Resolve options for observations of a size.

    Args:
        options: Of the model.
        observation_dim: m.
        several: Whether the data are several sequences, which can tell P0.

    Raises:
        OptionsError: If given arrays do not fit together, or a name to be learned is none.
    """
    d = _state_dim(options, observation_dim)
    given = _given(options, d, observation_dim)
    learned = _learned(options, given, several)
    for name in ("A", "H", "Q", "R"):
        if name not in given and name not in learned:
            raise OptionsError(
                f"{name} must be given or learned. Received: learned={list(learned)}, and no "
                f"{name}."
            )
    if not learned:
        raise OptionsError(
            "Nothing is left to learn: all of A, B, H, Q, R, m0 and P0 are given. Expected: "
            "learned with at least one of them; or tfbdl_kalman_lstm.KalmanFilter, which takes a "
            "known model."
        )
    return Form(
        state_dim=d,
        observation_dim=observation_dim,
        given=given,
        learned=learned,
        structures={"Q": options.Q_structure, "R": options.R_structure, "P0": "full"},
        num_slopes=d // 2 if options.form == "local_trend" else 0,
    )


def _state_dim(options: KalmanOptions, observation_dim: int) -> int:
    implied = LEAST_STATES.get(options.form)
    if implied is not None:
        d = implied * observation_dim
        if options.state_dim not in (None, d):
            raise OptionsError(
                f"A model of the form {options.form} has {d} states for {observation_dim} "
                f"observed columns. Received: state_dim={options.state_dim}; use form='free'."
            )
        return d
    if options.state_dim is not None:
        return options.state_dim
    for name in ("A", "B", "Q", "m0", "P0"):
        value = getattr(options, name)
        if value is not None:
            return int(np.atleast_1d(np.asarray(value)).shape[-1])
    if options.H is not None:
        return int(np.atleast_2d(np.asarray(options.H)).shape[-1])
    return observation_dim


def _given(options: KalmanOptions, d: int, m: int) -> dict[str, np.ndarray]:
    """What the form fixes, and over it what the options give."""
    found: dict[str, np.ndarray] = {}
    if options.form != "free":
        found = _of_form(options.form, m)
    readers = {
        "A": lambda value: matrix("A", value, d, d),
        "B": lambda value: vector("B", value, d),
        "H": lambda value: matrix("H", value, m, d),
        "Q": lambda value: covariance("Q", value, d),
        "R": lambda value: covariance("R", value, m),
        "m0": lambda value: vector("m0", value, d),
        "P0": lambda value: covariance("P0", value, d),
    }
    for name in NAMES:
        value: Any = getattr(options, name)
        if value is None:
            continue
        found[name] = readers[name](value)
        if found[name].ndim == 3:
            raise OptionsError(
                f"{name} of a model that is fitted is the same at all steps. Received: shape "
                f"{list(found[name].shape)}; KalmanFilter takes one that varies."
            )
    return found


def _of_form(form: str, m: int) -> dict[str, np.ndarray]:
    """``A``, ``B`` and ``H``: of a trend, levels stand before slopes."""
    one, none = np.eye(m), np.zeros((m, m))
    if form == "local_level":
        return {"A": one, "B": np.zeros(m), "H": one}
    return {
        "A": np.block([[one, one], [none, one]]),
        "B": np.zeros(2 * m),
        "H": np.hstack([one, none]),
    }


def _learned(
    options: KalmanOptions, given: dict[str, np.ndarray], several: bool
) -> tuple[str, ...]:
    if options.learned is not None:
        for name in options.learned:
            if name not in NAMES:
                raise OptionsError(
                    f"learned names {name!r}, which is no part of the model."
                    f"{_near(name)} Known: {', '.join(NAMES)}."
                )
        return tuple(name for name in NAMES if name in options.learned)
    left = tuple(name for name in NAMES if name not in given)
    if options.form == "free":  # one first state cannot tell how first states vary
        return left if several else tuple(name for name in left if name != "P0")
    return tuple(name for name in left if name not in ("m0", "P0"))  # a diffuse start


def _near(name: str) -> str:
    """A hint; a name of one letter is near to its capital alone."""
    swapped = [known for known in NAMES if known.lower() == name.lower()]
    return f" Did you mean {swapped[0]!r}?" if swapped else did_you_mean(name, NAMES)
