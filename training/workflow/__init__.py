"""Finds a source's workflow in its normal sessions: by DeepLog's probabilities, or by how densely keys follow."""

from training.workflow.build import build_workflow
from training.workflow.scorer import DeepLogProbabilities, NextProbabilities
from training.workflow.settings import WorkflowSettings

__all__ = ["DeepLogProbabilities", "NextProbabilities", "WorkflowSettings", "build_workflow"]
