"""What variants take: measured, remembered, fitted to a formula."""
