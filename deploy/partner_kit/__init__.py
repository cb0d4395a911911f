"""The partner kit: play the network against a partner's server (`./kap partner check`), or a partner against the network."""
