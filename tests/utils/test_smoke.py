"""A run too short to learn shows its numbers beside the published ones."""

from utils.results import SMOKE, smoke_report, table

COLUMNS = [("Network", "网络", ""), ("Test accuracy (%)", "测试准确率（%）", ".1f")]


def test_each_number_stands_beside_the_published_one():
    ours = {"main": table(COLUMNS, [["plain", 10.0], ["new", 9.0]])}
    theirs = {"main": table(COLUMNS, [["plain", (93.25, 0.5)], ["other", 50.0]])}
    lines = smoke_report(ours, theirs).splitlines()
    assert lines == [f"{SMOKE}; this run | published", "  plain: Test accuracy (%) 10 | 93.25"]


def test_the_only_rows_are_a_pair_whatever_they_are_called():
    ours, theirs = ({"main": table(COLUMNS, [[name, 10.0]])} for name in ("narrow", "wide"))
    assert smoke_report(ours, theirs).splitlines()[1:] == ["  narrow: Network narrow | wide"]


def test_without_a_published_result_it_says_so():
    said = smoke_report({"main": table(COLUMNS, [["plain", 10.0]])}, None)
    assert said == f"{SMOKE}; nothing is published under the name of this run"
