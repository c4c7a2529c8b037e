"""What people look at: contact sheets, the page of a test, what rendering is worth."""
