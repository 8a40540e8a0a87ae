-- +goose Up
-- The database was a backup once (HST-101). In a copy that Backup made user_version is 1 until a server takes it up.

CREATE TABLE restoration (
  one   INTEGER PRIMARY KEY CHECK (one = 1),
  since INTEGER NOT NULL, -- newest moment that it knew of then
  at    INTEGER NOT NULL, -- when the server took it into use; 0: not yet
  epoch INTEGER NOT NULL  -- that began with it
) STRICT;
