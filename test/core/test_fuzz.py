"""No mutated file ends in a traceback: readers say what is wrong with it, or read it. The benchmark `inputs` does the
same with 5 000."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pw_core.errors import PWError
from pw_core.media.errors import MediaError
from pw_core.media.tables import stamp_table
from pw_core.reconstruct.layouts.read import read_folder
from support.cases.layouts import pictures
from support.fuzz import READERS, answers


@pytest.mark.parametrize("name", READERS)
def test_mutated_files_are_read_or_refused_by_name(name: str, tmp_path: Path) -> None:
    found = list(answers(name, 25, tmp_path))
    assert not [a.trouble for a in found if a.trouble] and found[0].read


TEXTS = st.one_of(st.text(), st.binary(), st.text(alphabet="0123456789.,;\t \n\"#stampfile-+einNaN", max_size=200))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
def test_any_table_is_read_or_refused_by_name(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "stamps.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    try:
        names, times = stamp_table(path)
        assert len(names) in (0, len(times))
    except MediaError as error:
        assert str(path) in str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(
        st.sampled_from(["frames", "file_path", "transform_matrix", "fl_x", "w", "h", "name", "K", "viewmat", "poses"]),
        inner, max_size=5), max_leaves=20,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON, st.sampled_from(["cameras.json", "transforms.json"]))
def test_any_cameras_are_read_or_refused_by_name(tmp_path: Path, data: object, name: str) -> None:
    import json

    if not (tmp_path / "0.jpg").exists():
        pictures(tmp_path, "{}.jpg", count=2)
    for other in ("cameras.json", "transforms.json"):
        (tmp_path / other).unlink(missing_ok=True)
    (tmp_path / name).write_text(json.dumps(data))
    try:
        read_folder(tmp_path, max_frames=9)
    except (MediaError, PWError) as error:
        assert name in str(error)
