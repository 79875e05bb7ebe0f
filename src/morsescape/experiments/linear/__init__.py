"""Section 5.4 and Example 1: linear regression has one critical point, a minimum."""
