"""Modules that have moved stay importable under their old names, with a word about the new ones.

A learner's own notebook outlives the arrangement of this repository. In a package's `__init__`:

    moved(__name__, {"batches": "training.batches"})

then `from package.batches import Batches` gives the module package.training.batches itself (not a
copy) and a DeprecationWarning. A name that exists as a file again comes first.
"""

import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Moved(MetaPathFinder, Loader):
    """Finds `package.old` where no file has that name, and loads `package.new` for it."""

    def __init__(self, package: str, names: Mapping[str, str]) -> None:
        self.names = {f"{package}.{old}": f"{package}.{new}" for old, new in names.items()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in self.names else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None  # an empty one; `exec_module` puts the real one in its place

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        new = self.names[old]
        warnings.warn(f"{old} is {new} now", DeprecationWarning, stacklevel=2)
        sys.modules[old] = import_module(new)


def moved(package: str, names: Mapping[str, str]) -> None:
    """Let the old modules of `package` be imported; both names relative to it."""
    sys.meta_path.append(_Moved(package, names))
