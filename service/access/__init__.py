"""Who asks, and what they may: API keys, log-ins to the page, and how fast each may go on."""
