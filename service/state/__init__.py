"""All state in Redis: one module a noun, every key and TTL in ``keys``, every Lua script beside the function it
serves."""
