"""The seccomp filter of the process that runs Caffe: what it may not ask of Linux.

Caffe computes, reads its nets and weights, and answers. So whatever else is denied, with EPERM:
the network, other processes, programs, the machine's settings, and what Landlock does not cover:
owners, modes and times of files. The filter is made here by libseccomp and handed to the worker as
a program, since the worker's own C library may be too old for this machine's libseccomp.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
from collections.abc import Collection
from typing import Any

__all__ = ["syscall_filter"]

#: Denied always. A name that libseccomp does not know is left out.
ALWAYS = """
    bind listen connect accept accept4 socketpair
    ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd pidfd_send_signal kcmp
    process_madvise tkill rt_sigqueueinfo rt_tgsigqueueinfo setpgid setsid
    setrlimit io_uring_setup io_uring_enter io_uring_register userfaultfd perf_event_open bpf
    unshare setns mount umount2 move_mount fsopen fsconfig fsmount fspick open_tree mount_setattr
    pivot_root chroot open_by_handle_at name_to_handle_at quotactl swapon swapoff acct
    add_key request_key keyctl personality syslog reboot kexec_load kexec_file_load
    init_module finit_module delete_module sethostname setdomainname settimeofday clock_settime
    clock_adjtime adjtimex iopl ioperm setuid setgid setreuid setregid setresuid setresgid
    setgroups setfsuid setfsgid capset fanotify_init memfd_secret mq_open mq_unlink
    shmget shmat shmctl msgget msgctl msgrcv msgsnd semget semctl semop semtimedop ipc
    setpriority sched_setscheduler sched_setparam sched_setattr ioprio_set migrate_pages move_pages
""".split()
#: Denied unless files may be written.
FILES = """
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat
    setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat
    truncate mknod mknodat file_setattr
""".split()
#: Denied unless modules may be imported, which may do as they like but for the network.
PROGRAMS = ["execve", "execveat", "fork", "vfork"]

# seccomp.h
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_NOT_EQUAL, _MASKED_EQUAL = 1, 7
CLONE_THREAD = 0x10000


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp: which argument, how it is compared, with what."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def syscall_filter(pid: int, *, gpu: bool, allow: Collection[str]) -> bytes:
    """The filter for the process that calls itself `pid`; b"" where libseccomp is not there.

    gpu: its driver may use local sockets. allow: what the user allows nets, as in EngineOptions.
    """
    library = _library()
    if library is None:
        return b""
    rules = _Rules(library)
    denied = [*ALWAYS, *([] if "writes" in allow else FILES)]
    for name in denied:
        rules.deny(name)
    if gpu:
        rules.deny("socket", (0, _NOT_EQUAL, socket.AF_UNIX, 0))
    else:
        rules.deny("socket")
        rules.deny("memfd_create")  # its pages count as no memory of the process
    for name in ("kill", "tgkill"):
        rules.deny(name, (0, _NOT_EQUAL, pid, 0))
    # Its limits are set from outside; it may look at them.
    rules.deny("prlimit64", (2, _NOT_EQUAL, 0, 0))
    if "python" not in allow:
        for name in PROGRAMS:
            rules.deny(name)
        # Threads are made by clone; of clone3's arguments, which lie in memory, nothing is seen.
        flags = 1 if platform.machine().startswith("s390") else 0
        rules.deny("clone", (flags, _MASKED_EQUAL, CLONE_THREAD, 0))
        rules.deny("clone3", error=_ENOSYS)
    return rules.program()


class _Rules:
    """A filter in the making: all is allowed but what is denied."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._context = ctypes.c_void_p(library.seccomp_init(_ALLOW))

    def deny(
        self, name: str, comparison: tuple[int, int, int, int] | None = None, *, error: int = _EPERM
    ) -> None:
        """Answer the system call with an error, where an argument compares so."""
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        compared = (_Comparison * 1)(_Comparison(*(comparison or (0, 0, 0, 0))))
        count = 0 if comparison is None else 1
        self._library.seccomp_rule_add_array(self._context, _ERRNO | error, number, count, compared)

    def program(self) -> bytes:
        """The filter as the kernel takes it, 8 bytes an instruction."""
        reader, writer = os.pipe()
        with open(reader, "rb") as program:
            failed = self._library.seccomp_export_bpf(self._context, writer)
            os.close(writer)
            self._library.seccomp_release(self._context)
            return b"" if failed else program.read()


def _library() -> Any:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
        library.seccomp_init.restype = ctypes.c_void_p
        library.seccomp_init.argtypes = [ctypes.c_uint32]
        library.seccomp_rule_add_array.argtypes = [
            ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p
        ]  # fmt: skip
    except (OSError, AttributeError):
        return None
    return library
