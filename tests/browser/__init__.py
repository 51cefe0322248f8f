"""The course in a browser. A package, so that the browser and JupyterLab end with its last test."""
