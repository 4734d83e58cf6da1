"""What the figures of a run on its way say: parts of the bound, collapse, chains, time left."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Curve = Sequence[tuple[int, float]]

HEADLINES = (
    "elbo", "kl", "nll", "reconstruction", "log_likelihood", "active_units", "log_joint",
    "acceptance_rate", "val_elbo", "val_loss", "bound", "loss",
)  # fmt: skip
"""Figures of a run on its way, the most telling first."""

SCORES = ("nll", "rmse", "error", "brier", "ece", "coverage_90", "test_nll", "test_elbo", "bic")
"""Figures of a finished run, the most telling first."""

CHAIN_FIGURES = ("r_hat", "ess_bulk", "divergences", "acceptance_rate")

COLLAPSED = 0.01
"""Nats a row below which a latent dimension is not used (Burda et al. 2016, section 5.1)."""
UNTAUGHT = 1.0
"""Nats below which a layer has learned next to nothing: 1.44 answers to a yes or no."""
R_HAT_LIMIT = 1.01
ESS_LIMIT = 400


@dataclass(frozen=True)
class Bound:
    """The ELBO as likelihood minus KL, step by step: arrays ``[n]``."""

    step: np.ndarray
    elbo: np.ndarray
    likelihood: np.ndarray
    kl: np.ndarray


def bound(curves: Mapping[str, Curve]) -> Bound | None:
    """The parts of the ELBO at the steps that have it and its KL; None without both.

    Random weights: ``elbo = -num_data * nll - kl``; latent variables: ``elbo = reconstruction -
    kl``. In both the likelihood is what is left when the KL is given back.
    """
    elbo, kl = dict(curves.get("elbo", ())), dict(curves.get("kl", ()))
    steps = sorted(step for step in elbo.keys() & kl.keys() if _finite(elbo[step], kl[step]))
    if not steps:
        return None
    values = np.array([elbo[step] for step in steps])
    costs = np.array([kl[step] for step in steps])
    return Bound(np.array(steps), values, values + costs, costs)


def focus(values: np.ndarray, share: float = 0.1) -> tuple[float, float]:
    """A range that shows where a curve goes rather than where it came from.

    The least and the greatest value after the first ``share`` of the points, with a little room.
    """
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return 0.0, 1.0
    late = finite[int(len(finite) * share) :]
    low, high = float(late.min()), float(late.max())
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def kl_parts(last: Mapping[str, tuple[int, float]]) -> dict[str, float]:
    """Layer or latent dimension -> its KL in nats, from ``kl.<layer>`` or ``kl_<dimension>``."""
    layers = {n.removeprefix("kl."): v for n, (_, v) in last.items() if n.startswith("kl.")}
    if layers:
        return layers
    found = ((re.fullmatch(r"kl_(\d+)", name), value) for name, (_, value) in last.items())
    latents = sorted((int(match[1]), value) for match, value in found if match)
    return {f"z[{number}]": value for number, value in latents}


def kl_step(last: Mapping[str, tuple[int, float]]) -> int | None:
    """The step of the parts of the KL, where the KL itself is known of a later one; else None."""
    steps = [step for name, (step, _) in last.items() if re.match(r"kl(\.|_\d)", name)]
    if not steps or "kl" not in last or max(steps) >= last["kl"][0]:
        return None
    return max(steps)


def collapse(parts: Mapping[str, float], done: bool = False) -> str:
    """What parts of the KL near zero mean, in plain words; empty if none are.

    Args:
        parts: As ``kl_parts`` gives them.
        done: Whether the run has come to its end.
    """
    latent = all(name.startswith("z[") for name in parts)
    limit = COLLAPSED if latent else UNTAUGHT
    idle = [name for name, value in parts.items() if value < limit]
    if not idle:
        return ""
    so_far = "" if done else " so far"
    if not latent:
        remedy = "In another run train longer, or choose" if done else "Wait, or choose"
        return (
            f"{_listed(idle)} {'has' if len(idle) == 1 else 'have'} a KL below 1 nat{so_far}: the "
            "posterior of these weights is close to the prior, so the data taught them next to "
            f"nothing. {remedy} a wider prior or fewer units."
        )
    if len(idle) == len(parts):
        return (
            f"All latent dimensions have collapsed{so_far}: their KL is below 0.01 nats, so the "
            "code says nothing of a row and the decoder does without it. Raise the KL slowly "
            "(kl_annealing), lower beta, or make the decoder weaker."
        )
    return (
        f"{len(idle)} of {len(parts)} latent dimensions are not used{so_far} ({_listed(idle)}): "
        "their KL is below 0.01 nats, so they repeat the prior and say nothing of a row. That "
        "is fine if the rest suffice; otherwise lower beta or raise the KL slowly (kl_annealing)."
    )


def chain_figures(
    last: Mapping[str, tuple[int, float]], result: Mapping[str, float]
) -> dict[str, float]:
    """R-hat, ESS, divergences and acceptance: of the finished run, or else so far."""
    final = {"r_hat": "r_hat_max", "ess_bulk": "ess_bulk_min"}
    if result:
        named = {name: final.get(name, name) for name in CHAIN_FIGURES}
        return {name: result[there] for name, there in named.items() if there in result}
    return {name: last[name][1] for name in CHAIN_FIGURES if name in last}


def chain_verdicts(figures: Mapping[str, float]) -> list[str]:
    """What the figures of the chains mean, one sentence each; none if all is well."""
    said = []
    if figures.get("r_hat", 0.0) > R_HAT_LIMIT:
        said.append(
            f"The chains disagree: R-hat is {figures['r_hat']:.3f} and should be below "
            f"{R_HAT_LIMIT}. Draw more, and warm up longer."
        )
    if figures.get("ess_bulk", math.inf) < ESS_LIMIT:
        said.append(
            f"The draws are worth {figures['ess_bulk']:.0f} independent ones; estimates want at "
            f"least {ESS_LIMIT}."
        )
    if figures.get("divergences", 0.0) > 0:
        said.append(
            f"{figures['divergences']:.0f} transitions diverged: the chains miss a narrow part "
            "of the posterior. Raise target_accept, or write the model in other parameters."
        )
    return said


def headlines(
    last: Mapping[str, tuple[int, float]], result: Mapping[str, float], most: int = 5
) -> dict[str, float]:
    """The figures to show first: of the finished run, or else the last ones on its way."""
    if result:
        chosen = [name for name in SCORES if name in result] or list(result)
        return {name: result[name] for name in chosen[:most]}
    return {name: last[name][1] for name in HEADLINES if name in last and _finite(last[name][1])}


def other_names(names: Iterable[str]) -> list[str]:
    """Curves that no section of their own shows."""
    own = {"elbo", "kl", "log_likelihood", *CHAIN_FIGURES}
    return [n for n in names if n not in own and not re.match(r"kl(\.|_\d)", n)]


def duration(seconds: float) -> str:
    """A time in words: ``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def number(value: float) -> str:
    """Five significant digits, with thin groups of thousands where there are any."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.5g}"


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _listed(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
