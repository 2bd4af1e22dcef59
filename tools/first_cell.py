"""The first code cell of every notebook, in the one place where it is written."""

from address import address, ref


def first_cell() -> str:
    return f"""\
# In Colab this installs cbam_lite beside the torch that is already there. Elsewhere it does nothing.
import importlib.util
import pathlib
import sys

if pathlib.Path("../cbam_lite").is_dir():
    sys.path.insert(0, "..")
if importlib.util.find_spec("cbam_lite") is None:
    %pip install -q --no-deps "cbam-lite @ git+{address()}@{ref()}\""""
