from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netsurgery.errors import FormatError
from netsurgery.formats.labels import Labels, read_labels

SYNSETS = Labels(
    "synsets.txt",
    (
        "n02012849 crane",
        "n02123045 tabby, tabby cat",
        "n02123159 tiger cat",
        "n03126707 crane",
    ),
)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "labels.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("n02123045 tabby, tabby cat", 1),
        ("N02123045", 1),
        ("Tabby", 1),
        (" tabby cat ", 1),
        ("TIGER CAT", 2),
        ("n03126707 crane", 3),
        ("n03126707", 3),
    ],
)
def test_find_by_line_id_or_name(text: str, number: int) -> None:
    assert SYNSETS.find(text) == number


def test_several_matches_are_listed() -> None:
    with pytest.raises(FormatError) as error:
        SYNSETS.find("crane")
    assert str(error.value) == (
        "synsets.txt: 2 labels match 'crane': 0 n02012849 crane; 3 n03126707 crane; "
        "give the class's number or its whole line"
    )


EXPECTED = "expected a whole line, its id, or one of its names"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("cat", EXPECTED),
        ("", EXPECTED),
        ("tab", "did you mean tabby?"),
        ("tabby,", "did you mean tabby?"),
    ],
)
def test_part_of_a_name_is_no_match(text: str, hint: str) -> None:
    with pytest.raises(FormatError) as error:
        SYNSETS.find(text)
    assert str(error.value) == f"synsets.txt: no label {text!r}; {hint}"


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_what_may_be_meant_is_spelt_and_ordered_as_in_the_file(seed: str) -> None:
    labels = Labels("l", ("n1 Kit fox, Kit Fix", "n2 KIT fax, Straße"))
    code = f"from netsurgery.formats.labels import Labels\n{labels!r}.find('kit fex')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
    )
    assert done.stderr.endswith(
        ": l: no label 'kit fex'; did you mean Kit fox, Kit Fix or KIT fax?\n"
    )
    assert labels.find("STRASSE") == labels.find("straße") == 1


def test_lines_without_ids() -> None:
    """ "kit" is not an id: not every line begins with one."""
    labels = Labels("l", ("kit fox, Vulpes macrotis", "7 up"))
    assert labels.find("kit fox") == 0
    assert labels.find("7 up") == 1
    for text in ("kit", "7"):
        with pytest.raises(FormatError, match="no label"):
            labels.find(text)


def test_digits_have_no_names_behind_their_numbers() -> None:
    labels = Labels("l", ("0", "1", "background"))
    assert labels.find("1") == 1
    assert labels.find("Background") == 2


def test_check_names_both_numbers() -> None:
    SYNSETS.check(4, "prob")
    with pytest.raises(FormatError) as error:
        SYNSETS.check(1000, "prob")
    assert str(error.value) == "synsets.txt: 4 labels, but blob 'prob' has 1000 classes"
    with pytest.raises(FormatError, match=r"4 labels, but blob 'grey' has 1 class$"):
        SYNSETS.check(1, "grey")


@pytest.mark.parametrize(
    "content", [b"a\nb\n", b"a\r\nb\r\n\r\n", b"\xef\xbb\xbfa\nb", b" a \n\tb\n\n\n"]
)
def test_line_ends_and_a_byte_order_mark(tmp_path: Path, content: bytes) -> None:
    assert read_labels(write(tmp_path, content)).lines == ("a", "b")


def test_a_line_is_not_split_at_odd_separators(tmp_path: Path) -> None:
    """Only line ends part lines, not the other characters str.splitlines takes."""
    lines = read_labels(write(tmp_path, "a\x0cb\u2028c\nd\n".encode())).lines
    assert lines == ("a\x0cb\u2028c", "d")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ": is empty, expected one label a line"),
        (b"\n \n", ": is empty, expected one label a line"),
        (b"a\n\nb\n", ":2: an empty line, expected a label"),
        (b"a\nb\xff\n", ":2: not UTF-8 text, expected one label a line"),
        (b"a\0b\n", ": not text, expected one label a line"),
    ],
)
def test_what_is_no_label_file(tmp_path: Path, content: bytes, said: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(FormatError) as error:
        read_labels(path)
    assert str(error.value) == f"{path}{said}"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as error:
        read_labels(tmp_path / "none.txt")
    assert str(error.value) == f"{tmp_path / 'none.txt'}: No such file or directory"


def test_bvlcs_synset_words(shared_data: Path) -> None:
    labels = read_labels(shared_data / "bvlc" / "synset_words.txt")
    assert len(labels) == 1000
    assert labels.find("tabby") == 281
    assert labels.find("n02123159") == 282
    assert labels[281] == "n02123045 tabby, tabby cat"
    assert labels.short(281) == "tabby"
