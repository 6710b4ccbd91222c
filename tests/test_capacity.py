"""What this machine has, read out of folders made by hand."""

import os
import sys

import pytest

from shelfwise import capacity as room
from shelfwise.capacity import capacity, core_quotas, gpus, instruction_sets, memory_limit

EPYC = (
    "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx avx2 avx512f avx512_bf16 avx_vnni\n\nprocessor\t: 1\n"
)


@pytest.fixture
def system(tmp_path):
    """Writes files below a root of one's own."""

    def write(**files):
        for name, text in files.items():
            file = tmp_path / name.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    def at(files):
        return write(**{path.replace("/", "__"): text for path, text in files.items()})

    return at


def test_instruction_sets_are_named_as_people_name_them():
    assert instruction_sets(EPYC) == ("avx2", "avx512", "avx512_bf16", "vnni")
    assert instruction_sets("flags : avx2 amx_tile amx_bf16 avx512_vnni\n") == ("avx2", "amx", "vnni")
    assert instruction_sets("Features\t: fp asimd sve bf16 i8mm\n") == ("neon", "sve", "bf16", "i8mm")
    assert instruction_sets("") == ()


def test_the_least_quota_on_the_way_up_counts(system):
    root = system(
        {
            "proc/self/cgroup": "0::/shop/search\n",
            "sys/fs/cgroup/shop/search/cpu.max": "max 100000\n",
            "sys/fs/cgroup/shop/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/shop/search/memory.max": "max\n",
            "sys/fs/cgroup/shop/memory.max": "2147483648\n",
        }
    )
    assert list(core_quotas(root)) == [1.5]
    assert memory_limit(root) == 2 << 30


def test_the_first_version_of_control_groups_is_read_too(system):
    root = system(
        {
            "proc/self/cgroup": "4:memory:/shop\n3:cpu,cpuacct:/shop\n2:name=systemd:/\n",
            "sys/fs/cgroup/cpu,cpuacct/shop/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu,cpuacct/shop/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/shop/memory.limit_in_bytes": "1073741824\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        }
    )
    assert list(core_quotas(root)) == [0.5]
    assert memory_limit(root) == 1 << 30


def test_a_limit_above_the_machines_memory_is_none(system):
    root = system(
        {
            "proc/cpuinfo": EPYC,
            "proc/meminfo": "MemTotal:       1048576 kB\nMemFree: 1 kB\nMemAvailable:    524288 kB\n",
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": f"{4 << 30}\n",
            "sys/fs/cgroup/cpu.max": "25000 100000\n",
        }
    )
    found = capacity(root)
    assert (found.processor, found.cores, found.cores_of_machine) == ("AMD EPYC", 0.25, os.cpu_count())
    assert (found.memory_bytes, found.memory_available_bytes) == (1 << 30, 1 << 29)
    assert found.memory_limit_bytes is None


def test_a_system_that_says_nothing_is_no_error(tmp_path):
    found = capacity(tmp_path)
    assert found.cores >= 1
    assert (found.processor, found.instruction_sets, found.memory_bytes) == (None, (), None)


def test_torch_is_asked_only_where_it_is_and_never_imported_here(monkeypatch):
    imported = "torch" in sys.modules
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(room.subprocess, "run", lambda *_, **__: pytest.fail("torch was asked"))
    assert gpus() == room.Gpus(None, ())
    assert ("torch" in sys.modules) == imported


def test_a_torch_that_does_not_answer_has_no_gpu(monkeypatch):
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(room.importlib.metadata, "version", lambda name: "2.9.0")
    monkeypatch.setattr(room, "_ASK_TORCH", "raise SystemExit(1)")
    assert gpus() == room.Gpus("2.9.0", ())
    monkeypatch.setattr(room, "_ASK_TORCH", """print('[{"name": "H100", "memory_bytes": 85}]')""")
    assert gpus().devices == ({"name": "H100", "memory_bytes": 85},)
