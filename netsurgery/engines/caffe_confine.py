"""Confines the process that imports Caffe: what it may read, write and ask of Linux.

It stands alone beside caffe_worker.py and caffe_probe.py, which load it by its path: the standard
library alone, Python 2.7 to 3.x. There are two steps, since rules can only be made stricter:

1. `forbid_writes`, before Caffe is imported: Landlock, which the threads that a BLAS starts while
   it is imported inherit. Nothing can be written, made, renamed or removed but in the scratch
   folder; no TCP; no signals to and no abstract sockets of other processes.
2. `forbid_reads`, after it: only then is it known where this interpreter and its Caffe lie, down
   to the folder of every library that was mapped. What is imported is trusted as the interpreter
   is; nets, which are not, come later. Nothing else can be read but the files that are named.

With them go `install_filter`, a seccomp filter for all threads (made by the client, which has
libseccomp: a guest's own C library may be too old for the machine's), and `lower_limits`.

Nothing here raises where the machine cannot do it: each returns "" or the reason, and the caller
says so. What holds for a process, its children inherit.
"""

from __future__ import absolute_import, division, print_function

import ctypes
import errno
import glob
import io
import os
import resource
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Tuple

__all__ = ["confine", "forbid_writes", "landlock_version"]

# linux/landlock.h; the numbers of its system calls are the same on every architecture we know.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION, PATH_BENEATH, ALL_THREADS = 1, 1, 1 << 3
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
#: Removing and making, of every kind.
CHANGE = sum(1 << bit for bit in range(4, 13))
#: What can be said of a file; the rest is of folders.
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
#: TCP (bind, connect), and scopes: abstract sockets, signals.
NETWORK, SCOPES = 3, 3

NO_NEW_PRIVS, SECCOMP_SET_MODE_FILTER, SECCOMP_TSYNC = 38, 1, 1
#: The number of seccomp(2), by what uname calls the machine.
SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277, "ppc64le": 358, "s390x": 348}

#: What every interpreter reads some time: its libraries, the time zone, the processors.
SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime",
    "/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/fs/cgroup",
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems",
    "/proc/sys/vm/overcommit_memory", "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random",
)  # fmt: skip
#: What CUDA's driver writes besides its cache of compiled kernels, which takes minutes to fill.
GPU_WRITES = ("/dev/nvidia*", "/dev/dri/*", "/dev/shm", "/proc/self")

#: Files open at once; Caffe itself needs a handful, CUDA hundreds.
OPEN_FILES, OPEN_FILES_GPU = 256, 4096
#: Processes and threads that may be added to those the user has: BLAS has some for each core.
MORE_PROCESSES = 1024


def confine(files, program, gpu, allow):
    # type: (List[bytes], bytes, bool, List[str]) -> Dict[str, str]
    """The second step, after `forbid_writes`: for each part of it "", or why it does not hold.

    files: what may be read besides the interpreter and its Caffe; program: the seccomp filter.
    """
    if "reads" in allow or "writes" in allow:  # HDF5 opens what it writes for reading, too
        reads = "files may be read, as --allow has it"
    elif gpu:
        reads = "files may be read, for the driver of a GPU reads where it will"
    else:
        reads = forbid_reads(files, "python" in allow)
    processes = lower_limits(OPEN_FILES_GPU if gpu else OPEN_FILES)
    calls = install_filter(program)  # last: after it limits stay as they are
    if calls:
        calls += ": %s and other processes can be reached" % (
            "the network but for TCP" if landlock_version() >= 4 else "the network"
        )
    return {"reads": reads, "calls": calls, "processes": processes}


def forbid_writes(places, gpu, allow):
    # type: (List[bytes], bool, List[str]) -> str
    """Nothing but `places` (files, folders) is written from here on. No TCP, no signals to others.

    Returns "", or why the machine cannot hold to it.
    """
    if "writes" in allow:
        reason = landlock(0, [], NETWORK, SCOPES) if landlock_version() >= 4 else ""
        return reason or "files may be written, as --allow has it"
    writes = WRITE_FILE | CHANGE | REFER | TRUNCATE | IOCTL_DEV
    rules = [(place, writes) for place in places]
    rules.append((b"/dev/null", writes))
    if gpu:
        cache = os.environ.get("CUDA_CACHE_PATH") or os.path.expanduser("~/.nv/ComputeCache")
        rules.append((raw(cache), writes))
        rules += [(raw(place), writes) for pattern in GPU_WRITES for place in glob.glob(pattern)]
    return landlock(writes, rules, NETWORK, SCOPES)


def forbid_reads(files, execute):
    # type: (List[bytes], bool) -> str
    """Nothing is read from here on but the system's libraries, this interpreter, what it has
    loaded, and `files`; nothing is executed unless `execute`. Returns "" or why not."""
    granted = READ_FILE | READ_DIR | (EXECUTE if execute else 0)
    rules = [(raw(place), granted) for place in list(SYSTEM) + own_places()]
    rules += [(place, READ_FILE) for place in files]
    return landlock(READ_FILE | READ_DIR | EXECUTE, rules, 0, 0)


def own_places():
    # type: () -> List[str]
    """Where this interpreter, its modules and its libraries are: folders, or single files where
    the folder is the user's home or above it."""
    mapped = mapped_files()
    places = [sys.prefix, sys.exec_prefix, getattr(sys, "base_prefix", sys.prefix)]
    places += sys.path
    places += [os.path.dirname(path) for path in mapped]
    for module in list(sys.modules.values()):
        places += list(getattr(module, "__path__", None) or [])
    # A name that is no path, such as an editable installation's hook, is sought from a folder that
    # may be gone by now.
    narrow = sorted({place for place in places if os.path.isabs(place) and not too_wide(place)})
    return narrow + [path for path in mapped if too_wide(os.path.dirname(path))]


