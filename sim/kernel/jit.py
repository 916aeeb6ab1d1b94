"""How the kernel is compiled.

Every kernel function is compiled without numba's reference counting (`_nrt=False`): counting references to the arrays
passed to small helpers costs a factor of four to fifteen. It is allowed because kernel functions allocate nothing and
return no arrays. The flag is private to numba; it stands in this one place and the benchmark guards it.

numba's cache does not see an edit in another file, so the cache folder is named by a digest of the kernel's sources,
unless the user has set NUMBA_CACHE_DIR.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numba
import numpy as np

_HERE = Path(__file__).parent


def _digest() -> str:
    sources = sorted(_HERE.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def _cache_folder() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    if not os.access(home if home.exists() else home.parent, os.W_OK):
        home = Path(tempfile.gettempdir())
    return home / "thinbook" / _digest()


# In the environment for processes to come, in the setting for this one: another library may have imported numba before.
os.environ.setdefault("NUMBA_CACHE_DIR", str(_cache_folder()))
setattr(numba.config, "CACHE_DIR", os.environ["NUMBA_CACHE_DIR"])  # noqa: B010  (numba declares none of its settings)

JIT = not getattr(numba.config, "DISABLE_JIT")  # noqa: B009  (set by numba at import)
_OPTIONS: dict[str, Any] = {"_nrt": False, "cache": True, "nogil": True, "error_model": "numpy"}
kernel = numba.njit(**_OPTIONS)
"""Decorator of the kernel's larger functions: real calls, compiled once."""
inline = numba.njit(**_OPTIONS, forceinline=True)
"""Decorator of its small helpers: they cost nothing extra."""
silent = (lambda function: function) if JIT else np.errstate(over="ignore")
"""Decorator for the hash functions, whose integer overflow is meant; without JIT numpy would warn of it."""
