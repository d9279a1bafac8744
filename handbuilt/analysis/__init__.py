"""Any model taken apart: what its parts are called, what each adds, what patching it does."""
