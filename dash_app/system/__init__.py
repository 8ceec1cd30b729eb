"""What Mission Control asks of Linux: addresses, clocks, users, small files, logs, systemd."""
