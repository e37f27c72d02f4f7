"""Every Redis key and TTL, and how sessions map to partitions.

Owns names, lifetimes and caps. Does not know what is stored under a key. Keys that one Lua call touches share a hash
tag, ``{pNN}`` for a partition or ``{s:<source>}`` for a source, so that the same code runs on one Redis and on a
cluster. No key lives without a TTL or a cap, except configuration (sources, live pointers, template trees, rules,
feedback).
"""

import zlib

SCHEMA_VERSION = 1
"""Grows when the shape of anything stored changes."""
PARTITIONS = 16
"""Written once under ``SCHEMA``; sessions would move if it changed."""
SCHEMA = "tocsin:schema"
SOURCES = "tocsin:sources"
"""Hash: source name -> configuration, JSON."""

LIVE_TTL_S = 7 * 86_400
"""A partition of a source that nothing was appended to for this long, beyond ``idle_s``, is forgotten."""
BATCH_TTL_S = 900
"""How long a batch may be retried with the same answer."""
IN_FLIGHT_TTL_S = 30
"""After this long an unfinished request counts as crashed and may run again."""
INCIDENT_TTL_S = 30 * 86_400
INCIDENTS_KEPT = 50_000
VERDICTS_KEPT = 100_000
"""Approximate: Redis trims streams by whole nodes."""
VERDICTS_TTL_S = 30 * 86_400
AUDIT_KEPT = 10_000
TREE_LOCK_TTL_S = 10
SWEEP_LEASE_TTL_S = 10
NEW_TEMPLATES_TTL_S = 120
"""A minute's counter of new templates is of no use after the minute."""


def live_ttl_s(idle_s: float) -> int:
    """Lifetime in seconds of a partition's sessions after the last append."""
    return LIVE_TTL_S + int(idle_s)


def partition_of(session: bytes) -> int:
    """Partition of a session id in UTF-8, 0..15: stable across processes, versions and machines."""
    return zlib.crc32(session) % PARTITIONS


def _partition(partition: int, source: str, what: str) -> str:
    return f"tocsin:{{p{partition:02d}}}:{source}:{what}"


def live(partition: int, source: str) -> str:
    """Hash: session -> packed state."""
    return _partition(partition, source, "live")


def idle(partition: int, source: str) -> str:
    """Sorted set: session -> its last time in seconds."""
    return _partition(partition, source, "idle")


def peaks(partition: int, source: str) -> str:
    """Hash: session -> packed largest raw outputs of its event members."""
    return _partition(partition, source, "peaks")


def appended(partition: int, source: str, batch_id: str) -> str:
    """Reply of one partition's append of a batch, msgpack."""
    return _partition(partition, source, f"batch:{batch_id}")


def _source(source: str, what: str) -> str:
    return f"tocsin:{{s:{source}}}:{what}"


def clock(source: str) -> str:
    """Hash: ``max`` event time and ``input`` wall clock of the last input, seconds as text."""
    return _source(source, "clock")


def begun(source: str, batch_id: str) -> str:
    """What a batch was told when it began, msgpack."""
    return _source(source, f"begun:{batch_id}")


def arrived(source: str, batch_id: str) -> str:
    """Wall clock in seconds at which a batch first arrived, as text."""
    return _source(source, f"arrived:{batch_id}")


def live_bundle(source: str) -> str:
    """Version of the live bundle."""
    return _source(source, "bundle")


def tree(source: str) -> str:
    """Hash: ``id``, ``version`` and ``base`` (the version of the snapshot) of the template tree."""
    return _source(source, "tree")


def tree_base(source: str) -> str:
    """Snapshot of the template tree, JSON."""
    return _source(source, "tree_base")


def tree_log(source: str) -> str:
    """List: one change of the tree for each version after the snapshot, JSON."""
    return _source(source, "tree_log")


def tree_lock(source: str) -> str:
    """Token of the replica that is learning templates."""
    return _source(source, "tree_lock")


def new_templates(source: str, minute: int) -> str:
    """Count of new templates in a minute since the epoch."""
    return _source(source, f"new_templates:{minute}")


def rules(source: str) -> str:
    """Hash: rule id -> rule, JSON."""
    return _source(source, "rules")


def rules_version(source: str) -> str:
    """Grows by one with each change of the rules."""
    return _source(source, "rules_version")


def rule_hits(source: str) -> str:
    """Hash: rule id -> how many verdicts it silenced."""
    return _source(source, "rule_hits")


def answer(source: str, idempotency_key: str) -> str:
    """Hash: ``body`` (its hash) and, once finished, ``answer``."""
    return _source(source, f"answer:{idempotency_key}")


def applied(source: str, what: str, batch_id: str, part: str) -> str:
    """Marker that a part of a batch's effects was applied, with the reply, msgpack."""
    return _source(source, f"applied:{what}:{batch_id}:{part}")


def incidents(source: str) -> str:
    """Hash: incident id -> body, JSON."""
    return _source(source, "incidents")


def incident_tally(source: str) -> str:
    """Hash: incident id -> packed count, first and last event time, largest score."""
    return _source(source, "incident_tally")


def incident_state(source: str) -> str:
    """Hash: incident id -> state, for those that are no longer open."""
    return _source(source, "incident_state")


def incident_index(source: str) -> str:
    """Sorted set: incident id -> wall clock in seconds when it was raised."""
    return _source(source, "incident_index")


def sweep_lease(source: str) -> str:
    """Token of the replica that closes idle sessions."""
    return _source(source, "sweep_lease")


def sweep_number(source: str) -> str:
    """Number of the next background sweep: names its batch, so that a crash repeats it rather than losing it."""
    return _source(source, "sweep_number")


def verdicts(source: str) -> str:
    """Stream of the verdicts of session and timeframe ends."""
    return _source(source, "verdicts")


FEEDBACK = "tocsin:{feedback}:items"
"""Hash: feedback id -> item, JSON."""
FEEDBACK_INDEX = "tocsin:{feedback}:index"
"""Sorted set: feedback id -> wall clock in seconds when it was given."""
FEEDBACK_AUDIT = "tocsin:{feedback}:audit"
"""List, newest first: what was given and undone, by whom, JSON."""
