"""Long reference runs of standard posteriors by NumPyro, in float64, for the tests of the samplers.

``make bench NAME=references`` writes ``tests/data/reference_posteriors.json``: mean, standard
deviation and standard error of each number, from four chains of 20,000 draws; of the badly scaled
regression, on which those chains fail, by quadrature. tfbdl has no part in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

from benchmarks.references import exact

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
    moments = {**json.loads(done.stdout), "bad_scales": exact.bad_scales()}
    OUT.write_text(json.dumps(moments, indent=1) + "\n")
    print(OUT)


if __name__ == "__main__":
    main()
