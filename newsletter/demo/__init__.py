"""The demonstration: a sample network, a mail server that catches, and nothing that leaves this machine."""
