"""Devices are named clearly; generators are independent of each other."""

import pytest
import torch

from utils.device import autocast, pick_device, set_threads
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
