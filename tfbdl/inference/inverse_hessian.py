"""Normals along the path of a quasi-Newton search: limited-memory BFGS inverse Hessians, factored.

References:
    Byrd, Nocedal and Schnabel 1994, "Representations of quasi-Newton matrices", theorem 2.2;
    Zhang, Carpenter, Gelman and Vehtari 2022, "Pathfinder", JMLR 23, algorithms 2 to 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from scipy import linalg

CURVED = 1e-12  # least s'z over z'z of a step that counts
LOG_2PI = math.log(2.0 * math.pi)


class LocalNormal(NamedTuple):
    """``N(mean, D^(1/2) (I + Q (L L' - I) Q') D^(1/2))`` with ``D = diag(alpha)``.

    Attributes:
        mean: ``[D]``.
        root_alpha: ``[D]``.
        Q: ``[D, m]``, orthonormal columns.
        L: ``[m, m]``, lower triangular.
    """

    mean: np.ndarray
    root_alpha: np.ndarray
    Q: np.ndarray
    L: np.ndarray

    @classmethod
    def at(
        cls,
        point: np.ndarray,
        gradient: np.ndarray,
        alpha: np.ndarray,
        S: np.ndarray,
        Z: np.ndarray,
    ) -> Self:
        """The normal with the inverse Hessian at a point of the path (algorithms 3 and 4).

        Args:
            point: ``[D]``.
            gradient: Of the log density there, ``[D]``.
            alpha: The diagonal that the inverse Hessian begins from, ``[D]``.
            S, Z: ``[D, J]``: steps, and by how much they lowered the gradient.

        Raises:
            LinAlgError: If rounding leaves no positive definite matrix.
        """
        J = S.shape[1]
        R = np.triu(S.T @ Z)
        R_inverse = linalg.solve_triangular(R, np.eye(J))
        scaled = alpha[:, np.newaxis] * Z
        beta = np.concatenate([scaled, S], axis=1)
        corner = R_inverse.T @ (np.diag(np.diagonal(R)) + Z.T @ scaled) @ R_inverse
        gamma = np.block([[np.zeros((J, J)), -R_inverse], [-R_inverse.T, corner]])
        root_alpha = np.sqrt(alpha)
        Q, R_thin = linalg.qr(beta / root_alpha[:, np.newaxis], mode="economic")
        inner = R_thin @ gamma @ R_thin.T
        L = linalg.cholesky(np.eye(len(inner)) + 0.5 * (inner + inner.T), lower=True)
        step = alpha * gradient + beta @ (gamma @ (beta.T @ gradient))
        return cls(point + step, root_alpha, Q, L)

    def draws(self, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draws from standard normal noise, ``[n, D]`` both, and their log densities ``[n]``."""
        inside = noise @ self.Q
        moved = noise + (inside @ self.L.T - inside) @ self.Q.T
        log_det = np.log(self.root_alpha).sum() + np.log(np.diagonal(self.L)).sum()
        log_q = -0.5 * ((noise**2).sum(axis=1) + noise.shape[1] * LOG_2PI) - log_det
        return self.mean + self.root_alpha * moved, log_q


def local_normals(points: np.ndarray, gradients: np.ndarray, history: int) -> Iterator[LocalNormal]:
    """The normals at the points of a path after the first, where there are any (algorithm 3).

    Args:
        points: ``[L + 1, D]``.
        gradients: Of the log density there.
        history: J, how many steps an inverse Hessian remembers.
    """
    alpha = np.ones(points.shape[1])
    steps: list[tuple[np.ndarray, np.ndarray]] = []
    for i in range(1, len(points)):
        s, z = points[i] - points[i - 1], gradients[i - 1] - gradients[i]
        if s @ z > CURVED * (z @ z):
            alpha = _updated(alpha, s, z)
            steps = [*steps, (s, z)][-history:]
        if not steps:
            continue
        S, Z = (np.stack(part, axis=1) for part in zip(*steps, strict=True))
        try:
            normal = LocalNormal.at(points[i], gradients[i], alpha, S, Z)
        except (linalg.LinAlgError, ValueError):
            continue
        if np.isfinite(normal.mean).all():
            yield normal


def _updated(alpha: np.ndarray, s: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The diagonal inverse Hessian after a step (Gilbert and Lemarechal 1989; algorithm 3)."""
    a, b, c = z @ (alpha * z), z @ s, s @ (s / alpha)
    return np.asarray(1.0 / (a / (b * alpha) + z**2 / b - a * s**2 / (b * c * alpha**2)))
