"""The list: people, consent, segments, suppression and bounces; knows nothing of newsletters."""
