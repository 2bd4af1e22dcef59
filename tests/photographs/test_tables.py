"""A table with a row for each image."""

from pathlib import Path

import numpy as np
import pytest
from layouts import photo, save
from PIL import Image

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


def test_the_first_row_says_what_parts_all_rows(table: Path) -> None:
    save(table.parent / "a,b,c.png", photo())
    table.write_text("path;label\na,b,c.png;good,better,best\n")
    data = csv_file(table, 8)
    assert (data.paths, data.classes) == (("a,b,c.png",), ("good,better,best",))


def test_empty_lines_are_no_rows_and_lines_are_counted_from_the_top(table: Path) -> None:
    table.write_text("path,label\n\nb/2.png,good\n,bad\n")
    with pytest.raises(ValueError, match="line 4: no 'path': fill it in, or take the row away"):
        csv_file(table, 8)


def test_paths_that_are_named_twice_are_counted_and_the_columns_may_have_other_names(table: Path) -> None:
    rows = "".join(f"{name},good,1\n" for name in ("b/2.png", "a/1.png") * 2)
    table.write_text("file,kind,part\n" + rows)
    with pytest.raises(ValueError, match=r"names 2 paths more than once: b/2.png, a/1.png; leave one row for each"):
        csv_file(table, 8, path="file", label="kind")
    with pytest.raises(ValueError, match=r"but not 'file_name': name yours, e.g. file_name='file'"):
        csv_file(table, 8, path="file_name", label="kind")
    table.write_text("file,kind,part\nb/2.png,good,1\na/1.png,good,1\n")
    data = csv_file(table, 8, path="file", label="kind", group="part")
    assert data.groups is not None
    assert data.groups.tolist() == [0, 0]
    assert csv_file(table, 8, path="file", label="kind").groups is None


def test_bits_reach_the_photographs_of_a_table(table: Path) -> None:
    Image.fromarray(np.full((8, 8), 1000, np.uint16)).save(table.parent / "b/2.png")
    table.write_text("path,label\nb/2.png,good\n")
    assert csv_file(table, 8, bits=12).images.unique().tolist() == [62]
