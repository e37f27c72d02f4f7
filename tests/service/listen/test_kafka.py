"""A consumer of librdkafka's own mock cluster: what is stored is committed, what is not comes again."""

import sys
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka
import pytest

from models.errors import ConfigError, StateError
from service.listen import kafka
from service.listen.kafka import Topics, check, topics
from service.settings import Settings
from tests.service.listen.conftest import PATIENCE_S, Take
from tests.service.listening import GOOD, beside, session_events
from tests.service.serving import until

PARTITIONS = 4
"""As the mock cluster makes topics."""


class Cluster:
    """Brokers within a producer's process, for as long as it lives."""

    def __init__(self) -> None:
        self._producer = confluent_kafka.Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1})
        brokers = self._producer.list_topics(timeout=PATIENCE_S).brokers.values()
        self.address = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    async def produce(self, topic: str, *values: bytes | None, **how: object) -> None:
        """Messages that the brokers have when this returns."""

        def send() -> None:
            for value in values:
                self._producer.produce(topic, value, **{"partition": 0, **how})  # type: ignore[arg-type]
            assert self._producer.flush(PATIENCE_S) == 0

        await beside(send)

    def create(self, topic: str) -> None:
        """A topic without messages."""
        self._producer.list_topics(topic, timeout=PATIENCE_S)

    def committed(self, topic: str, partition: int = 0, group: str = "tocsin") -> int:
        """The offset from which a group would go on; negative where it has none."""
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.address, "group.id": group})
        try:
            found = consumer.committed([confluent_kafka.TopicPartition(topic, partition)], timeout=PATIENCE_S)
            return int(found[0].offset)
        finally:
            consumer.close()

    async def until_committed(self, offset: int, topic: str, partition: int = 0) -> None:
        async def reached() -> bool:
            return await beside(self.committed, topic, partition) == offset

        await until(reached, f"{topic} is committed up to {offset}", PATIENCE_S)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


async def test_messages_go_to_the_source_that_their_topic_names(take: Take, cluster: Cluster) -> None:
    # Both topics are there before: of one that is made later a member hears within half a minute only.
    await cluster.produce("blocks", *[GOOD.encode()] * 3)
    await cluster.produce("app", b"hello")
    async with take("", kafka=f"kafka://{cluster.address}/blocks,app") as taking:
        await taking.until_lines(3, "blocks")
        await cluster.produce("blocks", GOOD.encode())
        await cluster.produce("app", b"hello")
        await taking.until_lines(4, "blocks")
        await taking.until_lines(2, "app")
        await cluster.until_committed(4, "blocks")
        await cluster.until_committed(2, "app")
        assert await session_events(taking.replica, "blocks", "blk_1") == 4
        assert await taking.count("tocsin_intake_messages_total", listener="kafka") == 6


async def test_keys_headers_and_fields_route_and_make_sessions(take: Take, cluster: Cluster, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "routes: [{when: {env: prod, topic: 'log*'}, source: app}, {when: {kind: store}, source: blocks}]\n"
        "sessions: {app: [key]}\n"
    )
    await cluster.produce("logs", b"one", b"two", key=b"k-1", headers={"env": b"prod"})
    await cluster.produce("logs", b'{"message": "%s", "kind": "store"}' % GOOD.encode())
    await cluster.produce("logs", b"nobody's")
    async with take("", kafka=f"kafka://{cluster.address}/logs", intake_rules=rules) as taking:
        await taking.until_lines(2, "app")
        await taking.until_lines(1, "blocks")
        await taking.until_dropped(1, "kafka", "source")
        await cluster.until_committed(4, "logs")
        assert await session_events(taking.replica, "app", "k-1") == 2


async def test_poison_is_counted_and_passed_by(take: Take, cluster: Cluster) -> None:
    await cluster.produce("any", b"one", None, b"\xff", b'{"@timestamp": "x"}', b"two")
    async with take("", kafka=f"kafka://{cluster.address}/any?source=app&group=mine") as taking:
        await taking.until_lines(2)
        for reason in ("empty", "encoding", "document"):
            await taking.until_dropped(1, "kafka", reason)

        async def reached() -> bool:
            return await beside(cluster.committed, "any", 0, "mine") == 5

        await until(reached, "all is committed", PATIENCE_S)
        # What was waited for above is all that came of it.
        assert await taking.count("tocsin_lines_total", source="app") == 2
        dropped = [name for name in await taking.replica.metrics() if name.startswith("tocsin_intake_dropped_total")]
        assert len(dropped) == 3


async def test_offsets_are_committed_only_when_the_lines_are_stored(
    take: Take, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "HOLD_EVERY_S", 0.2)
    await cluster.produce("app", b"one", b"two")
    async with take("") as taking:
        # Its sources are there before anything is consumed.
        pass
    async with take("", kafka=f"kafka://{cluster.address}/app", drain_s=1.0) as taking:
        consumer = taking.replica.app.state.listeners.kafka
        await taking.until_lines(2)
        await cluster.until_committed(2, "app")
        async with taking.replica.core.sources.live["app"].lock:
            await cluster.produce("app", b"three")
            worker = taking.replica.core._workers["app"]
            await until(lambda: worker._arrived.is_set() and not worker._waiting, "it is being judged", PATIENCE_S)
            await cluster.produce("app", b"four")
            # Long enough for the group to be told several times that it waits.
            held: list[int] = []
            hold = kafka._hold

            def counted(of: confluent_kafka.Consumer) -> list[confluent_kafka.Message]:
                held.append(1)
                return hold(of)

            monkeypatch.setattr(kafka, "_hold", counted)
            await until(lambda: len(held) > 3, "it is held", PATIENCE_S)
            assert await beside(cluster.committed, "app") == 2
            assert consumer._task is not None
            assert not consumer._task.done()
        await taking.until_lines(4)
        await cluster.until_committed(4, "app")


