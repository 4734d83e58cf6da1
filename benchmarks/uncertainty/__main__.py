"""Aleatoric and epistemic uncertainty, where the truth is known and on images of another origin.

``python -m benchmarks.uncertainty`` prints the tables of the README of ``tfbdl_bbb`` and writes
``benchmarks/results/uncertainty.json``; ``--only PART`` runs one part.

- ``heteroscedastic``: noise that depends on the input, learned from 1,000 and from 10,000 rows.
- ``out_of_distribution``: nets trained on MNIST see clothes, noise, and digits that are turned or
  inverted. Needs MNIST (``$TFBDL_DATA/mnist.npz``, or Keras' download), and Fashion-MNIST for the
  clothes, which are left out where it is not to be had.
"""

from __future__ import annotations

from benchmarks import parts

from . import heteroscedastic, out_of_distribution

PARTS = {
    "heteroscedastic": heteroscedastic.run,
    "out_of_distribution": out_of_distribution.run,
}

if __name__ == "__main__":
    parts.run("uncertainty", __doc__, PARTS)
