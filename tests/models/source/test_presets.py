"""One golden record or more for each preset; the lines are made up."""

import csv
import datetime as dt
import gzip
from pathlib import Path

import pytest

from models.record import Records
from models.source import Source
from models.splitter import Splitter

ARRIVAL = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC).timestamp()
NODE = "R07-M0-N3-C:J05-U01"
UUID = "0f3a9b1c-1d2e-4f50-8a6b-7c8d9e0f1a2b"


SAMPLE = Path(__file__).parents[3] / "training" / "sample"


def split(preset: str, *lines: str) -> Records:
    return Splitter(Source.load(preset)).split(lines, ARRIVAL)


def when(record: Records, row: int = 0) -> str:
    return dt.datetime.fromtimestamp(float(record.time[row]), dt.UTC).isoformat(timespec="milliseconds")[:-6]


def test_hdfs() -> None:
    records = split(
        "hdfs",
        "100203 040506 7 WARN dfs.Node$X: Moving blk_-12 and blk_34 from /10.1.2.3:50010, was blk_-12",
        "100203 040507 7 INFO dfs.NameSystem: BLOCK* allocate: /tmp/in/part-7. blk_34 size 99",
    )
    assert records.masked.to_list() == [
        "Moving <BLK> and <BLK> from <IP>, was <BLK>",
        "BLOCK* allocate: <PATH> <BLK> size <NUM>",
    ]
    assert records.session.to_list() == ["blk_-12", "blk_34", "blk_34"]
    assert records.session_record.tolist() == [0, 0, 1]
    assert when(records) == "2010-02-03T04:05:06.000"
    assert records.fields.row(0, named=True) == {"thread": "7", "level": "WARN", "component": "dfs.Node$X"}


def test_bgl_label_is_a_field_and_no_part_of_the_message() -> None:
    records = split(
        "bgl",
        f"KERNOOPS 1100000000 2004.11.09 {NODE} 2004-11-09-11.33.20.000001 {NODE} "
        "RAS KERNEL FATAL oops at 0x0042, core.17",
    )
    assert records.masked.to_list() == ["oops at <HEX>, core.<NUM>"]
    assert records.session.to_list() == [NODE]
    assert records.fields["label"].to_list() == ["KERNOOPS"]
    assert records.time.tolist() == [1_100_000_000.0]


def test_thunderbird_label_is_a_field_and_no_part_of_the_message() -> None:
    head = "1130000000 2005.10.22 an7"
    records = split(
        "thunderbird",
        f"- {head} Oct 22 18:53:20 an7/an7 crond(pam_unix)[99]: session opened for user root by (uid=0)",
        f"OOPS {head} Oct  2 18:53:20 an7/an7 nothing to see",
    )
    assert records.masked.to_list() == ["session opened for user root by (uid=<NUM>)", "nothing to see"]
    assert records.session.to_list() == ["an7", "an7"]
    assert records.fields.select("label", "component", "pid").rows() == [
        ("-", "crond(pam_unix)", "99"),
        ("OOPS", None, None),
    ]


def test_hadoop_stack_trace_belongs_to_its_record() -> None:
    records = split(
        "hadoop",
        "2014-02-03 04:05:06,789 ERROR [IPC handler 3 on 80] org.x.Y: Lost container_14_0001_01_000002",
        "java.io.IOException: gone",
        "\tat org.x.Y.z(Y.java:12)",
        "2014-02-03 04:05:07,000 INFO [main] org.x.Z: Progress 0.5",
    )
    assert records.masked.to_list() == [
        "Lost <ID> java.io.IOException: gone at org.x.Y.z(Y.java:<NUM>)",
        "Progress <NUM>",
    ]
    assert records.index.tolist() == [0, 3]
    assert when(records) == "2014-02-03T04:05:06.789"


def test_openstack_session_is_the_instance() -> None:
    line = f"2014-02-03 04:05:06.789 11 INFO nova.compute [req-1 u t - - -] [instance: {UUID}] Took 1.5 seconds"
    records = split("openstack", line, f"nova.log.1 {line}", "2014-02-03 04:05:06.789 11 INFO nova.api [-] GET 200")
    assert records.masked.to_list() == ["[instance: <UUID>] Took <NUM> seconds"] * 2
    assert records.session.to_list() == [UUID, UUID]
    assert [(r.index, r.error.split(":")[0]) for r in records.rejected] == [(2, "no session id")]


def test_postgres_keeps_the_level_and_parameter_markers() -> None:
    head = "2024-05-06 07:08:09.123 UTC [42] 663.2a app@shop worker"
    records = split(
        "postgres",
        f"{head} LOG:  execute <unnamed>: SELECT *",
        "\t  FROM t WHERE a = $1 AND b = 'it''s' AND c = -5",
        f"{head} LOG:  disconnection: session time: 0:00:01.500 user=app database=shop host=[local]",
        "2024-05-06 07:08:09.124 UTC [1] 663.1 LOG:  checkpoint starting: time",
    )
    assert records.masked.to_list() == [
        "LOG: execute <unnamed>: SELECT * FROM t WHERE a = $1 AND b = <STR> AND c = <NUM>",
        "LOG: disconnection: session time: <TIME> user=app database=shop host=[local]",
        "LOG: checkpoint starting: time",
    ]
    assert records.session.to_list() == ["663.2a", "663.2a", "663.1"]
    assert records.fields["application"].to_list() == ["worker", "worker", None]
    ending = Source.load("postgres").ends_on
    assert [any(records.masked.str.contains(p)[i] for p in ending) for i in range(3)] == [False, True, False]


