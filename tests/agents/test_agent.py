"""An agent with a scripted model uses the hook as a toolset: plain JSON comes back, and what bounds it holds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.common.ai.hooks.pydantic_ai import PydanticAIHook
from airflow.providers.common.ai.toolsets import HookToolset
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel

from airflow_provider_qwenimage.exceptions import OutcomeUnknown
from airflow_provider_qwenimage.hooks.agent import QwenImageAgentHook
from harness import InMemoryAirflow

EXAMPLE = Path(__file__).parents[2] / "example_dags" / "agent_illustrates.py"
TOOLS = ["draw_images", "edit_images"]
PRICED = {"model": "qwen-image-plus", "price_per_image": {"qwen-image-plus": 0.2, "currency": "CNY"}}


@pytest.fixture(autouse=True)
def _loop():
    """The event loop that ``run_sync`` of an agent takes, and would otherwise make and leave open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


class Script:
    """A model that makes the calls it is told to, one after the other, and remembers what it was told."""

    def __init__(self, *calls):
        self.calls, self.told, self.tools = list(calls), [], {}

    def __call__(self, messages, info):
        self.tools = {tool.name: tool for tool in info.function_tools}
        self.told += [json.loads(p.content) for p in messages[-1].parts if isinstance(p, ToolReturnPart)]
        if not self.calls:
            return ModelResponse(parts=[TextPart("done")])
        name, arguments = self.calls.pop(0)
        return ModelResponse(
            parts=[ToolCallPart(name, arguments(self.told) if callable(arguments) else arguments)]
        )


def played(script, **bounds):
    toolset = HookToolset(QwenImageAgentHook(**bounds), allowed_methods=TOOLS, tool_prefix="qwenimage")
    Agent(FunctionModel(script), toolsets=[toolset]).run_sync("Illustrate the newsletter.")
    return script.told


DRAW, EDIT = "qwenimage_draw_images", "qwenimage_edit_images"


def test_the_tools_say_what_they_take(qwenimage):
    script = Script()
    played(script)
    schema = script.tools[DRAW].parameters_json_schema
    assert schema["required"] == ["prompt"]
    assert set(schema["properties"]) == {"prompt", "size", "n", "negative_prompt", "seed"}
    assert all(each.get("description") for each in schema["properties"].values())
    assert "costs money" in script.tools[DRAW].description
    assert script.tools[EDIT].parameters_json_schema["properties"]["images"]["items"] == {"type": "string"}


def test_an_agent_draws_and_edits_what_it_drew(qwenimage):
    qwenimage.connect("tokenhot", **PRICED)
    script = Script(
        (DRAW, {"prompt": "a mug", "size": "1:1"}),
        (EDIT, lambda told: {"prompt": "paint it blue", "images": told[0]["images"]}),
    )
    hook = {"max_images": 4}
    qwenimage.connect("tokenhot", **{**PRICED, "model": "qwen-image-2.0"})
    drawn, edited = played(script, **hook)
    assert (len(drawn["images"]), len(edited["images"]), qwenimage.billed) == (1, 1, 2)
    assert qwenimage.simulator.content(edited["images"][0]).startswith(b"\x89PNG")


def test_more_images_than_the_author_allows_are_refused_and_the_model_is_told(qwenimage):
    qwenimage.connect("tokenhot", **PRICED)
    told = played(Script((DRAW, {"prompt": "a mug"}), (DRAW, {"prompt": "another"})), max_images=1)
    assert len(told[0]["images"]) == 1
    assert told[1]["refused"].startswith(
        "n: 1 is more than the 0 images that are left of 1. Nothing was billed."
    )
    assert qwenimage.billed == 1


def test_more_money_than_the_author_allows_is_not_spent(qwenimage):
    qwenimage.connect("tokenhot", **PRICED)
    told = played(Script(*[(DRAW, {"prompt": f"mug {i}"}) for i in range(3)]), max_images=9, max_cost=0.4)
    assert [each.get("cost") for each in told] == [0.2, 0.2, None]
    assert "max_cost: allows 0.4 CNY" in told[2]["refused"]
    assert (qwenimage.posts, qwenimage.billed) == (2, 2)


def test_what_the_gateway_refuses_uses_up_nothing_and_may_be_done_better(qwenimage):
    qwenimage.connect("tokenhot", **PRICED)
    qwenimage.fault("moderation")
    told = played(Script((DRAW, {"prompt": "bad"}), (DRAW, {"prompt": "good"})), max_images=1, max_cost=0.2)
    assert "Nothing was billed" in told[0]["refused"]
    assert len(told[1]["images"]) == 1


def test_what_may_have_been_billed_ends_the_run(qwenimage):
    qwenimage.connect("tokenhot", **PRICED)
    qwenimage.fault("502")
    with pytest.raises(OutcomeUnknown):
        played(Script((DRAW, {"prompt": "a mug"}), (DRAW, {"prompt": "again"})))
    assert qwenimage.posts == 1


def test_a_copy_of_the_hook_for_a_task_spends_from_the_same_purse(qwenimage):
    qwenimage.connect("tokenhot", **PRICED)
    qwenimage.connect("tokenhot", conn_id="other", **PRICED)
    toolset = HookToolset(QwenImageAgentHook(max_images=1), allowed_methods=TOOLS)
    toolset.conn_id = "other"
    script = Script(("draw_images", {"prompt": "a mug"}), ("draw_images", {"prompt": "more"}))
    Agent(FunctionModel(script), toolsets=[toolset]).run_sync("Go.")
    assert "refused" in script.told[1]


class ScriptedModels(PydanticAIHook):
    """A connection to language models that leads to a script."""

    script: FunctionModel

    def get_conn(self):
        return self.script


def test_the_example_keeps_what_its_agent_had_drawn(qwenimage, monkeypatch):
    def answers(messages, info):
        told = [json.loads(p.content) for m in messages for p in m.parts if isinstance(p, ToolReturnPart)]
        if len(told) < 2:
            return ModelResponse(parts=[ToolCallPart(DRAW, {"prompt": f"story {len(told)}"})])
        (output,) = info.output_tools
        return ModelResponse(parts=[ToolCallPart(output.name, {"response": [t["images"][0] for t in told]})])

    ScriptedModels.script = FunctionModel(answers)
    qwenimage.connect("tokenhot", **PRICED)
    bucket = qwenimage.bucket("newsletter")
    bag = DagBag(dag_folder=str(EXAMPLE))
    assert bag.import_errors == {}
    dag, airflow = bag.dags["agent_illustrates"], InMemoryAirflow(dag_id="agent_illustrates")
    dag.task_dict["illustrate"].__dict__["llm_hook"] = ScriptedModels()

    attempts = [airflow.run_to_end(dag.task_dict[name]) for name in ("illustrate", "store")]

    assert [attempt.error for attempt in attempts] == [None, None]
    assert len([key for key in qwenimage.stored(bucket) if key.endswith(".png")]) == 2
    assert (qwenimage.posts, qwenimage.billed) == (2, 2)
