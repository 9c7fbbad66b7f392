"""Whose code a module is: the user's, whose every line counts, or an installed package's, which its name stands for."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

_PACKAGE = __name__.partition(".")[0]


@lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    import site
    import sysconfig

    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    places.update([*site.getsitepackages(), site.getusersitepackages()])
    # This package counts as installed wherever it lies.
    places.add(str(Path(__file__).parent.parent))
    return tuple(str(Path(place).resolve()) + os.sep for place in places if place)


def is_users_file(filename: str | None) -> bool:
    """True for source files, and notebook cells, outside the standard library and installed packages."""
    if not filename or filename.startswith("<frozen"):
        return False
    path = str(Path(filename).resolve()) if not filename.startswith("<") else filename
    return not path.startswith(_installed()) and "/site-packages/" not in path and "/dist-packages/" not in path


def is_users(module_name: str | None) -> bool:
    """True for the notebook's own namespace, for modules outside the standard library and installed packages, and for
    names of modules that are not there (the code in them came by pickle).
    """
    if not module_name or module_name == "__main__":
        return True
    if module_name.partition(".")[0] in (_PACKAGE, "builtins"):
        return False
    module = sys.modules.get(module_name)
    return module is None or is_users_module(module)


def is_users_module(module: ModuleType) -> bool:
    """As `is_users`, for the module itself."""
    if module.__name__.partition(".")[0] in (_PACKAGE, "builtins"):
        return False
    if module.__name__ == "__main__":
        return True
    filename = getattr(module, "__file__", None)
    if filename is None:
        spec = getattr(module, "__spec__", None)
        # Without file and without spec: made by hand. With a spec: builtin, frozen, or a folder of installed packages.
        return spec is None
    return is_users_file(filename)
