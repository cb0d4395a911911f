"""The rules of medical review: state and one file per verb. Pure, no I/O."""
