"""Serve the dashboard: ``python -m tfbdl_dashboard --port N --runs DIR``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tfbdl.errors import TfbdlError

from .server import ADDRESS, serve


def main() -> int:
    """Read the command line, and serve until interrupted; 2 after an error."""
    parser = argparse.ArgumentParser(prog="tfbdl dashboard", description=__doc__)
    parser.add_argument("--port", type=int, default=8501, help="of this machine")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are")
    parser.add_argument("--address", default=ADDRESS, help="to listen on; needs a token")
    parser.add_argument("--token-file", type=Path, help="what every visitor must know")
    parser.add_argument(
        "--allowed-host", action="append", default=[], help="a further name to answer to"
    )
    arguments = parser.parse_args()
    try:
        serve(
            arguments.port,
            arguments.runs,
            address=arguments.address,
            hosts=arguments.allowed_host,
            token_file=arguments.token_file,
        )
    except TfbdlError as error:
        print(f"tfbdl dashboard: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
