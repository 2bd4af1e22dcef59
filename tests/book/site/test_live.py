"""The live figures: used as a reader would, and their numbers compared with the package in a real browser."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page

from cbam_lite import CBAM, SqueezeExcitation, cam, make_defects, record_attention, trained_defect_net
from cbam_lite.explaining import localize
from cbam_lite.explaining.gradcam import logit, positive, resize

PLACES = {
    "paint": ("welcome", "Paint a defect"),
    "kernel": ("convolution", "Step a kernel"),
    "gates": ("cbam", "Move a number"),
}
EXPLAIN_ALL = """(pictures) => pictures.map(([pixels, mask, layer]) => {
  const image = Float64Array.from(bytesOf(pixels), (value) => value / 255);
  const {logits, map, gates} = net.explain(image, 64, 64, layer, null);
  const inside = energy(resized(map, 64, 64), bytesOf(mask));
  const both = gates.map(({M_c, M_s}) => [Array.from(M_c.data), Array.from(M_s.data)]);
  return {logits: Array.from(logits.data), map: Array.from(map.data), energy: inside, gates: both};
})"""
SECONDS = 5  # from click to first result; on two cores it takes half a second


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["clipboard-write"])
    context.set_default_timeout(10_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, color_scheme="dark")
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def opened(page: Page, address: str, figure: str, link: str = "") -> Locator:
    """The live figure of a page; with a link it starts by itself."""
    page.goto(f"{address}/book/{PLACES[figure][0]}.html{link}")
    return page.locator(f".live[data-live={figure}]")


def started(page: Page, address: str, figure: str) -> Locator:
    live = opened(page, address, figure)
    live.get_by_role("button", name=PLACES[figure][1]).click()
    page.wait_for_selector(f".live[data-live={figure}][data-state=running]")
    return live


def said(live: Locator) -> str:
    return live.locator("[role=status]").filter(has_not=live.page.locator(".live-told")).last.inner_text()


# ---- before and after the start --------------------------------------------------------------------------------------


@pytest.mark.parametrize("figure", PLACES)
def test_nothing_is_loaded_before_the_reader_asks(page: Page, address: str, figure: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    live = opened(page, address, figure)
    page.wait_for_load_state("networkidle")
    of_live = [url.rsplit("/", 1)[1].split("?")[0] for url in asked if "/live/" in url]
    assert sorted(of_live) == ["live.css", "live.js"]
    assert live.inner_text().startswith(PLACES[figure][1])
    start = time.perf_counter()
    live.get_by_role("button", name=PLACES[figure][1]).click()
    page.wait_for_selector(f".live[data-live={figure}][data-state=running]")
    assert time.perf_counter() - start < SECONDS
    assert all(url.startswith(address) for url in asked)


def test_other_pages_do_not_load_the_loader(page: Page, address: str) -> None:
    page.goto(f"{address}/book/glossary.html")
    assert page.locator("script[src*='live.js']").count() == 0


@pytest.mark.parametrize("figure", PLACES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, address: str, figure: str, theme: Any) -> None:
    for width in (1280, 390):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        page = context.new_page()
        live = started(page, address, figure)
        found = Axe().run(page, context=f".live[data-live={figure}]", options={"resultTypes": ["violations"]}).response
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]] == []
        wide = live.evaluate("(live) => live.scrollWidth - live.clientWidth")
        assert wide <= 1, "the figure fits the page"
        context.close()


# ---- the numbers are the package's -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "CBAM"])
def test_a_hundred_pictures_as_the_package_has_them(page: Page, address: str, name: str) -> None:
    """Logits, gates, maps and energy of 100 pictures of defects: 1e-5."""
    started(page, address, "paint")
    data = make_defects(100, seed=31)
    net = trained_defect_net(name)[0].double()
    images = data.images.double() / 255
    page.evaluate(
        "(name) => { window.net = new LiveNetwork(readSafetensors(bytesOf(LIVE_FILES.networks[name]).buffer)); }", name
    )
    with torch.no_grad():
        logits = net(images)
    labels = logits.argmax(1)
    layers = ["layer2", "layer3", "layer4"]
    maps = cam(net, images, layers, logit(labels))
    energies = localize.energy(positive(resize(maps["layer3"], (64, 64))), data.masks)
    gates = {}
    if name == "CBAM":
        with record_attention(net) as recorded, torch.no_grad():
            net(images)
        gates = dict(recorded.items())
    encoded = [
        [base64.b64encode(part.numpy().tobytes()).decode() for part in parts]
        for parts in zip(data.images, data.masks, strict=True)
    ]
    pictures = [[*both, layers[n % 3]] for n, both in enumerate(encoded)]
    for n, found in enumerate(page.evaluate(EXPLAIN_ALL, pictures)):
        assert np.allclose(found["logits"], logits[n], atol=1e-5)
        map_n = maps[layers[n % 3]][n]
        assert np.allclose(found["map"], map_n.flatten(), atol=1e-5 * max(map_n.abs().max().item(), 1))
        if layers[n % 3] == "layer3" and energies[n].isfinite():
            assert found["energy"] == pytest.approx(energies[n].item(), abs=1e-5)
        for block, both in enumerate(found["gates"], 1):
            for part, values in zip(("channel", "spatial"), both, strict=True):
                expected = gates[f"layer{block}.0.attention.{part}_attention"][n].flatten()
                assert np.allclose(values, expected, atol=1e-5)


def test_a_hundred_kernels_as_the_library_has_them(page: Page, address: str) -> None:
    started(page, address, "kernel")
    g = torch.Generator().manual_seed(0)
    for n in range(100):
        X, kernel = (
            torch.randn(5, 5, generator=g, dtype=torch.double),
            torch.randn(3, 3, generator=g, dtype=torch.double),
        )
        stride, padding = 1 + n % 2, n % 3
        found = page.evaluate(
            "(given) => partialMap(...given)", [X.flatten().tolist(), kernel.flatten().tolist(), stride, padding]
        )
        expected = torch.nn.functional.conv2d(X[None, None], kernel[None, None], None, stride, padding)
        assert np.allclose(found, expected.flatten(), atol=1e-5)


def test_a_hundred_gates_as_the_package_has_them(page: Page, address: str) -> None:
    started(page, address, "gates")
    g = torch.Generator().manual_seed(0)
    ours = CBAM.paper(2, hidden=1, kernel_size=3).double()
    other = CBAM.paper(2, hidden=1, kernel_size=3, order="spatial-first").double()
    se = SqueezeExcitation.paper(2, hidden=1).double()
    for _ in range(100):
        F, W_0, W_1 = (torch.randn(size, generator=g, dtype=torch.double) for size in ((2, 3, 3), (1, 2), (2, 1)))
        kernel = torch.randn(1, 2, 3, 3, generator=g, dtype=torch.double)
        with torch.no_grad():
            for weight, value in zip(ours.parameters(), (W_0, W_1, kernel), strict=True):
                weight.copy_(value)
            for weight, value in zip(se.parameters(), (W_0, W_1), strict=True):
                weight.copy_(value)
            M_c = ours.channel_attention.attention(F[None])
            M_s = ours.spatial_attention.attention(M_c * F[None])
            other.load_state_dict(ours.state_dict())
            F_second, F_tilde, F_other = ours(F[None])[0], se(F[None])[0], other(F[None])[0]
        story = {
            "F": F.flatten(1).tolist(),
            "W_0": W_0.flatten().tolist(),
            "W_1": W_1.flatten().tolist(),
            "kernel": kernel.flatten().tolist(),
        }
        found = page.evaluate("(story) => [cbam(story), se(story), cbam(story, true)]", story)
        assert np.allclose(found[0]["M_c"], M_c.flatten(), atol=1e-5)
        assert np.allclose(found[0]["M_s"], M_s.flatten(), atol=1e-5)
        assert np.allclose([found[0]["F″0"], found[0]["F″1"]], F_second.flatten(1), atol=1e-5)
        assert np.allclose([found[2]["F″0"], found[2]["F″1"]], F_other.flatten(1), atol=1e-5)
        assert np.allclose([found[1]["F̃0"], found[1]["F̃1"]], F_tilde.flatten(1), atol=1e-5)


# ---- used as a reader would ------------------------------------------------------------------------------------------


def drag(page: Page, canvas: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    box = canvas.bounding_box()
    assert box is not None
    points = [(start[0] + (end[0] - start[0]) * n / 10, start[1] + (end[1] - start[1]) * n / 10) for n in range(11)]
    where = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*where[0])
    page.mouse.down()
    for point in where[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def status(live: Locator) -> Locator:
    return live.locator(".visually-hidden[role=status]")


def test_a_scratch_painted_with_the_mouse_is_named_by_both_networks(page: Page, address: str) -> None:
    live = started(page, address, "paint")
    canvas = live.locator(".live-canvas")
    canvas.scroll_into_view_if_needed()
    assert status(live).inner_text().count("nothing is painted yet") == 2
    drag(page, canvas, (0.25, 0.3), (0.6, 0.5))
    page.wait_for_function(
        "() => document.querySelector('.visually-hidden[role=status]').textContent.includes('scratch')"
    )
    words = status(live).inner_text()
    assert words.startswith("plain says scratch, 100 %")
    assert "CBAM says scratch, 100 %" in words
    live.get_by_role("button", name="Undo").click()
    page.wait_for_function(
        "() => document.querySelector('.visually-hidden[role=status]').textContent.includes('nothing is painted')"
    )


def test_what_is_painted_and_chosen_survives_in_a_link(page: Page, address: str) -> None:
    live = started(page, address, "paint")
    live.get_by_label("Surface", exact=True).select_option(label="wood grain")
    live.get_by_label("Stain").check()
    canvas = live.locator(".live-canvas")
    canvas.scroll_into_view_if_needed()
    drag(page, canvas, (0.4, 0.4), (0.5, 0.5))
    live.get_by_label("Map at").select_option("layer2")
    live.get_by_label("of the class").select_option(label="stain")
    live.get_by_label("Gates off").check()
    live.get_by_role("button", name="Copy link").click()
    page.wait_for_function("() => location.hash.startsWith('#paint=')")
    before = page.evaluate(
        "() => [...document.querySelectorAll('.live-energy, .live-classes')].map((e) => e.textContent)"
    )
    other = page.context.new_page()
    again = opened(other, address, "paint", page.evaluate("() => location.hash"))
    other.wait_for_selector(".live[data-state=running]")
    other.wait_for_function("() => document.querySelector('.live-energy')?.textContent.includes('energy')")
    after = other.evaluate(
        "() => [...document.querySelectorAll('.live-energy, .live-classes')].map((e) => e.textContent)"
    )
    assert after == before
    assert again.get_by_label("Gates off").is_checked()


@pytest.mark.parametrize("link", ["#paint=", "#paint=99,layer3,-1,0", "#paint=0,layer9,77,0;9,3,x,1;0,3,1,2"])
def test_a_broken_link_starts_all_the_same(page: Page, address: str, link: str) -> None:
    live = opened(page, address, "paint", link)
    page.wait_for_selector(".live[data-state=running]")
    assert live.locator(".live-card").count() == 2


def test_painting_with_the_keyboard(page: Page, address: str) -> None:
    live = started(page, address, "paint")
    canvas = live.locator(".live-canvas")
    canvas.focus()
    for key in ("ArrowLeft", "Shift+ArrowUp", " ", "ArrowDown", " "):
        page.keyboard.press(key)
    page.wait_for_function(
        "() => document.querySelector('.visually-hidden[role=status]').textContent.includes('energy')"
    )
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => document.activeElement.closest('.live') !== null"))
    assert reached == [True] * 9, "the controls come after the canvas"


def test_painting_with_a_finger(phone: Page, address: str) -> None:
    live = started(phone, address, "paint")
    canvas = live.locator(".live-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    phone.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    phone.wait_for_function(
        "() => document.querySelector('.visually-hidden[role=status]').textContent.includes('energy')"
    )


def test_stepping_a_kernel(page: Page, address: str) -> None:
    live = started(page, address, "kernel")
    summed = live.locator(".live-sum")
    assert summed.inner_text().endswith("= −5")
    live.get_by_role("button", name="Step", exact=True).click()
    assert summed.inner_text().startswith("Y(0, 1) = ")
    live.get_by_label("picture, channel 0, row 0, column 1", exact=True).fill("4")
    assert summed.inner_text().endswith("= 0"), "−4 before, and the number stands under a 1"
    live.get_by_label("Stride s").select_option("2")
    live.get_by_label("Padding p").select_option("1")
    assert live.locator(".live-output td").count() == 9
    live.get_by_label("Picture", exact=True).select_option("3")
    assert live.locator(".live-output").count() == 4
    live.get_by_label("View").select_option("channel 2")
    assert live.locator(".live-output").count() == 2


def test_a_number_that_moves_marks_where_it_went(page: Page, address: str) -> None:
    live = started(page, address, "gates")
    peak = live.get_by_label("F, channel 0, row 1, column 1", exact=True)
    assert live.locator(".live-sum").inner_text().startswith("M_c = (0.982, 0.018)")
    peak.focus()
    marked = "() => [...document.querySelectorAll('.live-marked')].length"
    everything = page.evaluate(marked)
    flat = live.get_by_label("F, channel 1, row 0, column 0", exact=True)
    flat.focus()
    assert everything > page.evaluate(marked) > 0
    peak.fill("2")
    assert live.locator(".live-sum").inner_text().startswith("M_c = (0.")
    live.get_by_label("Order").select_option("places")
    assert live.locator("figcaption").all_inner_texts().index("M_s = σ(z)") == 7, "the spatial gate comes first now"
    live.get_by_label("Story").select_option(index=1)
    assert live.locator(".live-sum").inner_text().startswith("M_c = (0.5, 0.5)")


def test_numbers_can_be_dragged(page: Page, address: str) -> None:
    live = started(page, address, "gates")
    peak = live.get_by_label("F, channel 0, row 1, column 1", exact=True)
    peak.scroll_into_view_if_needed()
    box = peak.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 42, box["y"] + 10, steps=8)
    page.mouse.up()
    assert float(peak.input_value()) == 8


def test_the_numbers_survive_in_a_link(page: Page, address: str) -> None:
    live = started(page, address, "gates")
    live.get_by_label("F, channel 0, row 1, column 1", exact=True).fill("9")
    live.get_by_role("button", name="Copy link").click()
    page.wait_for_function("() => location.hash.startsWith('#gates=')")
    other = page.context.new_page()
    again = opened(other, address, "gates", page.evaluate("() => location.hash"))
    other.wait_for_selector(".live[data-state=running]")
    assert again.get_by_label("F, channel 0, row 1, column 1", exact=True).input_value() == "9"
    assert json.dumps(again.locator(".live-sum").inner_text()) == json.dumps(live.locator(".live-sum").inner_text())
