import pytest

from pipelines.graph.build import Ports, build
from pipelines.graph.draw import dot, mermaid
from pipelines.graph.expand import nodes_between
from pipelines.schema.config import NodeSpec, PipelineSpec
from pipelines.schema.errors import InvalidError, UsageError
from pipelines.schema.node import Port

A = Port("audio")
PORTS = {
    "cut": Ports({"audio": A}, {"vocals": A, "rest": A}),
    "hear": Ports({"audio": A}, {"words": Port("words")}),
    "join": Ports({"words": Port("words"), "audio": A, "hint": Port("text", optional=True)}, {"file": Port("file")}),
}


def pipeline(**inputs):
    wires = {
        "cut": {"audio": "item.audio"},
        "hear": {"audio": "cut.vocals"},
        "join": {"words": "hear.words", "audio": "cut.rest"},
    }
    wires |= inputs
    return PipelineSpec("p", tuple(NodeSpec(name, role="separate", inputs=wires[name]) for name in PORTS))


def test_nodes_are_joined_in_topological_order():
    graph = build(pipeline(), PORTS)
    assert graph.order == ("cut", "hear", "join")
    assert sorted(graph.dag.edges) == [("cut", "hear"), ("cut", "join"), ("hear", "join")]
    assert graph.predecessors("join") == ("cut", "hear")


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        ({"hear": {"audio": "cot.vocals"}}, UsageError, "no node 'cot'. Did you mean 'cut'"),
        ({"hear": {"audio": "cut.vocal"}}, UsageError, "no output 'vocal'. Did you mean 'vocals'"),
        ({"hear": {"audo": "cut.vocals"}}, UsageError, "no input 'audo'. Did you mean 'audio'"),
        ({"cut": {"audio": "item.sound"}}, UsageError, "items have no 'sound'"),
        ({"hear": {"audio": "cut"}}, InvalidError, "must be `node.port`"),
        ({"hear": {}}, InvalidError, "no producer for its input 'audio'"),
        ({"join": {"words": "cut.rest", "audio": "cut.rest"}}, InvalidError, "gives audio, but words takes words"),
    ],
)
def test_each_fault_names_the_place_and_the_nearest_name(inputs, kind, words):
    with pytest.raises(kind, match=words) as caught:
        build(pipeline(**inputs), PORTS, "p.yaml")
    assert str(caught.value).startswith("p.yaml: nodes.")


def test_a_cycle_is_shown():
    with pytest.raises(InvalidError, match=r"cycle: .*cut -> hear -> cut|cycle: .*hear -> cut -> hear"):
        build(PipelineSpec("p", (NodeSpec("cut", role="x", inputs={"audio": "item.audio"}, after=("hear",)),
                                 NodeSpec("hear", role="x", inputs={"audio": "cut.vocals"}))), PORTS)  # fmt: skip


def test_a_part_of_a_pipeline():
    graph = build(pipeline(), PORTS)
    assert nodes_between(graph, first=["hear"]) == {"hear", "join"}
    assert nodes_between(graph, last=["hear"]) == {"cut", "hear"}
    assert graph.only({"hear"}).order == ("hear",)


def test_drawings_name_every_node_and_port():
    graph = build(pipeline(), PORTS)
    text = mermaid(graph, {"cut": 'a "quoted" variant'})
    assert "  cut[\"cut<br/>a 'quoted' variant\"]" in text
    assert "  cut -->|vocals| hear" in text
    assert '"hear" -> "join" [label="words"];' in dot(graph)
