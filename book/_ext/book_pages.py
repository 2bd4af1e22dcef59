"""What the book's pages need beyond Jupyter Book: described figures, honest equation links, clean and light HTML."""

import functools
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

LOGGER = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    sys.path.insert(0, str(app.srcdir))  # the API pages describe the cbam_lite of this checkout
    app.connect("config-inited", link_to_source)
    app.connect("autodoc-process-docstring", say_import)
    app.connect("missing-reference", link_exported)
    app.connect("doctree-read", describe_figures)
    app.connect("doctree-read", check_images)
    app.add_post_transform(CheckEquationLinks)
    app.connect("html-page-context", mend_lists)
    app.connect("html-page-context", name_solutions)
    app.connect("html-page-context", drop_live_code, priority=900)  # after all that add scripts
    app.connect("build-finished", drop_icon_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def link_to_source(app: Sphinx, config: Any) -> None:
    """Give each entry of the reference a link to its lines in the repository."""
    repository = config.html_theme_options["repository_url"]
    branch = config.html_theme_options.get("repository_branch", "main")

    def source(domain: str, info: dict[str, str]) -> str | None:
        thing: Any = importlib.import_module(info["module"])
        for name in info["fullname"].split("."):
            thing = getattr(thing, name, None)
        try:
            lines, start = inspect.getsourcelines(inspect.unwrap(thing))
            file = Path(inspect.getfile(inspect.unwrap(thing))).relative_to(app.srcdir).as_posix()
        except (TypeError, OSError, ValueError):  # a constant, or an attribute without a source of its own
            return None
        return f"{repository}/blob/{branch}/{file}#L{start}-L{start + len(lines) - 1}"

    config.linkcode_resolve = source


def say_import(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Say with each entry that `cbam_lite` exports under a shorter name how to import it."""
    import cbam_lite

    module, _, short = name.rpartition(".")
    alias = module.rpartition(".")[2]
    if short in cbam_lite.__all__ and getattr(cbam_lite, short) is thing:
        words = f"``from cbam_lite import {short}``"
    elif what in ("class", "function") and getattr(cbam_lite, alias, None) is sys.modules.get(module):
        words = f"``from cbam_lite import {alias}``, then ``{alias}.{short}``"
    else:
        return
    summary = next((row for row, line in enumerate(lines) if not line.strip()), len(lines))
    lines[summary:summary] = ["", words, ""]


def link_exported(app: Sphinx, env: Any, node: Any, text: nodes.Element) -> nodes.reference | None:
    """Link a name such as `cam` from the entries of other modules, where it can mean nothing but what we export."""
    import cbam_lite

    name = node.get("reftarget")
    if node.get("refdomain") != "py" or name not in cbam_lite.__all__ or name in parameters():
        return None
    full = f"{getattr(cbam_lite, name).__module__}.{name}"
    if full not in env.get_domain("py").objects:
        return None
    page = env.get_domain("py").objects[full].docname
    return make_refnode(app.builder, node["refdoc"], page, full, [text])


@functools.cache
def parameters() -> set[str]:
    """The names of all parameters of what `cbam_lite` exports: they stand in docstrings, too, and mean no entry."""
    import cbam_lite

    exported = [getattr(cbam_lite, name) for name in cbam_lite.__all__]
    return {name for thing in exported if callable(thing) for name in inspect.signature(thing).parameters}


def describe_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Give each figure of a notebook the text that `cbam_lite.plot.show` displayed with it.

    A notebook's output still holds all its forms here; myst-nb keeps only the picture when it writes the page.
    """
    for bundle in doctree.findall(is_output_bundle):
        forms = {form["mime_type"]: form for form in bundle.children}
        if "image/png" not in forms or "text/plain" not in forms:
            continue
        for image in forms["image/png"].findall(nodes.image):
            image.setdefault("alt", forms["text/plain"].astext().strip())
            # Sphinx links an image that has a width to its file: on a phone a tap shows the figure in full size.
            image["width"] = "100%"


def is_output_bundle(node: nodes.Node) -> bool:
    """Whether the node holds the forms (PNG, text) of one output."""
    return isinstance(node, nodes.container) and node.get("nb_element") == "mime_bundle"


def check_images(app: Sphinx, doctree: nodes.document) -> None:
    """Warn, which a strict build turns into a failure, about every image without a text alternative."""
    for image in doctree.findall(nodes.image):
        alt = image.get("alt", "").strip()
        if not alt or alt.startswith("<Figure"):
            LOGGER.warning(
                "image without a text alternative (alt=%r): show figures with cbam_lite.plot.show(figure, alt) "
                "and write Markdown images as ![what it shows](file)",
                alt,
                location=image,
                type="book_pages",
                subtype="alt",
            )


class CheckEquationLinks(SphinxPostTransform):
    """Warn where a link `[Eq. (2)](#eq-name)` names another number than the equation has.

    The page gets the right number from Sphinx in any case, but Colab shows the text as it was written.
    """

    default_priority = 5  # before MyST resolves the links (9)

    def run(self, **kwargs: object) -> None:
        """Compare each link with the text that Sphinx is about to put in its place."""
        equations = self.env.get_domain("math").equations
        for link in self.document.findall(addnodes.pending_xref):
            written, label = link.astext(), link.get("reftarget")
            if link.get("reftype") != "myst" or label not in equations:
                continue
            printed = self.config.math_eqref_format.format(number=equations[label][1])
            if written != printed:
                LOGGER.warning(
                    "the link to equation %r says %r, but the equation is %r: write [%s](#%s)",
                    label,
                    written,
                    printed,
                    printed,
                    label,
                    location=link,
                    type="book_pages",
                    subtype="equation",
                )


def mend_lists(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Take the list roles from what screen readers would announce as broken lists.

    Sphinx writes the parameters of a long signature as a <dl> without terms, docutils the bibliography as a list
    without items.
    """
    if "body" in context:
        body = context["body"].replace("<dl>\n<dd>", '<dl role="presentation">\n<dd>')
        context["body"] = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')


SOLUTION = re.compile(
    r'(<div class="cell [^"]*tag_solution[^>]*>\s*<details[^>]*>\s*<summary[^>]*>.*?</summary>)', re.S
)


def name_solutions(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Call the folded solution of an exercise what it is, for eyes and for screen readers."""
    if "body" in context:
        context["body"] = SOLUTION.sub(lambda found: named_solution(found[1]), context["body"])


def named_solution(summary: str) -> str:
    words = summary.replace("Show code cell content", "Show the solution").replace("Toggle hidden content", "Solution")
    return words.replace("Hide code cell content", "Hide the solution")


def drop_live_code(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Drop what Jupyter Book adds for Thebe, which we do not use: declared twice, it is an error in the console."""
    for kind in ("script_files", "css_files"):
        context[kind] = [asset for asset in context[kind] if not is_live_code(asset)]


def is_live_code(asset: Any) -> bool:
    """Whether a script or style sheet, by name or by content, is Thebe's."""
    return "thebe" in f"{asset.filename} {asset.attributes.get('body', '')}".lower()


def drop_icon_script(app: Sphinx, exception: Exception | None) -> None:
    """Empty the theme's icon script: half a megabyte for each page, and the style sheet draws the same icons."""
    script = Path(app.outdir, "_static", "scripts", "fontawesome.js")
    if exception is None and app.builder.format == "html":
        script.write_text("// The icons come from the theme's style sheet and its web font.\n")
