"""Kafka topics as a consumer of a group: messages in, batches out, offsets committed once their lines were judged.

Owns which offsets are committed when, and that the group does not give the partitions away while the service cannot
take lines. Messages of a partition are judged in runs that are written down first (``service.state.runs``): after a
rebalance or a crash the next member judges the same runs, and nothing has its effects twice. What a message means is
``service.intake.kafka``'s. confluent-kafka is imported only where topics are named.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from urllib.parse import parse_qs, urlsplit

import yaml

from models.errors import ConfigError
from models.source.regex import shown
from service.core import CANCEL_EVERY_S, Core
from service.delivery import off_loop
from service.intake import kafka
from service.intake.entry import Decoded
from service.intake.routing import Routing
from service.listen.carrier import Carrier
from service.secrets import yaml_problem
from service.settings import Settings
from service.state import runs as state_runs

if TYPE_CHECKING:
    import confluent_kafka

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("tocsin.listen")

LISTENER = "kafka"
GATHER_S = 0.1
MOST = 5_000
"""Messages of a batch: with their objects they take several times their bytes."""
HOLD_EVERY_S = 10.0
"""How often the group hears of a consumer whose batch waits: it gives up on one after five minutes."""
BEGIN_AGAIN_S = 5.0
SHORT_S = 60.0
"""How long the rest of a run is waited for, which may be gone: retention, or a topic that was made anew."""
GROUP = "tocsin"
OWN = ("bootstrap.servers", "group.id", "enable.auto.commit", "enable.auto.offset.store")
"""Properties that are not for the file of properties."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Where to consume what: brokers as librdkafka takes them, topics, group; ``source`` that of every message."""

    brokers: str
    names: tuple[str, ...]
    group: str = GROUP
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Messages of one partition that are judged together, under a name that only they have."""

    name: str
    messages: list["confluent_kafka.Message"]


class KafkaConsumer:
    """The topics of the settings, in one process; each worker process is a member of the group.

    Raises ConfigError: wrong settings, or confluent-kafka is not installed.
    """

    def __init__(self, core: Core, routing: Routing) -> None:
        self._core = core
        self._topics = check(core.settings)
        self._carrier = Carrier(core, routing, kafka.USUAL_NAMES)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tocsin-kafka")
        """A consumer's calls block, and follow one another."""
        self._held: list[confluent_kafka.Message] = []
        self._short: dict[tuple[str, int, int], float] = {}
        """Topic, partition and first offset of runs of which some messages have not come -> since when."""
        self._said = ""
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Begin to consume. Brokers that are away are waited for."""
        if self._topics is not None:
            self._task = asyncio.create_task(self._run(self._topics))
            log.info("Kafka topics are consumed: %s", ", ".join(self._topics.names))

    async def stop(self, limit_s: float) -> None:
        """Judge and commit the batch that is under way, for at most ``limit_s``; what is not committed comes again."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=limit_s)
            pending = {self._task}
            while pending:
                # Again and again: see ``Core.stop``.
                for task in pending:
                    task.cancel()
                _, pending = await asyncio.wait(pending, timeout=CANCEL_EVERY_S)
        await asyncio.to_thread(self._thread.shutdown)

    async def _run(self, topics: Topics) -> None:
        while not self._stopping.is_set():
            consumer: confluent_kafka.Consumer | None = None
            try:
                consumer = await self._beside(_open, topics, self._core.settings)
                await self._consume(consumer, topics)
            except Exception:
                log.exception("consuming from Kafka failed; beginning again in %g s", BEGIN_AGAIN_S)
            finally:
                self._held.clear()
                self._short.clear()
                if consumer is not None:
                    self._thread.submit(consumer.close)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), BEGIN_AGAIN_S)

    async def _consume(self, consumer: "confluent_kafka.Consumer", topics: Topics) -> None:
        most = min(self._core.settings.batch_lines, MOST)
        while not self._stopping.is_set():
            fetched = self._held + await self._beside(consumer.consume, most, GATHER_S)
            self._held = []
            messages = [message for message in fetched if self._is_message(message)]
            if not messages:
                continue
            ours = await self._beside(_assigned, consumer)
            runs = [
                run
                for (topic, partition), own in by_partition(messages).items()
                if (topic, partition) in ours
                for run in await self._runs(topics, topic, partition, own)
            ]
            if not runs:
                continue
            carrying = asyncio.create_task(self._carry_all(runs, topics))
            try:
                await self._carried(consumer, carrying)
            finally:
                carrying.cancel()
            committed = await self._beside(_commit, consumer, [message for run in runs for message in run.messages])
            for (topic, partition), following in committed.items():
                await state_runs.done(self._core.redis, topics.group, topic, partition, following)

    async def _runs(
        self, topics: Topics, topic: str, partition: int, messages: list["confluent_kafka.Message"]
    ) -> list["Run"]:
        """The run that these messages of one partition begin with, none while some of it has not come; what is behind
        it is held back."""
        first, last = _offset(messages[0]), _offset(messages[-1])
        began = self._short.get((topic, partition, first))
        late = began is not None and time.monotonic() - began > SHORT_S
        end = await state_runs.take(self._core.redis, topics.group, topic, partition, first, last, anew=late)
        if end > last:
            self._short.setdefault((topic, partition, first), time.monotonic())
            self._held += messages
            return []
        self._short.pop((topic, partition, first), None)
        own = [message for message in messages if _offset(message) <= end]
        self._held += messages[len(own) :]
        return [Run(f"kafka {topics.group} {topic} {partition} {first}-{end}", own)]

    async def _carry_all(self, runs: Sequence["Run"], topics: Topics) -> None:
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(self._carry(run, topics))

    async def _carry(self, run: "Run", topics: Topics) -> None:
        size = sum(len(message) for message in run.messages)
        decoded, wrong = await off_loop(size, decode, run.messages)
        for reason in wrong:
            self._carrier.drop(LISTENER, reason, 1)
        await self._carrier.carry(LISTENER, decoded, topics.source, run.name)

    async def _carried(self, consumer: "confluent_kafka.Consumer", carrying: "asyncio.Task[None]") -> None:
        """Wait for a batch; where it takes long, stay in the group without fetching more."""
        held = False
        while not (await asyncio.wait([carrying], timeout=HOLD_EVERY_S))[0]:
            held = True
            self._held += await self._beside(_hold, consumer)
        if held:
            await self._beside(_release, consumer)
        await carrying

    def _is_message(self, message: "confluent_kafka.Message") -> bool:
        """Whether it is one, and not an error; those are said once in a while."""
        error = message.error()
        if error is None:
            return True
        if error.fatal():
            raise RuntimeError(f"Kafka: {error}")
        if str(error) != self._said:
            self._said = str(error)
            log.warning("Kafka: %s", error)
        return False

    async def _beside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))


