"""A table that names a file and its class in each row."""

import csv
from collections.abc import Sequence
from pathlib import Path

from cbam_lite.checks import a_path
from cbam_lite.photographs.finding import count, some
from cbam_lite.photographs.loading import Groups, Photograph, loaded, side
from cbam_lite.photographs.reading import existing
from cbam_lite.training.images import LabelledImages


def csv_file(
    file: str | Path,
    size: int,
    *,
    folder: str | Path | None = None,
    path: str = "path",
    label: str = "label",
    group: str = "group",
    classes: Sequence[str] | None = None,
    groups: Groups = None,
    bits: int | None = None,
) -> LabelledImages:
    """A CSV file with a row for each image: its path, its class, and which thing it shows where that is known.

    The first row names the columns; comma, semicolon and tabulator part them. Images stand in the order of the rows.

    Args:
        file: the table, in UTF-8.
        size: images are resized to size x size.
        folder: what the paths are relative to. None takes the folder of the table.
        path, label, group: the names of the columns. The column of groups may be missing.
        classes: see `image_folder`.
        groups: see `image_folder`. None takes the column of groups, where there is one.
        bits: see `image_folder`.

    Raises:
        FileNotFoundError: the table is not there, or an image that it names.
        ValueError: a column is missing, a row has no path or label, or names a path for the second time.
        TypeError: an argument is of another kind.

    Example:
        >>> data = csv_file("labels.csv", size=64)  # path,label,group in the first row
        >>> data.classes, data.paths
        (('crack', 'good'), ('photographs/crack/1.png', 'photographs/good/1.png'))
    """
    side(size)
    table = existing_file(file, "a table with the columns path and label")
    root = table.parent if folder is None else existing(folder, "the files that the table names")
    rows = read_rows(table, (path, label))
    photographs = [row_of(table, root, number, row, path, label) for number, row in rows]
    names = [photograph.name for photograph in photographs]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(
            f"{table} names {count(len(twice), 'path')} more than once: {some(twice)}; leave one row for each"
        )
    if groups is None and group in rows[0][1]:
        groups = [row[group] for _, row in rows]
    return loaded(photographs, side(size), classes=classes, groups=groups, bits=bits)


def existing_file(file: str | Path, what: str) -> Path:
    """The file as a path, ``~`` replaced by the home folder, or an error that says what it should be."""
    found = a_path("file", file)
    if not found.is_file():
        raise FileNotFoundError(f"{found} is not a file: give {what}")
    return found


def read_rows(table: Path, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows by the names of the columns, each with the number of its line."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{table} is no text in UTF-8: save it as CSV UTF-8 ({error})") from error
    head = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=head.count), skipinitialspace=True)
    names = reader.fieldnames or []
    for name in needed:
        if name not in names:
            raise ValueError(
                f"{table} has the columns {list(names)}, but not {name!r}: name yours, e.g. {needed[0]}='file'"
            )
    rows = [(reader.line_num, row) for row in reader]
    if not rows:
        raise ValueError(f"{table} has no row below the names of its columns: give one for each image")
    return rows


def row_of(table: Path, root: Path, number: int, row: dict[str, str], path: str, label: str) -> Photograph:
    """The photograph of a row, whose path may be written with backslashes."""
    name, kind = ((row[column] or "").strip() for column in (path, label))
    for column, value in ((path, name), (label, kind)):
        if not value:
            raise ValueError(f"{table}, line {number}: no {column!r}: fill it in, or take the row away")
    name = name.replace("\\", "/")
    if not (root / name).is_file():
        raise FileNotFoundError(f"{table}, line {number}: {root / name} is not there: paths are relative to {root}")
    return Photograph(root / name, name, kind)
