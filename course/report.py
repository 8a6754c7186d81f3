"""The report of the tour: one HTML file with all pictures inside, readable anywhere."""

import platform
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from course.compared import comparison
from course.manifest import Chapter
from course.stop import Stop

NUMBERS = 'numbers of the quick run · <span lang="zh">快速运行的数值</span>'
STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #5a6374; --page: #f7f8fa; --card: #fff;
  --line: #dde1e8; --accent: #0072b2; --bad: #b3261e; --code: #eef1f5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa4b5; --page: #14171d;
  --card: #1d222b; --line: #323a47; --accent: #56b4e9; --bad: #ff8a80; --code: #262d38; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", "Noto Sans CJK SC", "PingFang SC", sans-serif; }
main { max-width: 84rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; } h2 { margin: 3rem 0 .25rem; font-size: 1.35rem; }
h3 { margin: 0; font-size: 1.05rem; overflow-wrap: anywhere; } p { margin: .4rem 0; }
.soft { color: var(--soft); } a { color: var(--accent); }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1rem 1.25rem; margin: 1rem 0; }
article.failed { border-color: var(--bad); } .failed .state, .failed .mark { color: var(--bad); }
.state { float: right; margin-left: 1rem; color: var(--soft); font-size: .9rem; }
pre { background: var(--code); border-radius: 6px; padding: .55rem .8rem; overflow-x: auto;
  font-size: .85rem; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; margin: .6rem 0; }
.scroll { overflow-x: auto; } .mark { white-space: nowrap; }
.overview { width: 100%; } .overview td, .overview th { vertical-align: top; }
.overview td:nth-child(2) { overflow-wrap: anywhere; min-width: 9rem; max-width: 26rem; }
@media (max-width: 45rem) { .overview :is(td, th):nth-child(3) { display: none; } }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .9rem .25rem 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { overflow-wrap: anywhere; }
.pair { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: .75rem 0; }
.pair figure { margin: 0; flex: 1 1 20rem; min-width: 0; max-width: 48rem; }
.pair .table { flex: 1 1 auto; min-width: min(100%, 50% - .75rem); max-width: 100%; }
details { margin: .6rem 0; } summary { cursor: pointer; }
img { max-width: 100%; background: #fff; border-radius: 6px; border: 1px solid var(--line); }
figcaption { font-size: .8rem; color: var(--soft); }
"""


def write_report(chapters: Sequence[Chapter], stops: Sequence[Stop], path: Path) -> Path:
    """Write the page; returns its path."""
    failed = sum(bool(stop.error) for stop in stops)
    skipped = sum(bool(stop.skipped) for stop in stops)
    counts = f"{len(stops) - failed - skipped} scripts ran"
    counts += f", {failed} failed" * bool(failed) + f", {skipped} skipped" * bool(skipped)
    seconds = sum(stop.seconds for stop in stops)
    when = f"{datetime.now():%Y-%m-%d %H:%M}"
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    sections = [_chapter(c, [stop for stop in stops if stop.chapter is c]) for c in chapters]
    path.write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Tour of the course</title>\n<style>{STYLE}</style>\n</head>\n<body><main>\n"
        '<h1>Tour of the course · <span lang="zh">课程巡览</span></h1>\n'
        f'<p class="soft">{counts} in {seconds:.0f} s, {when}, {machine}. With <code>--quick</code>'
        " an experiment is small, and may take other data or a ready-made network: it shows the "
        "direction. The published run beside it took minutes, and gives the chapter its numbers."
        "</p>\n"
        f"{_overview(stops)}\n{''.join(sections)}</main></body>\n</html>\n",
        encoding="utf-8",
    )
    return path


def _overview(stops: Sequence[Stop]) -> str:
    rows = [
        f"<tr{_failed(stop)}><td>{stop.chapter.number}</td>"
        f'<td><a href="#{_anchor(stop, stops)}">{escape(_title(stop))}</a></td>'
        f'<td>{escape(stop.script.shows)}</td><td class="number mark">{stop.outcome}</td></tr>'
        for stop in stops
    ]
    head = "<tr><th>Chapter</th><th>Script</th><th>Shows</th><th></th></tr>"
    return f'<div class="scroll"><table class="overview">{head}{"".join(rows)}</table></div>'


def _chapter(chapter: Chapter, stops: Sequence[Stop]) -> str:
    cards = "".join(_card(stop, _anchor(stop, stops)) for stop in stops)
    return (
        f"<section><h2>{chapter.number}. {escape(chapter.title)} · "
        f'<span lang="zh">{escape(chapter.title_zh)}</span></h2>\n'
        f'<p>{escape(chapter.summary)}</p><p class="soft" lang="zh">{escape(chapter.summary_zh)}'
        f"</p>\n{cards}</section>\n"
    )


def _card(stop: Stop, anchor: str) -> str:
    body = f"<pre>{escape(stop.command)}</pre>"
    if stop.error:
        body += f"<pre>{escape(stop.error)}</pre>"
    if stop.skipped:
        body += f"<p>Skipped: {escape(stop.skipped)}</p>"
    rows = "".join(_metric(name, value) for name, value in _flat(stop.metrics))
    if rows:
        body += f'<details><summary>{NUMBERS}</summary><div class="scroll"><table>{rows}</table>'
        body += "</div></details>"
    body += comparison(stop)
    return (
        f'<article id="{anchor}"{_failed(stop)}>'
        f'<span class="state">{stop.outcome}</span><h3>{escape(_title(stop))}</h3>'
        f'<p>{escape(stop.script.shows)}</p><p class="soft" lang="zh">'
        f"{escape(stop.script.shows_zh)}</p>{body}</article>\n"
    )


def _flat(metrics: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Nested metrics as (dotted name, value)."""
    if not isinstance(metrics, dict):
        return [(prefix, metrics)]
    return [
        pair
        for key, value in metrics.items()
        for pair in _flat(value, f"{prefix}.{key}" if prefix else str(key))
    ]


def _metric(name: str, value: Any) -> str:
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"<tr><td>{escape(name)}</td><td class=number>{escape(shown)}</td></tr>"


def _title(stop: Stop) -> str:
    return f"{stop.script.file} {stop.script.args}".strip()


def _anchor(stop: Stop, stops: Sequence[Stop]) -> str:
    same = [other for other in stops if other.chapter is stop.chapter]
    return f"chapter-{stop.chapter.number}-{same.index(stop) + 1}"


def _failed(stop: Stop) -> str:
    return " class=failed" if stop.error else ""
