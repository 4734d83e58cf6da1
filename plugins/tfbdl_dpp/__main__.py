"""``python -m tfbdl_dpp FILE -k 10``: print k diverse items of a file or a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfbdl.errors import TfbdlError


def main(
    path: Annotated[
        Path, typer.Argument(help="A .csv, .tsv, .parquet or .npz file, or a folder of images.")
    ],
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many items.")] = 10,
    how: Annotated[
        str, typer.Option(help="draw: by chance, by the seed; greedy: the most diverse first.")
    ] = "draw",
    columns: Annotated[
        str | None, typer.Option(help="Columns that tell items apart, with commas between.")
    ] = None,
    kernel: Annotated[str, typer.Option(help="rbf or linear.")] = "rbf",
    length_scale: Annotated[
        float | None, typer.Option(help="Of rbf, in standard deviations. Default: the median.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
    out: Annotated[Path | None, typer.Option(help="A .csv file to write them to as well.")] = None,
) -> None:
    """Show k items that differ: rows of a table or of an array x, or images of a folder."""
    from .selection import read, select

    try:
        items = read(path, None if columns is None else [n.strip() for n in columns.split(",")])
        chosen = select(
            items.features, k, how=how, kernel=kernel, length_scale=length_scale, seed=seed
        )
    except TfbdlError as error:
        typer.echo(f"tfbdl: {error}", err=True)
        raise typer.Exit(2) from None
    shown = items.table.iloc[chosen]
    if "row" not in shown:
        shown.insert(0, "row", chosen)
    typer.echo(shown.to_string(index=False))
    typer.echo(f"{len(chosen)} of {len(items.table)} items, told apart by {items.by}.")
    if out is not None:
        shown.to_csv(out, index=False)
        typer.echo(f"Written to {out}.")


if __name__ == "__main__":
    typer.run(main)
