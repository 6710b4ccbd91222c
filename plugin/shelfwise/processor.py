"""The processor as the inference runtime sees it."""

import openvino as ov


def capabilities() -> list[str]:
    """What the runtime's plug-in for this processor can do, sorted."""
    return sorted(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def has_bf16() -> bool:
    """Whether this processor computes in bf16 itself."""
    return "BF16" in capabilities()
