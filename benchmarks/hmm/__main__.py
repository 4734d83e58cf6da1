"""Hidden Markov models: speed beside TFP's, parameters recovered, digits as sequences.

``python -m benchmarks.hmm`` runs all parts, ``--only speed`` one.
"""

from __future__ import annotations

from benchmarks import parts
from benchmarks.hmm import digits, recovery, speed

PARTS = {"speed": speed.run, "recovery": recovery.run, "digits": digits.run}

if __name__ == "__main__":
    parts.run("hmm", __doc__, PARTS)
