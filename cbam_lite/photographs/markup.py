"""A page of one file: tables, figures and its look, in plain HTML without a script.

The page is read on a phone and in the dark: tables scroll inside their own frame, and the colours are those of `plot`,
lighter where the ground is dark.
"""

import base64
from collections.abc import Sequence
from html import escape

from cbam_lite.photographs.intervals import Estimate
from cbam_lite.photographs.maps import Pixels, encoded
from cbam_lite.plot import INPUT, NEUTRAL, OUTPUT, SPATIAL

STYLE = f"""
:root {{ color-scheme: light dark; --ink: #1d2129; --paper: #ffffff; --soft: #f3f5f8; --line: #d5dae1;
  --quiet: {NEUTRAL}; --good: {SPATIAL}; --bad: {OUTPUT}; --mark: {INPUT}; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6e9ee; --paper: #15181d; --soft: #1f242b; --line: #3a414c;
  --quiet: #a3acb9; --good: #4fc3a1; --bad: #f08c55; --mark: #62b0e8; }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }}
main {{ max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }}
h1 {{ font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }}
h2 {{ font-size: 1.25rem; margin: 2.4rem 0 .5rem; padding-top: .6rem; border-top: 1px solid var(--line); }}
p {{ max-width: 44rem; margin: .5rem 0; overflow-wrap: anywhere; }}
.quiet, caption, figcaption small {{ color: var(--quiet); }}
.warnings {{ border-left: .3rem solid var(--bad); background: var(--soft); padding: .7rem 1rem; margin: 1.2rem 0; }}
.warnings h2 {{ border: 0; margin: 0; padding: 0; font-size: 1.05rem; color: var(--bad); }}
.warnings ul {{ margin: .4rem 0 0; padding-left: 1.2rem; }}
.warnings li {{ margin: .3rem 0; max-width: 44rem; }}
.frame {{ overflow-x: auto; margin: .8rem 0; }}
.frame:focus-visible {{ outline: 2px solid var(--mark); }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; padding-bottom: .4rem; font-size: .92rem; }}
th, td {{ padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }}
thead th {{ vertical-align: bottom; border-bottom: 2px solid var(--line); }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
th {{ font-weight: 600; }}
.estimate {{ display: grid; justify-items: end; align-items: center; }}
.estimate small {{ color: var(--quiet); white-space: nowrap; }}
td.none small {{ display: block; font-weight: 400; }}
@media (min-width: 44rem) {{
  .wide .estimate {{ grid-template-columns: 3.2rem 8rem 7.5rem 6.5rem; }}
  .wide thead th:last-child {{ text-align: left; padding-left: 2.1rem; }} }}
@media (max-width: 30rem) {{ th, td {{ padding: .3rem .4rem; font-size: .94rem; }} }}
td.right {{ box-shadow: inset 0 0 0 99px color-mix(in srgb, var(--mark) var(--part), transparent); }}
td.wrong {{ box-shadow: inset 0 0 0 99px color-mix(in srgb, var(--bad) var(--part), transparent); }}
td.none {{ color: var(--quiet); }}
.track {{ position: relative; width: 6rem; height: .7rem; margin: .15rem 0 .1rem; }}
.track::before {{ content: ""; position: absolute; inset: .3rem 0 auto; border-top: 1px solid var(--line); }}
.track i {{ position: absolute; top: .2rem; height: .3rem; background: var(--mark); opacity: .45; }}
.track b {{ position: absolute; top: .1rem; width: .5rem; height: .5rem; margin-left: -.25rem; border-radius: 50%;
  background: var(--mark); }}
.pictures {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)); gap: 1.2rem; }}
figure {{ margin: 0; }}
figure div {{ display: grid; grid-template-columns: 1fr 1fr; gap: 3px; }}
figure img {{ width: 100%; height: auto; display: block; }}
figcaption {{ font-size: .92rem; margin-top: .3rem; overflow-wrap: anywhere; }}
figcaption small {{ display: block; }}
"""


def page(title: str, body: str) -> str:
    """The whole file."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """A part of the page under its heading, if there is anything in it."""
    content = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{escape(heading)}</h2>\n{content}\n</section>" if content else ""


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """A table whose cells are HTML: ready ``<td>``, or what is put into one. The first of each row is its heading.

    The kind "wide" puts the parts of an estimate beside each other where there is room.
    """
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = []
    for first, *rest in rows:
        cells = "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    return (
        f'<div class="frame" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="{kind}">\n'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{columns}</tr></thead>\n<tbody>\n"
        + "\n".join(lines)
        + "\n</tbody></table></div>"
    )


def cell(found: Estimate, *, drawn: bool = False) -> str:
    """An estimate in a table: value, interval and counts, or the reason why there is none; `drawn` adds its picture."""
    if found.value is None:
        return f'<td class="none">–<small>{escape(found.why or "")}</small></td>'
    parts = [f"<span>{found.value:.2f}</span>"]
    if found.low is not None and found.high is not None:
        parts += [track(found.value, found.low, found.high)] if drawn else []
        parts.append(f"<small>{found.low:.2f} to {found.high:.2f}</small>")
    if found.of is not None:
        parts.append(f"<small>{found.hits} of {found.of}</small>")
    return f'<td><span class="estimate">{"".join(parts)}</span></td>'


def track(value: float, low: float, high: float) -> str:
    """The picture of an interval from 0 to 1: a line, its part from low to high, and a dot. Its numbers stand by."""
    part = f'<i style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></i>'
    return f'<span class="track" aria-hidden="true">{part}<b style="left:{100 * value:.1f}%"></b></span>'


def picture(pixels: Pixels, alt: str) -> str:
    """An image inside the page, as JPEG, with the text that stands for it."""
    H, W, _ = pixels.shape
    data = base64.b64encode(encoded(pixels, "JPEG")).decode()
    return f'<img src="data:image/jpeg;base64,{data}" width="{W}" height="{H}" alt="{escape(alt)}">'


def figure(images: Sequence[str], caption: str, small: str) -> str:
    """Images side by side, what they show, and a smaller line below."""
    text = f"<figcaption>{escape(caption)}<small>{escape(small)}</small></figcaption>"
    return f"<figure><div>{''.join(images)}</div>{text}</figure>"
