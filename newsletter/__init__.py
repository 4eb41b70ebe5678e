"""Compose newsletters from posts and events, and deliver them with a guarantee."""
