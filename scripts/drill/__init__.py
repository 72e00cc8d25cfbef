"""What `parris drill` breaks, and the embedded clouds that it breaks it on."""
