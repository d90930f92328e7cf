"""What people see, in a real Chromium: pages and JupyterLab."""
