"""The demo's page: photo beside render, novel views, a film for each round, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment

TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #222; }
 h1, h2 { line-height: 1.2 } figure { margin: 0 } figcaption { color: #666; font-size: .9rem }
 .row { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 1rem; margin: 1rem 0 }
 img, video { width: 100%; border-radius: 6px; display: block; background: #eee }
 table { border-collapse: collapse } td, th { padding: .2rem 1rem .2rem 0; text-align: left; vertical-align: top }
</style>
<h1>{{ title }}</h1>
{% for section in sections %}
<h2>{{ section.title }}</h2>
{% if section.text %}<p>{{ section.text }}</p>{% endif %}
{% if section.media %}<div class="row">
{% for name, caption in section.media %}
<figure>
{% if name.endswith('.mp4') %}<video src="{{ name }}" controls loop muted autoplay playsinline></video>
{% else %}<img src="{{ name }}" alt="{{ caption }}">{% endif %}
<figcaption>{{ caption }}</figcaption>
</figure>
{% endfor %}</div>{% endif %}
{% if section.rows %}<table>{% for key, value in section.rows %}<tr><th>{{ key }}</th><td>{{ value }}</td></tr>
{% endfor %}</table>{% endif %}
{% endfor %}
</html>
"""


@dataclass
class Section:
    """A heading with pictures or films (file beside the page, caption) and a table of numbers."""

    title: str
    text: str = ""
    media: list[tuple[str, str]] = field(default_factory=list)
    rows: list[tuple[str, str]] = field(default_factory=list)


def write_page(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write the page; what it shows lies beside it."""
    html = Environment(autoescape=True).from_string(TEMPLATE).render(title=title, sections=sections)
    path.write_text(html, encoding="utf-8")
