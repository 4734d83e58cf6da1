"""The command line: parse, hand over, print. TensorFlow is loaded by a run alone."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from . import _cli_views, registry
from .errors import MissingDependencyError, TfbdlError, UnknownNameError

KINDS = ("model", "engine", "prior", "dataset")
DEFAULT_ROOT = Path("runs")
"""Where ``tfbdl run`` makes a folder if ``--out`` names none."""

_EXIT_ERROR = 2
_EXIT_STOPPED = 130  # 128 + SIGINT, as shells have it


class _Group(TyperGroup):
    """Turns what was raised on purpose into one message without a traceback."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run a subcommand."""
        try:
            return super().invoke(ctx)
        except TfbdlError as error:
            typer.echo(f"tfbdl: {error}", err=True)
            raise typer.Exit(_EXIT_ERROR) from None
        except KeyboardInterrupt:
            typer.echo("tfbdl: stopped", err=True)
            raise typer.Exit(_EXIT_STOPPED) from None


class _RunCommand(TyperCommand):
    """Takes the flags of the option groups out before the others are parsed."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse, leaving group -> option -> text in ``ctx.obj``."""
        from . import _cli_options

        rest, ctx.obj = _cli_options.split_groups(args)
        return super().parse_args(ctx, rest)


app = typer.Typer(
    name="tfbdl",
    cls=_Group,
    help="Bayesian deep learning for TensorFlow and Keras 3.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich is loaded for a run's tables alone
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        typer.echo(f"tfbdl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Bayesian deep learning for TensorFlow and Keras 3."""


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="models, engines, priors or datasets; all by default.")
    ] = None,
) -> None:
    """List what the installed plugins provide."""
    known = [f"{name}s" for name in KINDS]
    if kind is not None and kind not in known and f"{kind}s" not in known:
        raise UnknownNameError("kind", kind, known)
    for plural in known:
        if kind is None or plural in (kind, f"{kind}s"):
            typer.echo(plural)
            catalog = getattr(registry.registry(), plural)
            typer.echo(_cli_views.columns([(name, catalog[name].summary) for name in catalog]))
    if problems := registry.registry().problems:
        typer.echo(f"{len(problems)} plugin problem(s), see: tfbdl plugins", err=True)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="[KIND:]NAME, such as bbb or prior:laplace.")],
) -> None:
    """Show one model, engine, prior or data set with its options."""
    wanted, _, rest = name.rpartition(":")
    if wanted and wanted not in KINDS:
        raise UnknownNameError("kind", wanted, KINDS)
    catalogs = {
        kind: getattr(registry.registry(), f"{kind}s") for kind in KINDS if wanted in ("", kind)
    }
    found = [kind for kind, catalog in catalogs.items() if rest in catalog]
    if not found:
        known = {entry for catalog in catalogs.values() for entry in catalog}
        raise UnknownNameError(wanted or "model, engine, prior or data set", rest, known)
    texts = []
    for kind in found:
        spec = catalogs[kind][rest]
        provider = _provider_text(catalogs[kind].provider(rest))
        texts.append(_cli_views.spec_text(spec, provider, _fitting(kind, spec)))
    typer.echo("\n\n".join(texts))


@app.command()
def plugins() -> None:
    """List plugins with their versions, and their problems with what to do; exit 1 if any."""
    found = registry.registry()
    rows = [(p.plugin, p.distribution or "", p.version or "") for p in found.providers]
    typer.echo("plugins\n" + _cli_views.columns(rows))
    if found.problems:
        typer.echo("problems")
        for problem in found.problems:
            typer.echo(f"  {_provider_text(problem.provider)}: {problem.stage}: {problem.message}")
            typer.echo(f"    What to do: {problem.advice}")
        raise typer.Exit(1)


@app.command(cls=_RunCommand)
def run(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Argument(help="A model's name.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="A run.json; other flags override it.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="A data set's name, or a file.")] = None,
    engine: Annotated[str | None, typer.Option(help="Default: the model's own.")] = None,
    prior: Annotated[str | None, typer.Option(help="Default: the model's own.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Default: 0.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder. Default: a new one under runs/.")
    ] = None,
) -> None:
    """Fit a model. Options: --model.NAME V, --engine.NAME V, --prior.NAME V, --data.NAME V."""
    from . import _cli_options, planning, runs

    base = runs.read_run_file(source) if source is not None else None
    names = {"model": model, "data": data, "engine": engine, "prior": prior}
    spec = _cli_options.run_spec(base, names, ctx.obj, seed)
    planning.plan(spec)  # refuses before anything is shown, made or loaded
    if out is None:
        out = _pending_folder(source) or runs.new_folder(DEFAULT_ROOT, str(spec.model))
    folder = runs.RunFolder(out).create(pending=True)
    folder.write_spec(spec)  # seen at once, and kept if loading TensorFlow fails
    with _working(str(spec.model), folder.log_path) as on_step:
        from . import api

        fit = api.execute(spec, out=out, on_step=on_step)
    _print_outcome(fit, folder)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.")],
    draws: Annotated[int | None, typer.Option(min=1, help="More draws than the run has.")] = None,
) -> None:
    """Go on with a run that was stopped, from its last whole checkpoint."""
    from . import runs

    run_folder = runs.RunFolder(folder)
    spec = run_folder.read_spec()
    with _working(spec.model or "model", run_folder.log_path) as on_step:
        from . import api

        fit = api.resume(folder, draws=draws, on_step=on_step)
    _print_outcome(fit, run_folder)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.")],
    pictures: Annotated[
        bool | None,
        typer.Option(help="Draw pictures into the folder. Default: if matplotlib is installed."),
    ] = None,
) -> None:
    """Print what a run was, how it stands, and its metrics with their meaning; draw pictures."""
    from . import runs

    run_folder = runs.RunFolder(folder)
    spec, status = run_folder.read_spec(), run_folder.status()
    typer.echo(f"run {folder}: {status.state}")
    if status.message:
        typer.echo(f"  {status.message}")
    if status.state in ("lost", "failed", "cancelled"):
        typer.echo(f"  Go on with: tfbdl resume {folder}")
    typer.echo(_cli_views.run_text(spec))
    last = {name: rows[-1] for name, rows in run_folder.read_metrics().items()}
    if last:
        step = max(step for step, _ in last.values())
        _cli_views.print_metrics({n: value for n, (_, value) in last.items()}, f"at step {step}")
    if result := run_folder.read_result():
        _cli_views.print_metrics(result, "metrics")
        _cli_views.print_diagnostics(run_folder.read_diagnostics())
    elif not last:
        typer.echo("  No metrics yet.")
    if pictures or (pictures is None and status.state == "done"):
        _draw(folder, wanted=pictures is not None)


