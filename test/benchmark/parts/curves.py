"""Errors of predictions, round by round, as a picture: a row a scene, a line a seed and arm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLUMNS = (
    ("particle", "particle error [sizes]"), ("chamfer", "surface Chamfer [sizes]"), ("psnr", "PSNR, new camera [dB]"),
)  # fmt: skip
COLOURS = {"open": "#8a8f98", "fitted": "#c8372d", "oracle": "#2b6cb0"}
LABELS = {
    "open": "open loop: never looks", "fitted": "closed loop: state, look and constants",
    "oracle": "told the true constants",
}  # fmt: skip


def curves(found: dict[tuple[str, str], dict[str, Any]], path: Path) -> None:
    """Draw what `parts.loops` has found: {(scene, seed): {arm: rounds}}."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    scenes = sorted({scene for scene, _ in found})
    figure, axes = plt.subplots(len(scenes), 3, figsize=(11, 2.9 * len(scenes)), squeeze=False, sharex=True)
    for row, scene in zip(axes, scenes, strict=True):
        for ax, (key, label) in zip(row, COLUMNS, strict=True):
            for (name, seed), arms in found.items():
                for arm in COLOURS:
                    if name == scene and arm in arms:
                        values = [r[key] for r in arms[arm]]
                        ax.plot(range(1, len(values) + 1), values, color=COLOURS[arm], marker="o", ms=4, lw=1.6,
                                alpha=0.9, label=LABELS[arm])  # fmt: skip
                        ax.annotate(seed, (len(values), values[-1]), xytext=(5, 0), textcoords="offset points",
                                    va="center", fontsize=7, color=COLOURS[arm])  # fmt: skip
            ax.set_ylabel(label, fontsize=8)
            ax.set_xticks([1, 2, 3])
            ax.tick_params(labelsize=8)
            ax.grid(axis="y", color="#e5e7eb", lw=0.8)
            ax.spines[["top", "right"]].set_visible(False)
            if key != "psnr":
                ax.set_ylim(bottom=0)
        row[0].set_title(scene.replace("_", " "), loc="left", fontsize=10, fontweight="bold")
    for ax in axes[-1]:
        ax.set_xlabel("round, before its refinement (numbers: seeds)", fontsize=8)
    lines: dict[str, Any] = {}
    for ax in axes.flat:
        lines |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(lines.values(), lines.keys(), loc="upper center", ncol=3, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.96))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
