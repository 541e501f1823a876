"""What looks at samples and says what they are: the classifier, and what tells a copy."""
