"""Blocks as tasks of a real Ray cluster of two nodes on loopback."""

from __future__ import annotations

import os
import signal
import time
import warnings
from pathlib import Path

import pytest
from small_blocks import assert_same, blocks, config, expected, taking

ray = pytest.importorskip("ray", reason="Ray is not installed (the extra ray)")

from suite.config.schema import Executor
from suite.execution import execute
from suite.execution.fleet import run_on
from suite.execution.ray_cluster import RayFleet
from suite.vocabulary import Block, Condition, RequestError

DATA = "data"
# loopback, but not by the name that Ray replaces by the address others see
HOST = "127.0.0.2"


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        two = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "node_ip_address": HOST})
        two.add_node(num_cpus=1, node_ip_address=HOST)
        two.wait_for_nodes()
        yield two
        two.shutdown()


def test_two_nodes_give_the_bits_of_this_process(cluster):
    some = blocks(4)
    got = list(execute(taking(some), 4, Executor("ray", in_flight=2, address=cluster.address), DATA, lambda *unused: None, print))
    reference = expected(some)
    assert {block.first for block, _ in got} == set(reference)
    for block, trace in got:
        assert_same(trace, reference[block.first])


def training() -> list[int]:
    """Ray's worker processes that are at our task; Ray writes the task's name over their command lines."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_text()
        except OSError:
            continue  # it has ended in the meantime
        if line.startswith("ray::run_chunk"):
            found.append(int(process.name))
    return found


def test_a_worker_that_is_killed_is_survived(cluster):
    block = Block(Condition("plain", {}, config(steps=4000)), 0, 2, 3, "cpu")
    fleet = RayFleet(cluster.address, DATA)
    killed: list[int] = []

    class Struck:
        submit, result, close = fleet.submit, fleet.result, fleet.close

        def wait(self, handles):
            while not killed:
                time.sleep(0.05)
                for pid in training():
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            return fleet.wait(handles)

    got = list(run_on(Struck(), taking([block]), 1, 1, print))
    assert killed
    assert_same(got[0][1], expected([block])[0])


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere", "127.0.0.1:port", "127.0.0.1:99999"])
def test_an_address_where_nobody_answers(address):
    ray.shutdown()
    with pytest.raises(RequestError, match=rf"executor\.address={address}: no Ray cluster answers"):
        RayFleet(address, DATA)