def check(settings: Settings) -> Topics | None:
    """The topics that settings name; None where they name none. Raises ConfigError as ``KafkaConsumer``."""
    if settings.kafka is None:
        return None
    found = topics(settings.kafka)
    _properties(found, settings)
    try:
        import confluent_kafka  # noqa: F401
    except ImportError as error:
        raise ConfigError("TOCSIN_KAFKA needs confluent-kafka: pip install 'tocsin[kafka]'") from error
    return found


def topics(text: str) -> Topics:
    """``kafka://BROKER[,BROKER]/TOPIC[,TOPIC]``, with ``?group=`` and ``?source=`` if wanted. Raises ConfigError."""
    example = "kafka://one:9092,two:9092/TOPIC,TOPIC?group=tocsin"
    try:
        parts = urlsplit(text)
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise ConfigError(f"TOCSIN_KAFKA does not read ({error}); write it as in {example}") from None
    names = tuple(filter(None, parts.path.removeprefix("/").split(",")))
    if "@" in parts.netloc:
        raise ConfigError("TOCSIN_KAFKA does not read: user and password stand in the file of TOCSIN_KAFKA_CONFIG")
    wrong = parts.scheme != "kafka" or parts.fragment or set(query) - {"group", "source"}
    if wrong or not parts.netloc or not names or any("/" in name for name in names):
        raise ConfigError(f"TOCSIN_KAFKA {shown(text)} does not read; write it as in {example}")
    return Topics(parts.netloc, names, query.get("group", [GROUP])[-1], query.get("source", [None])[-1])


