"""From commit to Kafka, and from Kafka to commit: at least once on the wire, exactly once in effect."""
