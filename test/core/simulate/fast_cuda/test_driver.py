"""Run-time compilation, where there is NVRTC; a GPU is not needed for it."""

from __future__ import annotations

import pytest

from pw_core.errors import RolloutError
from pw_core.simulate.fast_cuda import driver
from pw_core.simulate.fast_cuda.engine import CudaOptions, kernel_source

KERNELS = (b"advance_worlds", b"begin", b"scatter_first", b"exchange", b"gather_last", b"nodes", b"bodies")


@pytest.fixture
def nvrtc():
    try:
        return driver.nvrtc_version()
    except RolloutError:
        pytest.skip("no NVRTC here")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_kernels_compile(nvrtc, architecture):
    code = driver.compile_source(kernel_source(), architecture=architecture)
    assert code[:4] == b"\x7fELF" and all(name in code for name in KERNELS)


def test_errors_hold_the_compilers_log(nvrtc):
    with pytest.raises(RolloutError, match=r"(?s)do not compile for sm_90.*speed_of_light"):
        driver.compile_source('extern "C" __global__ void k() { speed_of_light = 1; }', architecture="sm_90")


def test_a_second_process_finds_the_code_compiled(nvrtc, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = 'extern "C" __global__ void k(float* x) { x[0] = 1; }'
    first = driver.cached(source, architecture="sm_90")
    monkeypatch.setattr(driver, "compile_source", None)
    assert driver.cached(source, architecture="sm_90") == first
    assert len(list(driver.cache_folder().iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_no_error(nvrtc, tmp_path, monkeypatch):
    (tmp_path / "perpetual_wonder").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert driver.cached('extern "C" __global__ void k() {}', architecture="sm_90")[:4] == b"\x7fELF"


def test_without_nvrtc_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(driver, "_nvrtc_candidates", lambda: ["no_such_library.so"])
    with pytest.raises(RolloutError, match="pip install nvidia-cuda-nvrtc"):
        driver.load_nvrtc()


def test_source_names_its_threads():
    assert "#define BLOCK_THREADS 96\n" in kernel_source(CudaOptions(block_threads=96))