def too_wide(place):
    # type: (str) -> bool
    """Whether a folder is the root, the user's home or above it."""
    home = os.path.expanduser("~")
    # It stays "~" for a user without a home. No name is sought from the current folder (see above).
    whole = os.path.realpath(home if os.path.isabs(home) else "/")
    return (whole + "/").startswith(os.path.realpath(place).rstrip("/") + "/")


def mapped_files():
    # type: () -> List[str]
    """The files that this process has mapped; none where /proc is not."""
    try:
        with io.open("/proc/self/maps", encoding=sys.getfilesystemencoding()) as maps:
            fields = [line.split(None, 5) for line in maps]
    except (IOError, OSError, ValueError):
        return []
    return sorted({str(f[5].strip()) for f in fields if len(f) == 6 and f[5].startswith("/")})


def raw(path):
    # type: (str) -> bytes
    """A path as the kernel takes it."""
    return path if isinstance(path, bytes) else os.fsencode(path)


def landlock(handled, rules, network, scopes):
    # type: (int, List[Tuple[bytes, int]], int, int) -> str
    """Forbid this thread, and those it starts, the rights `handled` but for the rules'.

    Returns "", or why this machine cannot.
    """
    version = landlock_version()
    if not version:
        return "no Landlock: Linux has it from 5.13 on, where it is not switched off"
    if not os.path.isdir("/proc/self/fd"):
        return "no Landlock: files are handed over by /proc, which is not mounted"
    # TCP came with the fourth version, the scopes with the sixth.
    known = (1 << (12 + min(version, 3))) - 1  # REFER came with the second, TRUNCATE with the third
    known = (known << 1 | 1) if version >= 5 else known
    attributes = (handled & known, network if version >= 4 else 0, scopes if version >= 6 else 0)
    packed = struct.pack("=QQQ", *attributes)
    try:
        ruleset = system_call(CREATE_RULESET, packed, len(packed), 0)
        try:
            for path, rights in rules:
                add_rule(ruleset, path, rights & handled & known)
            forbid_privileges()
            system_call(RESTRICT_SELF, ruleset, ALL_THREADS if version >= 8 else 0)
        finally:
            os.close(ruleset)
    except (OSError, IOError) as error:
        return "no Landlock: %s" % error.strerror
    return ""


def landlock_version():
    # type: () -> int
    """The version of Landlock's interface; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        return system_call(CREATE_RULESET, None, 0, VERSION)
    except (OSError, IOError):
        return 0


def add_rule(ruleset, path, rights):
    # type: (int, bytes, int) -> None
    """Grant the rights beneath `path`, a file or a folder; nothing where it is not there."""
    try:
        beneath = os.open(path, getattr(os, "O_PATH", 0o10000000))
    except (OSError, IOError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(beneath).st_mode):
            rights &= OF_FILES
        if rights:
            system_call(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0)
    except (OSError, IOError) as error:
        if error.errno != errno.EBADFD:  # a file in no file system, a memfd: never forbidden
            raise
    finally:
        os.close(beneath)


def forbid_privileges():
    # type: () -> None
    """No set-user-id program gives rights from here on; the kernel asks for this first."""
    if ctypes.CDLL(None, use_errno=True).prctl(NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def install_filter(program):
    # type: (bytes) -> str
    """Install a seccomp filter for all threads. Returns "", or why it is not."""
    number = SECCOMP.get(os.uname()[4]) if sys.platform.startswith("linux") else None
    if number is None or struct.calcsize("P") != 8:
        return "no seccomp: not known for this kind of machine"
    if not program:
        return "no seccomp: libseccomp.so.2 is not there"
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: how many instructions of 8 bytes, and where.
    pointer = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    try:
        forbid_privileges()
        if system_call(number, SECCOMP_SET_MODE_FILTER, SECCOMP_TSYNC, pointer):
            return "no seccomp: a thread has a filter of its own"
    except (OSError, IOError) as error:
        return "no seccomp: %s" % error.strerror
    return ""


def system_call(number, *arguments):
    # type: (int, *object) -> int
    """What the kernel answers. Raises OSError."""
    words = [
        ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments
    ]
    answer = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *words)
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(answer)


def lower_limits(open_files):
    # type: (int) -> str
    """Few open files and few more processes than there are. Returns "" or what does not hold."""
    lower("RLIMIT_NOFILE", open_files)
    if os.getuid() == 0:
        return "root has no limit of them"
    count = tasks_of(os.getuid())
    if not count:
        return "they cannot be counted"
    lower("RLIMIT_NPROC", count + MORE_PROCESSES)
    return ""


def lower(name, value):
    # type: (str, int) -> None
    which = getattr(resource, name)
    known = [
        value if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(which)
    ]
    resource.setrlimit(which, (min(known[0], value), min(known[1], value)))


def tasks_of(user):
    # type: (int) -> int
    """How many processes and threads the user has, which is what the limit counts."""
    count = 0
    for folder in glob.glob("/proc/[0-9]*/task"):
        try:
            if os.stat(folder).st_uid == user:
                count += len(os.listdir(folder))
        except (OSError, IOError):
            pass  # it has ended
    return count
