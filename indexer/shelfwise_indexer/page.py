"""The page: HTML that needs nothing but itself, in which a shop's texts stay texts."""

import base64
import hashlib
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

# Broken surrogates cannot be written as UTF-8, and control characters are not allowed in HTML.
_UNPRINTABLE = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127, *range(0xD800, 0xE000)), "\ufffd")

_STYLE = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC","PingFang SC",sans-serif;
color:#1c2430;background:#fff;margin:0 auto;max-width:1180px;padding:24px}
h1{font-size:26px;margin:0}h2{font-size:20px;margin:40px 0 8px;border-bottom:1px solid #d5dae1}
p{max-width:80ch}.note{color:#55606e}
.figures{display:flex;flex-wrap:wrap;gap:12px;margin:16px 0}
.figure{border:1px solid #d5dae1;border-radius:6px;padding:6px 12px;font-size:13px}
.figure b{display:block;font-size:24px}
.charts{display:flex;flex-wrap:wrap;gap:24px}figure{margin:0;max-width:440px}figcaption{font-weight:600}
table{border-collapse:collapse;width:100%;margin:8px 0}
th,td{text-align:left;padding:4px 14px 4px 0;border-bottom:1px solid #e8ebef;vertical-align:top}
td{min-width:11ch;overflow-wrap:anywhere}td.number{min-width:0}th.number{white-space:normal}
th{background:#fff;position:sticky;top:0}table.sortable th{cursor:pointer}
table.sortable th::after{content:"\\00a0\\2195";color:#9aa4b0}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
ul{margin:0;padding-left:18px}td ul{min-width:380px}summary{cursor:pointer;font-weight:600;margin:8px 0}
svg text{font:12px system-ui,sans-serif;fill:#55606e}
.grid{stroke:#e8ebef}.dashed{stroke:#1c2430;stroke-dasharray:4 4}.mark{fill:none;stroke:#1c2430;stroke-width:2}
.ground{fill:#e8ebef}.filled{fill:#2563a8}tr.own{font-weight:600;background:#f2f6fb}
@media(max-width:700px){table{display:block;overflow-x:auto}}
"""

_SCRIPT = """
document.querySelectorAll('table.sortable').forEach(function(table){
  table.querySelectorAll('th').forEach(function(head,column){
    var down=true;
    head.addEventListener('click',function(){
      var rows=Array.from(table.tBodies[0].rows);
      var value=function(row){var cell=row.cells[column];return cell.dataset.value||cell.textContent;};
      var numbers=rows.every(function(row){return !isNaN(parseFloat(value(row)));});
      rows.sort(function(a,b){
        var order=numbers?parseFloat(value(a))-parseFloat(value(b)):value(a).localeCompare(value(b));
        return down?-order:order;
      });
      down=!down;
      rows.forEach(function(row){table.tBodies[0].appendChild(row);});
    });
  });
});
"""


@dataclass(frozen=True, slots=True)
class Markup:
    """HTML made by this project, which `cell` and `table` put in as it is; every other text is escaped."""

    html: str


Cell = str | int | float | Markup


def text(content: object, longest: int = 160) -> str:
    """Any text as HTML that shows it and does nothing else, cut at so many characters."""
    shown = str(content)
    shown = shown if len(shown) <= longest else shown[: longest - 1] + "…"
    return escape(shown.translate(_UNPRINTABLE))


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell]], sortable: bool = False, own: int | None = None) -> str:
    """A table; numbers are on the right, shares with three decimals.

    :param own: the row that stands out.
    """
    numeric = [isinstance(content, (int, float)) for content in rows[0]] if rows else [False] * len(heads)
    head = "".join(
        f"<th{' class=number' if right else ''}>{text(name)}</th>" for name, right in zip(heads, numeric, strict=True)
    )
    marks = [' class="own"' if number == own else "" for number in range(len(rows))]
    body = "".join(f"<tr{mark}>{''.join(map(_cell, row))}</tr>" for mark, row in zip(marks, rows, strict=True))
    kind = ' class="sortable"' if sortable else ""
    return f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def bullets(items: Sequence[str]) -> Markup:
    """A list of texts."""
    return Markup(f"<ul>{''.join(f'<li>{text(item)}</li>' for item in items)}</ul>")


def section(title: str, *parts: str) -> str:
    """A heading and what is below it (HTML)."""
    return f"<section><h2>{text(title)}</h2>{''.join(parts)}</section>"


def note(content: str) -> str:
    """A paragraph that explains."""
    return f'<p class="note">{text(content, longest=2000)}</p>'


def note_copied(folder: Path, content: str) -> None:
    """Say below the heading of the page in a folder, where there is one, of what it is a copy."""
    file = folder / "index.html"
    if file.is_file():
        above, heading_end, below = file.read_text(encoding="utf-8").partition("</h1>")
        folder.chmod(folder.stat().st_mode | stat.S_IWUSR)  # copied, too: that of a bundle nobody is to write
        file.unlink()
        file.write_text(f"{above}{heading_end}{note(content) if heading_end else ''}{below}", encoding="utf-8")


def folded(title: str, part: str) -> str:
    """HTML that is shown when its title is clicked."""
    return f"<details><summary>{text(title)}</summary>{part}</details>"


def figures(named: Sequence[tuple[str, str]]) -> str:
    """The few figures to see first, name and value."""
    shown = "".join(f'<div class="figure"><b>{text(value)}</b>{text(name)}</div>' for name, value in named)
    return f'<div class="figures">{shown}</div>'


def pictures(named: Sequence[tuple[str, str]]) -> str:
    """Charts beside each other: caption and `<svg>`."""
    shown = "".join(f"<figure><figcaption>{text(name)}</figcaption>{svg}</figure>" for name, svg in named)
    return f'<div class="charts">{shown}</div>'


def page(title: str, *parts: str) -> str:
    """The whole page, with a heading; tables that can be sorted are, by the one script that its policy allows."""
    return document(title, _STYLE, f"<h1>{text(title)}</h1>{''.join(parts)}", _SCRIPT)


def document(title: str, style: str, body: str, script: str = "") -> str:
    """A whole HTML file. Its policy allows no request, and no script but the one given.

    :param style: CSS.
    :param body: HTML.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
        body += f"<script>{script}</script>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
        f"<title>{text(title)}</title><style>{style}</style></head><body>{body}</body></html>\n"
    )


def _cell(content: Cell) -> str:
    if isinstance(content, Markup):
        return f"<td>{content.html}</td>"
    if isinstance(content, float):
        return f'<td class="number" data-value="{content}">{content:.3f}</td>'
    if isinstance(content, int):
        return f'<td class="number" data-value="{content}">{content:,}</td>'
    return f"<td>{text(content)}</td>"
