"""Every Redis key and TTL, and how sessions map to partitions.

Owns names, lifetimes and caps. Does not know what is stored under a key. Keys that one Lua call touches share a hash
tag, ``{pNN}`` for a partition or ``{s:<source>}`` for a source, so that the same code runs on one Redis and on a
cluster. No key lives without a TTL or a cap, except configuration (sources, live pointers, template trees, rules,
feedback).
"""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 3
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
QUEUED_TTL_S = 7 * 86_400
"""The same for an entry of the durable queue: however long nobody takes it up again."""
QUEUED_BATCH = "queued-"
"""What the batch id of an entry of the durable queue begins with."""
QUEUE_LEASE_TTL_S = 10
"""A consumer of the durable queue that did not renew its leases for this long is taken for dead."""
RESULTS_TTL_S = 3_600
"""How long the verdicts of a batch from the durable queue can be asked for once it is done."""
DEAD_ENTRIES_KEPT = 100
"""Entries of one partition's durable queue that could not be processed: the oldest go."""
IN_FLIGHT_TTL_S = 6
"""A request whose replica did not renew its claim for this long counts as crashed and may run again."""
INCIDENT_TTL_S = 30 * 86_400
INCIDENTS_KEPT = 50_000
VERDICTS_KEPT = 100_000
"""Approximate: Redis trims streams by whole nodes."""
VERDICTS_TTL_S = 30 * 86_400
AUDIT_KEPT = 10_000
ACTIVATIONS_KEPT = 100
RULES_KEPT = 10_000
CASES_KEPT = 10_000
CLAUSES_KEPT = 256
"""Clauses that one incident keeps at most."""
OUTBOX_KEPT = INCIDENTS_KEPT
"""Approximate: of an incident that is gone nobody can be told."""
HELD_SHOWN = 5
"""Of what a flood's budget held back, the strangest that are named."""
DEAD_KEPT = 1_000
"""Notices of a source that one notifier could not deliver: the oldest go."""
MUTES_KEPT = 1_000
"""Of a source, those that are over included: as long as incidents of their time are kept."""
NOTIFY_LEASE_TTL_S = 20
"""Beyond the longest that one attempt takes."""
PROPOSAL_TTL_S = 30 * 86_400
"""A proposal that nobody took up is made again, if there is still reason to."""
LESSONS_KEPT = 10_000
"""Answers that wait to be learned, approximately: the oldest go, and their rules stay."""
LEARNING_TTL_S = 90 * 86_400
"""What a source learned that nothing came into for so long is counted anew."""
LEARNER_LEASE_TTL_S = 15
"""A learner that did not renew its lease for this long is taken for dead."""
BUCKET_TTL_S = 120
"""A bucket that was not drawn from for a minute is full again."""
API_KEYS_KEPT = 1_000
"""Every process holds all of them."""
LOGIN_TTL_S = 12 * 3600
"""After this long whoever looks at the page shows the API key again."""
KAFKA_RUNS_TTL_S = 7 * 86_400
"""Of a partition that nothing came from for so long, what was under way is forgotten."""
COPIED_TTL_S = 60
"""A mark that replicas are waited for behind says nothing once they were."""
TREE_LOCK_TTL_S = 10
SWEEP_LEASE_TTL_S = 10
NEW_TEMPLATES_TTL_S = 120
"""A minute's counter of new templates is of no use after the minute."""


def frames_ttl_s(chunk_s: float) -> int:
    """Lifetime in seconds of timeframe counters after the last line of their partition, and of what was closed last."""
    return LIVE_TTL_S + int(min(chunk_s, LIVE_TTL_S))


def live_ttl_s(idle_s: float) -> int:
    """Lifetime in seconds of a partition's sessions after the last append."""
    return LIVE_TTL_S + int(idle_s)


def retry_ttl_s(batch_id: str | None) -> int:
    """How long a batch may be retried with the same answer, seconds."""
    return QUEUED_TTL_S if batch_id is not None and batch_id.startswith(QUEUED_BATCH) else BATCH_TTL_S


def partition_of(session: bytes) -> int:
    """Partition of a session id in UTF-8, 0..15: stable across processes, versions and machines."""
    return zlib.crc32(session) % PARTITIONS


