"""The page of a run: for each round rollout, target, refined, differences, losses, figures, errors against a truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pw_core.loop.pictures import Shown, draw_round
from pw_core.loop.truth import Truth

if TYPE_CHECKING:
    from pw_core.loop.rounds import Rounds

TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #222; }
 h1, h2, h3 { line-height: 1.2 } figure { margin: 0 } figcaption, .note { color: #666; font-size: .9rem }
 .row { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 1rem; margin: 1rem 0 }
 img, video { width: 100%; border-radius: 6px; display: block; background: #eee }
 table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem 1.2rem .2rem 0; text-align: left }
 td { font-variant-numeric: tabular-nums } svg { max-width: 560px; width: 100%; height: auto }
</style>
<h1>{{ title }}</h1>
<p class="note">{{ note }}</p>
{% if table %}<table><tr>{% for name in table[0] %}<th>{{ name }}</th>{% endfor %}</tr>
{% for line in table[1:] %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}
{% for r in rounds %}
<h2>Round {{ r.number }}{% if r.name %}: {{ r.name }}{% endif %}</h2>
{% for view in r.views %}
<h3>{{ view.camera }}</h3>
<div class="row">{% for what, file in view.stills.items() %}
<figure><img src="{{ file }}" alt="{{ what }}"><figcaption>{{ what }}</figcaption></figure>{% endfor %}
</div>
<video src="{{ view.film }}" controls loop muted autoplay playsinline></video>
{% endfor %}
{% if r.curve %}<h3>Loss</h3>
<svg viewBox="0 0 560 200" role="img" aria-label="loss over iterations">
<path d="M40 10V170H550" fill="none" stroke="#999"/>
<path d="{{ r.curve }}" fill="none" stroke="#c33" stroke-width="1.5"/>
<text x="36" y="18" text-anchor="end" font-size="11">{{ '%.3g' % r.top }}</text>
<text x="36" y="170" text-anchor="end" font-size="11">{{ '%.3g' % r.bottom }}</text>
<text x="550" y="186" text-anchor="end" font-size="11">iteration {{ r.count }}</text></svg>{% endif %}
{% if r.rows %}<table>{% for key, value in r.rows %}<tr><th>{{ key }}</th><td>{{ value }}</td></tr>
{% endfor %}</table>{% endif %}
{% endfor %}
</html>
"""


@dataclass
class Part:
    """A round on the page."""

    number: int
    name: str
    views: list[Shown]
    rows: list[tuple[str, str]] = field(default_factory=list)
    curve: str = ""
    top: float = 0.0
    bottom: float = 0.0
    count: int = 0


def write_page(run: Rounds, *, truth: Truth | None = None) -> Path:
    """Write `<folder>/index.html` of the rounds that are done, drawing what has not been drawn; its path."""
    from jinja2 import Environment

    parts, lines = [], []
    for number, round_ in enumerate(run.rounds, start=1):
        if not run.done(number):
            break
        part = Part(number, round_.name, draw_round(run, number))
        errors = _errors(run, number, truth)
        refined = run.ledger.of(number, "refine")
        figures = refined.more["figures"] if refined is not None else {}
        lines.append([str(number), *(_cell(figures.get(k), unit) for k, unit in COLUMNS.values()), *errors.values()])
        if refined is not None:
            losses = refined.more["losses"]
            if losses:
                part.curve, part.bottom, part.top = polyline(losses)
                part.count = len(losses)
            part.rows = [*_rows(figures), *map(_estimate, refined.more["estimates"])]
        part.rows += list(errors.items())
        parts.append(part)
        names = ["round", *COLUMNS, *errors]
    note = "Stills and films show the end of each round, and the round. Differences are 3 times too bright."
    html = Environment(autoescape=True).from_string(TEMPLATE).render(
        title=f"{run.scene.config.title or run.scene.id}: {len(parts)} of {len(run.rounds)} rounds", note=note,
        table=[names, *lines] if lines else [], rounds=parts,
    )  # fmt: skip
    path = run.folder / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(".new-index.html")
    new.write_text(html, encoding="utf-8")
    new.replace(path)
    return path


COLUMNS = {
    "PSNR before": ("psnr_before", "dB"), "PSNR after": ("psnr_after", "dB"),
    "silhouettes before": ("mask_iou_before", "IoU"), "silhouettes after": ("mask_iou_after", "IoU"),
    "moved by": ("moved_mean_m", "mm"),
}  # fmt: skip
MORE = {
    "PSNR of the whole picture before": ("psnr_image_before", "dB"),
    "PSNR of the whole picture after": ("psnr_image_after", "dB"),
    "moved at most": ("moved_max_m", "mm"), "time": ("seconds", "s"),
}  # fmt: skip


def _rows(figures: dict[str, float | None]) -> list[tuple[str, str]]:
    return [(name, _cell(figures.get(k), unit)) for name, (k, unit) in {**COLUMNS, **MORE}.items()]


def _cell(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{value * 1e3:.2f} mm" if unit == "mm" else f"{value:.3f}" if unit == "IoU" else f"{value:.1f} {unit}"


def _errors(run: Rounds, number: int, truth: Truth | None) -> dict[str, str]:
    """The state's error against the truth at the round's end, predicted and refined."""
    out = {}
    for what, name in (("rollout", "predicted"), ("refine", "refined")) if truth is not None else ():
        entry = run.ledger.of(number, what)  # type: ignore[arg-type]
        found = None
        if entry is not None and truth is not None:
            trajectory = run.world.trajectory(entry.trajectory)
            found = truth.error(number, trajectory.positions[-1], time_s=float(trajectory.times[-1]))
        out[f"{name} state off by"] = "–" if found is None else f"{found.particle_m * 1e3:.2f} mm"
        out[f"{name} Chamfer"] = "–" if found is None else f"{found.chamfer_m * 1e3:.2f} mm"
    return out


def _estimate(estimate: dict[str, Any]) -> tuple[str, str]:
    # Ledgers of before say `told`.
    limit = "" if estimate.get("observable", estimate.get("told")) else " (the films could not tell)"
    text = f"{estimate['before']:.4g} → {estimate['value']:.4g} ± {estimate['error']:.2g}{limit}"
    return f"fitted {estimate['name']}", text


def polyline(values: Sequence[float]) -> tuple[str, float, float]:
    """An SVG path of values over 40 … 550 by 10 … 170, the lowest value and the highest."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = 510 / max(len(values) - 1, 1)
    points = [f"{40 + k * step:.1f} {170 - 160 * (v - low) / span:.1f}" for k, v in enumerate(values)]
    return "M" + "L".join(points), low, high
