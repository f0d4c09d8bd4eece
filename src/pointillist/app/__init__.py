"""The annotation app: a local server and one page. Imports no torch; jobs are processes of the command line."""
