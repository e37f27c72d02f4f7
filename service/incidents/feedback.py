"""What people say of incidents, and what follows at once: a false alarm becomes a rule, a real or a missed anomaly a
case that no rule may silence.

Owns the order in which an answer is weighed, written down and takes effect: the item comes first, so that nothing is
in force that nobody is named for. Does not know how rules silence (``models.rules``), nor what is learned from an
answer later.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from models.errors import StateError, TemplateError
from models.lesson import Lesson
from models.rules import Clause
from service.errors import Conflict, Gone, ServiceError, TooMuchFeedback, WrongValue
from service.incidents import causes, guard, seconds
from service.incidents.causes import Cause
from service.incidents.guard import Limits
from service.incidents.items import entry_of, told
from service.incidents.seconds import LESSONS, WITHHELD, Seconds
from service.incidents.undoing import Undoing
from service.metrics import Metrics
from service.pipeline.live import LiveSource
from service.pipeline.sources import Sources
from service.settings import Settings
from service.state import feedback, incidents, rules
from service.state.feedback import Sees
from service.state.incidents import StoredIncident
from service.state.rules import Standing, StoredRules
from service.state.windows import StoredSessions

TIMEFRAME_RULE_S = 7 * 86_400.0
"""How long a rule about a timeframe lasts where nobody says: entities that are strange this week may be missed the
next."""
ATTEMPTS = 20
STATES = {"false_positive": "silenced", "true_positive": "acknowledged"}

Find = Callable[[str], Awaitable[StoredIncident]]
"""An incident by its id. Raises NotFound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One answer. ``scope`` and ``expires_in_s`` (seconds) are a false alarm's."""

    author: str
    note: str | None = None
    scope: str | None = None
    expires_in_s: float | None = None


