"""The public sets that `training.harmonize` reads, by the name they have on its command line.

Each set is declared in one table: its files as they are downloaded, and what the values of its columns mean for the
labels of SynFundus, with the reasons beside them. What a set did not look for is unknown in all its photographs.
"""

from __future__ import annotations

from collections.abc import Mapping

from training.sources.diabetic import APTOS, DEEPDRID, EYEPACS, EYEQ, IDRID, MESSIDOR2
from training.sources.glaucoma import AIROGS, HYGD, PALM, REFUGE
from training.sources.odir import ODIR
from training.sources.part import Source
from training.sources.rfmid import RFMID

# A set that labels another's photographs comes after it.
SOURCES: Mapping[str, Source] = {
    "odir": ODIR,
    "rfmid": RFMID,
    "idrid": IDRID,
    "eyepacs": EYEPACS,
    "eyeq": EYEQ,
    "aptos": APTOS,
    "messidor2": MESSIDOR2,
    "deepdrid": DEEPDRID,
    "refuge": REFUGE,
    "airogs": AIROGS,
    "hygd": HYGD,
    "palm": PALM,
}
