"""A table with a row for each image."""

from pathlib import Path

import pytest
from layouts import photo, save

from cbam_lite import csv_file


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for name in ("b/2.png", "a/1.png", "a/3.TIF"):
        save(tmp_path / "images" / name, photo())
    return tmp_path / "images/table.csv"


@pytest.mark.parametrize("parted", [",", ";", "\t", ", "])
def test_rows_keep_their_order_whatever_parts_them(parted: str, table: Path) -> None:
    rows = [("path", "label", "group"), ("b/2.png", "good", "x"), ("a\\1.png", "bad", "y"), ("a/3.TIF", "good", "x")]
    table.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(parted.join, rows)).encode())
    data = csv_file(table, 8)
    assert data.paths == ("b/2.png", "a/1.png", "a/3.TIF")
    assert data.classes == ("bad", "good")
    assert data.labels.tolist() == [1, 0, 1]
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1, 0]
    by_folder = csv_file(table, 8, classes=["good", "bad"], groups=lambda path: path.parent)
    assert by_folder.labels.tolist() == [0, 1, 0]
    assert by_folder.groups.tolist() == [0, 1, 1]  # type: ignore[union-attr]


def test_columns_and_the_folder_can_be_named(table: Path) -> None:
    other = table.parents[1] / "other.csv"
    other.write_text("file,kind\nb/2.png,good\n")
    data = csv_file(other, 8, folder=table.parent, path="file", label="kind")
    assert (data.paths, data.groups) == (("b/2.png",), None)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("file,label\nb/2.png,good", ValueError, r"has the columns \['file', 'label'\], but not 'path': name yours"),
        ("path,label\n", ValueError, "has no row below"),
        ("path,label\nb/2.png,good\na/1.png,", ValueError, "line 3: no 'label': fill it in"),
        ("path,label\nb/2.png,good\na/1.png", ValueError, "line 3: no 'label'"),
        ("path,label\nb/9.png,good", FileNotFoundError, r"line 2: .*9.png is not there: paths are relative to"),
        ("path,label\nb/2.png,good\nb/2.png,bad", ValueError, r"names 1 path more than once: b/2.png; leave one row"),
    ],
)
def test_tables_that_are_wrong(text: str, error: type[Exception], said: str, table: Path) -> None:
    table.write_text(text)
    with pytest.raises(error, match=said):
        csv_file(table, 8)


def test_a_table_that_is_none(table: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"table.csv is not a file: give a table with the columns path and label"
    ):
        csv_file(table, 8)
    table.write_bytes("path,label\nb/2.png,schön".encode("utf-16"))
    with pytest.raises(ValueError, match="is no text in UTF-8: save it as CSV UTF-8"):
        csv_file(table, 8)
