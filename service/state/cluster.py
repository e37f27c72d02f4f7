"""A Redis Cluster as the one Redis that everything else talks to.

Owns the address of a cluster, ``redis+cluster://[user:password@]host[:port][,host[:port]...]`` (``rediss+cluster``
over TLS), its client, and how commands of one round trip reach their nodes. Which keys share a slot is ``keys``'s:
every Lua call keeps to one. redis-py follows slots that move, and nodes that take each other's place; what is refused
meanwhile is an error, as if Redis were away, and the caller tries again. After each failure it is asked anew which node
has what, as a replica may have taken the place of one that died.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, ClusterPipeline, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ClusterDownError, ConnectionError, MovedError, TimeoutError

from models.errors import ConfigError

SCHEMES = ("redis+cluster", "rediss+cluster")
PORT = 6379
STALE = (ConnectionError, TimeoutError, ClusterDownError, MovedError)
"""Replies after which another node may have what was asked for."""


class ClusterClient(RedisCluster):
    """redis-py's client, which looks anew for the nodes after what it does not count as a failure itself: a pipeline's
    node that is away, and an answer that was waited for too long."""

    def look_anew(self) -> None:
        """Ask the cluster who has which slot before the next command."""
        self._initialize = True

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().execute_command(*args, **kwargs)
        except asyncio.CancelledError:
            self.look_anew()
            raise

    async def aclose(self) -> None:
        # A client that is about to look anew has connections too.
        self._initialize = False
        await super().aclose()


def is_cluster(url: str) -> bool:
    """Whether a URL names a cluster."""
    return url.partition("://")[0] in SCHEMES


def open_cluster(url: str, connect_within_s: float) -> Redis:
    """A client that has not connected yet; it takes the same commands as one of a single server. Replies are bytes.

    As there, nothing is sent twice on its own. Raises ConfigError where the URL names no host.
    """
    parts = urlsplit(url)
    nodes = [_node(place) for place in parts.netloc.rpartition("@")[2].split(",")]
    client = ClusterClient(
        startup_nodes=nodes,
        username=None if parts.username is None else unquote(parts.username) or None,
        password=None if parts.password is None else unquote(parts.password),
        ssl=parts.scheme.startswith("rediss"),
        protocol=2,
        decode_responses=False,
        socket_timeout=None,
        socket_connect_timeout=connect_within_s,
        retry=Retry(NoBackoff(), 0),
    )
    return cast("Redis", client)


async def exchange(cluster: ClusterClient, commands: Sequence[Sequence[Any]]) -> list[Any]:
    """Run commands, those of one node in one round trip; replies in order, a refusal being one of them. Raises what
    redis-py raises where a node is away."""
    pipeline = cluster.pipeline()
    for words in commands:
        pipeline.execute_command(*words)
    return await _executed(cluster, pipeline)


async def exchange_and_ask_each(
    cluster: ClusterClient, commands: Sequence[Sequence[Any]], question: Sequence[Any]
) -> list[Any]:
    """``exchange`` of commands whose second word is their key, and then ``question`` of each node that had any, on the
    same connection; the replies of the nodes come last, in no order. Nothing is sent on to another node."""
    await cluster.initialize()
    pipeline, nodes = cluster.pipeline(), dict[str, ClusterNode]()
    for words in commands:
        node = cluster.nodes_manager.get_node_from_slot(cluster.keyslot(words[1]))
        nodes[node.name] = node
        pipeline.execute_command(*words, target_nodes=node)
    for node in nodes.values():
        pipeline.execute_command(*question, target_nodes=node)
    return await _executed(cluster, pipeline, allow_redirections=False)


async def _executed(cluster: ClusterClient, pipeline: ClusterPipeline, *, allow_redirections: bool = True) -> list[Any]:
    try:
        replies = list(await pipeline.execute(raise_on_error=False, allow_redirections=allow_redirections))
    except BaseException:
        cluster.look_anew()
        raise
    if any(isinstance(reply, STALE) for reply in replies):
        cluster.look_anew()
    return replies


def _node(place: str) -> ClusterNode:
    host, _, port = place.strip().rpartition(":") if ":" in place else (place.strip(), "", str(PORT))
    if not host or not port.isdigit():
        raise ConfigError(
            f"{place!r} is no node of a cluster: write redis+cluster://HOST:PORT, and more nodes after commas"
        )
    return ClusterNode(host.strip("[]"), int(port))