def partitions_of(sessions: Sequence[bytes]) -> NDArray[np.int64]:
    """Partition of each of many, int64 [s]."""
    return np.fromiter(map(zlib.crc32, sessions), dtype=np.int64, count=len(sessions)) % PARTITIONS


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


def notes(partition: int, source: str) -> str:
    """Hash: session -> packed values and codes of its newest events; only where the source keeps them."""
    return _partition(partition, source, "notes")


def appended(partition: int, source: str, batch_id: str) -> str:
    """Reply of one partition's append of a batch, msgpack."""
    return _partition(partition, source, f"batch:{batch_id}")


def drawer(arrival: float) -> int:
    """In which drawer lie the marks of a batch that first came at ``arrival`` seconds: one for each ``BATCH_TTL_S``."""
    return int(arrival // BATCH_TTL_S)


def over(partition: int, source: str, number: int) -> str:
    """Set: ids of batches that are over. A drawer goes as a whole: with a key for each batch in each partition a busy
    source had a million, and letting them expire took a quarter of what Redis did."""
    return _partition(partition, source, f"over:{number}")


def queue(partition: int, source: str) -> str:
    """Stream: accepted lines that wait to be judged; without a TTL, as nothing accepted may be lost."""
    return _partition(partition, source, "queue")


def copied_partition(partition: int, source: str) -> str:
    """Mark behind all that was written in a partition, before replicas are waited for."""
    return _partition(partition, source, "copied")


def queue_state(partition: int, source: str) -> str:
    """Hash: ``lines`` in the stream, ``prior``, the largest time before its newest entry, ``fence``, the newest token;
    of what is being taken ``last``, its last entry, by which ``holder``, after how many failed ``tries``, and
    ``until``, up to which entry they are taken one by one."""
    return _partition(partition, source, "queue:state")


def queue_lease(partition: int, source: str) -> str:
    """Name of the consumer that takes from the stream."""
    return _partition(partition, source, "queue:lease")


def queue_added(partition: int, source: str, batch: str) -> str:
    """Marker that this partition's piece of a batch is in the stream."""
    return _partition(partition, source, f"queue:added:{batch}")


def queue_dead(partition: int, source: str) -> str:
    """Stream: entries that could not be processed, with the ``reason`` and when (``died``, seconds)."""
    return _partition(partition, source, "queue:dead")


def _frames(partition: int, source: str, chunk_s: float, what: str) -> str:
    """Frames of another length are other frames: a bundle that brings one starts afresh."""
    return _partition(partition, source, f"frames:{chunk_s}:{what}")


def open_frames(partition: int, source: str, chunk_s: float) -> str:
    """Sorted set: numbers of the frames that hold a line of this partition's entities, by number."""
    return _frames(partition, source, chunk_s, "open")


def closed_frame(partition: int, source: str, chunk_s: float) -> str:
    """Number of the newest closed frame, as text."""
    return _frames(partition, source, chunk_s, "closed")


def frame_terms(partition: int, source: str, chunk_s: float, chunk: int) -> str:
    """Hash: term, blank, entity -> how often (no term: the entity's lines)."""
    return _frames(partition, source, chunk_s, f"{chunk}:terms")


def frame_entities(partition: int, source: str, chunk_s: float, chunk: int) -> str:
    """Hash: entity -> how many terms of it are kept."""
    return _frames(partition, source, chunk_s, f"{chunk}:entities")


def counted(partition: int, source: str, chunk_s: float, batch_id: str) -> str:
    """How many records of a batch came too late for their frames, as text."""
    return _frames(partition, source, chunk_s, f"batch:{batch_id}")


def _source(source: str, what: str) -> str:
    return f"tocsin:{{s:{source}}}:{what}"


def clock(source: str) -> str:
    """Hash: ``max`` event time, ``stored`` event time up to which all is appended, ``input`` wall clock; seconds;
    ``inputs``, how many there were."""
    return _source(source, "clock")


def begun(source: str, batch_id: str) -> str:
    """What a batch was told when it began, msgpack."""
    return _source(source, f"begun:{batch_id}")


def arrived(source: str, batch_id: str) -> str:
    """Wall clock in seconds at which a batch first arrived, as text."""
    return _source(source, f"arrived:{batch_id}")


def queue_consumers(source: str) -> str:
    """Sorted set: name of a consumer of the durable queue -> when it is taken for dead, ms of Redis' clock."""
    return _source(source, "queue:consumers")


def queue_arriving(source: str) -> str:
    """Sorted set: the largest time (seconds) before a batch that is being added to the durable queue, blank, the batch
    -> when that counts as crashed, ms of Redis' clock."""
    return _source(source, "queue:arriving")


def queue_bell(source: str) -> str:
    """How often anything was added to the source's durable queue, as text: consumers look at this alone while nothing
    comes, and not at all at the queue of a source that never had any."""
    return _source(source, "queue:bell")


def queued_batch(source: str, batch: str) -> str:
    """Hash: ``head``, what was accepted, JSON, and a field for each piece of the batch that is done."""
    return _source(source, f"queue:batch:{batch}")


def queue_results(source: str) -> str:
    """List: pieces whose results are kept, oldest first: batch, piece and bytes, blanks between."""
    return _source(source, "queue:results")


def queue_results_bytes(source: str) -> str:
    """How many bytes those take."""
    return _source(source, "queue:results:bytes")


def live_bundle(source: str) -> str:
    """Version of the live bundle."""
    return _source(source, "bundle")


def shadow_bundle(source: str) -> str:
    """Version that judges beside the live one and has no say."""
    return _source(source, "shadow")


def activations(source: str) -> str:
    """List, newest first: which versions were made live, when and by whom, JSON."""
    return _source(source, "activations")


def lessons(source: str) -> str:
    """Stream: ``id`` of an answer and ``what`` became of it, for the learner."""
    return _source(source, "lessons")


def learner(source: str) -> str:
    """Token of the learner that works on the source."""
    return _source(source, "learner")


def learning(source: str) -> str:
    """Hash: how far a source has learned that no version judges yet."""
    return _source(source, "learning")


def retired_rules(source: str) -> str:
    """Hash: id -> a rule that a version learned, JSON, in case that is taken back."""
    return _source(source, "rules:retired")


def proposal(source: str) -> str:
    """Hash: ``proposal`` to train the source again, JSON, and the ``version`` that was live when it was made."""
    return _source(source, "proposal")


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
    """Hash: rule id -> the version that it came with, blank, rule, JSON."""
    return _source(source, "rules")


def removed_rules(source: str) -> str:
    """Hash: rule id -> the version that it went with, when (seconds), and what ``rules`` held, blanks between: for as
    long as a batch that it judged may be retried."""
    return _source(source, "removed_rules")


def trials(source: str) -> str:
    """Hash: id of a rule that one author alone stands for -> how many verdicts he may silence, blank, author."""
    return _source(source, "rules:trials")


def accounts(source: str) -> str:
    """Hash: author -> how many verdicts his rules on trial silenced, blank, since when (seconds)."""
    return _source(source, "rules:accounts")


def waiting_rules(source: str) -> str:
    """Hash: id -> a rule on trial that is out of force until somebody else agrees, JSON."""
    return _source(source, "rules:waiting")


def cases(source: str) -> str:
    """Hash: feedback id -> anomaly that must go on ringing, JSON."""
    return _source(source, "cases")


def copied(source: str) -> str:
    """Mark behind all that was written under the source's own keys, before replicas are waited for."""
    return _source(source, "copied")


def rules_version(source: str) -> str:
    """Grows by one with each change of the rules and the cases."""
    return _source(source, "rules_version")


def rule_hits(source: str) -> str:
    """Hash: rule id -> how many verdicts it silenced."""
    return _source(source, "rule_hits")


def answer(source: str, idempotency_key: str) -> str:
    """Hash: ``body`` (its hash) and, once finished, ``answer``, compressed."""
    return _source(source, f"answer:{idempotency_key}")


def applied(source: str, what: str, batch_id: str, part: str) -> str:
    """Marker that a part of a batch's effects was applied, with the reply, msgpack."""
    return _source(source, f"applied:{what}:{batch_id}:{part}")


def incidents(source: str) -> str:
    """Hash: incident id -> body, JSON, compressed."""
    return _source(source, "incidents")


def incident_tally(source: str) -> str:
    """Hash: incident id -> packed count, first and last event time, largest score."""
    return _source(source, "incident_tally")


def incident_state(source: str) -> str:
    """Hash: incident id -> state, for those that are no longer open."""
    return _source(source, "incident_state")


def incident_clauses(source: str) -> str:
    """Hash: incident id -> what may silence it, lines of JSON."""
    return _source(source, "incident_clauses")


def incident_index(source: str) -> str:
    """Sorted set: incident id -> wall clock in seconds when it was raised."""
    return _source(source, "incident_index")


def outbox(source: str) -> str:
    """Stream: ``id`` of an incident that is new, or open again, for notifiers."""
    return _source(source, "outbox")


def backfilled(source: str) -> str:
    """Largest event time in seconds of lines that came in as history, as text."""
    return _source(source, "backfilled")


def notify_state(source: str, notifier: str) -> str:
    """Hash: ``place`` in the outbox up to which a notifier has seen to it; of its budget's window ``window``, where it
    began (seconds), ``admitted``, how many notices it let pass, and ``held:SEVERITY``, how many it held back."""
    return _source(source, f"notify:{notifier}")


def notify_waiting(source: str, notifier: str) -> str:
    """Hash: delivery -> notice that is to be sent, JSON."""
    return _source(source, f"notify:{notifier}:waiting")


def notify_held(source: str, notifier: str) -> str:
    """Sorted set: incident id -> its score, of the strangest that were held back."""
    return _source(source, f"notify:{notifier}:held")


def notify_dead(source: str, notifier: str) -> str:
    """List, newest first: notices that could not be delivered, with the reason, JSON."""
    return _source(source, f"notify:{notifier}:dead")


def mutes(source: str) -> str:
    """Hash: id -> window in which nobody is told, or marker of a deploy, JSON."""
    return _source(source, "mutes")


def notify_lease(notifier: str) -> str:
    """Token of the process that sends for a notifier."""
    return f"tocsin:{{notify}}:lease:{notifier}"


def sweep_lease(source: str) -> str:
    """Token of the replica that closes idle sessions."""
    return _source(source, "sweep_lease")


def sweep_number(source: str) -> str:
    """Number of the next background sweep: names its batch, so that a crash repeats it rather than losing it."""
    return _source(source, "sweep_number")


def sweep_rules(source: str, number: int) -> str:
    """Version of the rules that a background sweep judges by."""
    return _source(source, f"sweep_rules:{number}")


def frame_lease(source: str) -> str:
    """Token of the replica that closes timeframes."""
    return _source(source, "frame_lease")


def frame_place(source: str, chunk_s: float) -> str:
    """Hash: ``at``, the next frame to close; ``last``, the newest closed one that held a line; of the round that is
    under way, ``upto``, where it ends, and ``round``, its id."""
    return _source(source, f"frames:{chunk_s}:place")


def rates(source: str) -> str:
    """In the place of a source's name in the keys of timeframes: buckets of its rates. No source has a colon."""
    return f"{source}:rates"


def rate_episodes(source: str) -> str:
    """Which series ring since when, and which bucket comes next, JSON."""
    return _source(source, "rate_episodes")


def verdicts(source: str) -> str:
    """Stream of the verdicts of session and timeframe ends."""
    return _source(source, "verdicts")


FEEDBACK = "tocsin:{feedback}:items"
"""Hash: feedback id -> item, JSON."""
FEEDBACK_INDEX = "tocsin:{feedback}:index"
"""Sorted set: feedback id -> wall clock in seconds when it was given."""
FEEDBACK_AUDIT = "tocsin:{feedback}:audit"
"""List, newest first: what was given and undone, by whom, JSON."""


def feedback_bucket(author: str) -> str:
    """Hash: ``tokens`` left to an author (``author`` is a digest of the name) and the wall clock ``at`` which."""
    return f"tocsin:{{feedback}}:bucket:{author}"


API_KEYS = "tocsin:{access}:keys"
"""Hash: name -> API key without its secret, JSON."""


def login(digest: str) -> str:
    """Id of the API key that somebody logged in to the page with (``digest`` is of the cookie)."""
    return f"tocsin:{{access}}:login:{digest}"


def kafka_runs(group: str, topic: str, partition: int) -> str:
    """Hash: first offset -> last offset of each run of a partition of Kafka that is not committed."""
    return f"tocsin:kafka:{group}:{topic}:{partition}"
