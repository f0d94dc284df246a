"""A process that forwards until it is killed: ``python -m tests.forward.forward_process <source> <target>``."""

import asyncio
import sys

from event_backbone import Backbone
from tests.forward.test_forwarding import URI


async def main(source_url: str, target_url: str) -> None:
    """Forward from one Redis to the other."""
    here = Backbone(source_url, environment="test", site="west")
    there = Backbone(target_url, environment="test", site="east")
    async with here as source, there as target, source.forwarder(URI, to=target) as forwarder:
        await forwarder.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
