"""What an issue is made of: sources, library, digest, issue."""