@app.command()
def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Of a run, or of runs.")],
    idle: Annotated[
        float, typer.Option(help="Seconds without a request after which it ends.")
    ] = 600.0,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of this machine alone; 0: any that is free.")
    ] = 0,
) -> None:
    """Compute what pages show of runs, on request; the dashboard starts this by itself."""
    _quieten()
    from . import api

    api.serve(folder, idle=idle, port=port)
    sys.stdout.flush()
    os._exit(0)  # it is found no more; the interpreter's own end, with TensorFlow, takes seconds


@app.command()
def dashboard(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of this machine.")] = 8501,
    root: Annotated[Path, typer.Option("--runs", help="Where the runs are.")] = DEFAULT_ROOT,
    address: Annotated[
        str | None, typer.Option(help="To listen on; one beyond this machine needs a token.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="What every visitor must know. Default: TFBDL_DASHBOARD_TOKEN."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name to answer to; may be repeated, and needs a token."),
    ] = None,
) -> None:
    """Start runs, watch them and look at what they found, in a browser on this machine."""
    import importlib.util
    import subprocess

    if importlib.util.find_spec("streamlit") is None:
        raise MissingDependencyError(
            "The dashboard needs streamlit, which is not installed. "
            "Install it with: pip install 'tfbdl[dashboard]'."
        )
    command = [sys.executable, "-m", "tfbdl_dashboard", "--port", str(port), "--runs", str(root)]
    given = {"--address": address, "--token-file": token_file}
    command += [part for flag, v in given.items() if v is not None for part in (flag, str(v))]
    command += [part for host in allowed_host or () for part in ("--allowed-host", host)]
    raise typer.Exit(subprocess.call(command))


@app.command("new-plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(help="Lower case, such as my_prior.")],
    parent: Annotated[Path, typer.Option("--dir", help="Where its folder is made.")] = Path(),
) -> None:
    """Write a plugin of your own, with one prior as an example."""
    from . import scaffold

    folder = scaffold.new_plugin(name, parent)
    typer.echo(f"{folder} is ready. Next:\n  pip install -e '{folder}[test]'\n  pytest {folder}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments without the program's name; by default those of the process.

    Returns:
        The exit code: 0, 1 if a plugin has a problem, 2 after an error, 130 after Ctrl-C.
    """
    try:
        app(args=None if argv is None else list(argv), prog_name="tfbdl")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    return 0


@contextmanager
def _working(title: str, log: Path) -> Iterator[Any]:
    """Show progress, warnings in one line each, and none of TensorFlow's start messages.

    All but the progress bar goes to the run's log too.
    """
    from . import _cli_log

    _quieten()

    def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
        typer.echo(f"tfbdl: warning: {message}", err=True)

    with (
        warnings.catch_warnings(),
        _cli_views.progress(title) as on_step,
        _cli_log.logged(log),
    ):
        warnings.showwarning = show_warning
        yield on_step


def _quieten() -> None:
    """Keep what TensorFlow says of itself (its start, retracing) off the terminal."""
    import logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _draw(folder: Path, *, wanted: bool) -> None:
    """Draw a run's pictures; without matplotlib say what is missing, or fail if they are wanted."""
    import importlib.util

    if not wanted and importlib.util.find_spec("matplotlib") is None:
        typer.echo("No pictures: they need matplotlib (pip install 'tfbdl[plots]').", err=True)
        return
    _quieten()
    from . import api

    for path in api.write_report(folder):
        typer.echo(f"picture: {path}")


def _print_outcome(fit: Any, folder: Any) -> None:
    from . import _cli_log

    with _cli_log.logged(folder.log_path):
        if fit.metrics:
            _cli_views.print_metrics(fit.metrics, "metrics")
        _cli_views.print_diagnostics(fit.diagnostics())
        typer.echo(f"run folder: {folder.path}")


def _pending_folder(source: Path | None) -> Path | None:
    """The folder of a ``run.json`` that was written but never started."""
    from . import runs

    if source is None or source.name != runs.RUN:
        return None
    folder = runs.RunFolder(source.parent)
    started = not folder.holds_run or folder.status().state != "created"
    return None if started else folder.path


def _fitting(kind: str, spec: Any) -> list[str]:
    found = registry.registry()
    if kind == "model":
        return [name for name, e in found.engines.items() if e.fits(spec.capabilities)]
    if kind == "engine":
        return [name for name, m in found.models.items() if spec.fits(m.capabilities)]
    return []


def _provider_text(provider: Any) -> str:
    """A provider in one line; what could not be identified is a text already."""
    if isinstance(provider, str):
        return provider
    origin = " ".join(filter(None, (provider.distribution, provider.version)))
    return f"{provider.plugin} ({origin})" if origin else str(provider.plugin)


if __name__ == "__main__":
    sys.exit(main())
