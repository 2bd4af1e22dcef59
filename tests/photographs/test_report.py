"""The report: its page and its JSON file, the warnings at the top, and the pictures it shows."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cbam_lite import LabelledImages, cam, defect_net, make_defects, measure, predict, report, resnet18, score
from cbam_lite.explaining.gradcam import logit, smooth
from cbam_lite.photographs.maps import heat, last_map, maps_of, outlined
from cbam_lite.plot import overlay

CLASSES = ("good", "crack", "pit")


class FromCorner(nn.Module):
    """A network whose logits are written into the picture: red, green and blue of the pixel at the top left."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1, bias=False)
        self.layer.weight.data = torch.eye(3)[:, :, None, None] * 10

    def forward(self, x):
        return self.layer(x)[:, :, 0, 0]


def photographs(rows, masks=False, groups=None) -> LabelledImages:
    """Images whose logits and labels are given: ``(label, (good, crack, pit))`` for each."""
    images = torch.randint(256, (len(rows), 3, 12, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[:, :, 0, 0] = torch.tensor([logits for _, logits in rows], dtype=torch.uint8)
    marked = torch.zeros(len(rows), 12, 16, dtype=torch.bool)
    marked[:, :3, :3] = torch.tensor([label > 0 for label, _ in rows])[:, None, None]
    labels = torch.tensor([label for label, _ in rows])
    return LabelledImages(images, labels, CLASSES, marked if masks else None, groups)


RIGHT = [(0, (250, 0, 0))] * 30 + [(1, (0, 250, 0))] * 6 + [(2, (0, 0, 250))] * 2
WRONG = [(1, (200, 50, 0)), (1, (240, 10, 0)), (0, (100, 150, 0)), (0, (0, 0, 255)), (2, (0, 200, 100))]


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A report with everything: masks, groups, validation images. Its data, its folder, and what it returned."""
    folder = tmp_path_factory.mktemp("report")
    test = photographs(RIGHT + WRONG, masks=True, groups=torch.arange(43) // 2)
    valid = photographs([(0, (200, 0, 0)), (1, (60, 50, 0)), (2, (0, 30, 60))])
    found = report(
        FromCorner(), test, folder / "new" / "out", valid=valid, good="good", recall=1, layer="layer", resamples=50
    )
    return test, valid, folder / "new" / "out", found


def page(written) -> Page:
    return Page((written[2] / "report.html").read_text())


# ---- numbers --------------------------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_measure_and_score(written) -> None:
    test, valid, folder, found = written
    model = FromCorner()
    expected = measure(
        *predict(model, test),
        CLASSES,
        good="good",
        groups=test.groups,
        valid=predict(model, valid),
        recall=1,
        resamples=50,
    )
    assert found.measured == expected
    marked = test.take(test.labels > 0)
    maps = cam(model, marked.images / 255, "layer", logit(marked.labels), "LayerCAM")["layer"]
    assert str(found.localisation) == str(score(maps, marked.masks, marked.images, groups=marked.groups, resamples=50))


def test_json_holds_the_same_numbers(written) -> None:
    plain = json.loads((written[2] / "report.json").read_text())
    found = written[3]
    assert plain["measured"]["confusion"] == [list(row) for row in found.measured.confusion]
    assert plain["measured"]["detection"]["threshold"]["value"] == found.measured.detection.threshold.value
    assert plain["localisation"]["table"]["energy"]["map"]["value"] == found.localisation.table["energy"]["map"][0]
    assert plain["warnings"] == list(found.warnings)
    assert plain["mistakes"]["Missed defects"][0]["truth"] == "crack"


def test_the_page_shows_them(written) -> None:
    text, m = page(written).text, written[3].measured
    for number in (m.accuracy, m.detection.recall, m.classes[1].recall, m.detection.threshold.false_alarms):
        assert f"{number.value:.2f}" in text
        assert f"{number.low:.2f} to {number.high:.2f}" in text
        assert f"{number.hits} of {number.of}" in text
    assert "22 things" in text
    assert "43 test images of 12x16 pixels" in text


# ---- mistakes -------------------------------------------------------------------------------------------------------


def test_mistakes_are_sorted_by_kind_the_worst_first(written) -> None:
    found = {heading: [one.index for one in some] for heading, some in written[3].mistakes.items()}
    assert found == {"Missed defects": [39, 38], "Wrong alarms": [41, 40], "Defects of another kind": [42]}
    missed = written[3].mistakes["Missed defects"][0]
    logits = torch.tensor([240.0, 10, 0]) / 255 * 10
    assert (missed.truth, missed.called) == ("crack", "good")
    assert missed.probability == pytest.approx(float(1 - logits.softmax(0)[0]), rel=1e-4)


def test_without_a_good_class_wrong_answers_are_shown_the_most_certain_first(tmp_path) -> None:
    found = report(FromCorner(), photographs(RIGHT + WRONG), tmp_path)
    assert [one.index for one in found.mistakes["Wrong answers"]] == [41, 39, 38, 42, 40]
    assert found.measured.detection is None


def test_paths_are_shown_where_the_data_know_them(tmp_path) -> None:
    data = photographs(RIGHT + WRONG)
    object.__setattr__(data, "paths", tuple(f"line 3/{n}.png" for n in range(43)))
    found = report(FromCorner(), data, tmp_path, good="good", layer="layer")
    assert [one.path for one in found.mistakes["Wrong alarms"]] == ["line 3/41.png", "line 3/40.png"]
    shown = Page((tmp_path / "report.html").read_text())
    assert "line 3/39.png" in shown.text
    assert "line 3/39.png, of the class crack" in [image["alt"] for image in shown.all("img")]


def test_only_so_many_pictures_are_shown_and_all_are_in_the_file(tmp_path) -> None:
    found = report(FromCorner(), photographs(RIGHT + WRONG * 5), tmp_path, good="good", shown=3, layer="layer")
    shown = Page((tmp_path / "report.html").read_text())
    assert len(shown.all("img")) == 2 * 3 * 3  # three lists of three, each with its map
    assert "The worst 3 of 10." in shown.text
    assert len(found.mistakes["Missed defects"]) == 10


def test_the_map_of_a_missed_defect_is_of_its_class_and_of_others_of_what_was_called(tmp_path, monkeypatch) -> None:
    explained = []

    def noted(model, images, classes, *rest):
        explained.append([CLASSES[k] for k in classes])
        return maps_of(model, images, classes, *rest)

    monkeypatch.setattr("cbam_lite.photographs.report.maps_of", noted)
    report(FromCorner(), photographs(RIGHT + WRONG), tmp_path, good="good", layer="layer")
    assert explained == [["crack", "crack"], ["pit", "crack"], ["crack"]]


def test_each_mistake_is_shown_beside_its_own_map(written) -> None:
    """The pictures of this network differ at the top left alone, where its logits are, and the mask's outline."""
    images = decoded(written)
    test = written[0]
    for plain, image, index, k in ((images[0], images[1], 39, 1), (images[4], images[5], 41, 2)):
        raw = cam(FromCorner(), test.images[index : index + 1] / 255, "layer", logit(k), "LayerCAM")["layer"][0]
        big = nn.functional.interpolate(test.images[index][None] / 255, (192, 256), mode="bilinear", antialias=True)[0]
        away = (slice(80, None), slice(80, None))  # from the outline of the mask
        assert np.abs(plain[away].astype(float) - 255 * big.permute(1, 2, 0).numpy()[away]).mean() < 8  # JPEG
        assert np.abs(image[away].astype(float) - heat(big, raw)[away]).mean() < 6


def decoded(written) -> list[np.ndarray]:
    sources = [image["src"] for image in page(written).all("img")]
    return [np.array(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))) for source in sources]


