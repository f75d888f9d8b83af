"""A person's words become an act, or one message that names every mistake."""

from __future__ import annotations

import pytest

from evergreen.errors import UserError
from evergreen.registry.acts import Act, parse_rollback_conf


@pytest.mark.parametrize(
    ("conf", "act"),
    [
        ({"action": "roll_back", "reason": " bad\n fares "}, Act("roll_back", "bad fares")),
        ({"action": "roll_back", "version": 3, "reason": "x"}, Act("roll_back", "x", 3)),
        ({"action": "promote", "version": 3, "reason": "x"}, Act("promote", "x", 3)),
        ({"action": "release", "reason": "x", "version": None}, Act("release", "x")),
        ({"action": "withdraw", "request": 12, "reason": "x", "version": None}, Act("withdraw", "x", request=12)),
        ({"action": "release", "reason": "{{ conn.x.password }}"}, Act("release", "{{ conn.x.password }}")),
    ],
)
def test_reads_what_is_right(conf: dict, act: Act) -> None:
    assert parse_rollback_conf(conf) == act


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"action": "roll_back"}, "conf.reason must say why"),
        ({"action": "roll_back", "reason": "  "}, "conf.reason must say why"),
        ({"action": "roll_back", "reason": 3}, "conf.reason must say why.*got 3"),
        ({"action": "roll_back", "reason": "x" * 501}, "at most 500 characters, got '501 characters'. Shorten"),
        ({"action": "roll_back", "reason": "a\x00b"}, "conf.reason must be printable"),
        ({"action": "roll_back", "reason": "a\ud800b"}, "conf.reason must be printable"),
        ({"reason": "x"}, "conf.action must be one of roll_back, promote, release, withdraw. Write"),
        ({"action": "rollback", "reason": "x"}, "conf.action must be one of .*, got 'rollback'"),
        ({"action": ["promote"], "reason": "x"}, "conf.action must be one of"),
        ({"action": "promote", "reason": "x"}, "conf.version must be given to promote"),
        ({"action": "release", "version": 2, "reason": "x"}, "conf.version must not be given to release, got 2"),
        ({"action": "promote", "version": True, "reason": "x"}, "conf.version must be a whole number from 1, got True"),
        ({"action": "promote", "version": 0, "reason": "x"}, "conf.version must be a whole number from 1, got 0"),
        ({"action": "promote", "version": "3", "reason": "x"}, "conf.version must be a whole number from 1, got '3'"),
        ({"action": "promote", "version": 2**40, "reason": "x"}, "conf.version must be a whole number"),
        ({"action": "withdraw", "reason": "x"}, "conf.request must be given to withdraw. Add .request.: NUMBER"),
        (
            {"action": "withdraw", "request": "12", "reason": "x"},
            "conf.request must be a whole number from 1, got '12'",
        ),
        (
            {"action": "withdraw", "request": True, "reason": "x"},
            "conf.request must be a whole number from 1, got True",
        ),
        ({"action": "withdraw", "request": 2**63, "reason": "x"}, "conf.request must be a whole number"),
        ({"action": "withdraw", "request": 1, "version": 2, "reason": "x"}, "conf.version must not be given to withd"),
        ({"action": "release", "request": 1, "reason": "x"}, "conf.request must not be given to release, got 1"),
        ({"action": "release", "reason": "x", "verison": 1}, "conf.verison is unknown, must be one of action, version"),
        ({}, "conf has 2 mistakes: conf.action .* conf.reason"),
    ],
)
def test_names_field_rule_value_and_remedy(conf: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_rollback_conf(conf)
