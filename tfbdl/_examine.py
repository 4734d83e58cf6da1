"""Load one plugin, check its hooks and ask each of them; what is wrong is a PluginError."""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from . import hookspecs
from .errors import did_you_mean
from .specs import DatasetSpec, EngineSpec, ModelSpec, PanelSpec, PriorSpec, Spec

AnySpec = Spec | PanelSpec
HOOKS: Mapping[str, type[AnySpec]] = {
    f"{hookspecs.GROUP}_{cls.kind}s": cls
    for cls in (ModelSpec, EngineSpec, PriorSpec, DatasetSpec, PanelSpec)
}
MAX_SPECS = 1000
"""The most that one hook may return; a generator without end must not hang the reader."""

_examining: ContextVar[bool] = ContextVar("tfbdl_examining", default=False)


class PluginError(Exception):
    """Why a plugin is left out; caught and turned into a Problem, never shown as an exception.

    Attributes:
        stage: ``import``, ``hooks`` or ``specs``.
        message: What is wrong.
        advice: What its author or user can do.
    """

    def __init__(self, stage: str, message: str, advice: str) -> None:
        super().__init__(stage, message, advice)
        self.stage, self.message, self.advice = stage, message, advice


def examining() -> bool:
    """Whether a plugin is being examined now, further up in this thread."""
    return _examining.get()


def examine(
    point: EntryPoint, on_stage: Callable[[str], None] = lambda stage: None
) -> tuple[AnySpec, ...]:
    """Import what ``point`` names, check its hooks and collect all its specs.

    Args:
        point: The plugin's entry point.
        on_stage: Told ``import``, ``hooks`` and ``specs`` as each begins.

    Raises:
        PluginError: If anything at all is wrong with the plugin.
    """
    token = _examining.set(True)
    try:
        on_stage("import")
        plugin = _import(point)
        on_stage("hooks")
        manager = _register(plugin, point)
        on_stage("specs")
        return tuple(
            spec for hook, expected in HOOKS.items() for spec in _ask(manager, hook, expected)
        )
    finally:
        _examining.reset(token)


def describe(error: BaseException) -> str:
    """The error's type and message as a sentence in one line, cut at 500 characters."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(without a message)"
    return f"{type(error).__name__}: {text}".rstrip(".")[:500] + "."


@contextlib.contextmanager
def _guarded(stage: str, doing: str, advice: str) -> Iterator[None]:
    """Turn whatever the plugin's own code raises, ``SystemExit`` too, into a PluginError."""
    try:
        yield
    except (KeyboardInterrupt, PluginError):
        raise
    except SystemExit as error:
        raise PluginError(stage, f"{doing} calls sys.exit({error.code!r}).", advice) from error
    except BaseException as error:
        raise PluginError(stage, f"{doing} raises {describe(error)}", advice) from error


def _import(point: EntryPoint) -> object:
    advice = f"Importing {point.value!r} in Python shows the whole traceback."
    with _guarded("import", f"Importing {point.value!r}", advice):
        try:
            return point.load()
        except ModuleNotFoundError as error:
            if error.name and error.name.partition(".")[0] != point.module.partition(".")[0]:
                advice = f"Install the package that brings the module {error.name!r}."
                message = f"Importing {point.value!r} raises {describe(error)}"
                raise PluginError("import", message, advice) from error
            raise


def _register(plugin: object, point: EntryPoint) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    advice = "Hooks take no arguments: declare them as in tfbdl.hookspecs."
    with _guarded("hooks", "Reading its hooks", advice):
        implemented = [name for name in dir(plugin) if _is_hook(manager, plugin, name)]
        if not implemented:
            raise PluginError(
                "hooks",
                f"{point.value!r} implements none of the hooks {', '.join(HOOKS)}.",
                "Mark at least one of them with @tfbdl.hookimpl, or correct the entry point.",
            )
        manager.register(plugin, name=point.name)
        manager.check_pending()
    return manager


def _is_hook(manager: pluggy.PluginManager, plugin: object, name: str) -> bool:
    """Whether the attribute ``name`` implements a hook; one that only means to is a fault."""
    options = manager.parse_hookimpl_opts(plugin, name)
    if options is None:
        looks_like_one = name.startswith(f"{hookspecs.GROUP}_") and inspect.isroutine(
            inspect.getattr_static(plugin, name, None)
        )
        if looks_like_one and name in HOOKS:
            message, advice = (
                f"{name} is not marked as a hook.",
                "Put @tfbdl.hookimpl above it.",
            )
            raise PluginError("hooks", message, advice)
        if not looks_like_one:
            return False
    hook = (options.get("specname") if options else None) or name
    if hook not in HOOKS:
        raise PluginError(
            "hooks",
            f"No hook is named {hook!r}.{did_you_mean(hook, HOOKS)} Known: {', '.join(HOOKS)}.",
            "Correct its name; names that begin with 'tfbdl_' are kept for hooks.",
        )
    if options and (options.get("wrapper") or options.get("hookwrapper")):
        raise PluginError(
            "hooks",
            f"{name} is a hook wrapper.",
            "Use @tfbdl.hookimpl without arguments.",
        )
    return True


def _ask(manager: pluggy.PluginManager, hook: str, expected: type[AnySpec]) -> Iterator[AnySpec]:
    advice = f"Let {hook} return a list of {expected.__name__}."
    # Each implementation is called directly: a hook call would drop an answer of None unseen.
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        with _guarded("specs", hook, "Correct what the message names."):
            answer: Any = implementation.function()
            try:
                items = iter(answer)
            except TypeError:
                message = f"{hook} must return an iterable of {expected.__name__}."
                raise PluginError(
                    "specs", f"{message} Received: {answer!r:.200}.", advice
                ) from None
            specs = list(itertools.islice(items, MAX_SPECS + 1))
        if len(specs) > MAX_SPECS:
            raise PluginError("specs", f"{hook} returns more than {MAX_SPECS} specs.", advice)
        for spec in specs:
            if not isinstance(spec, expected):
                message = f"{hook} must return {expected.__name__}s only."
                raise PluginError("specs", f"{message} Received: {spec!r:.200}.", advice)
            yield spec
