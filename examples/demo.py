"""What ``make demo`` shows: two real data sets, their figures, and pictures of both.

Each step is a command line that can be typed as it is printed. Run it with:
python examples/demo.py demo
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from tfbdl import cli

# The scale of the prior was chosen by the ELBO, which needs training rows alone.
DIABETES = (
    "run bbb --data diabetes --data.test_fraction 0.2 --prior.scale 0.15 "
    "--model.initial_raw_scale=-3 --engine.epochs 600 --engine.learning_rate 0.01 "
    "--engine.schedule cosine --seed 1"
)
DIGITS = (
    "run bbb --data digits --data.test_fraction 0.2 "
    "--engine.epochs 100 --engine.learning_rate 0.003 --engine.schedule cosine --seed 1"
)
STEPS = (
    (
        "diabetes",
        DIABETES,
        "442 patients, 10 measurements each; predict the progress of the disease (25 to 346).\n"
        "Watch coverage_90: of the 90 % intervals, 90 % should hold what was observed.",
    ),
    (
        "digits",
        DIGITS,
        "1,797 handwritten digits of 8 x 8 pixels; predict which digit it is.\n"
        "Watch ece: a prediction made with 80 % confidence should be right 80 times in 100.",
    ),
)


def main(folder: Path) -> int:
    """Run every step below ``folder``; the exit code of the first that fails, or 0."""
    for name, command, text in STEPS:
        out = folder / name
        print(f"\n=== {name}\n{text}")
        for words in ([*shlex.split(command), "--out", str(out)], ["report", str(out)]):
            print(f"\n$ tfbdl {shlex.join(words)}", flush=True)
            code = cli.main(words)
            if code:
                return code
    print(f"\nLook at the pictures in {folder}/, then: tfbdl dashboard --runs {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo")))
