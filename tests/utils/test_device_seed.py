"""Devices are named clearly; generators are independent of each other."""

import pytest
import torch

from utils.device import autocast, cpu_has_bf16, pick_device, pick_precision, set_threads
from utils.errors import UserError
from utils.seed import generator, seed_everything


def test_cpu_is_always_there_and_absent_devices_are_named():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in {"cpu", "cuda", "mps"}
    absent = [n for n in ("cuda", "mps") if pick_device("auto").type != n]
    with pytest.raises(UserError, match=f"--device {absent[0]} was asked for"):
        pick_device(absent[0])
    with pytest.raises(UserError, match="no device called 'tpu'"):
        pick_device("tpu")


def test_autocast_changes_the_format_of_products():
    x = torch.ones(2, 2)
    with autocast(torch.device("cpu"), "bf16"):
        assert (x @ x).dtype == torch.bfloat16
    with autocast(torch.device("cpu"), "auto"):
        assert (x @ x).dtype == torch.float32


def test_generator_does_not_depend_on_the_global_state():
    seed_everything(1)
    first = torch.rand(3, generator=generator(5))
    torch.rand(10)
    assert torch.equal(first, torch.rand(3, generator=generator(5)))


def test_threads_are_set():
    before = torch.get_num_threads()
    set_threads(1)
    assert torch.get_num_threads() == 1
    set_threads(0)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu sse2 avx2 avx512f avx512_bf16", True),
        ("flags\t\t: fpu sse2 amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu sse2 avx2 fma", False),
        ("model name\t: bf16 machine", False),
    ],
)
def test_bf16_of_the_processor(line, expected, tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\n{line}\n", encoding="utf-8")
    assert cpu_has_bf16(str(info)) is expected
    assert cpu_has_bf16(str(tmp_path / "missing")) is False


def test_convolutions_use_bf16_where_the_processor_has_it(monkeypatch):
    cpu = torch.device("cpu")
    for has, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr("utils.device.cpu_has_bf16", lambda has=has: has)
        assert pick_precision(cpu, "auto", convolutions=True) == expected
        assert pick_precision(cpu, "auto") == "fp32"
        assert pick_precision(cpu, "fp16", convolutions=True) == "fp16"
