"""One file a kind of source; each turns what a source offers into `SourceItem` values."""
