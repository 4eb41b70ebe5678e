"""What is asked for on the site: the site only writes it down, the worker looks it up and answers by mail."""
