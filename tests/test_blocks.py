"""What the server says of a block, and what is made of it."""

import pytest

from shelfwise.blocks import explained

KIND = "cluster_block_exception: "


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (
            "index [bb] blocked by: [FORBIDDEN/8/index write (api)];",
            "index bb has the block index.blocks.write, as for a second while `shelfwise index` clones it; if it stays"
            ': take it away (PUT bb/_settings {"index.blocks.write": null})',
        ),
        (
            "index [bb] blocked by: [FORBIDDEN/5/index read-only (api)];[FORBIDDEN/8/index write (api)];",
            "index bb has the block index.blocks.read_only: take it away "
            '(PUT bb/_settings {"index.blocks.read_only": null})',
        ),
        (
            "index [bb] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has "
            "read-only-allow-delete block; for more information, see https://www.elastic.co/x?a=[b]];",
            "index bb has the block index.blocks.read_only_allow_delete, which the server sets where a disk is "
            "nearly full (flood stage) and takes away once there is room: make room on the disks of its nodes",
        ),
        (
            "blocked by: [FORBIDDEN/6/cluster read-only (api)];",
            "the cluster has the block cluster.blocks.read_only: take it away "
            '(PUT _cluster/settings {"persistent": {"cluster.blocks.read_only": null}})',
        ),
    ],
)
def test_a_block_that_somebody_set_is_named_with_what_to_do(reason, says):
    assert explained(KIND + reason) == says


@pytest.mark.parametrize(
    "reason",
    [
        f"{KIND}blocked by: [SERVICE_UNAVAILABLE/2/no master];",
        "security_exception: action [indices:admin/mapping/put] is unauthorized for user [ann]",
        "es_rejected_execution_exception: the queue is full",
    ],
)
def test_what_nobody_set_is_no_block(reason):
    assert explained(reason) is None
