"""One way to write a file whole or not at all, and one to read and write JSON."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A hidden file that takes the place of `path` if all goes well, and vanishes if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


class FileError(ValueError):
    """A file that is not what it should be; its text is one line for the user."""


def read_json(path: Path, kind: type[Any]) -> Any:
    """The content of a JSON file, of kind dict or list; FileError for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, kind):
        raise FileError(f"{path}: not a JSON {'object' if kind is dict else 'list'}")
    return content


def write_json(path: Path, content: object) -> None:
    """Write JSON; see `_plain` for what it makes of values that JSON does not know."""
    with aside(path) as draft:
        draft.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: numpy's as Python's, NaN and infinity as null, dates as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | str | None) else str(value)
