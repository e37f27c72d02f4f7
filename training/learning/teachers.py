"""Which detectors can be taught. One that is not here keeps its rules from feedback and is taken over unchanged.

Owns the names. Does not know how any is taught. ``keyvalue`` is not here: it reads header fields, of which a bundle
holds no sample to rehearse.
"""

from training.autolog.teach import teach_autolog
from training.cldtlog.teach import teach_cldtlog
from training.deeplog.teach import teach_deeplog
from training.deeplog_values.teach import teach_deeplog_values
from training.learning.simple import SIMPLE, simple_teacher
from training.learning.teaching import Teach
from training.loganomaly.teach import teach_loganomaly
from training.logbert.teach import teach_logbert

TEACHERS: dict[str, Teach] = {
    **{name: simple_teacher(name) for name in SIMPLE},
    # One line for each detector with a network:
    "deeplog": teach_deeplog,
    "autolog": teach_autolog,
    "cldtlog": teach_cldtlog,
    "deeplog_values": teach_deeplog_values,
    "loganomaly": teach_loganomaly,
    "logbert": teach_logbert,
    "logbert_distance": teach_logbert,
}
"""Name of the detector -> how it is taught."""
