"""The doctor: lacks are named with the command that mends them."""

import shutil
import subprocess
import sys

import pytest

from course import doctor
from course.manifest import ROOT


def examine(tmp_path, requirements):
    (tmp_path / "requirements.txt").write_text(requirements, encoding="utf-8")
    return {finding.item: finding for finding in doctor.examine(tmp_path, str(tmp_path))}


@pytest.fixture
def untimed(monkeypatch):
    """Without the timed matrix products, which test_what_is_there runs."""
    monkeypatch.setattr(doctor, "bf16_support", lambda device: "not measured")


def test_what_is_there(tmp_path):
    findings = examine(tmp_path, "# list\nnumpy>=1.26\n-e .\n")
    assert findings["Python"].state == findings["numpy"].state == "ok"
    assert {"Device", "bf16", "Threads", "Graphviz dot", "Free disk"} <= set(findings)
    assert findings["bf16"].found.startswith(("runs, ", "does not run"))


def test_what_is_missing(tmp_path, untimed):
    findings = examine(tmp_path, "numpy>=99.0\nno-such-package>=1.0\n")
    assert findings["numpy"].state == findings["no-such-package"].state == "MISSING"
    assert findings["numpy"].mend == 'pip install "numpy>=99.0"'
    assert findings["no-such-package"].mend == "pip install -r requirements.txt"
    assert findings["Data: mnist"].state == "optional"
    assert "python -m utils.datasets download mnist" in findings["Data: mnist"].mend


def test_requirement_of_older_pythons_only(tmp_path, untimed):
    line = 'no-such-package>=1.0; python_version < "3.{}"\n'
    assert "no-such-package" not in examine(tmp_path, line.format(sys.version_info[1]))
    assert "no-such-package" in examine(tmp_path, line.format(sys.version_info[1] + 1))


def test_graphviz_is_optional(tmp_path, monkeypatch, untimed):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    finding = examine(tmp_path, "")["Graphviz dot"]
    assert finding.state == "optional" and "graphviz" in finding.mend


@pytest.mark.parametrize(
    ("version", "numbers"), [("2.4.0+cu121", (2, 4, 0)), ("2.10", (2, 10, 0)), ("3", (3, 0, 0))]
)
def test_release(version, numbers):
    assert doctor.release(version) == numbers


@pytest.mark.parametrize(
    ("fp32", "bf16", "words"),
    [
        (0.001, 0.0625, "62 times slower than fp32"),
        (0.001, 0.2, "200 times slower than fp32"),
        (0.001, 0.0015, "1.5 times slower than fp32"),
        (0.001, 0.001, "as fast as fp32"),
        (0.005, 0.002, "2.5 times faster than fp32"),
    ],
)
def test_the_speed_of_bf16_is_a_number_one_can_read(monkeypatch, fp32, bf16, words):
    """Not "0.0 times the speed" where it is slow."""
    monkeypatch.setattr(
        doctor, "_product_seconds", lambda device, dtype: fp32 if "float32" in str(dtype) else bf16
    )
    found = doctor.bf16_support("cpu")
    assert words in found and " 0.0 " not in found
    assert ("worth using" in found) == ("faster" in words)


@pytest.mark.process
def test_runs_before_anything_is_installed():
    """-S hides the installed packages: the doctor must still tell what to install."""
    command = [sys.executable, "-S", "-m", "course", "doctor"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 1, done.stderr
    assert "pip install -r requirements.txt" in done.stdout and "Traceback" not in done.stderr
