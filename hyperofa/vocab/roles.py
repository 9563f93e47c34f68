"""Special tokens by what they do (cls, sep, pad, …), never by how they are spelled: ``[CLS]`` and ``<s>`` are one."""

from __future__ import annotations

from typing import Any

ROLES = ("cls", "sep", "pad", "unk", "mask", "bos", "eos")
"""The roles, in the order in which a token that has several is named and mapped."""

_STAND_INS = {"cls": "bos", "bos": "cls", "sep": "eos", "eos": "sep"}


def special_roles(tokenizer: Any) -> dict[str, int]:
    """Role to token id, for the roles that the (transformers) tokenizer fills; id 0 is an id like any other."""
    roles: dict[str, int] = {}
    for role in ROLES:
        # The token's text is asked first: transformers answers an unset id with the unknown token's in some versions.
        if getattr(tokenizer, f"{role}_token", None) is None:
            continue
        token_id = getattr(tokenizer, f"{role}_token_id", None)
        if token_id is not None:
            roles[role] = int(token_id)
    return roles


def token_roles(tokenizer: Any) -> dict[int, str]:
    """Token id to its first role in the order of :data:`ROLES`."""
    named: dict[int, str] = {}
    for role, token_id in special_roles(tokenizer).items():
        named.setdefault(token_id, role)
    return named


def map_roles(source: Any, target: Any) -> dict[int, int]:
    """Target special id to source special id: by role; cls and bos, sep and eos stand in for one another.

    A target token with several roles (RoBERTa's ``<s>`` is cls and bos) takes the first that the source fills.
    Roles that the source lacks altogether are absent from the result.
    """
    source_roles, target_roles = special_roles(source), special_roles(target)
    mapped: dict[int, int] = {}
    for choices in (target_roles, {role: token_id for role, token_id in target_roles.items() if role in _STAND_INS}):
        for role, token_id in choices.items():
            name = role if choices is target_roles else _STAND_INS[role]
            if name in source_roles:
                mapped.setdefault(token_id, source_roles[name])
    return mapped
