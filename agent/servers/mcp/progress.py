"""A client that asked for it is told that its call goes on: one that waits for long would give up.

What is told is the newest line there is, now and then, whatever comes meanwhile.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from mcp.server.mcpserver import Context

_EVERY_S = 2.0


@asynccontextmanager
async def progress(ctx: Context, newest: Callable[[], str]) -> AsyncGenerator[None]:
    """Inside, the client of a call is told what `newest` gives, with a count that grows."""
    meta = ctx.request_context.meta
    if meta is None or meta.get("progress_token") is None:
        yield
        return

    async def tell() -> None:
        count = 0
        while True:
            await asyncio.sleep(_EVERY_S)
            count += 1
            await ctx.report_progress(count, message=newest() or None)

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
