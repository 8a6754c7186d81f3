"""A training in a process of its own, for test_training_processes.py to kill, stop and multiply.

    python training_process.py FOLDER [--resume] [--kill_at N] [--kill_in_save N] [--signal_at N]
                               [--slow] [--plain]

Digits, a small network with BatchNorm and dropout, accumulation, a schedule, clipping and EMA;
`--plain` leaves out what is random or depends on how a batch is shared (dropout, BatchNorm).
    python training_process.py --serve    a process for each line of standard input, see `serve`
Writes FOLDER/last.pth and, for each process, FOLDER/rank_R.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path

import torch
from torch import nn

from chapter_03_optimization_regularization.experiments.tasks import load_task
from chapter_03_optimization_regularization.optimizers import AdamW
from chapter_03_optimization_regularization.regularization import EMA
from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_03_optimization_regularization.training import Batches, classification_loss, fit
from chapter_03_optimization_regularization.training import state as training_state
from utils.file_io_util import write_json
from utils.seed import seed_everything

EPOCHS, BATCH, ACCUMULATE, ROWS = 3, 16, 3, 400


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for flag in ("--resume", "--plain"):
        parser.add_argument(flag, action="store_true")
    for flag in ("--kill_at", "--kill_in_save", "--signal_at"):
        parser.add_argument(flag, type=int, default=0)
    return parser.parse_args()


def network(plain: bool) -> nn.Sequential:
    torch.manual_seed(1)
    middle = [] if plain else [nn.BatchNorm1d(32), nn.Dropout(0.2)]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), *middle, nn.ReLU(), nn.Linear(32, 10))


def main() -> None:
    args = options()
    torch.set_num_threads(1)
    rank, seen, calls = int(os.environ.get("RANK", "0")), [], 0
    loss_fn = classification_loss()

    def watched(model: nn.Module, batch):
        nonlocal calls
        calls += model.training
        if model.training and calls == args.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if model.training and calls == args.signal_at:
            os.kill(os.getpid(), signal.SIGINT)
        if model.training and len(seen) < 5:
            seen.append(batch[2].tolist())
        return loss_fn(model, batch[:2])

    if args.kill_in_save:
        kill_in_save(args.kill_in_save)
    model = network(args.plain)
    x, y = (part[:ROWS] for part in load_task().train)
    train = Batches(x, y, torch.arange(ROWS), batch_size=BATCH, shuffle=True, seed=4)
    optimizer = AdamW(model.parameters(), lr=0.01)
    steps = EPOCHS * -(-len(train) // ACCUMULATE)
    seed_everything(2)
    history = fit(
        model, watched, optimizer, train, epochs=EPOCHS, accumulate=ACCUMULATE, clip_norm=1.0,
        scheduler=CosineWithWarmup(optimizer, warmup_steps=3, total_steps=steps),
        ema=EMA(model, 0.9), folder=args.folder, resume=args.resume, save_every=2,
    )  # fmt: skip
    facts = {"rank": rank, "pid": os.getpid(), "rows": seen}
    if torch.distributed.is_initialized():
        facts["world"] = torch.distributed.get_world_size()
        facts["backend"] = torch.distributed.get_backend()
    facts |= {"train_loss": history.epochs[-1]["train_loss"], "weight": model[1].weight.tolist()}
    write_json(args.folder / f"rank_{rank}.json", facts)


def kill_in_save(number: int) -> None:
    """Die while the checkpoint of this number is written: its first half is on the disk."""
    original, count = training_state.save_checkpoint, 0

    def save(path, *args, **kwargs):
        nonlocal count
        count += 1
        if count == number:
            real = os.fsync

            def die(handle):
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
                real(handle)
                os.kill(os.getpid(), signal.SIGKILL)

            os.fsync = die
        original(path, *args, **kwargs)

    training_state.save_checkpoint = save


def serve() -> None:
    """Obey each order, {"argv", "errors", "largest_file", "ranks"}; answer the exit code.

    The processes are forked before any training, when the libraries (seconds) are imported. With
    `ranks` above 1 they are as many as that, in the environment that torchrun gives.
    """
    torch.set_num_threads(1)
    load_task()
    AdamW([nn.Parameter(torch.zeros(1))], lr=0.1)  # imports what PyTorch puts off until then
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pids = [forked(order, facts) for facts in environments(order["ranks"])]
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(next((code for code in codes if code), 0), flush=True)
    os._exit(0)  # nothing to tidy up: that would take half a second


def environments(ranks: int) -> list[dict[str, str]]:
    """What torchrun adds to the environment of each process."""
    if ranks == 1:
        return [{}]
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    place |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    return [place | {"RANK": str(r), "LOCAL_RANK": str(r)} for r in range(ranks)]


def forked(order: dict, environment: dict[str, str]) -> int:
    """The number of a new process that obeys."""
    pid = os.fork()
    if not pid:
        os.environ.update(environment)
        obey(order)
    return pid


def obey(order: dict) -> None:
    """In the forked process: the training, then the end of the process."""
    errors = os.open(order["errors"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(errors, 1), os.dup2(errors, 2)
    signal.alarm(300)  # only to stop a hanging training
    if order["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"],) * 2)
    sys.argv[1:] = order["argv"]
    code = 1
    try:
        code = start()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def start() -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs may ignore it
    try:
        main()
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(serve() if sys.argv[1:] == ["--serve"] else start())
