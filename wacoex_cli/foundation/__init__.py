"""Ground floor: time, settings, secrets, the state file, HTTP. Knows no WhatsApp but the schema."""
