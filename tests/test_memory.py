"""The budget of memory: what is free, what is claimed, and how more is refused."""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from every_command import COMMANDS

import netsurgery
from netsurgery.cli import run
from netsurgery.errors import MemoryLimitError
from netsurgery.io import memory
from netsurgery.io.free_memory import free_memory
from netsurgery.io.memory import Claim, claim_for, empty, parse_memory, set_max_memory

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

MIB = 1 << 20


@pytest.fixture
def limit(fresh_budget: None) -> int:
    """A budget of 64 MiB."""
    set_max_memory("64MiB")
    return 64 * MIB


def in_use() -> int:
    gc.collect()
    return memory._BUDGET.taken


def test_claims_add_up(limit: int) -> None:
    before = in_use()
    with Claim(40 * MIB, "the first"), pytest.raises(MemoryLimitError) as refused:
        Claim(30 * MIB, "a.npy: its array")
    assert str(refused.value) == (
        "a.npy: its array needs 30.0 MiB of memory; 64.0 MiB may be used (--max-memory), 40.0 "
        "MiB of it in use"
    )
    assert (refused.value.needed, refused.value.allowed) == (30 * MIB, limit)
    assert in_use() == before


def test_a_claim_that_grows(limit: int) -> None:
    before = in_use()
    claim = Claim(0, "a list")
    claim.add(60 * MIB)
    with pytest.raises(MemoryLimitError, match=r"^a list needs more than 70.0 MiB of memory; 64"):
        claim.add(10 * MIB)
    claim.add(4 * MIB)
    assert in_use() == before + 64 * MIB
    del claim
    assert in_use() == before


def test_an_array_is_claimed_while_any_view_of_it_lives(limit: int) -> None:
    before = in_use()
    view = empty((1024, 1024), "f4", "an array")[3:].reshape(-1)
    assert in_use() == before + 4 * MIB
    with pytest.raises(MemoryLimitError):
        empty((1 << 31,), "f8", "another")
    assert in_use() == before + 4 * MIB
    assert view.size
    del view
    assert in_use() == before


def test_what_nothing_uses_any_more_is_given_back_before_more_is_refused(limit: int) -> None:
    """Objects that hold each other are there until Python looks for them."""
    cycle: list[object] = [empty((40 * MIB,), "u1", "it")]
    cycle.append(cycle)
    gc.disable()
    try:
        del cycle
        with Claim(40 * MIB, "the next"):
            pass
    finally:
        gc.enable()


def test_what_holds_a_claim_gives_it_back(limit: int) -> None:
    class Holder:
        pass

    before = in_use()
    holder = claim_for(Holder(), Claim(MIB, "it"))
    assert in_use() == before + MIB
    del holder
    assert in_use() == before


@pytest.mark.parametrize(
    ("text", "count"),
    [("512B", 512), ("4GiB", 4 << 30), ("1.5 GB", 1_500_000_000), ("10mib", 10 << 20),
     ("2TB", 2 * 10**12), ("3 KB", 3000), ("1KiB", 1024)],
)  # fmt: skip
def test_sizes(text: str, count: int) -> None:
    assert parse_memory(text) == count


