"""A page of pictures in rows."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from pw_core.reconstruct.report.sheet import Sheet


def test_pictures_are_shown_in_their_rows_and_words_are_escaped(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path)
    red = np.zeros((4, 6, 3))
    red[..., 0] = 255
    for row, name in (("first", "a"), ("second", "b"), ("first", "c")):
        sheet.put(row, name, red, f"<{name}>")
    sheet.finish("ball", {"method": "by hand"}, [("doubtful", "a < b")], columns=2, classes={"doubtful": "doubtful"})
    page = (tmp_path / "index.html").read_text()
    assert page.index("0_a.png") < page.index("1_c.png") < page.index("0_b.png")
    assert "&lt;a&gt;" in page and '<tr class="doubtful"><th>doubtful</th><td>a &lt; b</td>' in page
    assert "from above" not in page and json.loads((tmp_path / "report.json").read_text()) == {"method": "by hand"}
    assert (cv2.imread(str(tmp_path / "pictures" / "0_a.png"))[0, 0] == (0, 0, 255)).all()
