"""The changelog of a release is what its fragments say, beneath what was written by hand before there were any."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import airflow_provider_qwenimage as package
from docs.changelog import ChangelogError, main

ROOT = Path(__file__).parent.parent
BY_HAND = """# Changelog

## 0.2.0 (unreleased)

### What you can do

- Draw.

### What is mended

- The first one.

## 0.1.0

### What you can do

- Begin.
"""
RELEASED = """# Changelog

## 0.2.0

### What you can do

- Draw.
- Edit, in
  two lines. ([#7](https://github.com/airflow-provider-qwenimage/airflow-provider-qwenimage/issues/7))

### What is mended

- The first one.
- Another one.

### What changes

- Less.

### Deprecated

- `old`: `new` takes its place.

## 0.1.0

### What you can do

- Begin.
"""
FRAGMENTS = {
    "7.new.md": "Edit, in\ntwo lines.\n",
    "+another.mended.md": "Another one.\n",
    "+less.changed.md": "Less.\n",
    "+old.deprecated.md": "`old`: `new` takes its place.\n",
}


@pytest.fixture
def repository(tmp_path):
    """A repository with the project's settings, this changelog and the fragments of a release."""
    changes = tmp_path / "docs" / "changes"
    changes.mkdir(parents=True)
    for name in ("pyproject.toml", "docs/changes/README.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name, text in FRAGMENTS.items():
        (changes / name).write_text(text, encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(BY_HAND, encoding="utf-8")
    return tmp_path


def changelog(repository):
    return (repository / "CHANGELOG.md").read_text(encoding="utf-8")


def left(repository):
    return {each.name for each in (repository / "docs" / "changes").iterdir()}


def test_a_release_says_what_its_fragments_say_and_takes_them_away(repository):
    main(repository, write=True)
    assert changelog(repository) == RELEASED
    assert left(repository) == {"README.md"}


def test_a_draft_changes_nothing(repository):
    drafted = main(repository, write=False)
    assert drafted.startswith("## 0.2.0\n\n### What you can do\n\n- Edit, in\n")
    assert changelog(repository) == BY_HAND
    assert left(repository) == {"README.md", *FRAGMENTS}


def test_the_release_after_it_gets_a_section_of_its_own(repository, monkeypatch):
    main(repository, write=True)
    (repository / "docs" / "changes" / "8.mended.md").write_text("A third one.", encoding="utf-8")
    monkeypatch.setattr("docs.changelog.__version__", "0.2.1")
    main(repository, write=True)
    _, newest = RELEASED.split("# Changelog\n\n")
    told = changelog(repository)
    assert told.startswith("# Changelog\n\n## 0.2.1\n\n### What is mended\n\n- A third one. ([#8](")
    assert told.endswith(f"\n\n{newest}")


def test_nothing_is_added_to_a_version_that_is_out(repository, monkeypatch):
    main(repository, write=True)
    monkeypatch.setattr("docs.changelog.__version__", "0.2.0")
    with pytest.raises(ChangelogError, match=r"0\.2\.0 stands in CHANGELOG\.md"):
        main(repository, write=True)
    assert changelog(repository) == RELEASED


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("7.feature.md", "Edit.", "7.feature.md"),
        ("edit.new.md", "Edit.", "'edit' does not match"),
        ("7.md", "Edit.", "7.md"),
        ("7.new.rst", "Edit.", "7.new.rst: a fragment's name ends in .md"),
        ("8.new.md", " \n", "8.new.md: says nothing"),
    ],
)
def test_a_fragment_with_another_name_or_without_a_text_is_refused(repository, name, text, told):
    (repository / "docs" / "changes" / name).write_text(text, encoding="utf-8")
    with pytest.raises(ChangelogError, match=told.replace(".", r"\.")):
        main(repository, write=True)
    assert changelog(repository) == BY_HAND
    assert left(repository) == {"README.md", *FRAGMENTS, name}


def test_what_lies_here_can_be_released():
    drafted = main(ROOT, write=False)
    assert drafted.startswith("## ")
    assert package.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
