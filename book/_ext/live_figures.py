"""The live figures of the book: their loader on the pages that have one, and the files that they read.

The networks and the surfaces are written as a script, because a page that was opened from a disk may load scripts only.
"""

import base64
import json
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

NETWORKS = ("plain", "CBAM")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", load_where_wanted)
    app.connect("build-finished", write_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def load_where_wanted(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Add the loader, a few kilobytes, to pages with a live figure only."""
    if 'class="live"' in context.get("body", ""):
        app.add_js_file("live/live.js")


def write_files(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        path = Path(app.outdir) / "_static" / "live" / "files.js"
        path.write_text(files(), encoding="utf-8")


def files() -> str:
    """Class names, a clean surface of each material, (3, 64, 64) as bytes, and the weights as they are shipped."""
    from cbam_lite.training.defect_nets import SHIPPED
    from cbam_lite.training.defects import CLASSES, make_defects
    from cbam_lite.training.materials import MATERIALS

    surfaces = []
    for material in MATERIALS:
        data = make_defects(16, seed=11, material=material)
        clean = data.images[data.labels == CLASSES.index("clean")][0]
        surfaces.append({"name": material, "pixels": encoded(clean.numpy().tobytes())})
    networks = {name: encoded(next(SHIPPED.glob(f"{name}-*.safetensors")).read_bytes()) for name in NETWORKS}
    content = {"classes": list(CLASSES), "surfaces": surfaces, "networks": networks}
    return f"const LIVE_FILES = {json.dumps(content)};\n"


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
