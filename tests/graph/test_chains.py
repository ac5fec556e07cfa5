import pytest

from pipelines.graph.build import Ports, build
from pipelines.graph.chains import find_stream_chains
from pipelines.schema.config import NodeSpec, PipelineSpec
from pipelines.schema.errors import InvalidError
from pipelines.schema.node import Port

A, W, T = Port("audio"), Port("words"), Port("text")
SAY, CHANGE, WRITE = (
    Ports({"text": T}, {"audio": A, "words": W}),
    Ports({"audio": A}, {"audio": A}),
    Ports({"audio": A}, {"file": Port("file")}),
)
FIT = Ports({"audio": A, "words": W}, {"audio": A})
BESIDE = Ports({"audio": A, "other": A}, {"audio": A})


def node(name, stream=False, **inputs):
    return NodeSpec(name, target="nodes.x.Y", inputs=inputs, stream=stream)


def found(nodes, able=lambda name: True, only=None):
    kinds = {"say": SAY, "change": CHANGE, "other": CHANGE, "write": WRITE, "fit": FIT, "beside": BESIDE}
    ports = {each.name: kinds[each.name] for each in nodes}
    graph = build(PipelineSpec("p", tuple(nodes), {"text": "text", "audio": "audio"}), ports)
    return find_stream_chains(graph if only is None else graph.only(only), able, able)


SPOKEN = node("say", text="item.text")


def test_what_streams_into_each_other_is_one_chain():
    nodes = [SPOKEN, node("change", True, audio="say.audio"), node("write", True, audio="change.audio")]
    assert found(nodes) == (("say", "change", "write"),)
    assert found(nodes, only={"change", "write"}) == (("change", "write"),)
    assert found(nodes, only={"say", "write"}) == ()


def test_nothing_streams_unasked():
    assert found([SPOKEN, node("change", audio="say.audio"), node("write", True, audio="change.audio")]) == (
        ("change", "write"),
    )


def test_a_node_that_cannot_cuts_the_chain():
    nodes = [SPOKEN, node("change", True, audio="say.audio"), node("write", True, audio="change.audio")]
    assert found(nodes, able=lambda name: name != "change") == ()
    assert found(nodes, able=lambda name: name != "write") == (("say", "change"),)


def test_sound_streams_into_one_node_only():
    nodes = [SPOKEN, node("change", True, audio="say.audio"), node("other", True, audio="say.audio")]
    assert found(nodes) == (("say", "change"),)


@pytest.mark.parametrize(
    "nodes",
    [
        [SPOKEN, node("fit", True, audio="say.audio", words="say.words")],  # the words are there only at the end
        [SPOKEN, node("other", audio="say.audio"), node("beside", True, audio="say.audio", other="other.audio")],
    ],
)
def test_a_node_that_needs_the_whole_of_it_besides_cannot_be_in_the_chain(nodes):
    assert found(nodes) == ()


def test_an_input_from_elsewhere_is_no_hindrance():
    nodes = [SPOKEN, node("other", audio="item.audio"), node("beside", True, audio="say.audio", other="other.audio")]
    assert found(nodes) == (("say", "beside"),)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([node("change", True, audio="item.audio")], "nodes.change.stream: nothing can stream in"),
        (
            [SPOKEN, NodeSpec("fit", target="x.Y", inputs={"audio": "item.audio", "words": "say.words"}, stream=True)],
            "nothing can",
        ),
    ],
)
def test_an_edge_that_cannot_stream_is_named(nodes, words):
    with pytest.raises(InvalidError, match=words):
        found(nodes)


def test_only_the_first_output_streams():
    ports = {"say": Ports({"text": T}, {"words": W, "audio": A}), "change": CHANGE}
    graph = build(PipelineSpec("p", (SPOKEN, node("change", True, audio="say.audio")), {"text": "text"}), ports)
    with pytest.raises(InvalidError, match=r"say\.audio cannot stream"):
        find_stream_chains(graph, bool, bool)
