"""Makes a torchvision that was built for another torch importable: no model that is used calls its operators."""

from __future__ import annotations

_OPERATORS = (
    "nms", "qnms", "roi_align", "_roi_align_backward", "ps_roi_align", "_ps_roi_align_backward", "roi_pool",
    "_roi_pool_backward", "ps_roi_pool", "_ps_roi_pool_backward", "qroi_align", "deform_conv2d",
    "_deform_conv2d_backward",
)  # fmt: skip


def declare_operators() -> None:
    """Declare the operators that must exist before torchvision is imported; nothing to do where there is none."""
    import torch

    try:
        import torchvision
    except ImportError:
        return
    except RuntimeError:  # "operator torchvision::nms does not exist"
        import sys

        for key in [k for k in sys.modules if k.startswith("torchvision")]:
            del sys.modules[key]
        library = torch.library.Library("torchvision", "DEF")
        for name in _OPERATORS:  # never called: that they exist is enough for the import
            library.define(f"{name}(Tensor x) -> Tensor")
        globals()["_LIBRARY"] = library  # it takes its operators along when it is collected
        import torchvision  # noqa: F401
