"""What a policy would have earned, from what another one logged: estimators and their intervals."""
