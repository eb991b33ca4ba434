"""What a connection leads to: checked settings, calls, input images, a probe that costs nothing."""
