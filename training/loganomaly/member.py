"""LogAnomaly with the encoder that gives its templates their vectors.

Owns which files of the encoder go into a bundle. Does not know how LogAnomaly is fitted.
"""

from dataclasses import replace

from models.encoder import SentenceEncoder
from models.graph import Graph
from training.encoder import export_encoder, load_encoder
from training.loganomaly.fit import fit_loganomaly
from training.loganomaly.settings import LogAnomalySettings
from training.member import Corpus, FittedMember
from training.progress import Progress, silent


def fit_loganomaly_member(
    corpus: Corpus, settings: LogAnomalySettings, seed: int, progress: Progress = silent
) -> FittedMember:
    """Fit with the encoder's template vectors where the corpus has templates, on ids and counts where it has none.
    Raises ConfigError where the encoder cannot be had, DataError for too few sessions."""
    if corpus.tree is None:
        return fit_loganomaly(corpus, settings, seed, progress)
    loaded = load_encoder()
    graph, tokenizer = export_encoder(loaded), loaded.tokenizer
    encoder = SentenceEncoder.from_parts(Graph(graph, provider="cpu"), tokenizer)
    member = fit_loganomaly(corpus, settings, seed, progress, encoder)
    files = {**member.files, "loganomaly.encoder.onnx": graph, "loganomaly.tokenizer.json": tokenizer}
    return replace(member, settings={**member.settings, "encoder": loaded.name}, files=files)
