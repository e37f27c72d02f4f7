"""A candidate with what the gate said of it, sealed for good."""

from dataclasses import replace

from models.bundle import Bundle
from training.learning.gate import Gate


def with_gate(candidate: Bundle, gate: Gate) -> Bundle:
    """The same version with the gate's word in its manifest's metrics."""
    manifest = replace(candidate.manifest, metrics={**candidate.manifest.metrics, "gate": gate.to_dict()})
    return Bundle.seal(manifest, candidate.files)
