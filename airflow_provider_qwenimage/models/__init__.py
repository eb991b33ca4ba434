"""What the author means, what came back, and what lies in the bucket."""
