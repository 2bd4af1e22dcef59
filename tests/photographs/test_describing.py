"""What `describe` says of a data set, and of train and test together."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib import pyplot as plt

from cbam_lite import LabelledImages, describe, make_defects
from cbam_lite.photographs import describing


def noise(n: int, seed: int = 0) -> torch.Tensor:
    """Images (n, 3, 16, 16) that are not like one another."""
    g = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, 1, 16, 16), generator=g, dtype=torch.uint8).expand(-1, 3, -1, -1).contiguous()


def odd() -> LabelledImages:
    """Twelve images: 0 white, 1 black, 2 grey, 3 like 4, mask 5 empty and mask 6 full; class "c" is missing."""
    images = noise(12)
    images[0], images[1], images[2] = 255, 0, 77
    images[4] = (images[3] * 0.5 + 20).byte()
    masks = torch.zeros(12, 16, 16, dtype=torch.bool)
    masks[5:, 4:8, 4:8] = True
    masks[5] = False
    masks[6] = True
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
    return LabelledImages(images, labels, ("a", "b", "c"), masks, torch.arange(12) // 2)


def test_everything_is_counted() -> None:
    data = odd()
    found = describe(data)
    assert (found.images, found.size, found.counts) == (12, (16, 16), {"a": 4, "b": 8, "c": 0})
    assert (found.groups, found.largest_group) == (6, 2)
    assert (found.white, found.black, found.flat) == ((0,), (1,), (2,))
    assert (found.empty, found.full) == ((0, 1, 2, 3, 4, 5), (6,))
    assert found.masked == {"b": pytest.approx((1 + 5 * 16 / 256) / 6, abs=1e-4)}
    assert [(i, j) for i, j, _ in found.pairs] == [(3, 4)]
    assert found.pairs[0][2] > 0.99
    mean = data.images[data.labels == 0].float().mean().item()
    assert found.brightness["a"] == pytest.approx(mean, abs=0.01)
    assert "c" not in found.brightness
    assert found.warnings == (
        "'a' has 4 images: a score for it says little below 10",
        "'b' has 8 images: a score for it says little below 10",
        "'c' has 0 images: a score for it says little below 10",
        "1 image all white: image 0",
        "1 image all black: image 1",
        "1 image of one tone: image 2",
        "2 empty masks in a class whose other masks have content: image 4, image 5",
        "1 mask over more than 90% of the image, inverted perhaps: image 6",
        "1 pair of near-duplicates in different groups, which a split may part: image 3, image 4; see groups= of the "
        "loader",
        "1 pair of near-duplicates in different classes: image 3, image 4",
    )


def test_it_reads_as_a_page_and_as_json() -> None:
    data = replace(odd(), notes=("one was left out",), paths=tuple(f"x/{i}.png" for i in range(12)))
    found = describe(data)
    lines = str(found).splitlines()
    assert lines[0].startswith("12 images of 16x16 pixels: 4 a (brightness ")
    assert lines[0].endswith(", 0 c")
    assert lines[1] == "groups: 6, the largest with 2 images"
    assert lines[2] == "masks: 6 empty; those with content cover b 21.9%"
    assert lines[3] == "near-duplicates: 1 pair above a correlation of 0.9"
    assert "warning: 1 image all white: x/0.png" in lines
    assert lines[-1] == "note: one was left out"
    facts = json.loads(json.dumps(found.as_dict()))
    assert facts["counts"] == {"a": 4, "b": 8, "c": 0}
    assert facts["warnings"] == list(found.warnings)
    assert "data" not in facts


def test_across_a_split() -> None:
    train = LabelledImages(
        noise(12), torch.zeros(12).long(), ("a",), groups=torch.arange(12), paths=tuple(f"{i}.png" for i in range(12))
    )
    images = torch.cat([noise(10, seed=1), train.images[[4]], 255 - train.images[[5]]])
    test = replace(train, images=images, groups=torch.arange(12) + 11, classes=("a", "b"))
    test = replace(test, paths=(*(f"t{i}.png" for i in range(11)), "3.png"))
    found = describe(train, test)
    assert [(i, j) for i, j, _ in found.across] == [(4, 10)], "a negative is no duplicate"
    assert found.warnings == (
        "the classes differ: ['a'] and ['a', 'b']; load with classes=train.classes",
        "1 of 12 images of the other part have a near-duplicate here, so its scores are too good: 4.png and t10.png",
        "1 path on both sides: 3.png",
        "1 group on both sides: 11; two folders number theirs independently",
    )


def test_nothing_is_said_of_data_that_are_as_they_should_be() -> None:
    train, test = (
        LabelledImages(noise(20, seed), torch.arange(20) // 10, ("a", "b"), groups=torch.arange(20) + 20 * seed)
        for seed in (0, 1)
    )
    assert describe(train, test).warnings == ()


def test_where_all_look_alike_the_pairs_stay_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describing, "MOST", 50)
    data = LabelledImages(
        noise(1).expand(20, -1, -1, -1), torch.zeros(20).long(), ("a",), groups=torch.zeros(20).long()
    )
    found = describe(data)
    assert len(found.pairs) == 50
    assert "near-duplicates: at least 50 pairs above a correlation of 0.9" in str(found)
    assert found.warnings == (
        "more than 50 near-duplicates: all look alike, so likeness tells nothing apart; give groups= by path",
    )


def test_samples_are_drawn_with_their_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(plt, "show", lambda: drawn.append(plt.gcf()))
    describe(odd()).picture(each=3)
    (figure,) = drawn
    assert len(figure.axes) == 6, "two classes, because the third is empty"
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "", "", "b", "", ""]
    assert [len(ax.collections) for ax in figure.axes] == [0, 0, 0, 0, 0, 1], "only the third of b has a mask"
    plt.close(figure)


def test_what_cannot_be_described() -> None:
    with pytest.raises(TypeError, match=r"data must be LabelledImages, got list: see image_folder"):
        describe([1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="other must be LabelledImages, got str"):
        describe(make_defects(2), "test")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="data holds no image"):
        describe(make_defects(2).take(slice(0, 0)))


# ---- edges that a small mistake would move ---------------------------------------------------------------------------


def toned(values: list[int], spread: int = 0) -> torch.Tensor:
    """Images (n, 3, 16, 16) of one tone each, half of the pixels `spread` above it."""
    images = torch.tensor(values)[:, None, None, None].repeat(1, 3, 16, 16)
    images[..., ::2] += spread
    return images.byte()


def test_white_and_black_are_within_two_of_the_end_and_flat_is_between() -> None:
    found = describe(LabelledImages(toned([255, 253, 252, 3, 2, 0]), torch.zeros(6).long(), ("a",)))
    assert (found.white, found.black, found.flat) == ((0, 1), (4, 5), (2, 3))
    found = describe(LabelledImages(toned([250, 100, 0], 3), torch.zeros(3).long(), ("a",)))
    assert (found.white, found.black, found.flat) == ((), (), (0, 1, 2)), "a spread of 1.5 is flat, and not black"
    found = describe(LabelledImages(toned([250, 100, 0], 4), torch.zeros(3).long(), ("a",)))
    assert (found.white, found.black, found.flat) == ((), (), ()), "a spread of 2 is not"


def test_a_mask_is_full_above_nine_tenths() -> None:
    masks = torch.zeros(3, 10, 10, dtype=torch.bool)
    masks[0, :9], masks[1, :9], masks[1, 9, 0], masks[2, 0, 0] = True, True, True, True
    data = LabelledImages(noise(3)[..., :10, :10].contiguous(), torch.zeros(3).long(), ("a",), masks)
    found = describe(data)
    assert (found.empty, found.full) == ((), (1,))
    assert found.masked == {"a": pytest.approx((0.9 + 0.91 + 0.01) / 3, abs=1e-4)}


def test_empty_masks_of_a_clean_class_are_right() -> None:
    masks = torch.zeros(20, 16, 16, dtype=torch.bool)
    masks[10:, 3:5, 3:5] = True
    data = LabelledImages(noise(20), torch.arange(20) // 10, ("good", "crack"), masks, torch.arange(20))
    found = describe(data)
    assert found.warnings == ()
    assert len(found.empty) == 10
    assert str(found).splitlines()[2] == "masks: 10 empty; those with content cover crack 1.6%"


def test_numbers_of_many_images_are_those_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers are made a few images at a time."""
    images = noise(19)
    mean, spread, high, low = describing.tones(images)
    grey = images.double().mean(1).flatten(1).numpy()
    for ours, theirs in ((mean, grey.mean(1)), (spread, grey.std(1)), (high, grey.max(1)), (low, grey.min(1))):
        assert ours.tolist() == pytest.approx(theirs.tolist(), abs=1e-3)
    assert torch.equal(describing.thumbnails(images)[17:], describing.thumbnails(images[17:]))


