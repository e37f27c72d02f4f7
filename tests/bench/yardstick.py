"""The yardstick: drain3's own ``TemplateMiner.add_log_message``, one message after the other, in one process.

Its masks are the source's own, in Python's ``re``; its settings the source's, profiling off, nothing saved. It gets the
messages with the header already off, which it is not charged for.
"""

import logging
from collections.abc import Sequence

from drain3 import TemplateMiner
from drain3.masking import MaskingInstruction
from drain3.template_miner_config import TemplateMinerConfig

from models.source.config import Source

NAME = "drain3 TemplateMiner (yardstick)"

logging.getLogger("drain3").setLevel(logging.WARNING)


def miner(source: Source) -> TemplateMiner:
    """A fresh miner. Masks with a group ``keep`` have no equivalent in drain3: ValueError."""
    config = TemplateMinerConfig()
    config.profiling_enabled = False
    config.drain_depth = source.drain.depth
    config.drain_sim_th = source.drain.similarity
    config.drain_max_children = source.drain.max_children
    if any("(?P<keep>" in mask.pattern for mask in source.masks):
        raise ValueError(f"masks of source {source.name} cannot be told to drain3")
    config.masking_instructions = [MaskingInstruction(mask.pattern, mask.name) for mask in source.masks]
    return TemplateMiner(config=config)


def mine(source: Source, messages: Sequence[str]) -> list[int]:
    """Cluster ids of the messages, in order."""
    add = miner(source).add_log_message
    return [add(message)["cluster_id"] for message in messages]
