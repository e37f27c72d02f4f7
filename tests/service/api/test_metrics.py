"""Every metric that DESIGN.md lists, after a batch whose numbers are known."""

from tests.golden import blocks
from tests.service.serving import NOW, Replica, blocks_bundle
from training.stream import Stream


async def test_every_metric_counts_a_known_batch(replica: Replica) -> None:
    lines = [*blocks.golden_log(), 5]
    expected = Stream(blocks_bundle()).feed(blocks.golden_log(), NOW)
    answer = await replica.ingest("blocks", lines)  # type: ignore[arg-type]
    await replica.core.sweep()
    metrics = await replica.metrics()

    def of(name: str, **labels: str) -> float:
        inside = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        return metrics.get(f"{name}{{{inside}}}" if inside else name, 0.0)

    assert of("tocsin_lines_total", source="blocks") == len(lines)
    assert of("tocsin_rejected_lines_total", source="blocks") == len(answer["rejected"]) == 3
    assert of("tocsin_late_lines_total", source="blocks") == 1
    assert of("tocsin_unmatched_lines_total", source="blocks") >= 4
    rang = [verdict for verdict in expected.verdicts if verdict["anomalous"]]
    leading = [verdict["reasons"][0]["detector"] for verdict in rang]
    quiet = len(expected.verdicts) - len(rang)
    assert of("tocsin_verdicts_total", source="blocks", detector="none", anomalous="false") == quiet
    for detector in set(leading):
        found = of("tocsin_verdicts_total", source="blocks", detector=detector, anomalous="true")
        assert found == leading.count(detector)
    listed = (await replica.get("/incidents", source="blocks", limit=1000))["incidents"]
    counted = sum(value for name, value in metrics.items() if name.startswith("tocsin_incidents_total{"))
    assert counted == len(listed) == len({verdict["incident"] for verdict in rang})
    for stage in ("split", "match", "windows", "judge", "report", "answer"):
        assert of("tocsin_stage_seconds_count", stage=stage) == 1, stage
    assert of("tocsin_batch_lines_count", source="blocks") == 1
    assert of("tocsin_batch_lines_sum", source="blocks") == len(lines) - 1
    hits, misses = (of(f"tocsin_cache_{what}_total", detector="deeplog") for what in ("hits", "misses"))
    assert hits > misses > 0
    assert of("tocsin_queue_lines", source="blocks") == 0
    assert of("tocsin_templates", source="blocks") == len(await replica.texts("blocks"))
    provider = (await replica.get("/readyz"))["sources"]["blocks"]["provider"]
    assert of("tocsin_model_version", source="blocks", version="1", provider=provider) == 1
    assert of("tocsin_redis_up") == 1
    assert of("tocsin_requests_total", path="/ingest", status="200") == 1
    assert of("tocsin_request_seconds_count", path="/ingest") == 1
    await replica.http.post("/feedback", json={"incident": listed[0]["id"], "label": "true_positive"})
    metrics = await replica.metrics()
    assert of("tocsin_feedback_total", source="blocks", label="true_positive") == 1


async def test_end_records_are_no_late_lines(replica: Replica) -> None:
    line = "240501 000010 21 INFO store.Names: allocate blk_1 for /jobs/3/part-4"
    records = [{"line": line}, {"session": "blk_1", "end": True}]
    for _ in range(2):
        response = await replica.http.post("/ingest", json={"source": "blocks", "records": records})
        assert response.status_code == 200
    metrics = await replica.metrics()
    assert metrics['tocsin_lines_total{source="blocks"}'] == 2
    assert metrics['tocsin_late_lines_total{source="blocks"}'] == 0


async def test_paths_of_metrics_hold_no_ids(replica: Replica) -> None:
    await replica.http.get("/incidents/0123456789abcdef")
    await replica.http.get("/no/such/page")
    names = list(await replica.metrics())
    assert any('path="/incidents/{incident}"' in name for name in names)
    assert not any("0123456789abcdef" in name or "no/such" in name for name in names)
