"""Which bags the words of a command line mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnn_perception.errors import BagError
from cnn_perception.replay.fleet.find_bags import find_bags, is_pattern


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two bags, one that its recorder did not finish, one file, and what is none."""
    monkeypatch.chdir(tmp_path)
    for name in ("b", "a", "unfinished", "notes"):
        (tmp_path / "bags" / name).mkdir(parents=True)
    for name in ("a", "b", "unfinished"):
        (tmp_path / "bags" / name / f"{name}.mcap").touch()
    for name in ("a", "b"):
        (tmp_path / "bags" / name / "metadata.yaml").touch()
    (tmp_path / "bags" / "single.mcap").touch()
    (tmp_path / "bags" / "README.md").touch()
    return tmp_path / "bags"


@pytest.mark.parametrize("pattern", ["bags/*", "ba*/*"])
def test_a_pattern_finds_recordings_damaged_ones_too(folder: Path, pattern: str) -> None:
    assert [str(bag) for bag in find_bags([pattern])] == [
        "bags/a",
        "bags/b",
        "bags/single.mcap",
        "bags/unfinished",
    ]


def test_a_pattern_of_all_depths_finds_every_recording_once(folder: Path) -> None:
    assert [str(bag) for bag in find_bags(["bags/**"])] == [
        "bags/a",
        "bags/b",
        "bags/single.mcap",
        "bags/unfinished/unfinished.mcap",
    ]


def test_words_are_joined_and_a_bag_given_twice_is_one(folder: Path) -> None:
    words = ["bags/b", str(folder / "a"), "bags/[ab]"]
    assert [bag.resolve() for bag in find_bags(words)] == [folder / "a", folder / "b"]


def test_a_path_with_letters_of_a_pattern_is_a_path(folder: Path) -> None:
    named = folder / "run[1]"
    (folder / "a").rename(named)
    assert not is_pattern(str(named))
    assert find_bags([str(named)]) == (named,)


def test_paths_are_taken_as_they_are(folder: Path) -> None:
    assert find_bags(["bags/absent", "bags/a/a.mcap"]) == (
        Path("bags/a/a.mcap"),
        Path("bags/absent"),
    )


def test_a_folder_of_bags_is_refused_with_the_pattern_to_give(folder: Path) -> None:
    with pytest.raises(BagError, match=r"bags is no bag but holds 4, a first: give 'bags/\*'$"):
        find_bags(["bags"])


def test_a_folder_of_files_is_refused_too(folder: Path) -> None:
    (folder / "notes" / "1.db3").touch()
    (folder / "notes" / "2.db3").touch()
    with pytest.raises(BagError, match=r"give 'bags/notes/\*\.db3'$"):
        find_bags(["bags/notes"])


def test_a_folder_with_one_file_is_left_to_the_reader_that_says_how_to_repair_it(
    folder: Path,
) -> None:
    assert find_bags(["bags/unfinished"]) == (Path("bags/unfinished"),)


def test_a_pattern_without_bags_is_an_error(folder: Path) -> None:
    with pytest.raises(BagError, match=r"no bag matches 'bags/\*\.md' \(1 other"):
        find_bags(["bags/*.md"])
