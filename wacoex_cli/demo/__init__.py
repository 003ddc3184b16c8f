"""`wacoex demo`: a tour of the real commands against a pretend Meta."""
