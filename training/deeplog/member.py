"""DeepLog's log-key model as a member of a bundle."""

from training.deeplog.fitted import fit_deeplog
from training.deeplog.settings import DeepLogSettings
from training.member import Corpus, FittedMember
from training.progress import Progress, silent


def fit_deeplog_member(
    corpus: Corpus, settings: DeepLogSettings, seed: int, progress: Progress = silent
) -> FittedMember:
    """Fit on the normal sessions. Raises DataError for fewer than ``settings.min_sessions``."""
    fitted = fit_deeplog(corpus.keys, settings, seed, progress)
    return FittedMember(
        name="deeplog",
        raws=fitted.heldout["session"],
        threshold=fitted.g,
        settings={
            "vocabulary": fitted.vocabulary.to_dict(),
            "h": fitted.settings.h,
            "g": fitted.g,
            "w": fitted.w,
            "training": fitted.settings.to_dict(),
        },
        files={"deeplog.onnx": fitted.onnx, "deeplog.safetensors": fitted.safetensors()},
        curves={"loss": [point.loss for point in fitted.curve]},
    )
