"""What is the matter: the state of every channel, and what each finding means."""