def by_partition(
    messages: Sequence["confluent_kafka.Message"],
) -> dict[tuple[str, int], list["confluent_kafka.Message"]]:
    """Messages of each topic and partition, in order; those of a partition that went and came back count from where it
    came back."""
    found: dict[tuple[str, int], list[confluent_kafka.Message]] = {}
    for message in messages:
        own = found.setdefault((message.topic() or "", message.partition() or 0), [])
        if own and _offset(message) <= _offset(own[-1]):
            own.clear()
        own.append(message)
    return found


def decode(messages: Sequence["confluent_kafka.Message"]) -> tuple[Decoded, list[str]]:
    """Entries of messages, and reasons of those that can never be judged."""
    decoded = Decoded()
    wrong: list[str] = []
    for index, message in enumerate(messages):
        kind, milliseconds = message.timestamp()
        headers = message.headers() or []
        plain = kafka.Message(
            message.topic() or "",
            message.partition() or 0,
            _bytes(message.value()),
            _bytes(message.key()),
            [(n, _bytes(v)) for n, v in (headers.items() if isinstance(headers, dict) else headers)],
            # Kind 0: the broker has none.
            milliseconds * 1_000_000 if kind else None,
        )
        try:
            decoded.entries.append(kafka.entry(index, plain))
        except kafka.Poison as error:
            wrong.append(error.reason)
    return decoded, wrong


def _offset(message: "confluent_kafka.Message") -> int:
    offset = message.offset()
    return 0 if offset is None else offset


def _assigned(consumer: "confluent_kafka.Consumer") -> set[tuple[str, int]]:
    return {(place.topic, place.partition) for place in consumer.assignment()}


def _bytes(value: object) -> bytes | None:
    return value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else None


def _properties(topics: Topics, settings: Settings) -> dict[str, object]:
    """Properties of librdkafka: ours, under those of the file, under those that cannot be otherwise."""
    given: dict[str, object] = {}
    path = settings.kafka_config
    if path is not None:
        try:
            read = yaml.safe_load(path.read_text()) or {}
        except yaml.YAMLError as error:
            raise ConfigError(f"{path} is no YAML: {yaml_problem(error)}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read Kafka's properties from {path}: {error}") from error
        if not isinstance(read, dict) or not all(isinstance(name, str) for name in read):
            raise ConfigError(f"{path} must hold a mapping of librdkafka's properties, as in `security.protocol: SSL`")
        given = read
        for name in OWN:
            if name in given:
                raise ConfigError(f"{path}: {name} is not for this file; brokers and group stand in TOCSIN_KAFKA")
    return {
        "client.id": "tocsin",
        # A topic that is made later is found within this time.
        "topic.metadata.refresh.interval.ms": 30_000,
        "auto.offset.reset": "earliest",
        **given,
        "bootstrap.servers": topics.brokers,
        "group.id": topics.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }


def _open(topics: Topics, settings: Settings) -> "confluent_kafka.Consumer":
    import confluent_kafka

    consumer = confluent_kafka.Consumer(_properties(topics, settings), logger=logging.getLogger("tocsin.kafka"))
    consumer.subscribe(list(topics.names))
    return consumer


def _commit(
    consumer: "confluent_kafka.Consumer", messages: Sequence["confluent_kafka.Message"]
) -> dict[tuple[str, int], int]:
    """Commit what follows the last message of each partition; the offsets, nothing where that failed."""
    import confluent_kafka

    last: dict[tuple[str, int], int] = {}
    for message in messages:
        last[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
    offsets = [confluent_kafka.TopicPartition(topic, number, at) for (topic, number), at in last.items()]
    try:
        consumer.commit(offsets=offsets, asynchronous=False)
    except confluent_kafka.KafkaException as error:
        # The partitions went to another member, or the broker is away: a later commit covers these, or they come again.
        log.warning("offsets of %d messages could not be committed: %s", len(messages), error)
        return {}
    return last


def _hold(consumer: "confluent_kafka.Consumer") -> list["confluent_kafka.Message"]:
    """Be heard of by the group without fetching; of partitions that were just assigned a message may come."""
    consumer.pause(consumer.assignment())
    return consumer.consume(1, 0.0)


def _release(consumer: "confluent_kafka.Consumer") -> None:
    consumer.resume(consumer.assignment())
