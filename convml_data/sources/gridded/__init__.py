"""Large-eddy simulations and any other gridded fields in netCDF files of the user's own."""
