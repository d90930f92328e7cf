"""One incident: what each rule did, what would have paged sooner and at what price; page, Markdown, bundle."""
