"""The bytes of one image: fetched from where a gateway left them, and proved whole."""
