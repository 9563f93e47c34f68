"""Where the recipes, launch and DeepSpeed configs lie: in the source tree, or inside an installed wheel."""

from __future__ import annotations

from pathlib import Path

from hyperofa.base.files import inside
from hyperofa.errors import DataMissingError

FOLDERS = ("recipes", "launch", "ds_configs")


def resource(name: str) -> Path:
    """The path of a shipped file such as ``recipes/quickstart.yaml`` or ``ds_configs/zero2.json``.

    Raises:
        DataMissingError: neither the source tree nor the installed package holds it.
    """
    package = Path(__file__).parents[1]
    installed = package / "_data"  # an installed package has it, a source tree has not
    path = inside(installed if installed.is_dir() else package.parent, name)
    if not path.exists():
        raise DataMissingError("no such file comes with hyperofa", where=name, todo=f"shipped: {', '.join(FOLDERS)}")
    return path