def test_postgres_masks_what_clients_sent_and_lists_of_any_length() -> None:
    head = "2024-05-06 07:08:09.123 UTC [42] 663.2a app@shop PostgreSQL JDBC Driver"
    records = split(
        "postgres",
        f'{head} ERROR:  invalid input syntax for type integer: "12x\'" at character 7',
        f"{head} DETAIL:  Key (mail)=(o'neil@example.org) already exists.",
        f"{head} LOG:  execute S_12: SELECT 1 WHERE id IN (1, 2,3) AND n = $2",
        f"{head} LOG:  statement: INSERT INTO t VALUES\n\t(1, 'a'),\n\t(2, 'b')",
    )
    assert records.masked.to_list() == [
        "ERROR: invalid input syntax for type integer: <VALUE> at character <NUM>",
        "DETAIL: Key (mail)=<VALUE> already exists.",
        "LOG: execute <PREPARED>: SELECT <NUM> WHERE id IN (<LIST>) AND n = $2",
        "LOG: statement: INSERT INTO t VALUES (<NUM>, <STR>)<ROWS>",
    ]
    assert set(records.fields["application"]) == {"PostgreSQL JDBC Driver"}


def test_recorded_sample_is_read_without_a_rejection() -> None:
    lines = gzip.decompress((SAMPLE / "postgres.log.gz").read_bytes()).decode().removesuffix("\n").split("\n")
    with (SAMPLE / "labels.csv").open(newline="") as file:
        labelled = {row["session"] for row in csv.DictReader(file)}
    recorded = dt.datetime(2026, 11, 23, tzinfo=dt.UTC).timestamp()
    records = Splitter(Source.load("postgres")).split(lines, recorded)
    assert records.rejected == []
    assert set(records.session) == labelled
    assert records.masked.n_unique() < 250


def test_syslog_year_comes_from_the_arrival() -> None:
    records = split(
        "syslog",
        "<34>May  9 22:14:15 web1 sshd(pam_unix)[42]: login of root from 10.0.0.1 failed",
        "Dec 31 22:14:15 web1 kernel: eth0 up",
        "May 31 22:14:15 web1 last message repeated 3 times",
    )
    assert records.masked.to_list() == [
        "login of root from <IP> failed",
        "eth0 up",
        "last message repeated <NUM> times",
    ]
    assert records.session.to_list() == ["web1/sshd(pam_unix)[42]", "web1/kernel", "web1/-"]
    assert [when(records, row)[:10] for row in range(3)] == ["2024-05-09", "2023-12-31", "2024-05-31"]


def test_nginx_message_holds_request_and_status() -> None:
    head = "10.0.0.9 - - [06/May/2024:07:08:09 +0200]"
    records = split(
        "nginx",
        f'{head} "GET /orders/17/items/4?page=2 HTTP/1.1" 500 612 "-" "curl/8"',
        f'{head} "\\x16\\x03" 400 -',
    )
    assert records.masked.to_list() == ['"GET /orders/<NUM>/items/<NUM><QUERY> <PROTOCOL>" 500', '"\\x16\\x03" 400']
    assert records.session.to_list() == ["10.0.0.9", "10.0.0.9"]
    assert when(records) == "2024-05-06T05:08:09.000"


def test_json() -> None:
    records = split(
        "json",
        '{"time": "2024-05-06T07:08:09.5Z", "level": "warn", "msg": "took 12ms for /a/b"}',
        '{"ts": 1714979289500, "message": "no zone"}',
        '{"message": "undated"}',
    )
    assert records.masked.to_list() == ["took <NUM> for <PATH>", "no zone", "undated"]
    assert [when(records, 0), when(records, 1)] == ["2024-05-06T07:08:09.500"] * 2
    assert records.time[2] == ARRIVAL


def test_logfmt() -> None:
    records = split("logfmt", 'ts=2024-05-06T07:08:09Z level=info msg="took 12ms"', "at=router status=200 t=1714979289")
    assert records.masked.to_list() == ["took <NUM>", "at=router status=<NUM> t=<NUM>"]
    assert [when(records, 0), when(records, 1)] == ["2024-05-06T07:08:09.000"] * 2


def test_raw() -> None:
    records = split("raw", f"user {UUID} from 10.0.0.1:80 at 2024-05-06T07:08:09Z: 0xFF -3 1.2.3", "   ")
    assert records.masked.to_list() == ["user <UUID> from <IP> at <TIME>: <HEX> <NUM> <NUM>"]
    assert records.time.tolist() == [ARRIVAL]
    assert [r.error for r in records.rejected] == ["empty line"]


@pytest.mark.parametrize(
    ("preset", "log"),
    [("hdfs", "HDFS"), ("bgl", "BGL"), ("thunderbird", "Thunderbird"), ("hadoop", "Hadoop"), ("syslog", "OpenSSH")],
)
def test_public_log_of_the_kind_is_read_without_a_rejection(preset: str, log: str, datasets_dir: Path) -> None:
    text = (datasets_dir / "loghub2k" / f"{log}_2k.log").read_text(encoding="utf-8", errors="replace")
    lines = text.removesuffix("\n").split("\n")
    records = split(preset, *lines)
    assert len(records) == len(lines) == 2_000
    assert records.rejected == []
