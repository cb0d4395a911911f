"""What an operator sees: structured logs without payloads, traces by hand, a handful of counters."""
