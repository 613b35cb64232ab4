"""Runs Caffe nets in a process of its own, for netsurgery/engines/worker_process.py.

A failed CHECK inside Caffe aborts the whole process, and Caffe's last interpreters are Python
2.7 to 3.9; so Caffe is driven from here, never from netsurgery itself. This file is started by its
path and needs nothing but caffe_channel.py, caffe_confine.py, caffe_import.py and caffe_solver.py
beside it, the standard library, numpy and caffe. The syntax of all five is that of Python 2.7 and
3.5 at once.

    python caffe_worker.py CONTROL SHARED RELAY PARENT

CONTROL, SHARED and RELAY are descriptors: of the socket and of the file through which messages and
arrays pass (caffe_channel.py), and of a file without a name through which whole files do. PARENT is
1 if the worker is to be killed as soon as its parent dies, else 0. When CONTROL ends, so does the
worker. Standard output and error belong to Caffe.

It is started in an empty folder of its own. Before Caffe is imported ("start") it gives up
writing anywhere else, and before any net is loaded ("confine") reading what is not its own;
caffe_confine.py says how.
"""

from __future__ import absolute_import, division, print_function

import sys

# The folder of a script is the first place its imports are looked for, and this one is full of
# modules that are not Caffe's.
HERE = __file__.rpartition("/")[0]
sys.path[:] = [place for place in sys.path if place not in ("", HERE)]

import ctypes
import fcntl
import gc
import importlib
import os
import resource
import signal
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from netsurgery.engines import caffe_confine
    from netsurgery.engines.caffe_channel import Channel, Refused, SharedFile
    from netsurgery.engines.caffe_import import put_off_pictures
    from netsurgery.engines.caffe_solver import TrainingSolver, backward
else:
    sys.dont_write_bytecode = True  # nothing is left beside netsurgery's own files, nor Caffe's
    sys.path.insert(0, HERE)
    import caffe_confine
    from caffe_channel import Channel, Refused, SharedFile
    from caffe_import import put_off_pictures
    from caffe_solver import TrainingSolver, backward

    del sys.path[0]

__all__ = ["main"]

PR_SET_PDEATHSIG = 1


