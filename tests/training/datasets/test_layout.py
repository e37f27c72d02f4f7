"""Archives as published become logs and labels that training reads; damaged and hostile ones do no harm."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from models.errors import DataError
from models.source.config import Source
from training.corpus import split_log
from training.datasets.catalogue import DATASETS
from training.datasets.layout import LAYOUTS, lay_out
from training.logs import read_labels, read_lines

A, B = "0e8e6d54-1c1c-4c5f-8a7a-0a0a0a0a0a0a", "1e8e6d54-1c1c-4c5f-8a7a-0a0a0a0a0a0b"
NOVA = "nova.log 2017-05-16 00:00:0{second}.008 25746 INFO nova.api [req-1 a b - - -] [instance: {instance}] Started"
NODE = "{label} 1117838570 2005.06.03 R02-M1 2005-06-03-15.42.50.36 R02-M1 RAS KERNEL INFO corrected"
YARN = "2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.X: created"

PUBLISHED = {
    "hdfs": {
        "HDFS.log": "081109 203518 143 INFO dfs.DataNode: Receiving block blk_1 src: /10.0.0.1:1 dest: /10.0.0.2:2\n",
        "preprocessed/anomaly_label.csv": "BlockId,Label\nblk_1,Normal\nblk_2,Anomaly\n",
    },
    "bgl": {"BGL.log": NODE.format(label="-") + "\n" + NODE.format(label="KERNDTLB") + "\n"},
    "hadoop": {
        "abnormal_label.txt": "### WordCount\nNormal:\n+ application_1_0001\nMachine down:\n+ application_1_0002\n",
        "application_1_0001/container_1.log": f"{YARN}\n\tat a.stack.trace\n",
        "application_1_0002/container_1.log": f"{YARN}\n",
    },
    "openstack": {
        "openstack_abnormal.log": NOVA.format(second=5, instance=B) + "\n",
        "openstack_normal1.log": NOVA.format(second=1, instance=A) + "\n",
        "anomaly_labels.txt": f"instances with anomalies\n{B}\n",
    },
}
LABELS = {
    "hdfs": {"blk_1": False, "blk_2": True},
    "bgl": {"R02-M1": True},
    "hadoop": {"application_1_0001": False, "application_1_0002": True},
    "openstack": {A: False, B: True},
}


def zipped(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize("name", PUBLISHED)
def test_archives_become_logs_with_labels(name: str, tmp_path: Path) -> None:
    log, labels = lay_out(name, zipped(tmp_path / "a.zip", PUBLISHED[name]), tmp_path / name)
    assert read_labels(labels).anomalous == LABELS[name]
    lines = read_lines([log])
    records = split_log(Source.load(DATASETS[name].preset), lines, 2e9)
    assert records.rejected == []
    assert set(records.session.to_list()) <= set(LABELS[name])


def test_kinds_are_those_of_the_publisher(tmp_path: Path) -> None:
    kinds = {}
    for name in ("bgl", "hadoop"):
        _, labels = lay_out(name, zipped(tmp_path / f"{name}.zip", PUBLISHED[name]), tmp_path / name)
        kinds[name] = read_labels(labels).kind
    assert kinds["bgl"] == {"R02-M1": "KERNDTLB"}
    assert kinds["hadoop"]["application_1_0002"] == "machine down"


def test_a_tar_archive_cannot_write_outside(tmp_path: Path) -> None:
    path = tmp_path / "t.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("../../evil.log", "Thunderbird.log"):
            content = (NODE.format(label="-") + "\n").encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link.log")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    log, _ = lay_out("thunderbird", path, tmp_path / "out" / "deep")
    assert sorted(p.name for p in log.parent.iterdir()) == ["labels.csv", "thunderbird.log"]
    assert not list(tmp_path.rglob("evil.log"))


@pytest.mark.parametrize("name", LAYOUTS)
def test_damaged_and_foreign_archives_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(DataError, match="fetch it again"):
        lay_out(name, tmp_path / "broken.zip", tmp_path / name)
    with pytest.raises(DataError):
        lay_out(name, zipped(tmp_path / "other.zip", {"readme": "nothing here"}), tmp_path / name)
