"""What is held about people: how long, who may see it, and how it goes."""
