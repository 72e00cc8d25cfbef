"""The report of `parris report`: what is gathered of the runs, and the one page that shows it."""
