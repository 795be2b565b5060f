"""Names that nothing has: who was meant, and what there is to choose from."""

import pytest

from pksm.naming import nearest, unknown

MANY = [f"workload-{n}" for n in range(30)] + ["zygote", "truth:W2"]


@pytest.mark.parametrize(
    ("name", "first"),
    [("zigote", ["zygote"]), ("W2", ["truth:W2"]), ("ZYGOTE", ["zygote"]), ("qq", []), ("", []), ("zygote" * 50, [])],
)
def test_the_nearest_names(name, first):
    assert nearest(name, MANY) == first


def test_all_of_few_names_are_listed_behind_who_was_meant():
    error = unknown("unknown policy", "kmsd", ["pksmd", "ksmd"], "policy", ", as in ksmd:x")
    assert (
        str(error) == "policy: unknown policy 'kmsd': did you mean ksmd or pksmd? choose from pksmd, ksmd, as in ksmd:x"
    )
    assert not error.leaves_out
    assert str(unknown("unknown policy", "zz", ["a"])) == "unknown policy 'zz': choose from a"


def test_of_many_names_some_are_listed_and_the_others_counted():
    error = unknown("unknown workload", "zigote", MANY, has_list=True)
    assert str(error) == "unknown workload 'zigote': did you mean zygote?" and error.leaves_out
    said = str(unknown("unknown workload", "qq", MANY, has_list=True))
    assert said.endswith("workload-6, workload-7 and 24 more") and said.count(",") == 7
    assert str(unknown("unknown workload", "zigote", MANY)).endswith(f"zygote? choose from {', '.join(MANY)}")
