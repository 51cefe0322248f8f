"""The course in a browser. This is a package so that the browser and JupyterLab stop after its last test."""
