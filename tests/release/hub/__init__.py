"""A Hugging Face Hub on the loopback interface: real HTTP, kept on disk, with the endpoints that the clients call.

Made by reading huggingface_hub 2.4 (`hf_api.py`, `_commit_api.py`, `lfs.py`, `file_download.py`) and by watching what
huggingface_hub, datasets and diffusers ask for. Uploads go through the LFS protocol: run clients with
`HF_HUB_DISABLE_XET=1`.

- `store`: repositories, commits and large objects in a folder.
- `accounts`: who may read and write what.
- `faults`: what goes wrong, on request.
- `repositories`, `uploads`, `downloads`: the endpoints.
- `server`: HTTP, and the record of what was asked.
"""

from .faults import Fault
from .server import HubServer

__all__ = ["Fault", "HubServer"]