@pytest.mark.parametrize(
    "text", ["", "4", "GiB", "0GiB", "-1GiB", "4G", "1e9B", "4 Gib B", "٤GiB", "9" * 5000, "nanB"]
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size of memory"):
        parse_memory(text)
    with pytest.raises(ValueError, match="is not a size of memory"):
        set_max_memory(text)


def test_numbers_that_are_no_limit() -> None:
    with pytest.raises(ValueError, match="0 is not a number of bytes above 0"):
        set_max_memory(0)


def make(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = {"proc/meminfo": "MemTotal:  900 kB\nMemFree: 1 kB\nMemAvailable:   800 kB\n"}


def test_the_machine_s_memory(tmp_path: Path) -> None:
    assert free_memory(make(tmp_path, MEMINFO)) == 800 << 10


def test_without_linux_s_files_it_is_half_of_the_machine_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert free_memory(tmp_path) == 500 * 4096
    monkeypatch.delattr("os.sysconf")
    assert free_memory(tmp_path) == 2 << 30


@pytest.mark.parametrize("inner", [True, False])
def test_control_groups_of_version_2(tmp_path: Path, inner: bool) -> None:
    """The group's own limit, or that of one it is in; idle pages of files count as free."""
    own, outer = "sys/fs/cgroup/a/b/", "sys/fs/cgroup/a/"
    low = own if inner else outer
    high = outer if inner else own
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        f"{low}memory.max": "300000\n",
        f"{low}memory.current": "200000\n",
        f"{low}memory.stat": "anon 5\ninactive_file 50000\nactive_file 7\n",
        f"{high}memory.max": "max\n",
        f"{high}memory.current": "200000\n",
    }
    assert free_memory(make(tmp_path, MEMINFO | files)) == 150000


@pytest.mark.parametrize("mount", ["sys/fs/cgroup/memory/docker/x/", "sys/fs/cgroup/memory/"])
def test_control_groups_of_version_1(tmp_path: Path, mount: str) -> None:
    """In a container the group's own path is the host's, and the group lies at the mount."""
    files = {
        "proc/self/cgroup": "8:pids:/docker/x\n4:cpu,memory:/docker/x\n0::/\n",
        f"{mount}memory.limit_in_bytes": "300000\n",
        f"{mount}memory.usage_in_bytes": "250000\n",
        f"{mount}memory.stat": "inactive_file 1\ntotal_inactive_file 3000\n",
    }
    assert free_memory(make(tmp_path, MEMINFO | files)) == 53000


@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_limits_of_the_process(name: str) -> None:
    code = (
        "import resource, re; from netsurgery.io.free_memory import free_memory; "
        "import netsurgery.io.memory as m; "
        f"resource.setrlimit(resource.{name}, (1 << 30, 1 << 30)); "
        "status = open('/proc/self/status').read(); free = free_memory(); "
        f"used = int(re.search('{'VmSize' if name == 'RLIMIT_AS' else 'VmData'}:\\\\s*(\\\\d+)', "
        "status)[1]) << 10; "
        "print((1 << 30) - used - free, m.allowed() - free * 3 // 4)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    off, share = map(int, done.stdout.split())
    assert abs(off) < 16 * MIB
    assert abs(share) < 16 * MIB
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != 1 << 30


def test_by_default_it_is_three_quarters_of_what_is_free_and_asked_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def free() -> int:
        asked.append(1)
        return 400 * MIB

    monkeypatch.setattr("netsurgery.io.free_memory.free_memory", free)
    monkeypatch.setattr(memory, "_BUDGET", memory._Budget())
    monkeypatch.setattr(Claim, "_budget", memory._BUDGET)
    with Claim(10 * MIB, "little"):
        assert not asked
        with pytest.raises(MemoryLimitError, match=r"; 310.0 MiB may be used"):
            Claim(301 * MIB, "much")
        with Claim(290 * MIB, "much"):
            assert len(asked) == 1


@pytest.mark.parametrize(
    "command", [*sorted({*COMMANDS} - {"train"}), "train plan", "caffe info", "caffe install"]
)
def test_every_command_takes_the_limit(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command.split(), "--max-memory", "many", "a", "b"]) == 2
    assert (
        "'many' is not a size of memory, such as 500MiB, 4GiB or 2.5GB" in capsys.readouterr().err
    )


def test_the_limit_is_the_command_s_and_no_longer(
    repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr("netsurgery.cli.inspect.echo_table", lambda *a, **k: seen.append(
        memory.max_memory()))  # fmt: skip
    net = str(repo_root / "prototxt" / "digits_deploy.prototxt")
    set_max_memory("1GiB")
    try:
        assert run(["inspect", net, "--max-memory", "2GiB"]) == 0
        assert memory.max_memory() == 1 << 30
        monkeypatch.setenv("NETSURGERY_MAX_MEMORY", "3GiB")
        assert run(["inspect", net]) == 0
        assert seen == [2 << 30, 3 << 30]
    finally:
        set_max_memory(None)


def test_the_library_has_it_too() -> None:
    netsurgery.set_max_memory("3MiB")
    try:
        with pytest.raises(netsurgery.MemoryLimitError):
            Claim(4 * MIB, "it")
    finally:
        netsurgery.set_max_memory(None)
    Claim(4 * MIB, "it")
