"""netsurgery: trained Caffe classifiers made fully convolutional, and the maps they give.

The verbs are those of the command line, on open objects:

    import netsurgery as ns

    made = ns.convert("deploy.prototxt", "model.caffemodel", "converted")
    found = ns.classify_map("cat.jpg", made.places.settings)
    print(found.argmax())
    found.to_picture().save("map.png")

    with ns.Net("deploy.prototxt", "model.caffemodel") as net:
        net.params["fc8"][1][...] = 0
        net.save("unbiased.caffemodel")

Files may be given as text or as paths. Shapes are tuples, N x C x H x W for images; sizes are
(height, width) in pixels; arrays are float32. Whatever is refused, for the caller's sake or the
file's, is a `NetsurgeryError` whose text is one line; nothing was written then.

Importing netsurgery imports nothing but this: each name brings what it needs when it is first
used, numpy, Pillow and the engines among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from netsurgery.engines.contract import Engine, EngineOptions, LoadedNet
    from netsurgery.engines.debian import documentation as caffe_documentation
    from netsurgery.engines.debian import install as install_caffe
    from netsurgery.engines.discovery import find_caffe
    from netsurgery.engines.probing import Caffe
    from netsurgery.engines.registry import open_engine
    from netsurgery.errors import (
        CaffemodelError,
        EffectRefused,
        EngineError,
        EngineFailed,
        EngineMissing,
        EngineTimeout,
        FormatError,
        ImageError,
        InstallError,
        MeanError,
        MemoryLimitError,
        NetError,
        NetsurgeryError,
        OutputError,
        PrototxtError,
        SettingsError,
        SurgeryError,
        UntrustedError,
    )
    from netsurgery.formats.settings import Settings, load_settings
    from netsurgery.io.memory import set_max_memory
    from netsurgery.jobs.check import Check
    from netsurgery.jobs.convert import Conversion
    from netsurgery.jobs.diff import Comparison
    from netsurgery.jobs.export import Exported
    from netsurgery.jobs.inspection import Inspection
    from netsurgery.jobs.upgrade import Upgrade
    from netsurgery.jobs.verify import Verification
    from netsurgery.library.comparisons import check, diff, inspect, verify
    from netsurgery.library.opened import Net
    from netsurgery.library.params import LayerParams, Params
    from netsurgery.library.pictures import classify_map, features
    from netsurgery.library.surgeries import (
        convert,
        edit,
        export_onnx,
        init,
        plan_convolution,
        transplant,
        upgrade,
    )
    from netsurgery.maps.classmap import ClassMap, Geometry
    from netsurgery.maps.features import Extractor, Features, make_extractor
    from netsurgery.maps.image import Picture, read_picture
    from netsurgery.maps.mapper import Mapper, make_mapper
    from netsurgery.net.field import Field
    from netsurgery.net.net import Layer, NetInput
    from netsurgery.net.shapes import Shapes
    from netsurgery.net.state import NetState
    from netsurgery.surgery.convolution.plan import ConvolutionPlan
    from netsurgery.surgery.edit.plan import EditPlan
    from netsurgery.surgery.initial_params import InitialPlan
    from netsurgery.surgery.transplant.plan import TransplantPlan

#: Public name -> the module it comes from, and its name there where that is another.
_PLACES = {
    # nets, opened
    "Field": "net.field",
    "Layer": "net.net",
    "LayerParams": "library.params",
    "Net": "library.opened",
    "NetInput": "net.net",
    "NetState": "net.state",
    "Params": "library.params",
    "Shapes": "net.shapes",
    # surgery: plans, and what carries them out
    "Conversion": "jobs.convert",
    "ConvolutionPlan": "surgery.convolution.plan",
    "EditPlan": "surgery.edit.plan",
    "Exported": "jobs.export",
    "InitialPlan": "surgery.initial_params",
    "TransplantPlan": "surgery.transplant.plan",
    "Upgrade": "jobs.upgrade",
    "convert": "library.surgeries",
    "edit": "library.surgeries",
    "export_onnx": "library.surgeries",
    "init": "library.surgeries",
    "plan_convolution": "library.surgeries",
    "transplant": "library.surgeries",
    "upgrade": "library.surgeries",
    # looking and comparing
    "Check": "jobs.check",
    "Comparison": "jobs.diff",
    "Inspection": "jobs.inspection",
    "Verification": "jobs.verify",
    "check": "library.comparisons",
    "diff": "library.comparisons",
    "inspect": "library.comparisons",
    "verify": "library.comparisons",
    # pictures, maps and features
    "ClassMap": "maps.classmap",
    "Extractor": "maps.features",
    "Features": "maps.features",
    "Geometry": "maps.classmap",
    "Mapper": "maps.mapper",
    "Picture": "maps.image",
    "Settings": "formats.settings",
    "classify_map": "library.pictures",
    "features": "library.pictures",
    "load_settings": "formats.settings",
    "make_extractor": "maps.features",
    "make_mapper": "maps.mapper",
    "read_picture": "maps.image",
    # engines
    "Caffe": "engines.probing",
    "Engine": "engines.contract",
    "EngineOptions": "engines.contract",
    "LoadedNet": "engines.contract",
    "caffe_documentation": "engines.debian:documentation",
    "find_caffe": "engines.discovery",
    "install_caffe": "engines.debian:install",
    "open_engine": "engines.registry",
    # limits
    "set_max_memory": "io.memory",
    # errors, all under NetsurgeryError
    "CaffemodelError": "errors",
    "EffectRefused": "errors",
    "EngineError": "errors",
    "EngineFailed": "errors",
    "EngineMissing": "errors",
    "EngineTimeout": "errors",
    "FormatError": "errors",
    "ImageError": "errors",
    "InstallError": "errors",
    "MeanError": "errors",
    "MemoryLimitError": "errors",
    "NetError": "errors",
    "NetsurgeryError": "errors",
    "OutputError": "errors",
    "PrototxtError": "errors",
    "SettingsError": "errors",
    "SurgeryError": "errors",
    "UntrustedError": "errors",
}

__all__ = [
    "Caffe",
    "CaffemodelError",
    "Check",
    "ClassMap",
    "Comparison",
    "Conversion",
    "ConvolutionPlan",
    "EditPlan",
    "EffectRefused",
    "Engine",
    "EngineError",
    "EngineFailed",
    "EngineMissing",
    "EngineOptions",
    "EngineTimeout",
    "Exported",
    "Extractor",
    "Features",
    "Field",
    "FormatError",
    "Geometry",
    "ImageError",
    "InitialPlan",
    "Inspection",
    "InstallError",
    "Layer",
    "LayerParams",
    "LoadedNet",
    "Mapper",
    "MeanError",
    "MemoryLimitError",
    "Net",
    "NetError",
    "NetInput",
    "NetState",
    "NetsurgeryError",
    "OutputError",
    "Params",
    "Picture",
    "PrototxtError",
    "Settings",
    "SettingsError",
    "Shapes",
    "SurgeryError",
    "TransplantPlan",
    "UntrustedError",
    "Upgrade",
    "Verification",
    "__version__",
    "caffe_documentation",
    "check",
    "classify_map",
    "convert",
    "diff",
    "edit",
    "export_onnx",
    "features",
    "find_caffe",
    "init",
    "inspect",
    "install_caffe",
    "load_settings",
    "make_extractor",
    "make_mapper",
    "open_engine",
    "plan_convolution",
    "read_picture",
    "set_max_memory",
    "transplant",
    "upgrade",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'netsurgery' has no attribute {name!r}")
    import importlib

    place, _, other = _PLACES[name].partition(":")
    found = getattr(importlib.import_module(f"netsurgery.{place}"), other or name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