async def test_what_was_not_stored_when_it_stopped_comes_again(take: Take, cluster: Cluster, tmp_path: Path) -> None:
    async with take(""):
        pass
    # The mock cluster does not hear that a member leaves: it has to find out.
    config = tmp_path / "kafka.yaml"
    config.write_text("{session.timeout.ms: 3000, heartbeat.interval.ms: 500}")
    cluster.create("app")
    where = f"kafka://{cluster.address}/app"
    async with take("", kafka=where, kafka_config=config, drain_s=0.3) as taking:
        # Redis is away for as long as this lives.
        core = taking.replica.core
        core._connected = False
        core._connect = _never  # type: ignore[method-assign]
        await cluster.produce("app", b"one", b"two")
        # Counted as it begins to be carried.
        await taking.until_count(2, "tocsin_intake_messages_total", listener="kafka")
    assert await beside(cluster.committed, "app") < 0
    async with take("", kafka=where, kafka_config=config) as taking:
        await taking.until_lines(2)
        await cluster.until_committed(2, "app")


async def test_members_that_come_fail_and_go_lose_nothing_and_judge_nothing_twice(
    take: Take, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "BEGIN_AGAIN_S", 0.1)
    config = tmp_path / "kafka.yaml"
    config.write_text("{session.timeout.ms: 3000, heartbeat.interval.ms: 300, max.poll.interval.ms: 10000}")
    cluster.create("blocks")
    where = f"kafka://{cluster.address}/blocks"
    fails = [True, False, True, True]
    commit = kafka._commit

    def failing(
        consumer: confluent_kafka.Consumer, messages: Sequence[confluent_kafka.Message]
    ) -> dict[tuple[str, int], int]:
        # Judged, and nobody is told: the same messages come again, to whoever has the partition then.
        if fails and fails.pop():
            raise RuntimeError("the broker is away, says a test")
        return commit(consumer, messages)

    monkeypatch.setattr(kafka, "_commit", failing)
    sent = 0

    async def produce(count: int) -> None:
        nonlocal sent
        for number in range(sent, sent + count):
            line = (
                f"240501 0000{number % 60:02d} 21 INFO store.Names: allocate blk_{number % 8} for /jobs/3/part-{number}"
            )
            await cluster.produce("blocks", line.encode(), partition=number % PARTITIONS)
        sent += count

    async def all_committed() -> bool:
        found = [await beside(cluster.committed, "blocks", number) for number in range(PARTITIONS)]
        return found == [sent // PARTITIONS] * PARTITIONS

    async with take("", kafka=where, kafka_config=config) as one:
        await produce(40)
        await until(lambda: len(fails) < 4, "something is judged", PATIENCE_S)
        async with take("", kafka=where, kafka_config=config):
            await produce(80)
            await until(lambda: not fails, "commits have failed", PATIENCE_S)
            await produce(40)
        await produce(40)
        await until(all_committed, "all is committed", 2 * PATIENCE_S)
        counts = [await session_events(one.replica, "blocks", f"blk_{number}") for number in range(8)]
        assert counts == [sent // 8] * 8


async def _never() -> None:
    raise StateError("Redis is away, says a test")


@pytest.mark.parametrize(
    "text",
    [
        "one:9092/logs", "kafka://", "kafka://one:9092", "kafka://one:9092/", "kafka://one/a/b", "kafka://u:p@one/a",
        "kafka://one/a?offset=1", "http://one/a",
    ],
)  # fmt: skip
def test_addresses_that_do_not_read_are_told(text: str) -> None:
    with pytest.raises(ConfigError, match=r"TOCSIN_KAFKA.* does not read"):
        topics(text)


def test_addresses_read() -> None:
    assert topics("kafka://one:9092,two:9092/a,b?group=g&source=s") == Topics("one:9092,two:9092", ("a", "b"), "g", "s")
    assert topics("kafka://one/a") == Topics("one", ("a",), "tocsin", None)


def test_properties_that_are_not_theirs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "kafka.yaml"
    for text, told in [
        ("enable.auto.commit: true", "enable.auto.commit is not for this file"),
        ("[a]", "mapping of librdkafka's properties"),
        ("a: [", "is no YAML"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigError, match=told):
            check(Settings(kafka="kafka://one/a", kafka_config=path))
    path.write_text("security.protocol: SSL\n")
    assert check(Settings(kafka="kafka://one/a", kafka_config=path)) == Topics("one", ("a",))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    assert check(Settings()) is None
    with pytest.raises(ConfigError, match=r"pip install 'tocsin\[kafka\]'"):
        check(Settings(kafka="kafka://one/a"))
