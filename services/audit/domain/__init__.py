"""Pure rules of the ledger: how the tree grows, what counts as a gap, what may be asked."""
