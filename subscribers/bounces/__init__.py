"""Bounces and complaints: parsed, classified and judged without a database."""
