"""The network: a plain GPT, its hooks, the names of its parts, and files of every format."""
