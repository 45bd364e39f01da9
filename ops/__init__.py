"""What runs it: wiring, settings, database, migrations, command line, telemetry."""