# ---- warnings -------------------------------------------------------------------------------------------------------


def warned(tmp_path, rows, **options) -> str:
    found = report(FromCorner(), photographs(rows), tmp_path, **({"good": "good", "layer": "layer"} | options))
    return "\n".join(found.warnings)


MANY = [(0, (250, 0, 0))] * 60 + [(1, (0, 250, 0))] * 60 + [(2, (0, 0, 250))] * 60


def test_a_good_network_on_enough_images_is_not_warned_of(tmp_path) -> None:
    test, valid = photographs(MANY, groups=torch.arange(180)), photographs([(k, row[::-1]) for k, row in MANY])
    valid.images[:, :, 5, 5] = 7  # other photographs than those of the test
    valid.images[:, :, 0, 0] = test.images[:, :, 0, 0]
    found = report(FromCorner(), test, tmp_path, valid=valid, good="good", layer="layer")
    assert found.warnings == ()
    assert "Read this first" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (RIGHT + WRONG, "Accuracy hides mistakes here: it is 0.88, but always saying 'good' gives 0.74"),
        (RIGHT[:31] + WRONG[:2], "0.94 is not surely better than always saying 'good', which gives 0.91"),
        (MANY[:90] + [(1, (250, 0, 0))] * 10, "10 of 40 defects (25%) are missed, that is, called 'good', though the"),
        (MANY[:90] + [(1, (250, 0, 0))] * 10, "something else: 'crack' (10 of 40)"),
        (RIGHT, "'crack' 6 (recall from 0.61 to 1.00), 'pit' 2 (recall from 0.34 to 1.00)"),
        (MANY[:120], "Without a test image, so that nothing is known: 'pit'"),
        (MANY, "Nobody said which photographs show the same thing"),
        (MANY, "The threshold was chosen on the test images"),
        (RIGHT, "The threshold was chosen by 8 defects only"),
        (RIGHT[:30], "There is no threshold: no test image shows a defect"),
    ],
)
def test_warnings(tmp_path, rows, says: str) -> None:
    assert says in warned(tmp_path, rows)


