from dataclasses import replace

from pipelines.graph.build import Ports, build
from pipelines.graph.expand import Sizing, context_bytes, expand
from pipelines.schema.config import Footprint, Item, NodeSpec, PipelineSpec, Variant
from pipelines.schema.node import Port
from pipelines.schema.settings import Tier

A = Port("audio")
PORTS = {"cut": Ports({"audio": A}, {"audio": A}), "mix": Ports({"audio": A}, {"audio": A})}
GRAPH = build(
    PipelineSpec("p", (NodeSpec("cut", role="separate", inputs={"audio": "item.audio"}),
                       NodeSpec("mix", target="nodes.x.Y", inputs={"audio": "cut.audio"},
                                footprint=Footprint(workspace={"base": 7}, context={"torch": 30, "scipy": 5})))),
    PORTS,
)  # fmt: skip
CARD = Footprint(weights=100, load_peak=150, workspace={"base": 10, "per_segment_second": 4}, seconds={"per_second": 0.5},
                 load_seconds=2, reload_seconds=0.5, context={"accelerator": 500})  # fmt: skip
CPU = replace(CARD, weights=90, context={"torch": 40})
CUT = Variant(
    "separate/m", "separate", "nodes.x.M", knobs={"segment": 3}, footprints={"accelerator": CARD, "host": CPU}
)
ITEMS = [Item("a", seconds=10), Item("b", seconds=2)]


def problem(kind="accelerator", **sizing):
    return expand(GRAPH, ITEMS, {"cut": CUT}, Tier("t", streams=2), Sizing(kind, 1000, **sizing))


def test_tasks_are_nodes_times_items_with_the_item_s_own_bytes_and_seconds():
    tasks = {task.id: task for task in problem().tasks}
    assert tasks["a/cut"].workspace_bytes == 10 + 4 * 3  # the segment knob bounds it
    assert tasks["b/cut"].workspace_bytes == 10 + 4 * 2  # an item shorter than the segment needs less
    assert tasks["a/cut"].seconds == 5.0
    assert tasks["a/mix"].after == ("a/cut",)
    assert tasks["a/mix"].models == ()


def test_a_node_without_a_variant_takes_ram_and_of_a_card_only_what_it_says_it_does():
    assert {t.id: t.workspace_bytes for t in problem("host").tasks}["a/mix"] == 7
    assert {t.id: t.workspace_bytes for t in problem("accelerator").tasks}["a/mix"] == 0
    assert context_bytes(GRAPH, {"cut": CUT}, Sizing("accelerator", None)) == 500
    on_card = replace(GRAPH.node("mix").footprint, context={"accelerator": 600})
    nodes = tuple(replace(node, footprint=on_card) if node.name == "mix" else node for node in GRAPH.pipeline.nodes)
    graph = build(replace(GRAPH.pipeline, nodes=nodes), PORTS)
    assert context_bytes(graph, {"cut": CUT}, Sizing("accelerator", None)) == 600
    made = expand(graph, ITEMS, {"cut": CUT}, Tier("t"), Sizing("accelerator", 1000))
    assert {t.id: t.workspace_bytes for t in made.tasks}["a/mix"] == 7


def test_one_model_serves_all_items():
    made = problem()
    assert set(made.models) == {"separate/m"}
    model = made.models["separate/m"]
    assert (model.weights_bytes, model.load_peak_bytes, model.load_seconds, model.reload_seconds) == (100, 150, 2, 0.5)


def test_margins_enlarge_weights_peak_and_workspace():
    made = problem("host", default_margin=0.2, margins={"mix": 0.5})
    assert made.models["separate/m"].weights_bytes == 108
    assert made.models["separate/m"].load_peak_bytes == 180
    assert {t.id: t.workspace_bytes for t in made.tasks}["a/mix"] == 11  # 7 x 1.5, rounded up


def test_each_library_is_counted_once_at_its_largest():
    assert problem("host", base_context=1000).context_bytes == 1000 + 40 + 5


def test_the_cpu_has_its_own_footprint():
    assert problem("host").models["separate/m"].weights_bytes == 90
