"""What a check answers: findings with stable ids, evidence and a remedy."""
