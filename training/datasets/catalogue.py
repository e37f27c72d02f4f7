"""Which public data sets there are, and where.

Sizes and MD5 sums are those that the publisher states (Loghub at Zenodo, record 8196385; Zhu et al., ISSRE 2023).
"""

from dataclasses import dataclass

from models.errors import ConfigError

ZENODO = "https://zenodo.org/records/8196385/files"


@dataclass(frozen=True, slots=True)
class Dataset:
    """One archive. ``size`` in bytes; ``preset``: the source that reads its log; ``sessions``: what its labels name."""

    name: str
    about: str
    archive: str
    size: int
    md5: str
    preset: str
    sessions: str
    base: str = ZENODO

    @property
    def url(self) -> str:
        """Where the archive is."""
        return f"{self.base}/{self.archive}"


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "hdfs", "HDFS blocks, 11 million lines", "HDFS_v1.zip", 186_645_559,
            "76a24b4d9a6164d543fb275f89773260", "hdfs", "block",
        ),
        Dataset(
            "bgl", "Blue Gene/L supercomputer, 4.7 million lines", "BGL.zip", 57_489_019,
            "4452953c470f2d95fcb32d5f6e733f7a", "bgl", "node",
        ),
        Dataset(
            "thunderbird", "Thunderbird supercomputer, 211 million lines", "Thunderbird.tar.gz", 2_016_100_298,
            "0891b048df2919dc78c99c4428686b44", "thunderbird", "node",
        ),
        Dataset(
            "hadoop", "Hadoop applications with injected faults, 395,000 lines", "Hadoop.zip", 3_416_419,
            "34e28a9943704fd54933e2b455829fcc", "hadoop_applications", "application",
        ),
        Dataset(
            "openstack", "OpenStack instances, 208,000 lines", "OpenStack.tar.gz", 5_394_691,
            "66bd42c07837a094d9b0ea2d036b5713", "openstack", "instance",
        ),
    )
}  # fmt: skip
"""By name."""


def dataset_of(name: str) -> Dataset:
    """The data set called ``name``. Raises ConfigError where there is none."""
    if name == "hdfs_keys":
        raise ConfigError(
            "hdfs_keys is published without a checksum, in the repository of logdeep (data/hdfs and "
            "data/sampling_example): put train_normal.txt and labelled.csv into the folder hdfs_keys yourself"
        )
    if name not in DATASETS:
        raise ConfigError(f"no data set {name!r}; there are {', '.join(DATASETS)}")
    return DATASETS[name]
