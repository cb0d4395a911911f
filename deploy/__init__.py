"""Everything about running kapcare: the local stack, the command line, images and compose."""
