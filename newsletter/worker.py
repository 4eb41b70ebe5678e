"""What `newsletter work` runs: due schedules, deferred deliveries, notices."""
