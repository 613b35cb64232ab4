"""netsurgery: trained Caffe classifiers made fully convolutional, and the maps they give.

The verbs of the command line, as functions on files and open nets:

    import netsurgery as ns

    conversion = ns.convert("deploy.prototxt", "model.caffemodel", "converted")
    class_map = ns.classify_map("cat.jpg", conversion.paths.settings)
    print(class_map.argmax())
    class_map.to_picture().save("map.png")

    with ns.Net("deploy.prototxt", "model.caffemodel") as net:
        net.params["fc8"][1][...] = 0
        print(net.forward(data=images)["prob"].argmax(axis=1))
        net.save("unbiased.caffemodel")

Files may be named by text or by a path. Shapes are tuples, N x C x H x W for images; sizes are
(height, width) in pixels; arrays are float32. Whatever is refused, for the caller's sake or the
file's, is a `NetsurgeryError` whose text is one line; nothing was written then. An argument of a
type that is not its own is a TypeError of one line.

Importing netsurgery imports nothing but this: each name is imported when it is first used, with
numpy, Pillow and the engines. What each name is, type checkers read in ``__init__.pyi``.
"""

from __future__ import annotations

__version__ = "0.2.0"

#: Module -> the public names it has. ``__init__.pyi`` imports the same; a test compares the two.
_MODULES = {
    # open nets
    "open_net.net": "Net",
    "open_net.blobs": "Blob Blobs",
    "open_net.params": "LayerParams Params",
    "net.field": "ReceptiveField",
    "net.net": "Layer NetInput",
    "net.shapes": "Shapes",
    "net.state": "NetState",
    # the verbs, and what they return
    "verbs.classify_map": "classify_map classify_maps",
    "verbs.classify_map_result": "ClassMaps",
    "verbs.features": "extract_features features",
    "verbs.features_result": "ExtractedFeatures ImageFeatures",
    "verbs.outputs.record": "MapView",
    "verbs.setup": "Setup setup",
    "verbs.check": "check",
    "verbs.check_result": "Check",
    "verbs.conversion": "OutputPaths",
    "verbs.convert": "convert",
    "verbs.convert_result": "Conversion",
    "verbs.dense": "Densification dense",
    "verbs.diff": "diff",
    "verbs.diff_result": "Comparison",
    "verbs.draw": "draw",
    "verbs.draw_result": "NetDrawing",
    "verbs.edit": "Edit edit",
    "verbs.evaluate": "evaluate",
    "verbs.evaluate_result": "NetEvaluation",
    "verbs.export": "OnnxExport export_onnx",
    "verbs.init": "Initialization init",
    "verbs.inspect": "inspect",
    "verbs.inspect_param": "ParamInspection inspect_param",
    "verbs.inspect_result": "Inspection",
    "verbs.job": "open_job plan_job",
    "verbs.job_result": "Job JobMerge JobStatus",
    "verbs.train_report": "train_report",
    "verbs.train_report_result": "TrainingReport",
    "verbs.train": "TrainingProgress train",
    "verbs.train_plan": "train_plan",
    "verbs.train_plan_result": "PlannedTraining",
    "verbs.train_result": "Training",
    "verbs.transplant": "Transplantation transplant",
    "verbs.upgrade": "Upgrade upgrade",
    "verbs.verify": "verify",
    "verbs.verify_result": "Verification",
    "verbs.verify_tiles": "TilesVerification verify_tiles",
    "surgery.convolution.plan": "ConvolutionPlan",
    "surgery.dense.plan": "DensePlan",
    "surgery.edit.plan": "EditPlan",
    "surgery.transplant.plan": "TransplantPlan",
    # pictures, maps and features
    "formats.presets": "Preset presets",
    "formats.settings": "Settings read_settings",
    "maps.box_rules": "BoxRules",
    "maps.channel_view": "ChannelView",
    "maps.cell_geometry": "Geometry",
    "maps.classmap": "ClassMap",
    "maps.explain": "GradCam Occlusion",
    "maps.explanation": "Explanation",
    "maps.features": "Extractor Features open_extractor",
    "maps.image": "Picture read_picture",
    "maps.mapper": "Mapper",
    "maps.from_settings": "open_mapper",
    "maps.picture_look": "PictureLook",
    "maps.picture_options": "PictureOptions",
    "maps.scales": "Scales",
    # training
    "training.augment": "Augmentation",
    "training.solver_text": "SolverSettings",
    "training.truth": "TruthRules",
    # engines
    "engines.contract": "Engine EngineOptions LoadedNet",
    "engines.debian": "caffe_documentation install_caffe",
    "engines.discovery": "find_caffe",
    "engines.probing": "Caffe",
    "engines.registry": "open_engine",
    # limits
    "io.memory": "set_max_memory",
    "maps.picture_limits": "set_max_pixels",
    # errors, all under NetsurgeryError
    "errors": (
        "BlobMissing BrokenImages CaffemodelError EffectRefused EngineError EngineFailed "
        "EngineMissing EngineTimeout FormatError ImageError InstallError JobError MeanError "
        "MemoryLimitError NetError NetsurgeryError OutputError ParamMissing PrototxtError "
        "SettingsError SurgeryError TrainingError UntrustedError"
    ),
}

_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted([*_MODULE_OF, "__version__"])


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'netsurgery' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"netsurgery.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
