"""Disentanglement on simulated shapes: Higgins' score, information gap, FactorVAE's score.

``python -m benchmarks.disentanglement`` runs all parts, ``--only three`` one. ``three``: scale and
position of a square, beta-VAE beside the VAE and the same net untrained. ``five``: shape, scale,
orientation and position, with linear codes and DC-IGN too. Both have as controls the true factors,
themselves and rotated, and the raw pixels.
"""

from __future__ import annotations

from benchmarks import parts
from benchmarks.disentanglement import five, three

PARTS = {"three": three.run, "five": five.run}

if __name__ == "__main__":
    parts.run("disentanglement", __doc__, PARTS)
