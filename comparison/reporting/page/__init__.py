"""One self-contained page that shows what is known of the models, and an explorer of games."""
