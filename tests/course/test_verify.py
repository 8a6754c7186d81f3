"""Re-evaluating checkpoints."""

import pytest

from course.manifest import ManifestError
from course.verify import compare, verify


def verdict(root, **options):
    (found,) = verify(root, **options)
    return found


def test_a_good_checkpoint(root):
    assert (verdict(root).state, verdict(root).message) == ("ok", "mean 0.5")


def test_drift_is_a_mismatch(root, edit):
    edit("weights.py", ".mean())", ".mean()) + 0.02")
    found = verdict(root)
    assert found.state == "mismatch"
    assert "mean is 0.52, but the card says 0.5" in found.message
    assert "made by: python chapter_01_tiny/draw.py --publish" in found.message


def test_damaged_and_missing_files(root):
    path = root / "chapter_01_tiny/checkpoints/tiny.npz"
    path.write_bytes(path.read_bytes()[:100])
    assert verdict(root).state == "broken" and "tiny.npz is damaged" in verdict(root).message
    path.unlink()
    assert verdict(root).state == "broken" and "no checkpoint" in verdict(root).message


def test_missing_data_is_skipped_with_the_command(root, edit, tmp_path):
    edit("chapter.toml", "tolerance = 0.01", 'needs = "fashion_mnist"')
    found = verdict(root, data_dir=str(tmp_path))
    assert found.state == "skipped"
    assert "python -m utils.datasets download fashion_mnist" in found.message


def test_wrong_reference_in_the_manifest(root, edit):
    edit("chapter.toml", "weights:evaluate", "weights:evaluatee")
    with pytest.raises(ManifestError, match="key 'evaluate'"):
        verify(root)


@pytest.mark.parametrize(
    ("measured", "card", "agree"),
    [
        ({"a": 0.5005}, {"a": 0.5}, True),
        ({"a": 0.502}, {"a": 0.5}, False),
        ({"a": 100.05}, {"a": 100.0, "other": 3}, True),  # relative above 1
        ({"a": 100.2}, {"a": 100.0}, False),
        ({"a": float("nan")}, {"a": 0.5}, False),
        ({"b": 0.5}, {"a": 0.5}, False),
        ({}, {"a": 0.5}, False),
    ],
)
def test_tolerance(measured, card, agree):
    assert (compare(measured, card, tolerance=0.001) == "") == agree
