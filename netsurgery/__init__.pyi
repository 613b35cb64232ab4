"""The public names, for type checkers; `__init__.py` imports each when it is first used."""

from netsurgery.engines.contract import (
    Engine as Engine,
)
from netsurgery.engines.contract import (
    EngineOptions as EngineOptions,
)
from netsurgery.engines.contract import (
    LoadedNet as LoadedNet,
)
from netsurgery.engines.debian import (
    caffe_documentation as caffe_documentation,
)
from netsurgery.engines.debian import (
    install_caffe as install_caffe,
)
from netsurgery.engines.discovery import find_caffe as find_caffe
from netsurgery.engines.probing import Caffe as Caffe
from netsurgery.engines.registry import open_engine as open_engine
from netsurgery.errors import (
    BlobMissing as BlobMissing,
)
from netsurgery.errors import (
    BrokenImages as BrokenImages,
)
from netsurgery.errors import (
    CaffemodelError as CaffemodelError,
)
from netsurgery.errors import (
    EffectRefused as EffectRefused,
)
from netsurgery.errors import (
    EngineError as EngineError,
)
from netsurgery.errors import (
    EngineFailed as EngineFailed,
)
from netsurgery.errors import (
    EngineMissing as EngineMissing,
)
from netsurgery.errors import (
    EngineTimeout as EngineTimeout,
)
from netsurgery.errors import (
    FormatError as FormatError,
)
from netsurgery.errors import (
    ImageError as ImageError,
)
from netsurgery.errors import (
    InstallError as InstallError,
)
from netsurgery.errors import (
    JobError as JobError,
)
from netsurgery.errors import (
    MeanError as MeanError,
)
from netsurgery.errors import (
    MemoryLimitError as MemoryLimitError,
)
from netsurgery.errors import (
    NetError as NetError,
)
from netsurgery.errors import (
    NetsurgeryError as NetsurgeryError,
)
from netsurgery.errors import (
    OutputError as OutputError,
)
from netsurgery.errors import (
    ParamMissing as ParamMissing,
)
from netsurgery.errors import (
    PrototxtError as PrototxtError,
)
from netsurgery.errors import (
    SettingsError as SettingsError,
)
from netsurgery.errors import (
    SurgeryError as SurgeryError,
)
from netsurgery.errors import (
    TrainingError as TrainingError,
)
from netsurgery.errors import (
    UntrustedError as UntrustedError,
)
from netsurgery.formats.presets import (
    Preset as Preset,
)
from netsurgery.formats.presets import (
    presets as presets,
)
from netsurgery.formats.settings import (
    Settings as Settings,
)
from netsurgery.formats.settings import (
    read_settings as read_settings,
)
from netsurgery.io.memory import set_max_memory as set_max_memory
from netsurgery.maps.box_rules import BoxRules as BoxRules
from netsurgery.maps.cell_geometry import Geometry as Geometry
from netsurgery.maps.channel_view import (
    ChannelView as ChannelView,
)
from netsurgery.maps.classmap import (
    ClassMap as ClassMap,
)
from netsurgery.maps.explain import GradCam as GradCam
from netsurgery.maps.explain import Occlusion as Occlusion
from netsurgery.maps.explanation import Explanation as Explanation
from netsurgery.maps.features import (
    Extractor as Extractor,
)
from netsurgery.maps.features import (
    Features as Features,
)
from netsurgery.maps.features import (
    open_extractor as open_extractor,
)
from netsurgery.maps.from_settings import (
    open_mapper as open_mapper,
)
from netsurgery.maps.image import (
    Picture as Picture,
)
from netsurgery.maps.image import (
    read_picture as read_picture,
)
from netsurgery.maps.mapper import (
    Mapper as Mapper,
)
from netsurgery.maps.picture_limits import set_max_pixels as set_max_pixels
from netsurgery.maps.picture_look import (
    PictureLook as PictureLook,
)
from netsurgery.maps.picture_options import (
    PictureOptions as PictureOptions,
)
from netsurgery.maps.scales import (
    Scales as Scales,
)
from netsurgery.net.field import ReceptiveField as ReceptiveField
from netsurgery.net.net import (
    Layer as Layer,
)
from netsurgery.net.net import (
    NetInput as NetInput,
)
from netsurgery.net.shapes import Shapes as Shapes
from netsurgery.net.state import NetState as NetState
from netsurgery.open_net.blobs import (
    Blob as Blob,
)
from netsurgery.open_net.blobs import (
    Blobs as Blobs,
)
from netsurgery.open_net.net import Net as Net
from netsurgery.open_net.params import (
    LayerParams as LayerParams,
)
from netsurgery.open_net.params import (
    Params as Params,
)
from netsurgery.surgery.convolution.plan import ConvolutionPlan as ConvolutionPlan
from netsurgery.surgery.dense.plan import DensePlan as DensePlan
from netsurgery.surgery.edit.plan import EditPlan as EditPlan
from netsurgery.surgery.transplant.plan import TransplantPlan as TransplantPlan
from netsurgery.training.augment import Augmentation as Augmentation
from netsurgery.training.solver_text import SolverSettings as SolverSettings
from netsurgery.training.truth import TruthRules as TruthRules
from netsurgery.verbs.check import check as check
from netsurgery.verbs.check_result import Check as Check
from netsurgery.verbs.classify_map import (
    classify_map as classify_map,
)
from netsurgery.verbs.classify_map import (
    classify_maps as classify_maps,
)
from netsurgery.verbs.classify_map_result import ClassMaps as ClassMaps
from netsurgery.verbs.conversion import OutputPaths as OutputPaths
from netsurgery.verbs.convert import convert as convert
from netsurgery.verbs.convert_result import Conversion as Conversion
from netsurgery.verbs.dense import (
    Densification as Densification,
)
from netsurgery.verbs.dense import (
    dense as dense,
)
from netsurgery.verbs.diff import diff as diff
from netsurgery.verbs.diff_result import Comparison as Comparison
from netsurgery.verbs.draw import draw as draw
from netsurgery.verbs.draw_result import NetDrawing as NetDrawing
from netsurgery.verbs.edit import Edit as Edit
from netsurgery.verbs.edit import (
    edit as edit,
)
from netsurgery.verbs.evaluate import evaluate as evaluate
from netsurgery.verbs.evaluate_result import NetEvaluation as NetEvaluation
from netsurgery.verbs.export import OnnxExport as OnnxExport
from netsurgery.verbs.export import (
    export_onnx as export_onnx,
)
from netsurgery.verbs.features import (
    extract_features as extract_features,
)
from netsurgery.verbs.features import (
    features as features,
)
from netsurgery.verbs.features_result import (
    ExtractedFeatures as ExtractedFeatures,
)
from netsurgery.verbs.features_result import (
    ImageFeatures as ImageFeatures,
)
from netsurgery.verbs.init import (
    Initialization as Initialization,
)
from netsurgery.verbs.init import (
    init as init,
)
from netsurgery.verbs.inspect import inspect as inspect
from netsurgery.verbs.inspect_param import (
    ParamInspection as ParamInspection,
)
from netsurgery.verbs.inspect_param import (
    inspect_param as inspect_param,
)
from netsurgery.verbs.inspect_result import Inspection as Inspection
from netsurgery.verbs.job import (
    open_job as open_job,
)
from netsurgery.verbs.job import (
    plan_job as plan_job,
)
from netsurgery.verbs.job_result import (
    Job as Job,
)
from netsurgery.verbs.job_result import (
    JobMerge as JobMerge,
)
from netsurgery.verbs.job_result import (
    JobStatus as JobStatus,
)
from netsurgery.verbs.outputs.record import MapView as MapView
from netsurgery.verbs.setup import (
    Setup as Setup,
)
from netsurgery.verbs.setup import (
    setup as setup,
)
from netsurgery.verbs.train import TrainingProgress as TrainingProgress
from netsurgery.verbs.train import train as train
from netsurgery.verbs.train_plan import (
    train_plan as train_plan,
)
from netsurgery.verbs.train_plan_result import PlannedTraining as PlannedTraining
from netsurgery.verbs.train_report import train_report as train_report
from netsurgery.verbs.train_report_result import TrainingReport as TrainingReport
from netsurgery.verbs.train_result import Training as Training
from netsurgery.verbs.transplant import Transplantation as Transplantation
from netsurgery.verbs.transplant import (
    transplant as transplant,
)
from netsurgery.verbs.upgrade import Upgrade as Upgrade
from netsurgery.verbs.upgrade import (
    upgrade as upgrade,
)
from netsurgery.verbs.verify import verify as verify
from netsurgery.verbs.verify_result import Verification as Verification
from netsurgery.verbs.verify_tiles import TilesVerification as TilesVerification
from netsurgery.verbs.verify_tiles import verify_tiles as verify_tiles

__all__: list[str]
__version__: str

def __dir__() -> list[str]: ...
