"""The processor as the inference runtime sees it."""

import openvino as ov

# One for the whole process, and never let go of: a second one would leave the thread's stack for signals in memory that
# is given back once both are gone, and the next Ctrl-C would be a segmentation fault (docs/decisions/016).
CORE = ov.Core()
# A model is read whole. Mapped, its file would stay part of this process: another model copied over the folder in
# place would change vectors half-way or, with a shorter file, end the process by SIGBUS. Reading takes no longer.
CORE.set_property({"ENABLE_MMAP": False})


def capabilities() -> list[str]:
    """What the runtime's plug-in for this processor can do, sorted."""
    return sorted(CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def has_bf16() -> bool:
    """Whether this processor computes in bf16 itself."""
    return "BF16" in capabilities()
