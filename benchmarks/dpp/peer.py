"""The same draws in DPPy, in a process of its own: one JSON line in, one out."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from dppy.finite_dpps import FiniteDPP


def main() -> None:
    """Answer until standard input ends."""
    processes: dict[str, Any] = {}
    random = np.random.RandomState(0)
    for line in sys.stdin:
        question = json.loads(line)
        started = time.perf_counter()
        if question["do"] == "start":
            given = np.load(question["file"])
            eigen = (given["values"], given["vectors"])
            processes = {
                "draw": FiniteDPP("likelihood", L_eig_dec=eigen),
                "k_draw": FiniteDPP("likelihood", L_eig_dec=eigen),
            }
        elif question["do"] == "draw":
            processes["draw"].sample_exact(random_state=random)
        else:
            processes["k_draw"].sample_exact_k_dpp(size=question["k"], random_state=random)
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
