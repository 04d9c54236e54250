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
TRUTHS = (*OWN, "cup", "bottle", "blocks", "glossy", "banana", "niche", "plant", "stool", "loaf", "pear", "cloth")
"""The last six are looked at only at the end: nothing is tuned on them."""
_ROOM = "Turned, the room past the photo's borders is made of copies of it, out of focus."
WRONG = {
    "jam": (
        "Turned by 20 degrees it is too broad: it is taken to be as deep as it is wide, the true one is 0.78 of "
        f"that (volume +17 %), and its flanks are smooth bands. {_ROOM}"
    ),
    "dumpling": (
        "No lamp is told among the flour, so nothing casts a new shadow; the flour under the dough is unknown. "
        f"The flour bowl's lower half has the wood's colours and lies on it. {_ROOM}"
    ),
    "play_doh": f"A bear's part shows twice where it stood before the shelf. {_ROOM}",
    "cup": (
        "Turned by 20 degrees and more, the part of its handle that was before the saucer stays on the saucer, and "
        "where the cup hid it the saucer is blotched. Slid, a faint bright arc stays at its old foot."
    ),
    "bottle": "Its highlight turns with it instead of staying with the lamp; its flanks are streaked.",
    "blocks": (
        "Faces that the photo does not show have the blurred colours of the others, and soft edges; where the left one "
        "is turned or slid away, the right one has faint lighter patches where it was in its shade."
    ),
    "glossy": (
        "Reflections are painted on the table: the can's and the ball's smear when the view turns. Its highlight "
        "turns with the ball, with a line where the front ends."
    ),
    "banana": "Its ends are blunt when turned by 40 degrees; a faint trace of its shadow stays when it moves.",
    "niche": (
        "Where it stood a faint trace of its shadow stays on the wall; turned by 40 degrees the wall beside the photo "
        "is blotched, and grey specks show where its front ends."
    ),
    "plant": (
        "Its spines go with it in one plane, so that there are none on its back, and tips of them stay on the wall as "
        "warm specks. Its mask takes some of the table at its foot. Turned by 40 degrees it leans and its back is bare."
    ),
    "stool": (
        "A few pixels of the table between two of its legs go with it; its rim is ragged where the back begins, with "
        "short ledges over its legs; 11 % too small."
    ),
    "loaf": "It is taken to be as deep as it is wide: 25 % too large, its ends pointed and its cuts bent when turned.",
    "pear": "Where it hid the apple, table is shown in its stead; turned, it is broader than the true one.",
    "cloth": "Its back is smoother than its front; a faint trace of its shadow stays when it moves.",
    "shared_jam": (
        "The planks under it are smoother than beside it, and a light piece of curtain stays where it was; "
        f"its flanks are smooth bands when turned; its foot is flat when lifted. {_ROOM}"
    ),
    "shared_dumpling": (
        "The hole is a little softer than the planks, with a pale edge; no lamp is told, so nothing casts a new "
        f"shadow. The glass's rim is copied to the wall behind it. {_ROOM}"
    ),
    "shared_play_doh": (
        "A red spot is copied between the dolls; its foot is cut flat; faint bright spots stay where it stood. "
        f"{_ROOM}"
    ),
    "coffee": (
        "Its pitch is wrong in the scene file (43 for about 55 degrees), so the cup leans; the rim of its saucer "
        "is ragged when turned, and the table where it stood is blurred, with a bright streak."
    ),
    "bags": (
        "The boot is no table: its floor rises to the backdrop and the other bags lie on it as a picture; seats and "
        "window are copied behind the bags."
    ),
}
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
