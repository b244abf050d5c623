"""What may install a package: requirements, wheels from here and elsewhere, files of requirements."""

import pytest

from rowcall.core.bundle.packages import may_bring, names_in, normalised

HERE = {"./wheels/*.whl": ["wheels/my_pkg-1.0-py3-none-any.whl"]}


def test_names_are_compared_as_indexes_compare_them() -> None:
    assert {normalised(name) for name in ("My_Pkg", "my-pkg", "my.pkg", "MY-_.PKG")} == {"my-pkg"}


@pytest.mark.parametrize(
    "install",
    [
        "my-pkg",
        "My.Pkg[extra] >= 1.0",
        "my_pkg @ https://example.com/x.zip",
        "/Volumes/main/default/wheels/my_pkg-1.0-py3-none-any.whl",
        "/Workspace/Shared/my_pkg-1.0-py3-none-any.whl[extra]",
        "https://example.com/my_pkg-1.0-py3-none-any.whl",
        "./wheels/*.whl",
        "git+https://example.com/anything",
        "../other",
        "-r requirements.txt",
        "${var.package}",
    ],
)
def test_it_may(install: str) -> None:
    assert may_bring(install, "My-Pkg", lambda pattern: HERE.get(pattern, []))


@pytest.mark.parametrize(
    "install",
    [
        "my-pkg-tools",
        "my",
        "/Volumes/main/default/my_pkg_tools-1.0-py3-none-any.whl",
        "./dist/*.whl",
        "--index-url x",
        "",
    ],
)
def test_it_does_not(install: str) -> None:
    assert not may_bring(install, "my-pkg", lambda pattern: HERE.get(pattern, []))


def test_what_a_module_has_is_read_from_its_text() -> None:
    text = (
        "import a.b\nfrom c import d as e\nasync def f(): ...\nclass G:\n    def h(self): ...\ni = j = 1\nk: int = 2\n"
    )
    text += "try:\n    import l\nexcept ImportError:\n    l = None\nelse:\n    if l:\n        def m(): ...\n"
    assert names_in(text) == set("aefGijklm")
    assert "*" in names_in("from a import *")
    assert "*" in names_in("def __getattr__(name): ...")
    assert names_in("def (") == frozenset()
