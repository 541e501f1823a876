"""What any trial is, whatever it trains: how long its stages took. Nothing here makes a figure."""
