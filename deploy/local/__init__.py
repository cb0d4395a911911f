"""The local stack: a real database, a real broker, a development issuer and the services, as child processes on loopback."""
