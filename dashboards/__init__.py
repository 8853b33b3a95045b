"""Show people what the house knows: the console's pages, on the API's port."""