class Worker(object):
    """The nets, and what can be done with them: each `op_...` method is one op of a request."""

    def __init__(self, shared, relay):
        # type: (int, int) -> None
        self.shared_descriptor = shared
        self.handed = [("/proc/self/fd/%d" % descriptor).encode() for descriptor in (shared, relay)]
        self.unconfined = {}  # type: Dict[str, str]
        self.nets = {}  # type: Dict[int, Any]
        self.trainings = {}  # type: Dict[int, TrainingSolver]
        self.caffe = None  # type: Any
        self.shared = None  # type: Any

    def answer(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        sys.last_type = sys.last_value = None
        try:
            result = getattr(self, "op_" + request["op"])(request)
            return {"id": request["id"], "result": result}
        except Refused as refused:
            error = {"kind": refused.kind, "text": refused.text}
        except (Exception, SystemExit, KeyboardInterrupt):
            # A layer written in Python may raise anything at all.
            traceback.print_exc()
            error = {"kind": "failed", "text": last_exception()}
        return {"id": request["id"], "error": error}

    def op_start(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        """Import Caffe and choose the device; answers with what there is."""
        places, gpu = list(self.handed), request["gpu"] is not None
        places += [place.encode("latin-1") for place in request["places"]]
        self.unconfined["writes"] = caffe_confine.forbid_writes(places, gpu, request["allow"])
        if "python" not in request["allow"]:  # a layer in Python may use all of Caffe
            put_off_pictures()
        numpy, self.caffe = import_or_refuse("numpy"), import_or_refuse("caffe")
        if not hasattr(self.caffe, "Net"):
            # Any folder called caffe can be imported; only pycaffe has nets.
            where = (list(getattr(self.caffe, "__path__", [])) or ["no folder"])[0]
            raise Refused("missing", "what it imports as caffe is not pycaffe (%s)" % where)
        self.shared = SharedFile(self.shared_descriptor, numpy)
        if request["gpu"] is None:
            self.caffe.set_mode_cpu()
        else:
            self.caffe.set_device(request["gpu"])
            self.caffe.set_mode_gpu()
        return {
            "pid": os.getpid(),
            "version": text(getattr(self.caffe, "__version__", "of unknown version")),
            "file": text(self.caffe.__file__),
            "python": "%d.%d.%d" % sys.version_info[:3],
            "numpy": text(numpy.__version__),
            "layer_types": list(map(text, getattr(self.caffe, "layer_type_list", list)())),
        }

    def op_confine(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        """Give up what no net needs; answers with what could not be given up, and why."""
        files = [path.encode("latin-1") for path in request["files"]]
        files += self.handed
        program = bytes(bytearray.fromhex(request["filter"]))
        if request["folder"] is not None:
            os.chdir(native(request["folder"]))
        self.unconfined.update(
            caffe_confine.confine(files, program, request["gpu"] is not None, request["allow"])
        )
        return self.unconfined

    def op_fields(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        """Message -> field -> the field's own message or None, as compiled in."""
        known = {}  # type: Dict[str, Dict[str, Optional[str]]]
        messages = [import_or_refuse("caffe.proto.caffe_pb2").NetParameter.DESCRIPTOR]
        for message in messages:  # which grows
            parts = [(text(field.name), field.message_type) for field in message.fields]
            known[text(message.name)] = {name: kind and text(kind.name) for name, kind in parts}
            messages += [kind for _, kind in parts if kind and kind not in messages]
        return {"fields": known}

    def op_load(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        net = self.made_net(request)
        if request["weights"] is not None:
            net.copy_from(native(request["weights"]))
        return self.add_net(request, net)

    def add_net(self, request, net):
        # type: (Dict[str, Any], Any) -> Dict[str, Any]
        """Keep the net under its number; what there is to say of it."""
        self.nets[request["net"]] = net
        types = [text(getattr(layer, "type", "")) for layer in net.layers]
        layers = list(zip(map(text, net._layer_names), types))
        params = [(text(name), list(map(shape_of, blobs))) for name, blobs in net.params.items()]
        inputs = [text(name) for name in net.inputs]
        return {"layers": layers, "params": params, "inputs": inputs, "blobs": blob_shapes(net)}

    def made_net(self, request):
        # type: (Dict[str, Any]) -> Any
        path, phase = native(request["prototxt"]), getattr(self.caffe, request["phase"])
        level, stages = request["level"], [native(stage) for stage in request["stages"]]
        if not (level or stages):
            return self.caffe.Net(path, phase)
        try:
            return self.caffe.Net(path, phase, level=level, stages=stages)
        except TypeError:
            reason = "making a net with stages or a level, which old Caffes do not take: "
            raise Refused("failed", reason + last_exception())

    def op_close(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        self.nets.pop(request["net"], None)
        self.trainings.pop(request["net"], None)
        gc.collect()
        return {}

    def op_reshape(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        net = self.nets[request["net"]]
        for name, shape in request["shapes"]:
            blobs_by_text(net)[name].reshape(*shape)
        net.reshape()
        return {"blobs": blob_shapes(net)}

    def op_forward(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        net = self.nets[request["net"]]
        blobs = blobs_by_text(net)
        for name, offset in request["inputs"]:
            self.shared.read_into(blobs[name].data, offset)
        net.forward()
        return {"blobs": self.shared.write([blobs[name].data for name in request["blobs"]])}

    def op_backward(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        """The gradient of a top, weighted by the one given, as to a blob; after a forward."""
        net, blob = self.nets[request["net"]], request["blob"]
        offset = request["offset"]
        backward(net, request["top"], blob, lambda diff: self.shared.read_into(diff, offset))
        return {"blobs": self.shared.write([blobs_by_text(net)[blob].diff])}

    def op_param(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        blobs = params_of(self.nets[request["net"]], request["layer"])
        return {"blobs": self.shared.write([blobs[request["index"]].data])}

    def op_set_param(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        blobs = params_of(self.nets[request["net"]], request["layer"])
        self.shared.read_into(blobs[request["index"]].data, 0)
        return {}

    def op_save(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        self.nets[request["net"]].save(native(request["path"]))
        return {}

    def op_solver(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        """Make a solver; its net is one like any other."""
        training = TrainingSolver(self.caffe, self.shared.numpy, native(request["prototxt"]))
        if request["weights"] is not None:
            training.net.copy_from(native(request["weights"]))
        self.trainings[request["net"]] = training
        return self.add_net(request, training.net)

    def op_step(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        training = self.trainings[request["net"]]
        blobs = blobs_by_text(training.net)
        for name, offset in request["inputs"]:
            self.shared.read_into(blobs[name].data, offset)
        broken = training.step(request["seed"], request["blobs"])
        places = self.shared.write([blobs[name].data for name in request["blobs"]])
        return {"blobs": places, "broken": broken}

    def op_save_state(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        self.trainings[request["net"]].save(native(request["path"]))
        return {}

    def op_restore(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        return {"step": self.trainings[request["net"]].restore(native(request["path"]))}

    def op_share(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        """Have a net use the params of another from now on, whatever becomes of them."""
        self.nets[request["net"]].share_with(self.nets[request["source"]])
        return {}

    def op_transplant(self, request):
        # type: (Dict[str, Any]) -> Dict[str, Any]
        """Copy params from net to net: every move is checked before the first is made."""
        original, target = self.nets[request["original"]], self.nets[request["target"]]
        copies = []
        for layer, target_layer, turned in request["moves"]:
            old, new = params_of(original, layer), params_of(target, target_layer)
            reason = misfit(old, new, turned)
            if reason:
                reason = "layer %s to layer %s: %s" % (layer, target_layer, reason)
                raise Refused("surgery", reason + "; nothing was copied")
            copies.append((layer, target_layer, old, new, turned))
        report = []
        for layer, target_layer, old, new, turned in copies:
            for index, (source, place) in enumerate(zip(old, new)):
                values = source.data.T if turned and index == 0 else source.data
                # The sizes are equal, so this reshape moves no value and loses none.
                place.data[...] = values.reshape(place.data.shape)
            shapes = [(shape_of(source), shape_of(place)) for source, place in zip(old, new)]
            report.append((layer, target_layer, shapes))
        return {"moves": report}


def misfit(old, new, turned):
    # type: (List[Any], List[Any], bool) -> str
    """Why the params `old` cannot become the params `new`; "" if they can."""
    if len(old) != len(new):
        return "params to move: %d, places for them: %d" % (len(old), len(new))
    if turned and len(shape_of(old[0])) != 2:
        return "param 0 is %s, which cannot be transposed" % dims(old[0])
    for index, (source, place) in enumerate(zip(old, new)):
        if source.data.size != place.data.size:
            return "param %d is %s, its place is %s" % (index, dims(source), dims(place))
    return ""


def dims(blob):
    # type: (Any) -> str
    return "%s (%d values)" % ("x".join(str(n) for n in shape_of(blob)), blob.data.size)


def text(name):
    # type: (Any) -> str
    """A name of Caffe's as text: Python 2 has it as bytes."""
    if isinstance(name, bytes):
        return name.decode("utf-8", "replace")
    return str(name) if sys.version_info[0] > 2 else name


def native(path):
    # type: (str) -> Any
    """The path or stage as this Python's pycaffe takes it; bytes where it is not UTF-8."""
    raw = path.encode("latin-1")
    try:
        return raw.decode("utf-8") if sys.version_info[0] > 2 else raw
    except UnicodeDecodeError:
        return raw


def shape_of(blob):
    # type: (Any) -> List[int]
    # Asking for the data would make Caffe allocate it.
    shape = blob.shape if hasattr(blob, "shape") else blob.data.shape
    return [int(size) for size in shape]


def blob_shapes(net):
    # type: (Any) -> List[Tuple[str, List[int]]]
    return [(text(name), shape_of(blob)) for name, blob in net.blobs.items()]


def blobs_by_text(net):
    # type: (Any) -> Dict[str, Any]
    return {text(name): blob for name, blob in net.blobs.items()}


def params_of(net, layer):
    # type: (Any, str) -> List[Any]
    """The params of the one layer of this name."""
    indices = [i for i, name in enumerate(net._layer_names) if text(name) == layer]
    if len(indices) != 1:
        many = "more than one" if indices else "no"
        raise Refused("surgery", "the net has %s layer %s" % (many, layer))
    blobs = list(net.layers[indices[0]].blobs)
    if not blobs:
        raise Refused("surgery", "layer %s has no params" % layer)
    return blobs


def import_or_refuse(name):
    # type: (str) -> Any
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit):  # a library that does not suit, or a bug of its own
        traceback.print_exc()
        raise Refused("missing", "import %s: %s" % (name, last_exception()))


def last_exception():
    # type: () -> str
    """The exception being handled, in one line."""
    kind, value = sys.exc_info()[:2]
    if kind is SystemError and sys.last_value is not None:
        # pycaffe printed why a layer in Python could not be made, and then threw nothing.
        kind, value = sys.last_type, sys.last_value
    lines = traceback.format_exception_only(kind, value)
    return " ".join(text("".join(lines)).split())


def restrain(with_parent):
    # type: (bool) -> None
    """No core files, and no life after the client's."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    # A limit of 1 also stops kernels that pipe cores to a program, which 0 does not.
    soft = 1 if hard == resource.RLIM_INFINITY or hard > 1 else hard
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    if with_parent:
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        except (AttributeError, OSError):
            pass  # not Linux: the end of CONTROL has to do


def main(arguments):
    # type: (List[str]) -> None
    """Answer requests until the client goes."""
    control, shared, relay, with_parent = (int(argument) for argument in arguments)
    restrain(bool(with_parent))
    for descriptor in (control, shared, relay):
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFD)
        fcntl.fcntl(descriptor, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)
    channel, worker = Channel(control), Worker(shared, relay)
    for request in iter(channel.receive, None):
        channel.send(worker.answer(request))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, IOError):
        pass  # the client went while it was being answered
    # Caffe's own destructors have been seen to crash at exit.
    os._exit(0)
