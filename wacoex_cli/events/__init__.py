"""What Meta and respond.io tell us."""
