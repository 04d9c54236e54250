"""Figures of one photo's scene, turned and moved: `make bench BENCH=photo` writes out/bench/photo.json and a page of
sheets, out/bench/photo/index.html.

Against what `examples/photos/make_truths.py` traced into out/truths (PW_TRUTHS); photos without a truth come from the
shared data folder (PW_SHARED_DATA, or ../shared/data beside the checkout). Scenes may be named on the command line.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).parent))
from parts.photo_doubts import totals
from parts.photo_light import gains, write_page
from parts.photo_truths import OWN, against_truth, shared
from parts.records import ROOT, record, write

from pw_core.config import SceneConfig

OUT = Path("out/bench/photo")
TRUTHS = (*OWN, "cup", "bottle", "blocks", "glossy", "banana", "plant", "stool", "loaf", "pear", "cloth")
"""The last six are looked at only at the end: nothing is tuned on them."""
WRONG: dict[str, str] = {}
"""What is still wrong with each sheet, as someone saw who looked at it."""
SHARED = ("shared_jam", "shared_dumpling", "shared_play_doh", "coffee", "bags")


def _shared_config(name: str) -> SceneConfig | None:
    data = Path(os.environ.get("PW_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if name.startswith("shared_"):
        short = name.removeprefix("shared_")
        photo = data / "photos" / f"{short}.png"
        config = SceneConfig.load(ROOT / "test" / "core" / "scenes_shared" / f"{short}.yaml")
        return config.model_copy(update={"photo": str(photo)}) if photo.is_file() else None
    file = data / "lift" / f"{name}.yaml"
    return SceneConfig.load(file) if file.is_file() else None


def main() -> None:
    """Measure the scenes named on the command line, or all; print, write."""
    wanted = sys.argv[1:] or [*TRUTHS, *SHARED]
    OUT.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        if name in TRUTHS:
            sheet = against_truth(name)
        else:
            config = _shared_config(name)
            sheet = None if config is None else shared(name, config)
            if config is None:
                record(f"{name}: PSNR", None, "dB", ">= 28", None, "no such photo: set PW_SHARED_DATA")
        if sheet is not None:
            cv2.imwrite(str(OUT / f"{name}.png"), sheet[..., ::-1])
    totals()
    gains()
    write_page(OUT, WRONG)
    write("photo", keep=bool(sys.argv[1:]))


if __name__ == "__main__":
    main()
