"""The data of a new run: a set by name, an upload, or a file of this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from tfbdl import registry
from tfbdl.errors import DataError
from tfbdl.planning import FILE_DATASET, FILE_SUFFIXES
from tfbdl.specs import ModelSpec, RunSpec
from tfbdl_dashboard import uploads
from tfbdl_dashboard.data_roles import SEPARATORS, DataChoice, mismatch, roles, show_mismatch
from tfbdl_dashboard.forms import options_form
from tfbdl_dashboard.plain_text import escaped, without_paths
from tfbdl_dashboard.uploads import Inspection

NAMED, UPLOAD, PATH = "Data set", "Upload", "File of this machine"


@dataclass(frozen=True)
class Kept:
    """An upload of this session.

    Attributes:
        file_id: By which the browser's file is told from another.
        name: As it was called there; shown, and used for nothing else.
        path: Where it is stored; None if it was refused.
        error: Why it was refused.
    """

    file_id: str
    name: str
    path: Path | None
    error: str = ""


def data_form(key: str, model: ModelSpec, given: RunSpec | None, root: Path) -> DataChoice:
    """Draw the choice of the data.

    Args:
        key: Unique on the page.
        model: What the data are for.
        given: A run whose data are shown at first, or None.
        root: The folder of runs; uploads are kept in it.
    """
    known = registry.registry().datasets
    named = given is not None and given.data in known and given.data != FILE_DATASET
    sources = [NAMED, *([UPLOAD, PATH] if FILE_DATASET in known else [])]
    by_path = given is not None and given.data is not None and not named
    source = st.segmented_control(
        "Source",
        sources,
        default=PATH if by_path and PATH in sources else NAMED,
        required=True,
        key=f"{key}:source",
        label_visibility="collapsed",
        persist_state="session",
    )
    options = dict(given.data_options) if given is not None else {}
    if source == NAMED:
        return _named(key, model, str(given.data) if given and named else None, options)
    if source == UPLOAD:
        return _uploaded(f"{key}:upload", model, root)
    path = options.pop("path", None) or (given.data if given else None)
    return _of_machine(f"{key}:path", model, str(path) if by_path and path else "", options)


def _named(key: str, model: ModelSpec, name: str | None, options: dict[str, Any]) -> DataChoice:
    catalog = registry.registry().datasets
    names = [n for n in catalog if n != FILE_DATASET]
    names.sort(key=lambda n: bool(mismatch(model, catalog[n].task)))  # what fits comes first
    chosen = st.selectbox(
        "Data set",
        names,
        names.index(name) if name in names else None,
        format_func=lambda n: f"{n} · {catalog[n].summary}",
        key=f"{key}:name",
        placeholder="Choose a data set",
        persist_state="session",
    )
    if chosen is None:
        return DataChoice(problem="Choose the data.")
    spec = catalog[chosen]
    show_mismatch(mismatch(model, spec.task))
    values = options if chosen == name else None
    form = options_form(spec.config, f"{key}:{chosen}", values)
    return DataChoice(data=chosen, options=form, label=chosen)


def _uploaded(key: str, model: ModelSpec, root: Path) -> DataChoice:
    """An upload; what was kept of it outlives a visit of another page."""

    def forget() -> None:
        st.session_state.pop(f"{key}:kept", None)

    file = st.file_uploader(
        "A table with a header (CSV, TSV, Parquet), or arrays x and y (npz)",
        key=f"{key}:file",
        max_upload_size=uploads.MAX_BYTES // 2**20,
        on_change=forget,
        help="The contents decide what a file is, not its name. Models and code are not taken.",
    )
    kept = st.session_state.get(f"{key}:kept")
    if file is not None and (kept is None or kept.file_id != file.file_id):
        kept = st.session_state[f"{key}:kept"] = _kept(file, root)
    if kept is None:
        return DataChoice(problem="Upload a file.")
    if kept.path is None:
        return _refused(kept.error)
    try:
        inspection = _inspected(kept.path, kept.name)
    except (DataError, OSError):  # it was taken away since
        forget()
        return _refused("The upload is not there any more. Upload it again.")
    if file is None:
        st.text(f"Uploaded before: {kept.name}")
    chosen = roles(f"{key}:{kept.path.stem[:16]}", model, kept.path, inspection, {})
    return replace(chosen, label=kept.name)


def _kept(file: Any, root: Path) -> Kept:
    """Store a file of the browser and look at it; what is refused is not kept."""
    content, path = file.getvalue(), None
    try:
        path = uploads.keep(root, content, uploads.suffix_of(content, file.name))
        _inspected(path, file.name)
    except DataError as error:
        if path is not None:
            path.unlink(missing_ok=True)
        return Kept(file.file_id, file.name, None, without_paths(error))
    return Kept(file.file_id, file.name, path)


def _of_machine(key: str, model: ModelSpec, given: str, options: Mapping[str, Any]) -> DataChoice:
    typed = st.text_input(
        "Path",
        given,
        key=f"{key}:text",
        placeholder="~/data/houses.csv",
        help=escaped(f"A file {', '.join(FILE_SUFFIXES)} of the machine that the runs run on."),
        persist_state="session",
    )
    if not typed.strip():
        return DataChoice(problem="Give the path of a file.")
    path = Path(os.path.expanduser(typed.strip())).absolute()
    suffix = path.suffix.lower()
    if not path.is_file() or suffix not in (*FILE_SUFFIXES, ".txt"):
        admitted = ", ".join(FILE_SUFFIXES)
        problem = f"No file is there. Expected one that ends in {admitted}."
        st.error(escaped(problem))
        return DataChoice(problem=problem)
    shown = options if typed == given else {}
    if path.stat().st_size > uploads.MAX_BYTES:
        st.info("The file is too large to be looked at here. Name its target by hand.")
        spec = registry.registry().datasets[FILE_DATASET]
        form = options_form(spec.config, f"{key}:{path}", shown, fixed={"path": str(path)})
        return DataChoice(data=str(path), options=form, label=uploads.data_label(path.name))
    try:
        inspection = _inspected(path, path.name)
        _check_suffix(suffix, inspection.suffix)
    except DataError as error:
        return _refused(without_paths(error))
    except OSError as error:
        return _refused(f"The file cannot be read: {error.strerror}.")
    return roles(f"{key}:{path}", model, path, inspection, shown)


def _check_suffix(suffix: str, found: str) -> None:
    """A run reads a file by its name, so that it must not say another thing than its contents."""
    kinds = {"csv": tuple(SEPARATORS), "parquet": (".parquet",), "npz": (".npz",)}
    if suffix not in kinds[found]:
        raise DataError(
            f"The file's name ends in {suffix}, and it holds what a name in "
            f"{' or '.join(kinds[found])} should say. Rename it."
        )


def _refused(why: str) -> DataChoice:
    st.error("This file cannot be used.")
    st.text(why)
    return DataChoice(problem="The file cannot be used.")


def _inspected(path: Path, name: str) -> Inspection:
    state = path.stat()
    found = _inspect(str(path), state.st_mtime_ns, state.st_size, name)
    if isinstance(found, str):
        raise DataError(found)
    return found


@st.cache_data(max_entries=8, show_spinner="Reading the file")
def _inspect(path: str, changed: int, size: int, name: str) -> Inspection | str:
    """Look at a file, or say why it cannot be used; kept until it changes.

    What is wrong is a value: Streamlit keeps no errors, and would read the file at each visit.
    """
    del changed, size  # they tell one state of the file from another
    try:
        return uploads.inspect(Path(path).read_bytes(), name)
    except DataError as error:
        return str(error)
