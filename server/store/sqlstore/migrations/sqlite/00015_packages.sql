-- +goose Up
-- Provisioning packages with a bootstrap certificate, and the machines that each admitted.

CREATE TABLE packages (
  name        TEXT PRIMARY KEY,
  certificate BLOB NOT NULL,    -- SHA-256
  most        INTEGER NOT NULL, -- machines
  made        INTEGER NOT NULL,
  ends        INTEGER NOT NULL,
  revoked     INTEGER NOT NULL
) STRICT;

CREATE TABLE package_machines (
  package  TEXT NOT NULL,
  hardware TEXT NOT NULL, -- HWDevID
  device   TEXT NOT NULL, -- what it enrolled as last
  at       INTEGER NOT NULL,
  PRIMARY KEY (package, hardware)
) STRICT, WITHOUT ROWID;
