"""The durable queue: lines accepted before they are judged, and judged later, exactly once in effect."""
