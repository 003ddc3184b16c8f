"""Pictures, videos and documents of messages: checked, uploaded once, and their ids renewed."""
