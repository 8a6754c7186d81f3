"""The snippets of utils/README.md run as they stand, and the toolbox's public names stay."""

import importlib
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "utils" / "README.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)

PUBLIC = {
    "utils.cli": "UserError below_one fraction int_from make_parser non_negative_float "
    "non_negative_int positive_float positive_int progress run",
    "utils.run": "Run environment read_toml table",
    "utils.results": "cells mean_std named_mean_std over_seeds table",
    "utils.environment": "environment git_commit peak_memory_bytes processor_name",
    "utils.checkpoint": "CheckpointError evaluator load_checkpoint load_state save_checkpoint",
    "utils.device": "autocast pick_device set_threads synchronize",
    "utils.file_io_util": "append_jsonl atomic_write file_digest human_bytes new_folder plain "
    "read_json read_jsonl writable_folder write_json",
    "utils.model_summary": "parameter_count summary",
    "utils.modes": "evaluating frozen_modules kept_modes train_except training",
    "utils.pictures": "Picture UnreadablePicture read_picture",
    "utils.plotting": "COLORS band confusion_matrix figure_to_array literal look save_figure "
    "save_gif subplots",
    "utils.seed": "generator seed_everything",
    "utils.terminal": "file_name guarded path",
    "utils.threads": "language_model_row save_row translation_row",
    "utils.timer": "Timer",
    "utils.datasets": "ImageData load names",
}


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippet_runs(tmp_path, number, warm_python):
    done = warm_python.run("-c", SNIPPETS[number], cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_stay(module):
    missing = set(PUBLIC[module].split()) - set(dir(importlib.import_module(module)))
    assert not missing, f"{module} lost {missing}: deprecate a public name, do not remove it"
