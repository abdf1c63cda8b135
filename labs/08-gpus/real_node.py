"""The Deployment on the one node that is real."""

import copy
from dataclasses import replace

from kubernetes import client

from llmlab.checks import Context, Verdict, check, failed, verdict
from llmlab.errors import LabError
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.for_labs import NAMESPACE, Applied, containers, matching, ready_pods, trouble
from llmlab.tiers.kubernetes.gpus.for_labs import GPU, SWAP, advertised, answers, only, served


@check(
    title="With a GPU limit it really runs and answers",
    points=3,
    needs=("everywhere",),
    machine=("pods",),
    realism="emulated",
    stands_in="the real node advertises a GPU that it has not; the engine is the CPU's",
)
def runs(ctx: Context) -> Verdict:
    """Let the real node say that it has an L4, cut CPU and memory down to it, and ask for a token."""
    at, mine = served(ctx)
    core = client.CoreV1Api(at.api)
    node = next(
        candidate.metadata.name
        for candidate in core.list_node().items
        if candidate.metadata.labels.get("type") != "kwok"
    )
    body = copy.deepcopy(mine.body)
    body["spec"]["replicas"] = 1
    for container in containers(replace(mine, body=body)):
        for key in ("requests", "limits"):
            if key in (container.get("resources") or {}):
                container["resources"][key] |= {"cpu": "500m", "memory": "512Mi"}
    small = replace(mine, body=body)
    label = matching(mine)
    with advertised(core, node), only(at, []), ctx.deploying():
        Applied(at, [small], images=SWAP).apply(small)
        try:
            pod = wait("a ready pod", lambda: next(iter(ready_pods(at, NAMESPACE, label)), None), 30)
        except LabError:
            return failed(
                expected="one pod Ready on the real node",
                observed="\n".join(trouble(at, NAMESPACE, label)[:8]),
                look="kubectl describe pods -n inference",
            )
        with_gpu = (pod.spec.containers[0].resources.limits or {}).get(GPU)
        wait("an answer", lambda: answers(pod), 20)
        ctx.prove_at(f"http://{pod.status.pod_ip}:8080", model="tiny")
    return verdict(
        with_gpu is not None,
        expected=f"a pod with a limit of {GPU} runs on {node} and answers as the model tiny",
        observed=f"{pod.metadata.name} does, with {with_gpu or 'no'} GPU",
        look="kubectl get pods -n inference -o wide",
    )
