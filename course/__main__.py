"""The course runner.

    python -m course doctor            is this machine ready?
    python -m course list              chapters, scripts, minutes
    python -m course tour              run every chapter's quick scripts, a report with pictures
    python -m course check 1           grade your exercises of chapter 1 (--lang zh: in Chinese)
    python -m course verify            measure the shipped weights again
    python -m course sync              regenerate tables, numbers and code in READMEs and pages

The same as the command `dl-course`. Exit codes: 0 all well; 1 something failed or is unsolved;
2 wrong use; 130 Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from course.manifest import ROOT, load_chapters
from utils.errors import UserError
from utils.terminal import guarded, path


def build_parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m course", description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, action, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(action=action)
        return command

    data_help = "folder of the data sets (default: $DL_COURSE_DATA, else data/)"
    doctor = add("doctor", run_doctor, "is this machine ready for the course?")
    add("list", run_list, "chapters, scripts and minutes")
    tour = add("tour", run_tour, "run the quick scripts and write one report")
    tour.add_argument("--chapters", type=int, nargs="+", metavar="N", help="only these")
    tour.add_argument("--output_dir", type=path, default="outputs/tour", help="%(default)s")
    check = add("check", run_check, "grade the exercises of a chapter")
    check.add_argument("number", type=int, metavar="N", help="the chapter's number")
    check.add_argument("names", nargs="*", metavar="NAME", help="only these exercises")
    which = check.add_mutually_exclusive_group()
    which.add_argument("--file", type=path, help="grade this file instead of exercises.py")
    which.add_argument("--solutions", action="store_true", help="grade the shipped solutions")
    which.add_argument("--text", action="store_true", help="show tasks and hints, grade nothing")
    languages = {"choices": ("en", "zh"), "default": "en"}
    check.add_argument("--lang", **languages, help="language of messages and texts (%(default)s)")
    limit = "time limit of an exercise (%(default)g s)"
    check.add_argument("--seconds", type=float, default=60.0, metavar="S", help=limit)
    verify = add("verify", run_verify, "measure the shipped weights again")
    verify.add_argument("number", type=int, nargs="?", metavar="N", help="only this chapter")
    sync = add("sync", run_sync, "regenerate the marked blocks in READMEs and pages")
    sync.add_argument("--check", action="store_true", help="write nothing; exit 1 if any is stale")
    for command in (doctor, tour, verify):
        command.add_argument("--data_dir", type=path, help=data_help)
    return parser


def run_doctor(args: argparse.Namespace, root: Path) -> int:
    from course.doctor import examine

    findings = examine(root, args.data_dir)
    print_table(["", "What", "Found"], [[f.state, f.item, f.found] for f in findings])
    for state, title in (("MISSING", "To mend:"), ("optional", "If you want it:")):
        mends = list(dict.fromkeys(f.mend for f in findings if f.state == state))
        if mends:
            print("\n" + "\n  ".join([title, *mends]))
    return int(any(f.state == "MISSING" for f in findings))


def run_list(args: argparse.Namespace, root: Path) -> int:
    for chapter in load_chapters(root):
        print(f"\n{chapter.number}. {chapter.title} · {chapter.title_zh} ({chapter.hours:g} h)")
        rows = [[s.command, f"{s.minutes:g} min", s.shows] for s in chapter.scripts]
        print_table(["Command", "Time", "Shows"], rows)
    return 0


def run_tour(args: argparse.Namespace, root: Path) -> int:
    from course.tour import tour

    report, stops = tour(root, args.chapters, Path(args.output_dir), args.data_dir)
    failed = [stop.command for stop in stops if stop.error]
    print("\n".join(["", *(f"failed: {command}" for command in failed), f"Report: {report}"]))
    return int(bool(failed))


def run_check(args: argparse.Namespace, root: Path) -> int:
    from course.check import check, report, where_to_read
    from course.chinese import chinese_of
    from course.texts import texts

    chinese = chinese_of(args.number, root) if args.lang == "zh" else None
    try:
        if args.text:
            print(texts(args.number, args.names, args.lang, root))
            return 0
        file = Path(args.file) if args.file else None
        grades = check(args.number, file, args.solutions, root, args.seconds, args.names)
    except UserError as error:
        raise UserError(chinese.say(str(error)) if chinese else str(error)) from None
    source = str(args.file or ("solutions.py" if args.solutions else "exercises.py"))
    print(report(grades, source, chinese))
    unsolved = any(grade.state != "solved" for grade in grades)
    if unsolved:
        print(where_to_read(args.number, chinese))
    return int(unsolved)


def run_verify(args: argparse.Namespace, root: Path) -> int:
    from course.verify import verify

    verdicts = verify(root, [args.number] if args.number is not None else None, args.data_dir)
    print_table(["", "Checkpoint", "Result"], [[v.state, v.file, v.message] for v in verdicts])
    return int(any(verdict.state in ("mismatch", "broken") for verdict in verdicts))


def run_sync(args: argparse.Namespace, root: Path) -> int:
    from course.roadmap import MAP
    from course.roadmap import write as write_map
    from course.sync import long_pages, sync

    stale = sync(root, args.check)
    if not args.check and (root / MAP).exists():
        write_map(root)
    for line in stale:
        print(f"{'stale' if args.check else 'written'}: {line}")
    if not stale:
        print("All blocks are up to date.")
    elif args.check:
        print("Mend with: python -m course sync")
    for line in long_pages(root):
        print(f"too long: {line} (generated tables not counted)")
    return int(args.check and bool(stale))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their longest cell; the last one is left as it is."""
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header) - 1)]
    for row in [header, ["-" * len(title) for title in header], *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]).rstrip())


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    return guarded(lambda: _main(argv, root))


def _main(argv: Sequence[str] | None, root: Path) -> int:
    parser = build_parser()
    args, extra = parser.parse_known_args(argv)
    if extra and (not hasattr(args, "names") or any(word.startswith("-") for word in extra)):
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    elif extra:  # argparse leaves names over that stand behind an option
        args.names += extra
    try:
        return args.action(args, root)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped by Ctrl-C", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
