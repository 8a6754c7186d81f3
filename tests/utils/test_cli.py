"""Options, exit codes and messages that every script shares."""

import argparse
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from utils import cli
from utils.errors import MissingDataError
from utils.file_io_util import read_json
from utils.results import cells, mean_std, named_mean_std, over_seeds, table
from utils.run import Run, chapter_folder


def make_script(tmp_path, body, resume=False):
    """A script in a chapter-like folder; returns main(argv) -> exit code."""
    folder = tmp_path / "chapter_99_demo"
    folder.mkdir(exist_ok=True)
    script = folder / "demo.py"

    def main(*argv):
        parser = cli.make_parser("Demo.", examples=["python demo.py"])
        parser.add_argument("--epochs", type=cli.positive_int, default=3, help="passes")
        parser.add_argument("--mode", choices=["a", "b"], default="a", help="what to do")
        if resume:
            cli.add_resume_option(parser)
        argv = ["--output_dir", str(tmp_path / "outputs"), *argv]
        return cli.run(parser, body, script=str(script), argv=argv)

    return main


def run_folder(tmp_path):
    return next((tmp_path / "outputs" / "chapter_99_demo").iterdir())


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--mode", "c"], "invalid choice: 'c'"),
        (["--epochs", "-1"], "'-1' is not a whole number above 0"),
        (["--epochs", "1e3"], "'1e3' is not a whole number"),
        (["--epoch", "1"], "unrecognized arguments"),
        (["--seed", "x"], "'x' is not a whole number of 0 or more"),
    ],
)
def test_wrong_options_exit_2_with_one_sentence(tmp_path, capsys, argv, words):
    main = make_script(tmp_path, lambda args, run: None)
    with pytest.raises(SystemExit) as stop:
        main(*argv)
    message = capsys.readouterr().err
    assert stop.value.code == 2
    assert words in message and len(message.splitlines()) == 1


def user_error(args, run):
    raise cli.UserError("the file x.csv has no column 'price'.")


def full_disk(args, run):
    raise OSError(28, "No space left on device", "weights.pth")


def ctrl_c(args, run):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background
    try:  # of a shell starts with SIGINT ignored
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (user_error, 2, "no column 'price'"),
        (full_disk, 2, "cannot write (weights.pth): No space left on device"),
        (ctrl_c, 130, "stopped by Ctrl-C"),
    ],
)
def test_exit_codes(tmp_path, capsys, body, code, words):
    assert make_script(tmp_path, body)() == code
    message = capsys.readouterr().err
    assert words in message and "Traceback" not in message


@pytest.mark.parametrize(
    ("choices", "advised"),
    [
        (["digits", "mnist"], "or use the embedded set with `--dataset digits`."),
        (["shapes", "mnist"], "or use the embedded set with `--dataset shapes`."),
        (None, "or use the embedded set with `--dataset digits`."),  # any name
        (["mnist"], "the data set mnist is not here."),
        ("no such option", "the data set mnist is not here."),
    ],
)
def test_a_missing_set_is_replaced_by_one_that_the_script_takes(tmp_path, capsys, choices, advised):
    def body(args, run):
        raise MissingDataError("the data set mnist is not here", ("digits", "shapes"))

    parser = cli.make_parser("Demo.", examples=["python demo.py"])
    if choices != "no such option":
        parser.add_argument("--dataset", choices=choices, help="pictures")
    argv = ["--output_dir", str(tmp_path)]
    assert cli.run(parser, body, script=str(tmp_path / "demo.py"), argv=argv) == 2
    assert capsys.readouterr().err.strip().endswith(advised)


def test_the_embedded_set_may_be_a_task(tmp_path, capsys):
    def body(args, run):
        raise MissingDataError("the data set sick is not here", ("pairs",))

    parser = cli.make_parser("Demo.", examples=["python demo.py"])
    parser.add_argument("--task", choices=["sick", "pairs"], help="sentences")
    argv = ["--output_dir", str(tmp_path)]
    assert cli.run(parser, body, script=str(tmp_path / "demo.py"), argv=argv) == 2
    assert capsys.readouterr().err.strip().endswith("or use the embedded set with `--task pairs`.")


