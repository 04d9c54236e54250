"""The documentation: built strictly, its code run, its links followed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from parts.records import ROOT, record

SHOWN = [ROOT / "README.md", *sorted((ROOT / "docs/tutorials").glob("*.md"))]


def pages() -> None:
    """Count, build, run."""
    began = time.perf_counter()
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    note = (built.stderr.strip().splitlines() or [""])[-1]
    record("docs_build_strict", float(built.returncode == 0), "1 or 0", "1", built.returncode == 0, note)
    record("docs_build_seconds", seconds, "s", "told", None)
    site = ROOT / "out/site"
    record("docs_pages", len(list(site.rglob("*.html"))), "pages", "told", None)
    dead = list(dead_links(site))
    record("docs_dead_links", len(dead), "links", "0", not dead, "; ".join(dead[:3]))
    blocks = sum(len(re.findall(r"^```(?:python|bash)$", p.read_text(), re.M)) for p in SHOWN)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test/docs", "-p", "no:cacheprovider"], cwd=ROOT, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    told = ran.stdout.strip().splitlines()[-1]
    record("docs_blocks_that_run", blocks if ran.returncode == 0 else 0, "blocks", f"{blocks}", ran.returncode == 0,
           f"python and bash of README and tutorials; test/docs: {told}")  # fmt: skip


def dead_links(site: Path) -> list[str]:
    """Links and pictures of the built pages that lead nowhere inside."""
    out = []
    for page in sorted(site.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r'(?:href|src)="([^"#?]+)', text):
            outside = re.match(r"[a-z]+:|//", target)
            if not outside and page.name != "404.html" and not (page.parent / target).exists():
                out.append(f"{page.relative_to(site)}: {target}")
    return out
