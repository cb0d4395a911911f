"""What every kapcare service stands on: the event contract, the pathway's vocabulary and the runtime."""
