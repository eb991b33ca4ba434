"""One prefix in S3, and what its manifest promises."""
