"""What one interpreter's Caffe is: run by path under that interpreter, prints one JSON object.

    python caffe_probe.py FILTER

It stands alone beside caffe_confine.py and caffe_import.py: the standard library and caffe, Python
2.7 to 3.x. On standard output it prints either the facts or {"error": the one line that says why
this Caffe cannot be used}; whatever Caffe itself prints goes to standard error. It is confined as
the worker is, by caffe_confine.py, but that it writes in its own folder only while it imports, and
says how far that goes. FILTER is the seccomp filter, two digits a byte.
"""

import sys

# The folder of a script is the first place its imports are looked for: no place for caffe.
HERE = __file__.rpartition("/")[0]
sys.path[:] = [place for place in sys.path if place not in ("", HERE)]

import ctypes
import importlib
import json
import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netsurgery.engines import caffe_confine
    from netsurgery.engines.caffe_import import put_off_pictures
else:
    # Nothing is left beside netsurgery's own files, nor Caffe's; who imports this keeps its way.
    sys.dont_write_bytecode = sys.dont_write_bytecode or __name__ == "__main__"
    sys.path.insert(0, HERE)
    import caffe_confine
    from caffe_import import put_off_pictures

    del sys.path[0]

__all__ = ["main"]

#: What is mapped -> whose BLAS it is; the first that matches names it. A distribution's
#: libblas.so is often only a door to one of the others, so it comes last.
BLAS = (
    ("libmkl", "MKL"),
    ("libopenblas", "OpenBLAS"),
    ("libblis", "BLIS"),
    ("libatlas", "ATLAS"),
    ("libsatlas", "ATLAS"),
    ("libtatlas", "ATLAS"),
    ("libcblas", "CBLAS"),
    ("libblas", "reference BLAS"),
)

PR_SET_PDEATHSIG = 1

#: caffe::caffe_gpu_memcpy(size_t, const void *, void *), with a size_t of 64 and of 32 bits.
GPU_SYMBOLS = ("_ZN5caffe16caffe_gpu_memcpyEmPKvPv", "_ZN5caffe16caffe_gpu_memcpyEjPKvPv")


def mapped_libraries():
    # type: () -> list[str]
    """The paths of the shared libraries this process has mapped (none where /proc is not)."""
    try:
        with open("/proc/self/maps") as maps:
            fields = [line.split(None, 5) for line in maps]
    except (IOError, OSError):
        return []
    return sorted({f[5].strip() for f in fields if len(f) == 6 and ".so" in f[5]})


def blas_of(libraries):
    # type: (list[str]) -> tuple[str | None, str | None]
    """(BLAS vendor, its path) among the mapped libraries; (None, None) if it is not known.

    The wheels of numpy and scipy bring a BLAS of their own that Caffe does not use: theirs do
    not count.
    """
    own = [p for p in libraries if "/numpy" not in p and "/scipy" not in p]
    for start, name in BLAS:
        for path in own:
            if os.path.basename(path).startswith(start):
                return name, path
    return None, None


def has_cuda(extension, libraries):
    # type: (str, list[str]) -> bool
    """Whether the GPU code is compiled in.

    set_mode_gpu() is no evidence: it succeeds in a CPU-only build; set_device() aborts the process
    there. But a CPU-only build leaves out caffe_gpu_memcpy, which every GPU build exports, and
    dlsym looks through all that _caffe is linked with. A fork that changed that function still
    shows itself by cuBLAS and cuRAND, which Caffe needs both of and OpenCV does not.
    """
    library = ctypes.CDLL(extension)
    if any(hasattr(library, symbol) for symbol in GPU_SYMBOLS):
        return True
    names = [os.path.basename(path) for path in libraries]
    return all(any(n.startswith(start) for n in names) for start in ("libcublas", "libcurand"))


def first_line(error):
    # type: (Exception) -> str
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def facts():
    # type: () -> dict[str, object]
    """The JSON object to print."""
    put_off_pictures()
    try:
        caffe = importlib.import_module("caffe")
    except Exception as error:  # a broken build raises anything, not only ImportError
        return {"error": "import caffe: %s" % first_line(error)}
    if not hasattr(caffe, "Net") or getattr(caffe, "_caffe", None) is None:
        place = getattr(caffe, "__file__", None) or next(iter(getattr(caffe, "__path__", "?")))
        return {"error": "%s is named caffe but is not pycaffe: it has no caffe.Net" % place}
    libraries = mapped_libraries()
    blas, blas_path = blas_of(libraries)
    layer_types = getattr(caffe, "layer_type_list", list)
    return {
        "version": str(getattr(caffe, "__version__", "unknown")),
        "python_version": "%d.%d.%d" % tuple(sys.version_info[:3]),
        "path": os.path.dirname(os.path.abspath(str(caffe.__file__))),
        "blas": blas,
        "blas_path": blas_path,
        "cuda": has_cuda(caffe._caffe.__file__, libraries),
        "layer_types": sorted(str(name) for name in layer_types()),
    }


def guard():
    # type: () -> None
    """Leave no core file if Caffe aborts, and end when the parent does (Linux)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 9)
    except AttributeError:
        pass


def main():
    # type: () -> None
    """Print the facts on the true standard output; all other output goes to standard error."""
    guard()
    sys.stdout.flush()
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    unconfined = {"writes": caffe_confine.forbid_writes([b"."], False, [])}
    report = facts()
    program = bytes(bytearray.fromhex(sys.argv[1]))
    unconfined.update(caffe_confine.confine([], program, False, []))
    if "error" not in report:
        report.update(landlock=caffe_confine.landlock_version(), unconfined=unconfined)
    json.dump(report, answer)
    answer.close()


if __name__ == "__main__":
    main()
