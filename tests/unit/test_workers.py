"""`kap test`: several processes share the whole of the tests, and one runs what was chosen from them."""

import pytest

from deploy.cli.tests import workers


@pytest.mark.parametrize("arguments", [[], ["--hypothesis-profile=thorough"], ["--durations=10", "--maxfail=1"]])
def test_all_tests_are_shared(arguments: list[str]) -> None:
    assert workers(arguments, {}) == ["--numprocesses=2"]


@pytest.mark.parametrize(
    "arguments",
    [["tests/unit"], ["tests/unit/test_policy.py::test_one", "--maxfail=1"], ["-k", "policy"], ["--pdb"], ["--trace"]],
)
def test_a_choice_of_them_is_not(arguments: list[str]) -> None:
    assert workers(arguments, {}) == []


def test_a_store_that_was_named_is_used_by_one_process() -> None:
    assert workers([], {"KAPCARE_TEST_MONGO_URL": "mongodb://127.0.0.1:27017"}) == []