def test_pairs_are_found_beyond_the_first_rows() -> None:
    first = torch.eye(600)
    first[599] = first[3]
    assert list(describing.alike(first, first, upper=True)) == [(3, 599, 1.0)]
    assert list(describing.alike(first[[599]], first)) == [(0, 3, 1.0), (0, 599, 1.0)]
    assert list(describing.alike(0.9 * first[:4], first)) == [], "above, not at"
    assert list(describing.alike(0.90006 * first[3:4], first)) == [(0, 3, 0.9001), (0, 599, 0.9001)]


def test_samples_by_default(tmp_path: Path) -> None:
    describe(odd()).picture(file=tmp_path / "samples.png")
    figure = plt.figure()
    plt.close(figure)
    assert (tmp_path / "samples.png").stat().st_size > 1000


def test_what_the_picture_says_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    @contextlib.contextmanager
    def figure(title: str, alt: str, rows: int, columns: int, *rest: float, **options: object):
        asked.update(title=title, alt=alt, shape=(rows, columns))
        made, axes = plt.subplots(rows, columns)
        yield list(axes.flat)
        asked["off"] = not any(ax.axison for ax in axes.flat)
        plt.close(made)

    monkeypatch.setattr("cbam_lite.plot.figure", figure)
    describe(odd()).picture()
    alt = "4 images of each of 2 classes: 4 a, 8 b"
    title = "67% of 12 images are 'b'; no class has more"
    assert asked == {"title": title, "alt": alt, "shape": (2, 4), "off": True}


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"a": 4, "b": 8, "c": 0}, "67% of 12 images are 'b'; no class has more"),
        ({"a": 3, "b": 3, "c": 2}, "38% of 8 images are 'a'; no class has more"),  # b has as many: still true
        ({"a": 3, "b": 0, "c": 3}, "Each of 2 classes has 3 images"),
        ({"a": 1, "b": 1, "c": 1}, "Each of 3 classes has 1 image"),
        ({"a": 0, "b": 7}, "The only class with images is 'b': 7 images"),
    ],
)
def test_the_message_is_true_of_any_counts(counts: dict[str, int], message: str) -> None:
    assert describing.message(counts) == message
