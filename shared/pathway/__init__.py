"""The vocabulary of the pathway that all services speak: refusals, context, stops, policy. Pure, no I/O."""