def test_a_recall_as_wanted_is_no_warning(tmp_path) -> None:
    rows = MANY[:90] + [(1, (250, 0, 0))] * 10
    assert "are missed" not in warned(tmp_path, rows, recall=0.75)
    assert "are missed" in warned(tmp_path, rows, recall=0.76)


def test_test_images_among_the_validation_images_are_counted(tmp_path) -> None:
    rows = photographs(MANY)
    assert "3 of the 180 test images are among the validation images" in warned(
        tmp_path, MANY, valid=rows.take(slice(3))
    )


def test_few_groups_are_warned_of(tmp_path) -> None:
    found = report(FromCorner(), photographs(MANY, groups=torch.arange(180) % 9), tmp_path, layer="layer")
    assert "The images show 9 things (groups) only: the intervals are too narrow." in found.warnings
    assert not any("Nobody said" in one for one in found.warnings)


def test_many_images_of_few_things_are_warned_of(tmp_path) -> None:
    groups = torch.arange(180)
    groups[60:120] %= 9
    found = report(FromCorner(), photographs(MANY, groups=groups), tmp_path, good="good", layer="layer")
    said = "Many test images of fewer than 10 things (groups): 'crack' 60 of 9 (recall from 0.70 to 1.00)."
    assert said in found.warnings


def test_maps_that_blind_ones_beat_are_warned_of(tmp_path) -> None:
    data = photographs(RIGHT, masks=True)
    elsewhere = LabelledImages(data.images, data.labels, CLASSES, data.masks.flip(1, 2))
    said = report(FromCorner(), elsewhere, tmp_path, layer="layer").warnings[-1]
    assert said.startswith("A map that knows nothing of the network does as well")
    assert "pointing (0.00; edges 0.25), energy (0.00; edges 0.05)" in said


def test_warnings_stand_before_all_numbers(written) -> None:
    text = page(written).text
    assert 0 < text.index("Read this first") < text.index("In short")
    assert all(one in text for one in written[3].warnings)


# ---- the page -------------------------------------------------------------------------------------------------------


def test_the_page_is_one_file_without_scripts(written) -> None:
    found = page(written)
    assert {tag for tag, _ in found.tags} & {"script", "link", "iframe", "svg", "object"} == set()
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in found.all("img"))
    assert not re.search(r"https?://|url\(", (written[2] / "report.html").read_text())
    assert sorted(path.name for path in written[2].iterdir()) == ["report.html", "report.json"]


def test_the_page_is_readable_to_screen_readers(written) -> None:
    found = page(written)
    assert found.all("html") == [{"lang": "en"}]
    assert [len(found.all(tag)) for tag in ("main", "h1")] == [1, 1]
    assert len(found.all("caption")) == len(found.all("table")) > 4
    assert all(head["scope"] in ("col", "row") for head in found.all("th"))
    assert all(len(image["alt"]) > 20 for image in found.all("img"))
    assert all(frame["tabindex"] == "0" and frame["aria-label"] for frame in found.all("div") if frame.get("role"))


def test_names_cannot_break_the_page(tmp_path) -> None:
    data = photographs(RIGHT + WRONG)
    odd = LabelledImages(data.images, data.labels, ("<b>good</b>", 'cr"ack', "p&it"))
    report(FromCorner(), odd, tmp_path, good="<b>good</b>", layer="layer", title="<i>x</i>")
    found = Page((tmp_path / "report.html").read_text())
    assert found.all("i") == [one for one in found.all("i") if "style" in one]
    assert all("style" in one for one in found.all("b"))
    assert 'cr"ack' in found.text
    assert "p&it" in found.text


