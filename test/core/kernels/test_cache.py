"""Compiled kernels go when any source that is compiled into them changes."""

from __future__ import annotations

from pathlib import Path

from pw_core.kernels.cache import drop_stale


def test_kernels_go_when_a_file_that_they_call_changes(tmp_path: Path) -> None:
    kernels, shared = tmp_path / "kernels", tmp_path / "shared"
    for folder in (kernels, shared):
        folder.mkdir()
        (folder / "code.py").write_text("one = 1\n")
    drop_stale(kernels, uses=[shared])
    compiled = kernels / "__pycache__" / "code.step-1.py311.1.nbc"
    compiled.write_bytes(b"machine code")
    assert not drop_stale(kernels, uses=[shared]) and compiled.exists()
    (shared / "code.py").write_text("one = 2\n")
    assert drop_stale(kernels, uses=[shared]) and not compiled.exists()
    compiled.write_bytes(b"machine code")
    assert not drop_stale(kernels, uses=[shared]) and compiled.exists()


def test_a_folder_that_cannot_be_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("one = 1\n")
    (tmp_path / "__pycache__").write_text("a file where the folder would be")
    assert not drop_stale(tmp_path)