class FeedbackDesk:
    """Takes and lists feedback of all sources; ``undoing`` takes it back."""

    def __init__(
        self,
        redis: Redis,
        sources: Sources,
        metrics: Metrics,
        settings: Settings,
        clock: Callable[[], float],
        find: Find,
    ) -> None:
        self._redis = redis
        self._sources = sources
        self._sessions = StoredSessions(redis)
        self._metrics = metrics
        self._per_minute = settings.feedback_per_minute
        self._limits = Limits.of(settings)
        self._seconds = Seconds(redis, self._limits.alone)
        self.undoing = Undoing(redis, sources, self._seconds, clock)
        self._clock = clock
        self._find = find

    async def false_alarm(self, incident_id: str, said: Said) -> dict[str, Any]:
        """Silence what rang in an incident; where another author's rule on trial says the same, agree to that.

        Raises TooMuchFeedback past a limit, NotFound, WrongValue where nothing of the incident is of that scope,
        Conflict where a rule must not or need not be written, StateError.
        """
        now = await self._admit(said)
        incident = await self._find(incident_id)
        live = await self._sources.get(incident.source)
        found = await self._causes(live, incident)
        clauses = causes.to_silence(found, said.scope)
        if not clauses:
            known = ", ".join(causes.scopes(found))
            raise WrongValue(f"nothing of this incident can be silenced by {said.scope}; its scopes are {known}")
        rule = {
            "clauses": [clause.to_dict() for clause in clauses],
            "expires": _expires(clauses, said, now),
            "tree": live.tree.tree_id,
            "author": said.author,
            "time": now,
            "incident": incident_id,
        }
        if self._seconds.needed(said.author):
            on_trial = guard.agreed(await self._pruned(incident.source, now), rule, clauses)
            if on_trial:
                return await self._agree(incident, said, rule, clauses)
        took_part = [reason["detector"] for reason in incident.body["reasons"]]
        quiet = {clause.detector for clause in clauses}
        item = self._item(said, "false_positive", incident.source, incident.body["session"], now) | {
            "incident": incident_id,
            "scope": said.scope,
            "expires": rule["expires"],
            "rule": {name: rule[name] for name in ("clauses", "expires", "tree")},
            "silences": causes.in_words(clauses, live.text_of),
            "still_ring": sorted({*took_part, *(cause.alarm.detector for cause in found)} - quiet),
            WITHHELD if self._seconds.needed(said.author) else LESSONS: incident.body.get(LESSONS, []),
        }

        def check(stored: StoredRules) -> None:
            guard.check_rule(stored, item["id"], rule, clauses, self._limits)

        await self._write(item, rule, check, self._seconds.put)
        standing = await rules.standing(self._redis, incident.source, [item["id"]])
        return told(item) | seconds.told(said.author, standing[item["id"]])

    async def _agree(
        self, incident: StoredIncident, said: Said, rule: Mapping[str, Any], clauses: Sequence[Clause]
    ) -> dict[str, Any]:
        item = self._item(said, "false_positive", incident.source, incident.body["session"], rule["time"])
        item |= {"incident": incident.id, "agrees": []}

        def check(stored: StoredRules) -> None:
            item["agrees"] = guard.agreed(stored, rule, clauses)
            if not item["agrees"]:
                raise Conflict("what this agrees with was taken back just now, or stands already; answer again")

        async def put(_redis: Redis, source: str, _name: str, _entry: Mapping[str, Any], after: int) -> int:
            return await self._seconds.agree(source, item["agrees"], after)

        await self._write(item, {}, check, put)
        for name in item["agrees"]:
            other = await feedback.get(self._redis, name)
            if other is not None:
                await incidents.set_state(self._redis, incident.source, other["incident"], STATES[item["label"]])
        return told(item)

    async def real(self, incident_id: str, said: Said) -> dict[str, Any]:
        """Protect an incident: no later rule may silence what rang in it. Raises as ``false_alarm`` does."""
        now = await self._admit(said)
        incident = await self._find(incident_id)
        live = await self._sources.get(incident.source)
        item = self._item(said, "true_positive", incident.source, incident.body["session"], now)
        item |= {"incident": incident_id, LESSONS: incident.body.get(LESSONS, [])}
        found = await self._causes(live, incident)
        window = [entry["template_id"] for entry in incident.body["window"]]
        case = self._case(item, live, [cause.alarm for cause in found]) | {
            "window": {"keys": window, "template_id": incident.body["template_id"], "line": incident.body["line"]}
        }
        await self._write(item, case, lambda stored: guard.check_case(stored, case), rules.protect)
        return told(item)

    async def missed(self, source: str, session: str, at: float, said: Said) -> dict[str, Any]:
        """Protect what a live session holds, in which an anomaly at a time (seconds) was missed. Raises Gone where the
        session of that time is over, and as ``false_alarm`` does."""
        now = await self._admit(said)
        live = await self._sources.get(source)
        state = await self._sessions.read(live.name, session)
        if state is None or not state.started - 1.0 <= at <= state.last + live.settings.idle_s:
            raise Gone(
                f"the window of session {session[:80]!r} at that time is not kept any more: only sessions that are "
                "under way can be copied"
            )
        clauses = [] if live.judge is None else causes.of_session(live.judge, session, state)
        seen = [] if live.judge is None else [Lesson(m.name, m.seen(state)) for m in live.judge.sessions]
        item = self._item(said, "missed", live.name, session, now) | {
            "at": at, LESSONS: [lesson.to_dict() for lesson in seen],
        }  # fmt: skip
        case = self._case(item, live, clauses) | {
            "window": {
                "started": state.started,
                "last": state.last,
                "events": state.n,
                "keys": state.tail,
                "templates": [_text(live, key) for key in state.tail],
                "counts": {str(key): count for key, count in state.counts.items()},
            }
        }
        await self._write(item, case, lambda stored: guard.check_case(stored, case), rules.protect)
        return told(item)

    async def newest(self, source: str | None, limit: int, sees: Sees | None = None) -> dict[str, Any]:
        """Feedback about sources that somebody may see, newest first; of rules, how many verdicts they silenced and
        whether they are in force."""
        items = await feedback.newest(self._redis, source, limit, sees)
        now = self._clock()
        by_source: dict[str, list[str]] = {}
        for item in items:
            if "rule" in item:
                by_source.setdefault(item["source"], []).append(item["id"])
        for name, ids in by_source.items():
            standing = await rules.standing(self._redis, name, ids)
            live = self._sources.live.get(name)
            for item in items:
                if item["id"] in standing and item["source"] == name:
                    found, expires = standing[item["id"]], item["expires"]
                    item |= seconds.told(item["author"], found)
                    item["hits"] = found.hits
                    lasts = found.stored and (expires is None or expires > now)
                    item["in_force"] = lasts and (live is None or live.tree.tree_id == item["rule"]["tree"])
        return {"feedback": [told(item) for item in items]}

    async def on_trial(self, incident: StoredIncident) -> list[dict[str, Any]]:
        """Answers to an incident that wait for a second author: their id, ``author``, ``state`` and ``needs``."""
        stored = await rules.load(self._redis, incident.source)
        found = []
        for name, author in stored.trial.items():
            rule = stored.rules.get(name) or stored.waiting.get(name)
            if rule is not None and rule["incident"] == incident.id:
                standing = Standing(0, name in stored.rules, True, name in stored.waiting)
                found.append({"feedback": name, "author": author, **seconds.told(author, standing)})
        return found

    async def audit(self, limit: int, sees: Sees | None = None) -> dict[str, Any]:
        """What was given, refused and undone, newest first."""
        return {"audit": await feedback.audit_trail(self._redis, limit, sees)}

    async def _admit(self, said: Said) -> float:
        """The wall clock; TooMuchFeedback where the author goes too fast."""
        now = self._clock()
        wait_s = await feedback.draw(self._redis, said.author, now, self._per_minute)
        if wait_s > 0.0:
            self._metrics.feedback_refused.labels("rate").inc()
            raise TooMuchFeedback(
                f"{said.author!r} gives more than {self._per_minute} answers a minute; slow down", int(wait_s) + 1
            )
        return now

    async def _causes(self, live: LiveSource, incident: StoredIncident) -> list[Cause]:
        if incident.body.get("tree") != live.tree.tree_id:
            raise Conflict("this incident was raised under another template tree, so nothing that rings now is like it")
        found = [Cause.decode(line) for line in await incidents.clauses(self._redis, live.name, incident.id)]
        if not found:
            raise Conflict(
                "this incident says only that events before it were strange together; answer the incidents of its "
                f"session {incident.body['session']!r} instead"
            )
        return found

    @staticmethod
    def _item(said: Said, label: str, source: str, session: str, now: float) -> dict[str, Any]:
        return {
            "id": uuid4().hex[:16], "label": label, "source": source, "session": session, "author": said.author,
            "note": said.note, "time": now,
        }  # fmt: skip

    @staticmethod
    def _case(item: Mapping[str, Any], live: LiveSource, clauses: list[Clause]) -> dict[str, Any]:
        shared = {name: item.get(name) for name in ("label", "incident", "session", "at", "author", "time")}
        told = [clause.to_dict() for clause in clauses]
        return shared | {"clauses": told, "tree": live.tree.tree_id, "version": live.version}

    async def _write(
        self,
        item: dict[str, Any],
        entry: dict[str, Any],
        check: Callable[[StoredRules], None],
        put: Callable[[Redis, str, str, Mapping[str, Any], int], Awaitable[int]],
    ) -> None:
        """Store an item, then what follows from it if ``check`` passes at the version that it is added to."""
        source, name, now = item["source"], item["id"], item["time"]
        stored = await self._pruned(source, now)
        await self._checked(check, stored, item)
        await feedback.put(self._redis, name, item, now, entry_of("give", item, item["author"], now))
        for _ in range(ATTEMPTS):
            if await put(self._redis, source, name, entry, stored.version):
                break
            stored = await rules.load(self._redis, source)
            try:
                await self._checked(check, stored, item)
            except ServiceError:
                await feedback.delete(self._redis, name, entry_of("withdraw", item, item["author"], now))
                raise
        else:
            await feedback.delete(self._redis, name, entry_of("withdraw", item, item["author"], now))
            raise StateError(f"the rules of {source} are changing too fast to add one; try again")
        if "incident" in item and not (await rules.standing(self._redis, source, [name]))[name].waiting:
            await incidents.set_state(self._redis, source, item["incident"], STATES[item["label"]])
        self._metrics.feedback.labels(source, item["label"]).inc()

    async def _pruned(self, source: str, now: float) -> StoredRules:
        """The rules and cases as they stand, without rules that have expired."""
        stored = await rules.load(self._redis, source)
        over = guard.expired(stored, now)
        if not over:
            return stored
        await rules.remove(self._redis, source, over, now)
        return await rules.load(self._redis, source)

    async def _checked(self, check: Callable[[StoredRules], None], stored: StoredRules, item: dict[str, Any]) -> None:
        try:
            check(stored)
        except (Conflict, TooMuchFeedback) as error:
            self._metrics.feedback_refused.labels("limit" if isinstance(error, TooMuchFeedback) else "conflict").inc()
            refused = entry_of("refuse", item, item["author"], item["time"]) | {"reason": str(error)}
            del refused["feedback"]
            await feedback.note(self._redis, refused)
            raise


def _expires(clauses: tuple[Clause, ...], said: Said, now: float) -> float | None:
    if said.expires_in_s is not None:
        return now + said.expires_in_s
    return now + TIMEFRAME_RULE_S if any(clause.scope == "timeframe" for clause in clauses) else None


def _text(live: LiveSource, template_id: int) -> str | None:
    try:
        return live.text_of(template_id)
    except TemplateError:  # another replica learned it, and this one has met no line since
        return None
