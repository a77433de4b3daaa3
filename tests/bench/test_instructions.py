# SPDX-License-Identifier: MIT
"""The echo path costs no more instructions than bench/instructions.json says, 3 % apart."""
import pytest

import instructions


@pytest.mark.parametrize("scenario", sorted(instructions.CONNECTIONS))
def test_echo_path_did_not_grow(scenario):
    record = instructions.read_record()
    try:
        instructions.check_made_by(record)
    except instructions.CannotCount as reason:
        pytest.skip(str(reason))
    counted = instructions.count(scenario)
    words = instructions.complaint(scenario, counted, record["requests"][scenario])
    if words:
        pytest.fail(words, pytrace=False)


def test_growth_is_told_from_the_record_alone():
    assert instructions.complaint("x", 1030, 1000) is None
    assert instructions.complaint("x", 900, 1000) is None
    words = instructions.complaint("x", 1031, 1000)
    assert "make bench-record" in words and "3.1%" in words


def test_other_compiler_is_no_reason_to_fail():
    record = {"made_by": {**instructions.made_by(), "compiler": "another one"}}
    with pytest.raises(instructions.CannotCount, match="compiler another one"):
        instructions.check_made_by(record)
