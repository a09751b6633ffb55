"""What pymesos needs of http-parser."""
