"""The page of a report: pictures in rows, each with its caption, what is known in words, all figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Reconstruction of {{ id }}</title>
<style>
body{font:15px/1.4 sans-serif;margin:2em auto;max-width:1280px;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{padding:2px 12px 2px 0;text-align:left;vertical-align:top}
.stage{display:grid;grid-template-columns:repeat({{ columns }},1fr);gap:4px}
figure{margin:0}img{width:100%;display:block}figcaption{font-size:12px;color:#666}
.map{max-width:620px}pre{white-space:pre-wrap;font-size:12px}
.good td{color:#176b2c}.doubtful td{color:#a35200}
</style></head><body>
<h1>{{ id }}: {{ method }}</h1>
<table>{% for what, value in summary %}
<tr class="{{ classes.get(what) or "" }}"><th>{{ what }}</th><td>{{ value }}</td></tr>
{% endfor %}</table>
{% if map %}<h2>Cameras, points and entities, from above and from the side</h2>
<img class="map" src="{{ map }}" alt="map">
{% endif %}{% for title, shown in rows %}<h2>{{ title }}</h2><div class="stage">
{% for file, caption in shown %}<figure><img src="{{ file }}" alt="{{ title }}, {{ caption }}">
<figcaption>{{ caption }}</figcaption></figure>
{% endfor %}</div>
{% endfor %}<h2>All figures</h2><details><summary>report.json</summary><pre>{{ figures }}</pre></details>
</body></html>
"""


class Sheet:
    """Pictures in `folder`/pictures, then report.json and index.html that shows them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: dict[str, list[tuple[str, str]]] = {}
        (folder / "pictures").mkdir(parents=True, exist_ok=True)

    def write(self, name: str, rgb: np.ndarray) -> str:
        """A picture (H, W, 3), 0 to 255, as a file; its path from the page."""
        import cv2

        cv2.imwrite(str(self._folder / "pictures" / f"{name}.png"), np.asarray(rgb, np.uint8)[..., ::-1])
        return f"pictures/{name}.png"

    def put(self, title: str, name: str, rgb: np.ndarray, caption: str) -> None:
        """The next picture of the row `title`."""
        row = self._rows.setdefault(title, [])
        row.append((self.write(f"{len(row)}_{name}", rgb), caption))

    def finish(
        self, scene_id: str, report: Mapping[str, Any], summary: Sequence[tuple[str, str]], *, columns: int,
        map_file: str = "", classes: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """report.json and index.html; classes: `good` or `doubtful`, by what the summary's line is about."""
        from jinja2 import Environment

        figures = json.dumps(report, indent=1)
        page = Environment(autoescape=True).from_string(PAGE).render(
            id=scene_id, method=report.get("method", ""), rows=list(self._rows.items()), columns=columns,
            map=map_file, summary=summary, figures=figures, classes=classes or {},
        )  # fmt: skip
        (self._folder / "report.json").write_text(figures)
        (self._folder / "index.html").write_text(page)
