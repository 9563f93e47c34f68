"""The one place that knows the ``hyperofa`` package: teaches transformers to load factorised checkpoints."""

from __future__ import annotations

from hyperofa_eval.base.errors import InputError

PREFIX = "hyperofa_"


def register(model_type: str, where: object) -> None:
    """Make the Auto classes of transformers know ``hyperofa_*`` models; does nothing for other types.

    Raises:
        InputError: the checkpoint is factorised and the ``hyperofa`` package is not installed.
    """
    if not model_type.startswith(PREFIX):
        return
    try:
        import hyperofa.model  # noqa: F401  (the import registers the classes)
    except ImportError as error:
        raise InputError(
            f"a factorised checkpoint ({model_type}) that needs the hyperofa package ({error})",
            where=where,
            todo="pip install hyperofa, or export it with: hyperofa checkpoint export RUN --dense",
        ) from None
