"""The second author: whose rules are on trial, and what follows where somebody else says the same.

Owns who needs a second author, and that what waits for one is not learned: what the detectors saw is withheld from the
learner until then. Does not know what makes two answers the same (``guard``), nor how the account of what a rule on
trial silences is kept (``service.state.trials``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from service.state import feedback, rules, trials
from service.state.rules import Standing

NOBODY = "anonymous"
"""The author where nobody says who asks."""
LESSONS = "lessons"
"""Of an incident, and of an answer to it: what its detectors saw."""
WITHHELD = "withheld"
"""The same of an answer that is on trial."""


class Seconds:
    """``alone``: how many verdicts one author's rules may silence before somebody else agrees; None: any number."""

    def __init__(self, redis: Redis, alone: int | None) -> None:
        self._redis = redis
        self._alone = alone

    def needed(self, author: str) -> bool:
        """Whether an author needs a second. Where nobody is named, nobody can tell one from two."""
        return self._alone is not None and author != NOBODY

    async def put(self, redis: Redis, source: str, rule_id: str, rule: Mapping[str, Any], after: int) -> int:
        """Add a rule as its author may; as ``rules.put`` does."""
        if self._alone is None or not self.needed(rule["author"]):
            return await rules.put(redis, source, rule_id, rule, after)
        return await trials.put(redis, source, rule_id, rule, after, self._alone)

    async def agree(self, source: str, ids: Sequence[str], after: int) -> int:
        """Take rules off trial; as ``trials.agree`` does."""
        await self._rename(ids, WITHHELD, LESSONS)
        return await trials.agree(self._redis, source, ids, after)

    async def doubt(self, source: str, ids: Sequence[str]) -> None:
        """Put rules on trial again that somebody agreed to who takes it back."""
        if ids and self._alone is not None:
            await self._rename(ids, LESSONS, WITHHELD)
            await trials.doubt(self._redis, source, ids, self._alone)

    async def _rename(self, ids: Sequence[str], part: str, name: str) -> None:
        for item_id in ids:
            item = await feedback.get(self._redis, item_id)
            if item is not None and part in item:
                item[name] = item.pop(part)
                await feedback.replace(self._redis, item_id, item)


def told(author: str, standing: Standing) -> dict[str, Any]:
    """What an answer says of a rule that is on trial: whether it is in force meanwhile, and what it needs."""
    if not standing.trial:
        return {}
    return {
        "state": "pending" if standing.waiting else "trial",
        "needs": f"the same answer of an author other than {author!r}",
    }
