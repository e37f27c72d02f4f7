"""Test support: a real Redis Cluster of three masters and their replicas, on loopback."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from service.state.connection import open_client
from service.state.embedded import EmbeddedRedis, bundled_server
from tests.service.serving import until
from tests.service.state.test_slots import free_port

SLOTS = 16_384
MASTERS = 3
PATIENT_MS = 30_000
"""A node that is silent for so long counts as dead: nobody is replaced because the machine is busy."""
HASTY_MS = 1_000
TAKE_OVER_S = 7.0
"""Redis itself gives a take-over five seconds."""


@dataclass
class Nodes:
    """Clients of three masters and of replicas, in this order, their ports and servers."""

    clients: list[Redis]
    ports: list[int]
    servers: list[EmbeddedRedis]

    @property
    def url(self) -> str:
        """The cluster as Tocsin is told of it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.ports[:2])

    async def id_of(self, number: int) -> str:
        """The id that a node has in the cluster."""
        return str((await self.clients[number].execute_command("CLUSTER MYID")).decode())

    async def owner(self, slot: int) -> int:
        """Which master has a slot."""
        for begin, end, (_, port, *_), *_ in await self.clients[0].execute_command("CLUSTER", "SLOTS"):
            if begin <= slot <= end:
                return self.ports.index(port)
        raise AssertionError(f"nobody has slot {slot}")

    async def move(self, slot: int, to: int) -> None:
        """Move a slot and all its keys to another master, key by key, as resharding does."""
        home = await self.owner(slot)
        target, source = self.clients[to], self.clients[home]
        await target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", await self.id_of(home))
        await source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", await self.id_of(to))
        while names := await source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1):
            await source.execute_command("MIGRATE", "127.0.0.1", self.ports[to], names[0], 0, 10_000)
            await asyncio.sleep(0.02)  # lines come in meanwhile
        for number in (to, home):
            await self.clients[number].execute_command("CLUSTER", "SETSLOT", slot, "NODE", await self.id_of(to))

    async def leads(self, number: int) -> bool:
        """Whether a node is a master."""
        return str((await self.clients[number].info("replication"))["role"]) == "master"

    async def take_over(self, number: int) -> None:
        """Have a replica lead in its master's place. Redis gives a take-over up without a word where the replica does
        not catch up within five seconds, as on a machine under load: it is then asked again."""
        loop = asyncio.get_running_loop()
        asked = -TAKE_OVER_S

        async def leads() -> bool:
            nonlocal asked
            if await self.leads(number):
                return True
            if loop.time() - asked > TAKE_OVER_S:
                asked = loop.time()
                with suppress(ResponseError):  # it leads by now
                    await self.clients[number].execute_command("CLUSTER", "FAILOVER")
            return False

        await until(leads, f"node {number} leads")

    async def caught_up(self, master: int, replica: int) -> None:
        """Let the master write nothing more, and wait until the replica has all that it wrote."""
        await self.clients[master].execute_command("CLIENT", "PAUSE", 600_000, "WRITE")

        async def same() -> bool:
            ahead = await self.clients[master].info("replication")
            return int((await self.clients[replica].info("replication"))["slave_repl_offset"]) == int(
                ahead["master_repl_offset"]
            )

        await until(same, "the replica has what its master wrote")

    async def replaced(self, dead: int, heir: int, how: signal.Signals = signal.SIGKILL) -> None:
        """End a master, or stop it, and wait until its replica leads."""
        pid = self.servers[dead].pid
        assert pid is not None
        os.kill(pid, how)
        others = [client for number, client in enumerate(self.clients) if number != dead]
        for client in others:
            await client.config_set("cluster-node-timeout", HASTY_MS)
        await until(lambda: self.leads(heir), "the replica leads")
        for client in others:
            await client.config_set("cluster-node-timeout", PATIENT_MS)

    async def back(self, number: int) -> None:
        """Start a node that was killed, as its supervisor would."""
        server = self.servers[number]
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)


@asynccontextmanager
async def started(folder: Path, replicas_of: Sequence[int] = (0,)) -> AsyncIterator[Nodes]:
    """Three masters, and a replica of each of ``replicas_of``, that know each other."""
    server = shutil.which("redis-server") or bundled_server()
    async with AsyncExitStack() as stack:
        found = Nodes([], [], [])
        for number in range(MASTERS + len(replicas_of)):
            port = free_port()
            options = ["--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--appendonly", "no",
                       "--cluster-node-timeout", str(PATIENT_MS)]  # fmt: skip
            own_folder = folder / f"node{number}"
            own_folder.mkdir()
            own = stack.enter_context(EmbeddedRedis(own_folder, server=server, options=options))
            assert own.pid is not None
            stack.callback(_go_on, own.pid)
            found.clients.append(open_client(own.url))
            found.ports.append(port)
            found.servers.append(own)
            stack.push_async_callback(found.clients[-1].aclose)
        for number, client in enumerate(found.clients[:MASTERS]):
            own_slots = range(number * SLOTS // MASTERS, (number + 1) * SLOTS // MASTERS)
            await client.execute_command("CLUSTER", "ADDSLOTS", *own_slots)
            await client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port in found.ports[1:]:
            await found.clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)

        async def met() -> bool:
            told = [await client.execute_command("CLUSTER INFO") for client in found.clients]
            known = str(len(found.clients))
            return all(info["cluster_state"] == "ok" and info["cluster_known_nodes"] == known for info in told)

        await until(met, "the nodes know each other")
        for number, master in enumerate(replicas_of, MASTERS):
            await found.clients[number].execute_command("CLUSTER", "REPLICATE", await found.id_of(master))

        async def follow() -> bool:
            told = [await client.info("replication") for client in found.clients[MASTERS:]]
            return all(replication["master_link_status"] == "up" for replication in told)

        await until(follow, "the replicas follow their masters")
        yield found


def _go_on(pid: int) -> None:
    """Let a node that was stopped go on, so that it can be shut down."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
