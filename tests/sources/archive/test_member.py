"""Labels of members: each has one of its own, whatever the names."""

from hypothesis import given
from hypothesis import strategies as st

from zstruct.sources.archive.member import Labels, Member

_NAMES = st.sampled_from(["a", "b", "member=1:a", "member=2:a", "member=0:member=1:a", "member=x:a"])


@given(st.lists(_NAMES, max_size=12))
def test_no_two_members_have_one_label(names):
    labels = Labels("x.tar")
    found = [labels.of(Member(k, name, 0, 0)) for k, name in enumerate(names)]
    assert len(set(found)) == len(found)
    assert all(
        label.startswith("x.tar::") and label.endswith(n) for label, n in zip(found, names, strict=True)
    )
