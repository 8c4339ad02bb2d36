"""The public sets that `training.harmonize` reads, by the names that its command line uses.

Each set is declared as data: its files as they are downloaded, and what the values of its columns mean for the labels
of SynFundus, with the reasons. A disease that the graders of a set did not look for is unknown in all its photographs.
"""

from __future__ import annotations

from collections.abc import Mapping

from training.sources.diabetic import APTOS, DEEPDRID, EYEPACS, EYEQ, IDRID, MESSIDOR2
from training.sources.glaucoma import AIROGS, HYGD, PALM, REFUGE
from training.sources.odir import ODIR
from training.sources.part import Source
from training.sources.rfmid import RFMID
from training.sources.single_purpose import DRIMDB, HRDC, TOXOPLASMOSIS
from training.sources.vietai import VIETAI

# A set that labels the photographs of another comes after it.
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
    "vietai": VIETAI,
    "drimdb": DRIMDB,
    "toxoplasmosis": TOXOPLASMOSIS,
    "hrdc": HRDC,
}
