"""A message on a page, as its readers see it in WhatsApp."""
