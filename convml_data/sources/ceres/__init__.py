"""SatCORPS CERES GEO Edition 4: cloud and radiation properties retrieved from geostationary imagers, hourly."""
