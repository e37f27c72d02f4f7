"""The page's views: what each shows, as a status and HTML.

Owns which data a view takes from the service. An error is a view too: browsers get it as words, not as JSON. Does not
know how HTML looks (``templates/``), nor HTTP beyond the status.
"""

import math
from collections.abc import Awaitable
from typing import Any

from models.errors import TocsinError
from models.spool.reader import LIMIT
from service.access.caller import Caller
from service.core import Core
from service.errors import http_status
from service.page.answers import choices, given
from service.page.course import course
from service.page.graph import around
from service.page.neighbours import LABELS, beside
from service.page.reasons import reason_view
from service.page.rendering import render
from service.page.workflows import Workflows

LISTED = 100
"""Incidents on one page."""
TEMPLATES_SHOWN = 500
COMPARED = min(LIMIT, 20_000)
"""Distinct events and sessions that a comparison reads while somebody waits for it."""
STATES = ("open", "acknowledged", "silenced", "resolved")

Shown = tuple[int, str]
"""Status and HTML."""


class Page:
    """Every view over one composed service."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._workflows = Workflows(core.settings.bundles)

    async def incidents(self, caller: Caller, source: str, state: str, cursor: str) -> Shown:
        """The list, newest first; an empty ``source``, ``state`` or ``cursor`` is none."""

        async def shown() -> str:
            names = [name for name in await self._core.sources.names() if caller.sees(name)]
            page = await self._listed(caller, source, state, cursor)
            return render(
                "incidents.html", here="incidents", caller=caller, incidents=page["incidents"],
                next=page["next"], names=names, states=STATES, source=source, state=state,
                cursor=cursor,
            )  # fmt: skip

        return await _shown(caller, shown(), "incidents")

    async def rows(self, caller: Caller, source: str, state: str, cursor: str) -> Shown:
        """The rows of the list alone."""

        async def shown() -> str:
            page = await self._listed(caller, source, state, cursor)
            return render("rows.html", incidents=page["incidents"])

        return await _shown(caller, shown(), "incidents")

    async def incident(self, caller: Caller, incident_id: str) -> Shown:
        """One incident: its line, the story up to it, who rang and why, the workflow around it, its neighbours, and
        answers."""

        async def shown() -> str:
            incident = await self._core.desk.explained(incident_id, caller.view)
            diagnosis = incident.get("diagnosis")
            return render(
                "incident.html", here="incidents", caller=caller, incident=incident, course=course(diagnosis),
                graph=await self._graph(incident), reasons=[reason_view(reason) for reason in incident["reasons"]],
                beside=beside(incident["nearest"]), labels=LABELS,
                **await self._answers(incident),
            )  # fmt: skip

        return await _shown(caller, shown(), "incidents")

    async def answer(self, caller: Caller, incident_id: str) -> Shown:
        """The part of an incident that is about answers."""

        async def shown() -> str:
            incident = await self._core.desk.get(incident_id, caller.view)
            return render("answer.html", incident=incident, **await self._answers(incident))

        return await _shown(caller, shown(), "incidents")

    async def sources(self, caller: Caller) -> Shown:
        """Every source with what it is made of."""

        async def shown() -> str:
            found = [one for one in await self._core.sources.configurations() if caller.sees(one["name"])]
            return render("sources.html", here="sources", caller=caller, sources=found, problems=self._problems(caller))

        return await _shown(caller, shown(), "sources")

    async def templates(self, caller: Caller, name: str, find: str) -> Shown:
        """Templates of a source that hold ``find``."""

        async def shown() -> str:
            live = await self._core.sources.get(name)
            known = None if live.judge is None else live.judge.known
            texts = live.tree.texts()
            found = [
                {"id": key, "template": text, "novel": known is not None and key not in known}
                for key, text in texts.items()
                if find.lower() in text.lower()
            ]
            return render(
                "templates.html", here="sources", caller=caller, name=live.name, find=find, found=len(found),
                every=len(texts), templates=found[:TEMPLATES_SHOWN],
            )  # fmt: skip

        return await _shown(caller, shown(), "sources")

    async def versions(self, caller: Caller) -> Shown:
        """Versions of every source, which one is live, and what went live when."""

        async def shown() -> str:
            models = [one for one in await self._core.sources.versions() if caller.sees(one["source"])]
            return render(
                "versions.html", here="versions", caller=caller, models=models, problems=self._problems(caller)
            )

        return await _shown(caller, shown(), "versions")

    async def changes(self, caller: Caller, name: str, version: str) -> Shown:
        """What a version would judge otherwise than the live one."""

        async def shown() -> str:
            models = {model["source"]: model for model in await self._core.sources.versions()}
            model = models.get(name)
            about = [] if model is None else [one for one in model["details"] if one["version"] == version]
            found: dict[str, Any] | None = None
            why = None
            try:
                found = await self._core.comparison.of(name, None, version, COMPARED)
            except TocsinError as error:
                if not about:
                    raise
                why = str(error)
            return render(
                "changes.html", here="versions", caller=caller, name=name, version=version, changes=found, why=why,
                about=about[0] if about else None,
            )  # fmt: skip

        return await _shown(caller, shown(), "versions")

    async def traffic(self, caller: Caller) -> Shown:
        """Charts that the browser draws."""

        async def shown() -> str:
            return render("traffic.html", here="traffic", caller=caller)

        return await _shown(caller, shown(), "traffic")

    async def _listed(self, caller: Caller, source: str, state: str, cursor: str) -> dict[str, Any]:
        """Incidents, and of each the deploys that came after it and before the one above it."""
        page = await self._core.desk.page(source or None, state or None, None, LISTED, cursor or None, caller.view)
        names = [source] if source else [name for name in await self._core.sources.names() if caller.sees(name)]
        deploys = await self._core.desk.mutes.deploys(names) if page["incidents"] else []
        above = page["incidents"][0]["raised"] if cursor and page["incidents"] else math.inf
        for incident in page["incidents"]:
            incident["deploys"] = [deploy for deploy in deploys if incident["raised"] <= deploy["from"] < above]
            above = incident["raised"]
        return page

    def _problems(self, caller: Caller) -> dict[str, str]:
        return {name: why for name, why in self._core.sources.problems.items() if caller.sees(name)}

    async def _answers(self, incident: dict[str, Any]) -> dict[str, Any]:
        found = await choices(self._core, incident)
        return {"choices": found.found, "why": found.why, "given": await given(self._core, incident)}

    async def _graph(self, incident: dict[str, Any]) -> str | None:
        diagnosis = incident.get("diagnosis")
        if diagnosis is None or diagnosis["task"] is None or incident["version"] is None:
            return None
        workflow = await self._workflows.of(incident["source"], incident["version"])
        if workflow is None:
            return None
        live = await self._core.sources.get(incident["source"])
        if live.tree.tree_id != incident["tree"]:
            return None
        return around(workflow, diagnosis, live.text_of)


async def _shown(caller: Caller, view: Awaitable[str], here: str) -> Shown:
    try:
        return 200, await view
    except TocsinError as error:
        status, _ = http_status(error)
        return status, render("error.html", here=here, caller=caller, status=status, error=str(error))