def test_a_defect_of_ours_keeps_its_traceback(tmp_path):
    def defect(args, run):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_script(tmp_path, defect)()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (cli.positive_int, "1e3"),
        (cli.positive_int, "99999999999999999999"),
        (cli.positive_int, "9" * 400),
        (cli.int_from(2), "1"),
        (cli.int_from(2), "9" * 400),
        (cli.int_from(1, 1024), "1025"),
        (cli.thread_count, "999999999"),
        (cli.non_negative_int, "-1"),
        (cli.positive_float, "1e999"),
        (cli.positive_float, "1e300"),
        (cli.positive_float, "nan"),
        (cli.non_negative_float, "1e31"),
        (cli.fraction, "nan"),
        (cli.below_one, "1"),
        (cli.below_one, "-0.1"),
    ],
)
def test_absurd_numbers_are_refused_when_the_command_is_read(kind, text):
    with pytest.raises(argparse.ArgumentTypeError, match=text[:20]):
        kind(text)


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(2**52),
        lambda: torch.empty(2**40, 2**40),
        lambda: np.empty(2**52),
        lambda: np.empty((2**40, 2**40)),
        lambda: np.empty(2**70),
    ],
)
def test_too_little_memory_is_one_sentence(tmp_path, capsys, allocate):
    assert make_script(tmp_path, lambda args, run: allocate())() == 2
    message = capsys.readouterr().err
    assert "there is not enough memory" in message and len(message.strip().splitlines()) == 1


def test_a_batch_of_one_example_is_one_sentence(tmp_path, capsys):
    """As the last of an epoch, say."""
    layer = torch.nn.BatchNorm2d(3)
    main = make_script(tmp_path, lambda args, run: layer(torch.ones(1, 3, 1, 1)))
    assert main() == 2
    message = capsys.readouterr().err
    assert "use another --batch_size" in message and len(message.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_other_errors_of_the_same_kind_keep_their_traceback(tmp_path, kind):
    def defect(args, run):
        raise kind("shapes differ")

    with pytest.raises(kind, match="shapes differ"):
        make_script(tmp_path, defect)()


def test_unwritable_output_folder(tmp_path, capsys):
    (tmp_path / "outputs").write_text("a file where the folder should be", encoding="utf-8")
    assert make_script(tmp_path, lambda args, run: None)() == 2
    assert "cannot write to the folder" in capsys.readouterr().err


def test_a_quick_run_takes_one_thread_unless_told(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr("utils.device.set_threads", lambda count, **_: taken.append(count))
    script = make_script(tmp_path, lambda args, run: None)
    assert [script(*words) for words in ([], ["--quick"], ["--quick", "--threads", "2"])] == [0] * 3
    assert taken == [1, 2]


def test_quick_results_cannot_be_published(tmp_path, capsys):
    assert make_script(tmp_path, lambda args, run: None)("--quick", "--publish") == 2
    assert "too small to publish" in capsys.readouterr().err


def test_the_seed_decides_every_generator(tmp_path):
    draws = []

    def body(args, run):
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))

    main = make_script(tmp_path, body)
    for seed in ("7", "7", "8"):
        main("--seed", seed)
    assert draws[0] == draws[1] != draws[2]


def save_everything(args, run):
    run.log(step=1, loss=0.5)
    run.save_result("demo", {"x": 1}, {"main": table([("A", "甲", ".1f")], [[(1.0, 0.5)]])})
    state = {"w": torch.ones(2)}
    run.save_checkpoint(
        "demo.pth", state, architecture={}, dataset="none", metrics={"x": 1.0}, task="demo",
        folder="models",
    )  # fmt: skip
    run.finish({"x": 1}, next_command="python other.py")


def test_a_run_records_how_to_repeat_it(tmp_path, capsys):
    make_script(tmp_path, save_everything)("--epochs", "5", "--run_name", "a")
    record = read_json(run_folder(tmp_path) / "run.json")
    assert record["command"] == "python chapter_99_demo/demo.py --epochs 5"
    assert record["options"]["epochs"] == 5 and "output_dir" not in record["options"]
    assert record["environment"]["versions"]["torch"] == torch.__version__.split("+")[0]
    assert record["files"] == ["demo.json", "demo.pth"]
    shown = capsys.readouterr().out
    assert "try next: python other.py" in shown and "demo.pth" in shown
    assert not (tmp_path / "chapter_99_demo" / "results").exists()


