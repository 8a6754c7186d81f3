"""Imports the files of an exercise folder, always with their asserts.

A grader says what is wrong with `assert`. `python -O` (or PYTHONOPTIMIZE) would compile those away
and call every answer right, so graders and the modules they share are compiled here instead.
"""

import importlib.util
import io
import linecache
import sys
import tokenize
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType


class KeepAsserts(SourceFileLoader):
    """Compiles as without -O, and leaves .pyc files alone: those may hold either."""

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path)
        check_encoding(source, self.path)
        return compile(source, self.path, "exec", dont_inherit=True, optimize=0)


def check_encoding(source: bytes, path: str) -> None:
    """SyntaxError that says what to do where Python cannot tell which letters the bytes are.

    A byte order mark or a first line such as `# -*- coding: gbk -*-` tells; else it is UTF-8.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        source.decode(encoding)
    except (SyntaxError, UnicodeDecodeError) as error:
        line = source[: getattr(error, "start", 0)].count(b"\n") + 1
        message = "not UTF-8: save the file as UTF-8, or name its encoding in the first line"
        raise SyntaxError(message, (path, line, 0, "# -*- coding: gbk -*-")) from None


class ExerciseFinder:
    """Finds the modules that a grader imports from any chapter's exercises."""

    @staticmethod
    def find_spec(name: str, path=None, target=None) -> ModuleSpec | None:
        if ".exercises." not in name:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = KeepAsserts(name, spec.origin)
        return spec


def keep_asserts() -> None:
    """From here on, the modules of exercises are compiled with their asserts."""
    if not __debug__ and ExerciseFinder not in sys.meta_path:
        sys.meta_path.insert(0, ExerciseFinder)


def load_module(path: Path) -> ModuleType:
    """Import a Python file by its path, afresh each time and under a name of its own."""
    keep_asserts()
    name = f"{path.parent.parent.name}_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_loader(name, KeepAsserts(name, str(path)))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up here
    linecache.checkcache(str(path))
    spec.loader.exec_module(module)
    return module
