"""What a script needs is looked for, and said in one line where it is missing."""

from course import needs


def test_a_package_of_weights_is_looked_for_and_not_imported(monkeypatch):
    monkeypatch.setattr(needs, "WEIGHTS", ("json", "no_such_package"))
    assert needs.lack_of("json") == "" and needs.folder_of("json").name == "json"
    assert needs.lack_of("no_such_package") == "needs the package no_such_package: make weights"


def test_a_folder_of_data_is_needed_by_its_name(tmp_path):
    (tmp_path / "some_data").mkdir()
    assert needs.lack_of("some_data", str(tmp_path)) == ""
    assert "other_data" in needs.lack_of("other_data", str(tmp_path))
    assert needs.lack_of("embedded", str(tmp_path)) == ""


def test_of_several_things_the_first_that_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(needs, "WEIGHTS", ("json", "no_such_package"))
    (tmp_path / "some_data").mkdir()
    assert needs.lack_of("some_data json", str(tmp_path)) == ""
    assert "no_such_package" in needs.lack_of("some_data no_such_package", str(tmp_path))