def test_publish_also_writes_into_the_chapter(tmp_path):
    folder = tmp_path / "chapter_99_demo"
    make_script(tmp_path, save_everything)("--publish", "--run_name", "b")
    assert (folder / "models" / "demo.pth").is_file()
    text = (folder / "results" / "demo.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text and "--publish" not in text


def test_a_figure_of_others_pictures_is_not_published(tmp_path):
    from utils import plotting

    def draw(args, run):
        run.save_figure(plotting.subplots()[0], "ours")
        run.save_figure(plotting.subplots()[0], "theirs", publish=False)
        assert (run.folder / "theirs.png").is_file()

    assert make_script(tmp_path, draw)("--publish") == 0
    folder = tmp_path / "chapter_99_demo" / "results"
    assert [path.name for path in folder.iterdir()] == ["ours.png"]


def test_two_unnamed_runs_in_one_second_do_not_mix(tmp_path):
    main = make_script(tmp_path, save_everything)
    assert main() == main() == 0
    assert len(list((tmp_path / "outputs" / "chapter_99_demo").iterdir())) == 2


def test_table_refuses_a_row_of_the_wrong_length():
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        table([("A", "甲", "s")], [["x", "y"]])


def test_plain_progress_yields_everything_and_prints_lines(monkeypatch, capsys):
    monkeypatch.setattr("utils.progress.SECONDS_BETWEEN_LINES", 0.0)
    bar = cli.progress(range(3), "training")
    for _ in bar:
        bar.set_postfix(loss=0.5)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[-1].startswith("training: 3/3") and "loss=0.5" in lines[-1]


def test_over_seeds_gives_mean_and_deviation_of_the_numbers():
    first = {"seed": 1, "test": 90, "losses": [1, 2], "note": "a"}
    runs = [first, {"seed": 2, "test": 92.0, "losses": [3], "note": "b"}]
    assert over_seeds(runs) == {"test": (91.0, 1.0)}


@pytest.mark.parametrize(
    ("values", "mean"),
    [([1, float("nan")], "nan"), ([1, float("inf")], "inf"), ([float("inf"), -np.inf], "nan")],
)
def test_a_run_that_diverged_has_no_deviation(values, mean):
    """The rows of a network whose loss was no number are still reported."""
    assert [str(number) for number in mean_std(values)] == [mean, "nan"]
    assert str(over_seeds([{"loss": value} for value in values])["loss"][1]) == "nan"


def test_mean_and_deviation_by_name():
    assert named_mean_std(np.array([90, 92])) == {"mean": 91.0, "std": 1.0}
    assert named_mean_std([1.5], "loss") == {"loss_mean": 1.5, "loss_std": 0.0}


def test_cells_show_a_deviation_only_of_several_runs():
    runs = [{"val": 1.0, "test": 90.0}, {"val": 2.0, "test": 92.0}]
    assert cells(runs, ("test", "val")) == [(91.0, 1.0), (1.5, 0.5)]
    assert cells(runs[:1], ("val",)) == [1.0]


def test_an_option_of_a_resumed_run_is_recorded_as_it_was_given_last(tmp_path):
    main = make_script(tmp_path, lambda args, run: run.finish({"x": args.epochs}), resume=True)
    main("--epochs", "5", "--seed=3", "--run_name", "a")
    folder = run_folder(tmp_path)
    assert main("--resume", str(folder), "--epochs", "7") == 0
    record = read_json(folder / "run.json")
    assert record["metrics"] == {"x": 7}
    assert record["command"] == "python chapter_99_demo/demo.py --epochs 7 --seed=3"


def test_what_a_run_has_logged_is_not_done_again(tmp_path):
    calls = []

    def work():
        calls.append(1)
        return {"test": len(calls), "by_class": [1, 2]}

    run = Run(argparse.Namespace(), tmp_path / "demo.py", tmp_path, [])
    first = run.once(work, model="a", seed=1)
    assert first == {"model": "a", "seed": 1, "test": 1, "by_class": [1, 2]}
    resumed = Run(argparse.Namespace(), tmp_path / "demo.py", tmp_path, [])
    assert resumed.once(work, model="a", seed=1) == first
    assert resumed.once(work, model="a", seed=2)["test"] == 2
    assert resumed.once(work, model="a", seed=2, width=8)["test"] == 3, "a fact the line lacks"
    assert len(calls) == 3


def test_a_resumed_run_does_the_work_of_a_torn_line_again(tmp_path):
    run = Run(argparse.Namespace(), tmp_path / "demo.py", tmp_path, [])
    for seed in (1, 2):
        run.once(lambda: {"test": 90}, model="a", seed=seed)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-5])  # killed in the middle of the second line
    for _ in range(2):
        assert run.once(lambda: {"test": 91}, model="a", seed=1)["test"] == 90
        assert run.once(lambda: {"test": 92}, model="a", seed=2)["test"] == 92
    assert [row["test"] for row in run.logged()] == [90, 92]


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    """Even when none of them can see the others' folders before it makes its own."""
    monkeypatch.setattr("utils.run.time.strftime", lambda form: "20300101-000000")
    monkeypatch.setattr(Path, "exists", lambda self, **options: False)
    args = argparse.Namespace(run_name=None, output_dir=str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        starts = [pool.submit(Run.start, args, str(tmp_path / "demo.py"), []) for _ in range(8)]
        folders = {start.result().folder for start in starts}
    assert len(folders) == 8
    assert all((folder / "run.json").is_file() for folder in folders)


def test_a_script_in_src_belongs_to_its_chapter(tmp_path):
    script = tmp_path / "chapter_99_demo" / "src" / "demo.py"
    assert chapter_folder(script) == tmp_path / "chapter_99_demo"
    assert chapter_folder(tmp_path / "tools" / "demo.py") == tmp_path / "tools"
    run = Run(argparse.Namespace(), script, tmp_path, [])
    assert run.script_path == "chapter_99_demo/src/demo.py"
