"""Serve the dashboard: ``python -m tfbdl_dashboard --port N --runs DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from .server import serve


def main() -> None:
    """Read the command line, and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="tfbdl dashboard", description=__doc__)
    parser.add_argument("--port", type=int, default=8501, help="of this machine alone")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are")
    arguments = parser.parse_args()
    serve(arguments.port, arguments.runs)


if __name__ == "__main__":
    main()