# ---- maps -----------------------------------------------------------------------------------------------------------


def test_the_last_map_of_a_resnet_is_its_last_stage() -> None:
    assert last_map(resnet18(), torch.rand(3, 64, 64)) == "layer4"
    assert last_map(nn.Sequential(defect_net(), nn.Identity()), torch.rand(3, 64, 64)) == "0.layer4"
    assert last_map(resnet18(), torch.rand(3, 32, 32)) == "layer3"  # there, layer4 has one place


def test_a_network_without_maps_gets_a_report_without_pictures_of_maps(tmp_path) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 16, 3))
    found = report(flat, photographs(RIGHT + WRONG, masks=True), tmp_path)
    assert (found.layer, found.localisation) == (None, None)
    wrong = sum(len(some) for some in found.mistakes.values())
    assert len(Page((tmp_path / "report.html").read_text()).all("img")) == min(12, wrong) > 0


def test_maps_in_batches_are_those_of_cam_and_width_smooths_them() -> None:
    model, data = defect_net(), make_defects(7)
    expected = cam(model, data.images / 255, "layer2", logit(data.labels), "HiResCAM")["layer2"]
    found = maps_of(model, data.images, data.labels, "layer2", "HiResCAM", batch_size=3)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(maps_of(model, data.images, data.labels, "layer2", "HiResCAM", 3), smooth(expected))


def test_an_image_whose_gradient_is_zero_has_a_zero_map() -> None:
    class Gated(FromCorner):
        def forward(self, x):
            return self.layer(x)[:, :, 0, 0] * (x[:, :1, 0, 0] > 0.5)

    data = photographs([(0, (250, 0, 0)), (0, (0, 250, 0)), (0, (250, 0, 0))])
    maps = maps_of(Gated(), data.images, data.labels, "layer")
    assert maps.flatten(1).amax(1).gt(0).tolist() == [True, False, True]


def test_other_errors_of_cam_are_not_swallowed(tmp_path) -> None:
    with pytest.raises(ValueError, match="no layer 'layer9'"):
        report(FromCorner(), photographs(RIGHT + WRONG, masks=True), tmp_path, layer="layer9")


def test_heat_runs_from_0_to_the_peak_and_subtracts_nothing() -> None:
    image, raw = torch.rand(3, 8, 8), torch.full((8, 8), 0.5)
    raw[2, 3] = 1.0
    from matplotlib import colormaps

    middle = 0.4 * image.mean(0)[..., None].numpy() + 0.6 * np.array(colormaps["viridis"](0.5)[:3])
    assert np.abs(heat(image, raw).astype(float) - 255 * middle)[5:, 5:].max() <= 1.5
    stretched = 255 * overlay(image, raw, 0.6)  # which subtracts the smallest value, so that half of the peak is dark
    assert np.abs(heat(image, raw).astype(float) - stretched)[5:, 5:].max() > 20


def test_heat_without_a_positive_value_is_the_grey_photograph() -> None:
    image = torch.randint(256, (3, 8, 8), dtype=torch.uint8)
    found = heat(image, -torch.rand(4, 4))
    assert np.abs(found[..., 0].astype(float) - image.float().mean(0).numpy()).max() <= 0.51
    assert (found[..., 0] == found[..., 2]).all()


def test_an_outline_is_around_the_mask_not_on_it() -> None:
    mask = torch.zeros(7, 7, dtype=torch.bool)
    mask[2:5, 3] = True
    found = outlined(np.zeros((7, 7, 3), np.uint8), mask, (9, 8, 7))
    drawn = (found == (9, 8, 7)).all(2)
    assert drawn[1:6, 2:5].sum() == 12 == drawn.sum()
    assert not drawn[mask.numpy()].any()


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused(tmp_path) -> None:
    model, data = FromCorner(), photographs(RIGHT)
    other = LabelledImages(data.images, data.labels, ("good", "pit", "crack"))
    with pytest.raises(ValueError, match=r"valid has the classes \('good', 'pit', 'crack'\), test \('good', 'crack'"):
        report(model, data, tmp_path, valid=other)
    with pytest.raises(TypeError, match="test must be LabelledImages, got Tensor"):
        report(model, data.images, tmp_path)
    with pytest.raises(ValueError, match="there are no images"):
        report(model, data.take(slice(0)), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file: give a folder"):
        report(model, data, tmp_path / "file")
    with pytest.raises(TypeError, match="folder must be a path, got 3"):
        report(model, data, 3)
