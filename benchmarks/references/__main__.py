"""Long reference runs of standard posteriors by NumPyro, in float64, for the tests of the samplers.

``make bench NAME=references`` writes ``tests/data/reference_posteriors.json``: mean and standard
deviation of each number, from four chains of 20,000 draws. tfbdl has no part in it.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

OUT = Path(__file__).parents[2] / "tests" / "data" / "reference_posteriors.json"


def main() -> None:
    """Run the peer and write its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True)
    arguments = parser.parse_args()
    script = Path(__file__).parent / "peer.py"
    done = subprocess.run(
        [arguments.peer_python, str(script)], check=True, stdout=subprocess.PIPE, text=True
    )
    OUT.write_text(done.stdout)
    print(OUT)


if __name__ == "__main__":
    main()
