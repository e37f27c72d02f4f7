"""Every metric of the service, by name. The registry is passed in, so that importing this registers nothing.

Updated once per batch, never once per line.
"""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SCORES = (0.5, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999, 1.0)
LINES = (1, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000)


class Metrics:
    """Counters, gauges and histograms of one service process.

    Where several workers share a port, ``service.exposition`` adds up what they count; ``multiprocess_mode`` says what
    becomes of a gauge.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.lines = Counter("tocsin_lines", "Lines received", ["source"], registry=registry)
        self.rejected = Counter("tocsin_rejected_lines", "Lines rejected with an error", ["source"], registry=registry)
        self.late = Counter("tocsin_late_lines", "Lines older than the watermark", ["source"], registry=registry)
        self.unmatched = Counter(
            "tocsin_unmatched_lines",
            "Lines that no template matched, before learning",
            ["source"],
            registry=registry,
        )
        self.verdicts = Counter(
            "tocsin_verdicts", "Verdicts, by leading detector where anomalous", ["source", "detector", "anomalous"],
            registry=registry,
        )  # fmt: skip
        self.incidents = Counter("tocsin_incidents", "New incidents", ["source", "detector"], registry=registry)
        self.notices = Counter(
            "tocsin_notices",
            "Notices of incidents by what became of them: sent, failed (an attempt), dead, held_back, answered, ...",
            ["notifier", "source", "outcome"],
            registry=registry,
        )
        self.notices_waiting = Gauge(
            "tocsin_notices_waiting",
            "Notices that are to be sent",
            ["notifier"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.silenced = Counter(
            "tocsin_silenced", "Verdicts that would ring but for a feedback rule", ["source"], registry=registry
        )
        self.rules = Gauge(
            "tocsin_rules",
            "Feedback rules that this replica judges by",
            ["source"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.feedback_refused = Counter(
            "tocsin_feedback_refused", "Feedback refused by a guard rail", ["reason"], registry=registry
        )
        self.feedback = Counter("tocsin_feedback", "Feedback items accepted", ["source", "label"], registry=registry)
        self.refused = Counter(
            "tocsin_refused",
            "Requests refused for who sends them, by reason",
            ["reason"],
            registry=registry,
        )
        self.requests = Counter("tocsin_requests", "HTTP requests", ["path", "status"], registry=registry)
        self.request_seconds = Histogram(
            "tocsin_request_seconds", "Time to answer a request", ["path"], buckets=SECONDS, registry=registry
        )
        self.stage_seconds = Histogram(
            "tocsin_stage_seconds",
            "Time in one stage of a batch",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_lines = Histogram(
            "tocsin_batch_lines", "Lines in one coalesced batch", ["source"], buckets=LINES, registry=registry
        )
        self.cache_hits = Counter(
            "tocsin_cache_hits", "Raw outputs taken from the cache", ["detector"], registry=registry
        )
        self.cache_misses = Counter("tocsin_cache_misses", "Raw outputs computed", ["detector"], registry=registry)
        self.queue_lines = Gauge(
            "tocsin_queue_lines",
            "Lines that wait to be processed",
            ["source"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.durable_queue_lines = Gauge(
            "tocsin_durable_queue_lines",
            "Accepted lines that wait in Redis to be judged",
            ["source"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.durable_queue_age = Gauge(
            "tocsin_durable_queue_age_seconds",
            "How long the oldest of them has waited",
            ["source"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.dead_entries = Gauge(
            "tocsin_dead_entries",
            "Entries of the durable queue that could not be judged",
            ["source"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.redelivered = Counter(
            "tocsin_redelivered_entries",
            "Entries of the durable queue that were taken again",
            ["source"],
            registry=registry,
        )
        self.templates = Gauge(
            "tocsin_templates", "Templates in the live tree", ["source"], multiprocess_mode="livemax", registry=registry
        )
        self.live_version = Gauge(
            "tocsin_model_version",
            "1 for the live bundle version",
            ["source", "version", "provider"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.unmatched_share = Gauge(
            "tocsin_unmatched_share",
            "Share of the last hour's lines that no template matched, before learning",
            ["source"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.template_psi = Gauge(
            "tocsin_template_psi",
            "PSI of the last hour's templates against training",
            ["source"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.score_psi = Gauge(
            "tocsin_score_psi",
            "PSI of the last hour's session scores against training",
            ["source"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.retrain_proposed = Gauge(
            "tocsin_retrain_proposed",
            "1 while training the source again is proposed",
            ["source"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.spool_rows = Counter(
            "tocsin_spool_rows",
            "Events and ended sessions put by, or left out of a full file",
            ["source", "outcome"],
            registry=registry,
        )
        self.spool_failures = Counter(
            "tocsin_spool_failures", "Spool files that could not be written", ["source"], registry=registry
        )
        self.shadow_verdicts = Counter(
            "tocsin_shadow_verdicts",
            "Verdicts of a shadow beside the live version's: same, rings, quiet; dropped where it fell behind",
            ["source", "version", "change"],
            registry=registry,
        )
        self.intake_messages = Counter(
            "tocsin_intake_messages",
            "Messages of syslog and Kafka that could be read",
            ["listener"],
            registry=registry,
        )
        self.intake_dropped = Counter(
            "tocsin_intake_dropped",
            "Messages of syslog and Kafka that are not judged, by reason",
            ["listener", "reason"],
            registry=registry,
        )
        self.syslog_connections = Gauge(
            "tocsin_syslog_connections", "Open syslog connections", multiprocess_mode="livesum", registry=registry
        )
        self.session_score = Histogram(
            "tocsin_session_score",
            "Scores of sessions and timeframes that ended: how much of what is normal is less strange",
            ["source"],
            buckets=SCORES,
            registry=registry,
        )
        self.live_sessions = Gauge(
            "tocsin_live_sessions", "Sessions that are live", ["source"], multiprocess_mode="livemostrecent",
            registry=registry,
        )  # fmt: skip
        self.incidents_kept = Gauge(
            "tocsin_incidents_kept", "Incidents that are kept", ["source"], multiprocess_mode="livemostrecent",
            registry=registry,
        )  # fmt: skip
        self.lessons_waiting = Gauge(
            "tocsin_lessons_waiting", "Answers that the learner has not settled", ["source"],
            multiprocess_mode="livemostrecent", registry=registry,
        )  # fmt: skip
        self.redis_memory = Gauge(
            "tocsin_redis_memory_bytes", "Memory that Redis uses", multiprocess_mode="livemostrecent", registry=registry
        )
        self.redis_memory_limit = Gauge(
            "tocsin_redis_memory_limit_bytes", "Redis' maxmemory, 0 where it has none",
            multiprocess_mode="livemostrecent", registry=registry,
        )  # fmt: skip
        self.redis_clients = Gauge(
            "tocsin_redis_clients", "Connections to Redis", multiprocess_mode="livemostrecent", registry=registry
        )
        self.redis_operations = Gauge(
            "tocsin_redis_operations", "Commands that Redis runs a second", multiprocess_mode="livemostrecent",
            registry=registry,
        )  # fmt: skip
        self.redis_up = Gauge(
            "tocsin_redis_up", "1 while Redis answers", multiprocess_mode="livemin", registry=registry
        )
        for metric in vars(self).values():
            if isinstance(metric, MetricWrapperBase):
                # One lookup instead of a lock and a check of every label, a dozen times a batch. None is ever removed.
                setattr(metric, "labels", cache(metric.labels))  # noqa: B010 - a method of theirs
